(module
  (type (;0;) (func (param i32 i32 i64 i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (import "engine" "goOn" (func (;0;) (type 0)))
  (import "engine" "back" (func (;1;) (type 0)))
  (import "engine" "leave" (func (;2;) (type 0)))
  (import "engine" "memory" (memory (;0;) 1 65536 shared))
  (func (;3;) (type 1) (param i32 i32) (result i32)
    (local i64 i64 i64 i64 i64 i64 i32 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i64)
    (if  ;; label = @1
      (i64.ne
        (i64.load offset=520
          (local.get 0))
        (i64.const 65536))
      (then
        (return
          (i32.const 1))))
    (local.set 10
      (i32.const 1000))
    (local.set 3
      (i64.load offset=80
        (local.get 0)))
    (local.set 4
      (i64.load offset=88
        (local.get 0)))
    (local.set 5
      (i64.load offset=104
        (local.get 0)))
    (local.set 6
      (i64.load offset=112
        (local.get 0)))
    (local.set 8
      (i32.const 0))
    (block  ;; label = @1
      (block  ;; label = @2
        (block  ;; label = @3
          (loop  ;; label = @4
            (block  ;; label = @5
              (local.set 8
                (i32.const 0))
              (local.set 9
                (i32.const 0))
              (local.set 7
                (i64.xor
                  (local.get 3)
                  (local.get 4)))
              (local.set 9
                (i32.const 0))
              (local.set 9
                (i32.wrap_i64
                  (i64.and
                    (local.get 7)
                    (i64.const 1))))
              (local.set 7
                (i64.const 0))
              (local.set 3
                (i64.shr_u
                  (local.get 3)
                  (i64.const 1)))
              (local.set 4
                (i64.shr_u
                  (local.get 4)
                  (i64.const 1)))
              (local.set 10
                (i32.sub
                  (local.get 10)
                  (i32.mul
                    (i32.eqz
                      (i32.eq
                        (local.get 9)
                        (i32.wrap_i64
                          (i64.const 0))))
                    (i32.const 3))))
              (local.set 22
                (local.get 3))
              (local.set 3
                (i64.xor
                  (local.get 3)
                  (local.get 5)))
              (local.set 3
                (i64.shl
                  (local.get 3)
                  (i64.const 48)))
              (local.set 3
                (i64.shr_u
                  (local.get 3)
                  (i64.const 48)))
              (local.set 3
                (select
                  (local.get 22)
                  (local.get 3)
                  (i32.eq
                    (local.get 9)
                    (i32.wrap_i64
                      (i64.const 0)))))
              (local.set 8
                (i32.add
                  (i32.wrap_i64
                    (local.get 6))
                  (i32.wrap_i64
                    (i64.const -1))))
              (local.set 6
                (i64.const 0))
              (if  ;; label = @6
                (i32.ne
                  (local.get 8)
                  (i32.wrap_i64
                    (i64.const 0)))
                (then
                  (local.set 6
                    (i64.extend_i32_s
                      (local.get 8)))
                  (local.set 8
                    (i32.const 0))
                  (local.set 7
                    (i64.extend_i32_s
                      (local.get 9)))
                  (local.set 9
                    (i32.const 0))
                  (local.set 8
                    (i32.const 0))
                  (local.set 9
                    (i32.const 0))
                  (local.set 7
                    (i64.xor
                      (local.get 3)
                      (local.get 4)))
                  (local.set 9
                    (i32.const 0))
                  (local.set 9
                    (i32.wrap_i64
                      (i64.and
                        (local.get 7)
                        (i64.const 1))))
                  (local.set 7
                    (i64.const 0))
                  (local.set 3
                    (i64.shr_u
                      (local.get 3)
                      (i64.const 1)))
                  (local.set 4
                    (i64.shr_u
                      (local.get 4)
                      (i64.const 1)))
                  (local.set 10
                    (i32.sub
                      (local.get 10)
                      (i32.mul
                        (i32.eqz
                          (i32.eq
                            (local.get 9)
                            (i32.wrap_i64
                              (i64.const 0))))
                        (i32.const 3))))
                  (local.set 22
                    (local.get 3))
                  (local.set 3
                    (i64.xor
                      (local.get 3)
                      (local.get 5)))
                  (local.set 3
                    (i64.shl
                      (local.get 3)
                      (i64.const 48)))
                  (local.set 3
                    (i64.shr_u
                      (local.get 3)
                      (i64.const 48)))
                  (local.set 3
                    (select
                      (local.get 22)
                      (local.get 3)
                      (i32.eq
                        (local.get 9)
                        (i32.wrap_i64
                          (i64.const 0)))))
                  (local.set 8
                    (i32.add
                      (i32.wrap_i64
                        (local.get 6))
                      (i32.wrap_i64
                        (i64.const -1))))
                  (local.set 6
                    (i64.const 0))
                  (if  ;; label = @7
                    (i32.ne
                      (local.get 8)
                      (i32.wrap_i64
                        (i64.const 0)))
                    (then
                      (local.set 6
                        (i64.extend_i32_s
                          (local.get 8)))
                      (local.set 8
                        (i32.const 0))
                      (local.set 7
                        (i64.extend_i32_s
                          (local.get 9)))
                      (local.set 9
                        (i32.const 0))
                      (local.set 8
                        (i32.const 0))
                      (local.set 9
                        (i32.const 0))
                      (local.set 7
                        (i64.xor
                          (local.get 3)
                          (local.get 4)))
                      (local.set 9
                        (i32.const 0))
                      (local.set 9
                        (i32.wrap_i64
                          (i64.and
                            (local.get 7)
                            (i64.const 1))))
                      (local.set 7
                        (i64.const 0))
                      (local.set 3
                        (i64.shr_u
                          (local.get 3)
                          (i64.const 1)))
                      (local.set 4
                        (i64.shr_u
                          (local.get 4)
                          (i64.const 1)))
                      (local.set 10
                        (i32.sub
                          (local.get 10)
                          (i32.mul
                            (i32.eqz
                              (i32.eq
                                (local.get 9)
                                (i32.wrap_i64
                                  (i64.const 0))))
                            (i32.const 3))))
                      (local.set 22
                        (local.get 3))
                      (local.set 3
                        (i64.xor
                          (local.get 3)
                          (local.get 5)))
                      (local.set 3
                        (i64.shl
                          (local.get 3)
                          (i64.const 48)))
                      (local.set 3
                        (i64.shr_u
                          (local.get 3)
                          (i64.const 48)))
                      (local.set 3
                        (select
                          (local.get 22)
                          (local.get 3)
                          (i32.eq
                            (local.get 9)
                            (i32.wrap_i64
                              (i64.const 0)))))
                      (local.set 8
                        (i32.add
                          (i32.wrap_i64
                            (local.get 6))
                          (i32.wrap_i64
                            (i64.const -1))))
                      (local.set 6
                        (i64.const 0))
                      (if  ;; label = @8
                        (i32.ne
                          (local.get 8)
                          (i32.wrap_i64
                            (i64.const 0)))
                        (then
                          (local.set 6
                            (i64.extend_i32_s
                              (local.get 8)))
                          (local.set 8
                            (i32.const 0))
                          (local.set 7
                            (i64.extend_i32_s
                              (local.get 9)))
                          (local.set 9
                            (i32.const 0))
                          (local.set 8
                            (i32.const 0))
                          (local.set 9
                            (i32.const 0))
                          (local.set 7
                            (i64.xor
                              (local.get 3)
                              (local.get 4)))
                          (local.set 9
                            (i32.const 0))
                          (local.set 9
                            (i32.wrap_i64
                              (i64.and
                                (local.get 7)
                                (i64.const 1))))
                          (local.set 7
                            (i64.const 0))
                          (local.set 3
                            (i64.shr_u
                              (local.get 3)
                              (i64.const 1)))
                          (local.set 4
                            (i64.shr_u
                              (local.get 4)
                              (i64.const 1)))
                          (local.set 10
                            (i32.sub
                              (local.get 10)
                              (i32.mul
                                (i32.eqz
                                  (i32.eq
                                    (local.get 9)
                                    (i32.wrap_i64
                                      (i64.const 0))))
                                (i32.const 3))))
                          (local.set 22
                            (local.get 3))
                          (local.set 3
                            (i64.xor
                              (local.get 3)
                              (local.get 5)))
                          (local.set 3
                            (i64.shl
                              (local.get 3)
                              (i64.const 48)))
                          (local.set 3
                            (i64.shr_u
                              (local.get 3)
                              (i64.const 48)))
                          (local.set 3
                            (select
                              (local.get 22)
                              (local.get 3)
                              (i32.eq
                                (local.get 9)
                                (i32.wrap_i64
                                  (i64.const 0)))))
                          (local.set 8
                            (i32.add
                              (i32.wrap_i64
                                (local.get 6))
                              (i32.wrap_i64
                                (i64.const -1))))
                          (local.set 6
                            (i64.const 0))
                          (if  ;; label = @9
                            (i32.ne
                              (local.get 8)
                              (i32.wrap_i64
                                (i64.const 0)))
                            (then
                              (local.set 6
                                (i64.extend_i32_s
                                  (local.get 8)))
                              (local.set 8
                                (i32.const 0))
                              (local.set 7
                                (i64.extend_i32_s
                                  (local.get 9)))
                              (local.set 9
                                (i32.const 0))
                              (local.set 10
                                (i32.sub
                                  (local.get 10)
                                  (i32.const 28)))
                              (br_if 5 (;@4;)
                                (i32.lt_s
                                  (i32.load offset=640
                                    (local.get 0))
                                  (local.get 10)))
                              (local.set 14
                                (i32.const 52224))
                              (local.set 13
                                (i32.const 0))
                              (br 7 (;@2;))))
                          (local.set 10
                            (i32.sub
                              (local.get 10)
                              (i32.const 28)))
                          (br 3 (;@5;))))
                      (local.set 10
                        (i32.sub
                          (local.get 10)
                          (i32.const 21)))
                      (br 2 (;@5;))))
                  (local.set 10
                    (i32.sub
                      (local.get 10)
                      (i32.const 14)))
                  (br 1 (;@5;))))
              (local.set 10
                (i32.sub
                  (local.get 10)
                  (i32.const 7)))
              (br 0 (;@5;)))
            (local.set 6
              (i64.const 0))
            (local.set 7
              (i64.const 0))
            (local.set 2
              (i64.load offset=8
                (local.get 0)))
            (local.set 22
              (i64.and
                (local.get 2)
                (i64.const -2)))
            (local.set 10
              (i32.sub
                (local.get 10)
                (i32.const 1)))
            (i64.store offset=80
              (local.get 0)
              (local.get 3))
            (i64.store offset=88
              (local.get 0)
              (local.get 4))
            (i64.store offset=112
              (local.get 0)
              (i64.or
                (local.get 6)
                (i64.extend_i32_s
                  (local.get 8))))
            (i64.store offset=120
              (local.get 0)
              (i64.or
                (local.get 7)
                (i64.extend_i32_s
                  (local.get 9))))
            (if  ;; label = @5
              (i32.ne
                (local.get 1)
                (i32.const 200))
              (then
                (i64.store offset=520
                  (local.get 0)
                  (local.get 22))
                (i64.store offset=552
                  (local.get 0)
                  (i64.add
                    (i64.load offset=552
                      (local.get 0))
                    (i64.extend_i32_s
                      (i32.sub
                        (i32.const 1000)
                        (local.get 10)))))
                (return
                  (i32.const 0))))
            (return_call 1
              (local.get 0)
              (local.get 1)
              (local.get 22)
              (i32.sub
                (i32.const 1000)
                (local.get 10)))))
        (local.set 12
          (i32.const 1)))
      (local.set 11
        (i64.add
          (i64.const 65536)
          (i64.extend_i32_s
            (i32.shr_s
              (local.get 13)
              (i32.const 10)))))
      (local.set 10
        (i32.sub
          (local.get 10)
          (i32.and
            (local.get 13)
            (i32.const 1023)))))
    (i64.store offset=80
      (local.get 0)
      (local.get 3))
    (i64.store offset=88
      (local.get 0)
      (local.get 4))
    (i64.store offset=112
      (local.get 0)
      (i64.or
        (local.get 6)
        (i64.extend_i32_s
          (local.get 8))))
    (i64.store offset=120
      (local.get 0)
      (i64.or
        (local.get 7)
        (i64.extend_i32_s
          (local.get 9))))
    (if  ;; label = @1
      (local.get 12)
      (then
        (return_call 2
          (local.get 0)
          (local.get 1)
          (local.get 11)
          (i32.sub
            (i32.const 1000)
            (local.get 10)))))
    (return_call 0
      (local.get 0)
      (local.get 1)
      (local.get 11)
      (i32.sub
        (i32.const 1000)
        (local.get 10)))
    (unreachable))
  (export "r0" (func 3)))
