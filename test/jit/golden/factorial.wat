(module
  (type (;0;) (func (param i32 i32 i64 i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (import "engine" "goOn" (func (;0;) (type 0)))
  (import "engine" "back" (func (;1;) (type 0)))
  (import "engine" "leave" (func (;2;) (type 0)))
  (import "engine" "memory" (memory (;0;) 1 65536 shared))
  (func (;3;) (type 1) (param i32 i32) (result i32)
    (if  ;; label = @1
      (i64.ne
        (i64.load offset=520
          (local.get 0))
        (i64.const 65536))
      (then
        (return
          (i32.const 1))))
    (return_call 4
      (local.get 0)
      (local.get 1))
    (unreachable))
  (func (;4;) (type 1) (param i32 i32) (result i32)
    (local i64 i64 i64 i64 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i32 i64 i32)
    (local.set 6
      (i32.const 1000))
    (local.set 14
      (i32.load offset=560
        (local.get 0)))
    (local.set 15
      (i32.load offset=564
        (local.get 0)))
    (local.set 16
      (i64.sub
        (i64.const 0)
        (i64.load offset=576
          (local.get 0))))
    (local.set 17
      (i64.or
        (local.get 16)
        (i64.const 7)))
    (block  ;; label = @1
      (block  ;; label = @2
        (block  ;; label = @3
          (local.set 2
            (i64.load offset=8
              (local.get 0)))
          (local.set 4
            (i64.load offset=80
              (local.get 0)))
          (if  ;; label = @4
            (i64.eq
              (local.get 4)
              (i64.const 0))
            (then
              (local.set 4
                (i64.add
                  (local.get 4)
                  (i64.const 1)))
              (local.set 20
                (i64.and
                  (local.get 2)
                  (i64.const -2)))
              (local.set 6
                (i32.sub
                  (local.get 6)
                  (i32.const 3)))
              (i64.store offset=80
                (local.get 0)
                (local.get 4))
              (if  ;; label = @5
                (i32.ne
                  (local.get 1)
                  (i32.const 200))
                (then
                  (i64.store offset=520
                    (local.get 0)
                    (local.get 20))
                  (i64.store offset=552
                    (local.get 0)
                    (i64.add
                      (i64.load offset=552
                        (local.get 0))
                      (i64.extend_i32_s
                        (i32.sub
                          (i32.const 1000)
                          (local.get 6)))))
                  (return
                    (i32.const 0))))
              (return_call 1
                (local.get 0)
                (local.get 1)
                (local.get 20)
                (i32.sub
                  (i32.const 1000)
                  (local.get 6)))))
          (local.set 3
            (i64.load offset=16
              (local.get 0)))
          (local.set 3
            (i64.add
              (local.get 3)
              (i64.const -16)))
          (local.set 10
            (i32.const 4))
          (local.set 9
            (i32.const 8194))
          (br_if 0 (;@3;)
            (i64.ne
              (i64.and
                (local.get 3)
                (local.get 17))
              (i64.const 0)))
          (local.set 21
            (i32.add
              (i32.wrap_i64
                (local.get 3))
              (i32.const 0)))
          (if  ;; label = @4
            (i32.ge_u
              (i32.and
                (i32.wrap_i64
                  (local.get 3))
                (i32.const 4095))
              (i32.const 4081))
            (then
              (br_if 1 (;@3;)
                (i64.ne
                  (i64.and
                    (i64.add
                      (local.get 3)
                      (i64.const 15))
                    (local.get 16))
                  (i64.const 0)))
              (br_if 1 (;@3;)
                (i32.ne
                  (i32.load
                    (i32.add
                      (local.get 15)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (i64.add
                              (local.get 3)
                              (i64.const 15))
                            (i64.const 12)))
                        (i32.const 2))))
                  (i32.load
                    (i32.add
                      (local.get 15)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2))))))))
          (if  ;; label = @4
            (i32.ne
              (i32.load
                (i32.add
                  (local.get 15)
                  (i32.shl
                    (i32.wrap_i64
                      (i64.shr_u
                        (local.get 3)
                        (i64.const 12)))
                    (i32.const 2))))
              (i32.const 1))
            (then
              (local.set 19
                (i32.load
                  (i32.add
                    (local.get 15)
                    (i32.shl
                      (i32.wrap_i64
                        (i64.shr_u
                          (local.get 3)
                          (i64.const 12)))
                      (i32.const 2)))))
              (br_if 1 (;@3;)
                (i32.eqz
                  (local.get 19)))
              (local.set 21
                (i32.add
                  (local.get 21)
                  (i32.sub
                    (local.get 19)
                    (i32.const 1))))))
          (i64.store offset=8
            (local.get 21)
            (local.get 2))
          (i64.store
            (local.get 21)
            (local.get 4))
          (local.set 4
            (i64.add
              (local.get 4)
              (i64.const -1)))
          (local.set 2
            (i64.const 65560))
          (block  ;; label = @4
            (local.set 5
              (i64.load offset=120
                (local.get 0)))
            (if  ;; label = @5
              (i64.eq
                (local.get 4)
                (i64.const 0))
              (then
                (local.set 4
                  (i64.add
                    (local.get 4)
                    (i64.const 1)))
                (local.set 20
                  (i64.and
                    (local.get 2)
                    (i64.const -2)))
                (if  ;; label = @6
                  (i64.eq
                    (local.get 20)
                    (i64.const 65560))
                  (then
                    (local.set 6
                      (i32.sub
                        (local.get 6)
                        (i32.const 9)))
                    (br 2 (;@4;))))
                (local.set 6
                  (i32.sub
                    (local.get 6)
                    (i32.const 9)))
                (local.set 10
                  (i32.const 1030))
                (local.set 7
                  (local.get 20))
                (br 4 (;@1;))))
            (local.set 3
              (i64.add
                (local.get 3)
                (i64.const -16)))
            (local.set 10
              (i32.const 1030))
            (local.set 9
              (i32.const 8200))
            (br_if 1 (;@3;)
              (i64.ne
                (i64.and
                  (local.get 3)
                  (local.get 17))
                (i64.const 0)))
            (local.set 21
              (i32.add
                (i32.wrap_i64
                  (local.get 3))
                (i32.const 0)))
            (if  ;; label = @5
              (i32.ge_u
                (i32.and
                  (i32.wrap_i64
                    (local.get 3))
                  (i32.const 4095))
                (i32.const 4081))
              (then
                (br_if 2 (;@3;)
                  (i64.ne
                    (i64.and
                      (i64.add
                        (local.get 3)
                        (i64.const 15))
                      (local.get 16))
                    (i64.const 0)))
                (br_if 2 (;@3;)
                  (i32.ne
                    (i32.load
                      (i32.add
                        (local.get 15)
                        (i32.shl
                          (i32.wrap_i64
                            (i64.shr_u
                              (i64.add
                                (local.get 3)
                                (i64.const 15))
                              (i64.const 12)))
                          (i32.const 2))))
                    (i32.load
                      (i32.add
                        (local.get 15)
                        (i32.shl
                          (i32.wrap_i64
                            (i64.shr_u
                              (local.get 3)
                              (i64.const 12)))
                          (i32.const 2))))))))
            (if  ;; label = @5
              (i32.ne
                (i32.load
                  (i32.add
                    (local.get 15)
                    (i32.shl
                      (i32.wrap_i64
                        (i64.shr_u
                          (local.get 3)
                          (i64.const 12)))
                      (i32.const 2))))
                (i32.const 1))
              (then
                (local.set 19
                  (i32.load
                    (i32.add
                      (local.get 15)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2)))))
                (br_if 2 (;@3;)
                  (i32.eqz
                    (local.get 19)))
                (local.set 21
                  (i32.add
                    (local.get 21)
                    (i32.sub
                      (local.get 19)
                      (i32.const 1))))))
            (i64.store offset=8
              (local.get 21)
              (local.get 2))
            (i64.store
              (local.get 21)
              (local.get 4))
            (local.set 4
              (i64.add
                (local.get 4)
                (i64.const -1)))
            (local.set 2
              (i64.const 65560))
            (block  ;; label = @5
              (if  ;; label = @6
                (i64.eq
                  (local.get 4)
                  (i64.const 0))
                (then
                  (local.set 4
                    (i64.add
                      (local.get 4)
                      (i64.const 1)))
                  (local.set 20
                    (i64.and
                      (local.get 2)
                      (i64.const -2)))
                  (if  ;; label = @7
                    (i64.eq
                      (local.get 20)
                      (i64.const 65560))
                    (then
                      (local.set 6
                        (i32.sub
                          (local.get 6)
                          (i32.const 15)))
                      (br 2 (;@5;))))
                  (local.set 6
                    (i32.sub
                      (local.get 6)
                      (i32.const 15)))
                  (local.set 10
                    (i32.const 1030))
                  (local.set 7
                    (local.get 20))
                  (br 5 (;@1;))))
              (local.set 3
                (i64.add
                  (local.get 3)
                  (i64.const -16)))
              (local.set 10
                (i32.const 1030))
              (local.set 9
                (i32.const 8206))
              (br_if 2 (;@3;)
                (i64.ne
                  (i64.and
                    (local.get 3)
                    (local.get 17))
                  (i64.const 0)))
              (local.set 21
                (i32.add
                  (i32.wrap_i64
                    (local.get 3))
                  (i32.const 0)))
              (if  ;; label = @6
                (i32.ge_u
                  (i32.and
                    (i32.wrap_i64
                      (local.get 3))
                    (i32.const 4095))
                  (i32.const 4081))
                (then
                  (br_if 3 (;@3;)
                    (i64.ne
                      (i64.and
                        (i64.add
                          (local.get 3)
                          (i64.const 15))
                        (local.get 16))
                      (i64.const 0)))
                  (br_if 3 (;@3;)
                    (i32.ne
                      (i32.load
                        (i32.add
                          (local.get 15)
                          (i32.shl
                            (i32.wrap_i64
                              (i64.shr_u
                                (i64.add
                                  (local.get 3)
                                  (i64.const 15))
                                (i64.const 12)))
                            (i32.const 2))))
                      (i32.load
                        (i32.add
                          (local.get 15)
                          (i32.shl
                            (i32.wrap_i64
                              (i64.shr_u
                                (local.get 3)
                                (i64.const 12)))
                            (i32.const 2))))))))
              (if  ;; label = @6
                (i32.ne
                  (i32.load
                    (i32.add
                      (local.get 15)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2))))
                  (i32.const 1))
                (then
                  (local.set 19
                    (i32.load
                      (i32.add
                        (local.get 15)
                        (i32.shl
                          (i32.wrap_i64
                            (i64.shr_u
                              (local.get 3)
                              (i64.const 12)))
                          (i32.const 2)))))
                  (br_if 3 (;@3;)
                    (i32.eqz
                      (local.get 19)))
                  (local.set 21
                    (i32.add
                      (local.get 21)
                      (i32.sub
                        (local.get 19)
                        (i32.const 1))))))
              (i64.store offset=8
                (local.get 21)
                (local.get 2))
              (i64.store
                (local.get 21)
                (local.get 4))
              (local.set 4
                (i64.add
                  (local.get 4)
                  (i64.const -1)))
              (local.set 2
                (i64.const 65560))
              (local.set 6
                (i32.sub
                  (local.get 6)
                  (i32.const 18)))
              (if  ;; label = @6
                (i32.or
                  (i32.eqz
                    (local.get 1))
                  (i32.eqz
                    (i32.lt_s
                      (i32.load offset=640
                        (local.get 0))
                      (local.get 6))))
                (then
                  (local.set 10
                    (i32.const 1030))
                  (local.set 7
                    (i64.const 65536))
                  (br 5 (;@1;))))
              (i64.store offset=8
                (local.get 0)
                (local.get 2))
              (i64.store offset=16
                (local.get 0)
                (local.get 3))
              (i64.store offset=80
                (local.get 0)
                (local.get 4))
              (i64.store offset=520
                (local.get 0)
                (i64.const 65536))
              (local.set 21
                (call 4
                  (local.get 0)
                  (i32.sub
                    (local.get 1)
                    (i32.const 1))))
              (if  ;; label = @6
                (i32.or
                  (local.get 21)
                  (i64.ne
                    (i64.load offset=520
                      (local.get 0))
                    (i64.const 65560)))
                (then
                  (i64.store offset=552
                    (local.get 0)
                    (i64.add
                      (i64.load offset=552
                        (local.get 0))
                      (i64.extend_i32_s
                        (i32.sub
                          (i32.const 1000)
                          (local.get 6)))))
                  (return
                    (local.get 21))))
              (local.set 3
                (i64.load offset=16
                  (local.get 0)))
              (local.set 4
                (i64.load offset=80
                  (local.get 0)))
              (local.set 10
                (i32.const 0))
              (local.set 9
                (i32.const 24576))
              (br_if 2 (;@3;)
                (i64.ne
                  (i64.and
                    (local.get 3)
                    (local.get 17))
                  (i64.const 0)))
              (local.set 21
                (i32.add
                  (i32.wrap_i64
                    (local.get 3))
                  (i32.const 0)))
              (if  ;; label = @6
                (i32.ge_u
                  (i32.and
                    (i32.wrap_i64
                      (local.get 3))
                    (i32.const 4095))
                  (i32.const 4081))
                (then
                  (br_if 3 (;@3;)
                    (i64.ne
                      (i64.and
                        (i64.add
                          (local.get 3)
                          (i64.const 15))
                        (local.get 16))
                      (i64.const 0)))
                  (br_if 3 (;@3;)
                    (i32.ne
                      (i32.load
                        (i32.add
                          (local.get 14)
                          (i32.shl
                            (i32.wrap_i64
                              (i64.shr_u
                                (i64.add
                                  (local.get 3)
                                  (i64.const 15))
                                (i64.const 12)))
                            (i32.const 2))))
                      (i32.load
                        (i32.add
                          (local.get 14)
                          (i32.shl
                            (i32.wrap_i64
                              (i64.shr_u
                                (local.get 3)
                                (i64.const 12)))
                            (i32.const 2))))))))
              (if  ;; label = @6
                (i32.ne
                  (i32.load
                    (i32.add
                      (local.get 14)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2))))
                  (i32.const 1))
                (then
                  (local.set 19
                    (i32.load
                      (i32.add
                        (local.get 14)
                        (i32.shl
                          (i32.wrap_i64
                            (i64.shr_u
                              (local.get 3)
                              (i64.const 12)))
                          (i32.const 2)))))
                  (br_if 3 (;@3;)
                    (i32.eqz
                      (local.get 19)))
                  (local.set 21
                    (i32.add
                      (local.get 21)
                      (i32.sub
                        (local.get 19)
                        (i32.const 1))))))
              (local.set 5
                (i64.load
                  (local.get 21)))
              (local.set 4
                (i64.mul
                  (local.get 4)
                  (local.get 5)))
              (local.set 2
                (i64.load offset=8
                  (local.get 21)))
              (local.set 3
                (i64.add
                  (local.get 3)
                  (i64.const 16)))
              (local.set 20
                (i64.and
                  (local.get 2)
                  (i64.const -2)))
              (if  ;; label = @6
                (i64.eq
                  (local.get 20)
                  (i64.const 65560))
                (then
                  (local.set 6
                    (i32.sub
                      (local.get 6)
                      (i32.const 5)))
                  (br 1 (;@5;))))
              (local.set 6
                (i32.sub
                  (local.get 6)
                  (i32.const 5)))
              (local.set 10
                (i32.const 33798))
              (local.set 7
                (local.get 20))
              (br 4 (;@1;)))
            (local.set 10
              (i32.const 33798))
            (local.set 9
              (i32.const 24576))
            (br_if 1 (;@3;)
              (i64.ne
                (i64.and
                  (local.get 3)
                  (local.get 17))
                (i64.const 0)))
            (local.set 21
              (i32.add
                (i32.wrap_i64
                  (local.get 3))
                (i32.const 0)))
            (if  ;; label = @5
              (i32.ge_u
                (i32.and
                  (i32.wrap_i64
                    (local.get 3))
                  (i32.const 4095))
                (i32.const 4081))
              (then
                (br_if 2 (;@3;)
                  (i64.ne
                    (i64.and
                      (i64.add
                        (local.get 3)
                        (i64.const 15))
                      (local.get 16))
                    (i64.const 0)))
                (br_if 2 (;@3;)
                  (i32.ne
                    (i32.load
                      (i32.add
                        (local.get 14)
                        (i32.shl
                          (i32.wrap_i64
                            (i64.shr_u
                              (i64.add
                                (local.get 3)
                                (i64.const 15))
                              (i64.const 12)))
                          (i32.const 2))))
                    (i32.load
                      (i32.add
                        (local.get 14)
                        (i32.shl
                          (i32.wrap_i64
                            (i64.shr_u
                              (local.get 3)
                              (i64.const 12)))
                          (i32.const 2))))))))
            (if  ;; label = @5
              (i32.ne
                (i32.load
                  (i32.add
                    (local.get 14)
                    (i32.shl
                      (i32.wrap_i64
                        (i64.shr_u
                          (local.get 3)
                          (i64.const 12)))
                      (i32.const 2))))
                (i32.const 1))
              (then
                (local.set 19
                  (i32.load
                    (i32.add
                      (local.get 14)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2)))))
                (br_if 2 (;@3;)
                  (i32.eqz
                    (local.get 19)))
                (local.set 21
                  (i32.add
                    (local.get 21)
                    (i32.sub
                      (local.get 19)
                      (i32.const 1))))))
            (local.set 5
              (i64.load
                (local.get 21)))
            (local.set 4
              (i64.mul
                (local.get 4)
                (local.get 5)))
            (local.set 2
              (i64.load offset=8
                (local.get 21)))
            (local.set 3
              (i64.add
                (local.get 3)
                (i64.const 16)))
            (local.set 20
              (i64.and
                (local.get 2)
                (i64.const -2)))
            (if  ;; label = @5
              (i64.eq
                (local.get 20)
                (i64.const 65560))
              (then
                (local.set 6
                  (i32.sub
                    (local.get 6)
                    (i32.const 5)))
                (br 1 (;@4;))))
            (local.set 6
              (i32.sub
                (local.get 6)
                (i32.const 5)))
            (local.set 10
              (i32.const 33798))
            (local.set 7
              (local.get 20))
            (br 3 (;@1;)))
          (local.set 10
            (i32.const 33798))
          (local.set 9
            (i32.const 24576))
          (br_if 0 (;@3;)
            (i64.ne
              (i64.and
                (local.get 3)
                (local.get 17))
              (i64.const 0)))
          (local.set 21
            (i32.add
              (i32.wrap_i64
                (local.get 3))
              (i32.const 0)))
          (if  ;; label = @4
            (i32.ge_u
              (i32.and
                (i32.wrap_i64
                  (local.get 3))
                (i32.const 4095))
              (i32.const 4081))
            (then
              (br_if 1 (;@3;)
                (i64.ne
                  (i64.and
                    (i64.add
                      (local.get 3)
                      (i64.const 15))
                    (local.get 16))
                  (i64.const 0)))
              (br_if 1 (;@3;)
                (i32.ne
                  (i32.load
                    (i32.add
                      (local.get 14)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (i64.add
                              (local.get 3)
                              (i64.const 15))
                            (i64.const 12)))
                        (i32.const 2))))
                  (i32.load
                    (i32.add
                      (local.get 14)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2))))))))
          (if  ;; label = @4
            (i32.ne
              (i32.load
                (i32.add
                  (local.get 14)
                  (i32.shl
                    (i32.wrap_i64
                      (i64.shr_u
                        (local.get 3)
                        (i64.const 12)))
                    (i32.const 2))))
              (i32.const 1))
            (then
              (local.set 19
                (i32.load
                  (i32.add
                    (local.get 14)
                    (i32.shl
                      (i32.wrap_i64
                        (i64.shr_u
                          (local.get 3)
                          (i64.const 12)))
                      (i32.const 2)))))
              (br_if 1 (;@3;)
                (i32.eqz
                  (local.get 19)))
              (local.set 21
                (i32.add
                  (local.get 21)
                  (i32.sub
                    (local.get 19)
                    (i32.const 1))))))
          (local.set 5
            (i64.load
              (local.get 21)))
          (local.set 4
            (i64.mul
              (local.get 4)
              (local.get 5)))
          (local.set 2
            (i64.load offset=8
              (local.get 21)))
          (local.set 3
            (i64.add
              (local.get 3)
              (i64.const 16)))
          (local.set 20
            (i64.and
              (local.get 2)
              (i64.const -2)))
          (local.set 6
            (i32.sub
              (local.get 6)
              (i32.const 5)))
          (i64.store offset=8
            (local.get 0)
            (local.get 2))
          (i64.store offset=16
            (local.get 0)
            (local.get 3))
          (i64.store offset=80
            (local.get 0)
            (local.get 4))
          (i64.store offset=120
            (local.get 0)
            (local.get 5))
          (if  ;; label = @4
            (i32.ne
              (local.get 1)
              (i32.const 200))
            (then
              (i64.store offset=520
                (local.get 0)
                (local.get 20))
              (i64.store offset=552
                (local.get 0)
                (i64.add
                  (i64.load offset=552
                    (local.get 0))
                  (i64.extend_i32_s
                    (i32.sub
                      (i32.const 1000)
                      (local.get 6)))))
              (return
                (i32.const 0))))
          (return_call 1
            (local.get 0)
            (local.get 1)
            (local.get 20)
            (i32.sub
              (i32.const 1000)
              (local.get 6))))
        (local.set 8
          (i32.const 1)))
      (local.set 7
        (i64.add
          (i64.const 65536)
          (i64.extend_i32_s
            (i32.shr_s
              (local.get 9)
              (i32.const 10)))))
      (local.set 6
        (i32.sub
          (local.get 6)
          (i32.and
            (local.get 9)
            (i32.const 1023)))))
    (if  ;; label = @1
      (i32.and
        (local.get 10)
        (i32.const 2))
      (then
        (i64.store offset=8
          (local.get 0)
          (local.get 2))
        (i64.store offset=80
          (local.get 0)
          (local.get 4))))
    (if  ;; label = @1
      (i32.and
        (local.get 10)
        (i32.const 4))
      (then
        (i64.store offset=16
          (local.get 0)
          (local.get 3))))
    (if  ;; label = @1
      (i32.and
        (local.get 10)
        (i32.const 32768))
      (then
        (i64.store offset=120
          (local.get 0)
          (local.get 5))))
    (if  ;; label = @1
      (local.get 8)
      (then
        (return_call 2
          (local.get 0)
          (local.get 1)
          (local.get 7)
          (i32.sub
            (i32.const 1000)
            (local.get 6)))))
    (return_call 0
      (local.get 0)
      (local.get 1)
      (local.get 7)
      (i32.sub
        (i32.const 1000)
        (local.get 6)))
    (unreachable))
  (export "r0" (func 3))
  (export "b0" (func 4)))
