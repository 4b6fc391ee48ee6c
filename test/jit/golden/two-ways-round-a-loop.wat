(module
  (type (;0;) (func (param i32 i32 i64 i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (import "engine" "goOn" (func (;0;) (type 0)))
  (import "engine" "back" (func (;1;) (type 0)))
  (import "engine" "leave" (func (;2;) (type 0)))
  (import "engine" "memory" (memory (;0;) 1 65536 shared))
  (func (;3;) (type 1) (param i32 i32) (result i32)
    (local i64 i64 i64 i64 i64 i64 i32 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i32 i32 i32 i32 i64)
    (if  ;; label = @1
      (i64.ne
        (i64.load offset=520
          (local.get 0))
        (i64.const 65536))
      (then
        (return
          (i32.const 1))))
    (local.set 9
      (i32.const 1000))
    (local.set 17
      (i32.load offset=560
        (local.get 0)))
    (local.set 19
      (i64.sub
        (i64.const 0)
        (i64.load offset=576
          (local.get 0))))
    (local.set 20
      (i64.or
        (local.get 19)
        (i64.const 3)))
    (block  ;; label = @1
      (block  ;; label = @2
        (block  ;; label = @3
          (block  ;; label = @4
            (local.set 3
              (i64.load offset=80
                (local.get 0)))
            (local.set 13
              (i32.const 0))
            (local.set 12
              (i32.const 0))
            (br_if 1 (;@3;)
              (i64.ne
                (i64.and
                  (local.get 3)
                  (local.get 20))
                (i64.const 0)))
            (if  ;; label = @5
              (i32.eq
                (i32.load
                  (i32.add
                    (local.get 17)
                    (i32.shl
                      (i32.wrap_i64
                        (i64.shr_u
                          (local.get 3)
                          (i64.const 12)))
                      (i32.const 2))))
                (i32.const 1))
              (then
                (local.set 23
                  (i32.load
                    (i32.wrap_i64
                      (local.get 3)))))
              (else
                (local.set 22
                  (i32.load
                    (i32.add
                      (local.get 17)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2)))))
                (br_if 2 (;@3;)
                  (i32.eqz
                    (local.get 22)))
                (local.set 23
                  (i32.load
                    (i32.add
                      (i32.add
                        (i32.wrap_i64
                          (local.get 3))
                        (local.get 22))
                      (i32.const -1))))))
            (local.set 8
              (local.get 23))
            (local.set 7
              (i64.const 0))
            (local.set 3
              (i64.add
                (local.get 3)
                (i64.const 4)))
            (local.set 4
              (i64.load offset=88
                (local.get 0)))
            (local.set 5
              (i64.load offset=96
                (local.get 0)))
            (local.set 6
              (i64.load offset=104
                (local.get 0)))
            (if  ;; label = @5
              (i64.eq
                (local.get 3)
                (local.get 4))
              (then
                (local.set 9
                  (i32.sub
                    (local.get 9)
                    (i32.const 3)))
                (br 1 (;@4;))))
            (local.set 9
              (i32.sub
                (local.get 9)
                (i32.const 3)))
            (loop  ;; label = @5
              (local.set 7
                (i64.const 0))
              (block  ;; label = @6
                (local.set 21
                  (local.get 3))
                (br_if 0 (;@6;)
                  (i64.ne
                    (i64.and
                      (local.get 21)
                      (local.get 19))
                    (i64.const 0)))
                (br_if 0 (;@6;)
                  (i32.eqz
                    (i32.eq
                      (i32.load
                        (i32.add
                          (local.get 17)
                          (i32.shl
                            (i32.wrap_i64
                              (i64.shr_u
                                (local.get 21)
                                (i64.const 12)))
                            (i32.const 2))))
                      (i32.const 1))))
                (if  ;; label = @7
                  (i32.ge_u
                    (i32.and
                      (i32.wrap_i64
                        (local.get 21))
                      (i32.const 4095))
                    (i32.const 4081))
                  (then
                    (local.set 21
                      (i64.add
                        (local.get 21)
                        (i64.const 15)))
                    (br_if 1 (;@6;)
                      (i64.ne
                        (i64.and
                          (local.get 21)
                          (local.get 19))
                        (i64.const 0)))
                    (br_if 1 (;@6;)
                      (i32.eqz
                        (i32.eq
                          (i32.load
                            (i32.add
                              (local.get 17)
                              (i32.shl
                                (i32.wrap_i64
                                  (i64.shr_u
                                    (local.get 21)
                                    (i64.const 12)))
                                (i32.const 2))))
                          (i32.const 1))))))
                (local.set 23
                  (i32.sub
                    (i32.const 4080)
                    (i32.and
                      (i32.wrap_i64
                        (local.get 3))
                      (i32.const 4095))))
                (local.set 24
                  (i32.add
                    (i32.div_s
                      (local.get 23)
                      (i32.const 16))
                    (i32.const 1)))
                (loop  ;; label = @7
                  (block  ;; label = @8
                    (local.set 7
                      (i64.const 0))
                    (local.set 23
                      (i32.wrap_i64
                        (local.get 3)))
                    (local.set 5
                      (i64.add
                        (local.get 5)
                        (i64.extend_i32_s
                          (local.get 8))))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 6)
                        (i64.const 0))
                      (then
                        (local.set 8
                          (i32.load
                            (local.get 23)))
                        (local.set 7
                          (i64.const 0))
                        (local.set 3
                          (i64.add
                            (local.get 3)
                            (i64.const 4)))
                        (if  ;; label = @10
                          (i64.eq
                            (local.get 3)
                            (local.get 4))
                          (then
                            (local.set 9
                              (i32.sub
                                (local.get 9)
                                (i32.const 5)))
                            (br 6 (;@4;))))
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 8
                      (i32.load
                        (local.get 23)))
                    (local.set 7
                      (i64.const 0))
                    (local.set 3
                      (i64.add
                        (local.get 3)
                        (i64.const 4)))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 3)
                        (local.get 4))
                      (then
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 9
                      (i32.sub
                        (local.get 9)
                        (i32.const 5)))
                    (br 4 (;@4;)))
                  (block  ;; label = @8
                    (local.set 7
                      (i64.const 0))
                    (local.set 5
                      (i64.add
                        (local.get 5)
                        (i64.extend_i32_s
                          (local.get 8))))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 6)
                        (i64.const 0))
                      (then
                        (local.set 8
                          (i32.load offset=4
                            (local.get 23)))
                        (local.set 7
                          (i64.const 0))
                        (local.set 3
                          (i64.add
                            (local.get 3)
                            (i64.const 4)))
                        (if  ;; label = @10
                          (i64.eq
                            (local.get 3)
                            (local.get 4))
                          (then
                            (local.set 9
                              (i32.sub
                                (local.get 9)
                                (i32.const 5)))
                            (br 6 (;@4;))))
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 8
                      (i32.load offset=4
                        (local.get 23)))
                    (local.set 7
                      (i64.const 0))
                    (local.set 3
                      (i64.add
                        (local.get 3)
                        (i64.const 4)))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 3)
                        (local.get 4))
                      (then
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 9
                      (i32.sub
                        (local.get 9)
                        (i32.const 5)))
                    (br 4 (;@4;)))
                  (block  ;; label = @8
                    (local.set 7
                      (i64.const 0))
                    (local.set 5
                      (i64.add
                        (local.get 5)
                        (i64.extend_i32_s
                          (local.get 8))))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 6)
                        (i64.const 0))
                      (then
                        (local.set 8
                          (i32.load offset=8
                            (local.get 23)))
                        (local.set 7
                          (i64.const 0))
                        (local.set 3
                          (i64.add
                            (local.get 3)
                            (i64.const 4)))
                        (if  ;; label = @10
                          (i64.eq
                            (local.get 3)
                            (local.get 4))
                          (then
                            (local.set 9
                              (i32.sub
                                (local.get 9)
                                (i32.const 5)))
                            (br 6 (;@4;))))
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 8
                      (i32.load offset=8
                        (local.get 23)))
                    (local.set 7
                      (i64.const 0))
                    (local.set 3
                      (i64.add
                        (local.get 3)
                        (i64.const 4)))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 3)
                        (local.get 4))
                      (then
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 9
                      (i32.sub
                        (local.get 9)
                        (i32.const 5)))
                    (br 4 (;@4;)))
                  (block  ;; label = @8
                    (local.set 7
                      (i64.const 0))
                    (local.set 5
                      (i64.add
                        (local.get 5)
                        (i64.extend_i32_s
                          (local.get 8))))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 6)
                        (i64.const 0))
                      (then
                        (local.set 8
                          (i32.load offset=12
                            (local.get 23)))
                        (local.set 7
                          (i64.const 0))
                        (local.set 3
                          (i64.add
                            (local.get 3)
                            (i64.const 4)))
                        (if  ;; label = @10
                          (i64.eq
                            (local.get 3)
                            (local.get 4))
                          (then
                            (local.set 9
                              (i32.sub
                                (local.get 9)
                                (i32.const 5)))
                            (br 6 (;@4;))))
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 8
                      (i32.load offset=12
                        (local.get 23)))
                    (local.set 7
                      (i64.const 0))
                    (local.set 3
                      (i64.add
                        (local.get 3)
                        (i64.const 4)))
                    (if  ;; label = @9
                      (i64.ne
                        (local.get 3)
                        (local.get 4))
                      (then
                        (local.set 9
                          (i32.sub
                            (local.get 9)
                            (i32.const 5)))
                        (br 1 (;@8;))))
                    (local.set 9
                      (i32.sub
                        (local.get 9)
                        (i32.const 5)))
                    (br 4 (;@4;)))
                  (local.set 7
                    (i64.const 0))
                  (block  ;; label = @8
                    (local.set 24
                      (i32.sub
                        (local.get 24)
                        (i32.const 1)))
                    (br_if 0 (;@8;)
                      (i32.le_s
                        (local.get 24)
                        (i32.const 0)))
                    (br_if 1 (;@7;)
                      (i32.lt_s
                        (i32.load offset=640
                          (local.get 0))
                        (local.get 9)))
                    (local.set 13
                      (i32.const 21504))
                    (local.set 12
                      (i32.const 12288))
                    (br 6 (;@2;)))
                  (br_if 2 (;@5;)
                    (i32.lt_s
                      (i32.load offset=640
                        (local.get 0))
                      (local.get 9)))
                  (local.set 13
                    (i32.const 21504))
                  (local.set 12
                    (i32.const 12288))
                  (br 5 (;@2;))))
              (local.set 5
                (i64.add
                  (local.get 5)
                  (i64.extend_i32_s
                    (local.get 8))))
              (if  ;; label = @6
                (i64.ne
                  (local.get 6)
                  (i64.const 0))
                (then
                  (local.set 13
                    (i32.const 21504))
                  (local.set 12
                    (i32.const 2))
                  (br_if 3 (;@3;)
                    (i64.ne
                      (i64.and
                        (local.get 3)
                        (local.get 20))
                      (i64.const 0)))
                  (if  ;; label = @7
                    (i32.eq
                      (i32.load
                        (i32.add
                          (local.get 17)
                          (i32.shl
                            (i32.wrap_i64
                              (i64.shr_u
                                (local.get 3)
                                (i64.const 12)))
                            (i32.const 2))))
                      (i32.const 1))
                    (then
                      (local.set 25
                        (i32.load
                          (i32.wrap_i64
                            (local.get 3)))))
                    (else
                      (local.set 22
                        (i32.load
                          (i32.add
                            (local.get 17)
                            (i32.shl
                              (i32.wrap_i64
                                (i64.shr_u
                                  (local.get 3)
                                  (i64.const 12)))
                              (i32.const 2)))))
                      (br_if 4 (;@3;)
                        (i32.eqz
                          (local.get 22)))
                      (local.set 25
                        (i32.load
                          (i32.add
                            (i32.add
                              (i32.wrap_i64
                                (local.get 3))
                              (local.get 22))
                            (i32.const -1))))))
                  (local.set 8
                    (local.get 25))
                  (local.set 7
                    (i64.const 0))
                  (local.set 3
                    (i64.add
                      (local.get 3)
                      (i64.const 4)))
                  (if  ;; label = @7
                    (i64.eq
                      (local.get 3)
                      (local.get 4))
                    (then
                      (local.set 9
                        (i32.sub
                          (local.get 9)
                          (i32.const 5)))
                      (br 3 (;@4;))))
                  (local.set 9
                    (i32.sub
                      (local.get 9)
                      (i32.const 5)))
                  (br_if 1 (;@5;)
                    (i32.lt_s
                      (i32.load offset=640
                        (local.get 0))
                      (local.get 9)))
                  (local.set 13
                    (i32.const 21504))
                  (local.set 12
                    (i32.const 12288))
                  (br 4 (;@2;))))
              (local.set 13
                (i32.const 21504))
              (local.set 12
                (i32.const 20482))
              (br_if 2 (;@3;)
                (i64.ne
                  (i64.and
                    (local.get 3)
                    (local.get 20))
                  (i64.const 0)))
              (if  ;; label = @6
                (i32.eq
                  (i32.load
                    (i32.add
                      (local.get 17)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 3)
                            (i64.const 12)))
                        (i32.const 2))))
                  (i32.const 1))
                (then
                  (local.set 25
                    (i32.load
                      (i32.wrap_i64
                        (local.get 3)))))
                (else
                  (local.set 22
                    (i32.load
                      (i32.add
                        (local.get 17)
                        (i32.shl
                          (i32.wrap_i64
                            (i64.shr_u
                              (local.get 3)
                              (i64.const 12)))
                          (i32.const 2)))))
                  (br_if 3 (;@3;)
                    (i32.eqz
                      (local.get 22)))
                  (local.set 25
                    (i32.load
                      (i32.add
                        (i32.add
                          (i32.wrap_i64
                            (local.get 3))
                          (local.get 22))
                        (i32.const -1))))))
              (local.set 8
                (local.get 25))
              (local.set 7
                (i64.const 0))
              (local.set 3
                (i64.add
                  (local.get 3)
                  (i64.const 4)))
              (if  ;; label = @6
                (i64.ne
                  (local.get 3)
                  (local.get 4))
                (then
                  (local.set 9
                    (i32.sub
                      (local.get 9)
                      (i32.const 5)))
                  (br_if 1 (;@5;)
                    (i32.lt_s
                      (i32.load offset=640
                        (local.get 0))
                      (local.get 9)))
                  (local.set 13
                    (i32.const 21504))
                  (local.set 12
                    (i32.const 12288))
                  (br 4 (;@2;))))
              (local.set 9
                (i32.sub
                  (local.get 9)
                  (i32.const 5)))
              (br 1 (;@4;))))
          (local.set 7
            (i64.const 0))
          (local.set 2
            (i64.load offset=8
              (local.get 0)))
          (local.set 26
            (i64.and
              (local.get 2)
              (i64.const -2)))
          (local.set 9
            (i32.sub
              (local.get 9)
              (i32.const 1)))
          (i64.store offset=80
            (local.get 0)
            (local.get 3))
          (i64.store offset=96
            (local.get 0)
            (local.get 5))
          (i64.store offset=112
            (local.get 0)
            (i64.or
              (local.get 7)
              (i64.extend_i32_s
                (local.get 8))))
          (if  ;; label = @4
            (i32.ne
              (local.get 1)
              (i32.const 200))
            (then
              (i64.store offset=520
                (local.get 0)
                (local.get 26))
              (i64.store offset=552
                (local.get 0)
                (i64.add
                  (i64.load offset=552
                    (local.get 0))
                  (i64.extend_i32_s
                    (i32.sub
                      (i32.const 1000)
                      (local.get 9)))))
              (return
                (i32.const 0))))
          (return_call 1
            (local.get 0)
            (local.get 1)
            (local.get 26)
            (i32.sub
              (i32.const 1000)
              (local.get 9))))
        (local.set 11
          (i32.const 1)))
      (local.set 10
        (i64.add
          (i64.const 65536)
          (i64.extend_i32_s
            (i32.shr_s
              (local.get 12)
              (i32.const 10)))))
      (local.set 9
        (i32.sub
          (local.get 9)
          (i32.and
            (local.get 12)
            (i32.const 1023)))))
    (if  ;; label = @1
      (i32.and
        (local.get 13)
        (i32.const 1024))
      (then
        (i64.store offset=80
          (local.get 0)
          (local.get 3))
        (i64.store offset=96
          (local.get 0)
          (local.get 5))
        (i64.store offset=112
          (local.get 0)
          (i64.or
            (local.get 7)
            (i64.extend_i32_s
              (local.get 8))))))
    (if  ;; label = @1
      (local.get 11)
      (then
        (return_call 2
          (local.get 0)
          (local.get 1)
          (local.get 10)
          (i32.sub
            (i32.const 1000)
            (local.get 9)))))
    (return_call 0
      (local.get 0)
      (local.get 1)
      (local.get 10)
      (i32.sub
        (i32.const 1000)
        (local.get 9)))
    (unreachable))
  (export "r0" (func 3)))
