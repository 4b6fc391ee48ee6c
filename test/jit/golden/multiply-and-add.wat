(module
  (type (;0;) (func (param i32 i32 i64 i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (import "engine" "goOn" (func (;0;) (type 0)))
  (import "engine" "back" (func (;1;) (type 0)))
  (import "engine" "leave" (func (;2;) (type 0)))
  (import "engine" "memory" (memory (;0;) 1 65536 shared))
  (func (;3;) (type 1) (param i32 i32) (result i32)
    (local i64 f64 f64 f64 f64 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 f64 f64 f64 i32 i32 i64)
    (if  ;; label = @1
      (i64.ne
        (i64.load offset=520
          (local.get 0))
        (i64.const 65536))
      (then
        (return
          (i32.const 1))))
    (local.set 7
      (i32.const 1000))
    (local.set 13
      (i32.and
        (i32.load offset=528
          (local.get 0))
        (i32.const 1)))
    (local.set 14
      (i32.and
        (local.get 13)
        (i32.eqz
          (i32.load offset=532
            (local.get 0)))))
    (block  ;; label = @1
      (block  ;; label = @2
        (block  ;; label = @3
          (local.set 4
            (f64.load offset=352
              (local.get 0)))
          (local.set 5
            (f64.load offset=360
              (local.get 0)))
          (local.set 19
            (local.get 4))
          (local.set 20
            (local.get 5))
          (local.set 21
            (f64.mul
              (local.get 19)
              (local.get 20)))
          (if  ;; label = @4
            (i32.eqz
              (i32.lt_u
                (i32.sub
                  (i32.shl
                    (i32.wrap_i64
                      (i64.shr_u
                        (i64.reinterpret_f64
                          (local.get 21))
                        (i64.const 32)))
                    (i32.const 1))
                  (i32.const 4194304))
                (i32.const -6291456)))
            (then
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 0))
              (local.set 10
                (i32.const 0))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.or
                    (i32.and
                      (f64.gt
                        (f64.abs
                          (local.get 21))
                        (f64.const 0x1p-1022 (;=2.22507e-308;)))
                      (f64.lt
                        (f64.abs
                          (local.get 21))
                        (f64.const inf (;=inf;))))
                    (i32.and
                      (f64.eq
                        (local.get 21)
                        (f64.const 0x0p+0 (;=0;)))
                      (i32.or
                        (f64.eq
                          (local.get 19)
                          (f64.const 0x0p+0 (;=0;)))
                        (f64.eq
                          (local.get 20)
                          (f64.const 0x0p+0 (;=0;))))))))))
          (if  ;; label = @4
            (i32.eqz
              (local.get 14))
            (then
              (local.set 22
                (i32.load offset=532
                  (local.get 0)))
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 0))
              (local.set 10
                (i32.const 0))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.lt_u
                    (local.get 22)
                    (i32.const 5))))
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 0))
              (local.set 10
                (i32.const 0))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.eqz
                    (local.get 22))))
              (local.set 23
                (f64.eq
                  (local.get 21)
                  (f64.const 0x0p+0 (;=0;))))
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 0))
              (local.set 10
                (i32.const 0))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.or
                    (local.get 23)
                    (i32.and
                      (i64.ge_u
                        (i64.shl
                          (i64.reinterpret_f64
                            (local.get 19))
                          (i64.const 1))
                        (i64.const 9007199254740992))
                      (i64.ge_u
                        (i64.shl
                          (i64.reinterpret_f64
                            (local.get 20))
                          (i64.const 1))
                        (i64.const 9007199254740992))))))
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 0))
              (local.set 10
                (i32.const 0))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.eqz
                    (select
                      (i32.const 0)
                      (i64.ne
                        (i64.mul
                          (i64.or
                            (i64.and
                              (i64.reinterpret_f64
                                (local.get 19))
                              (i64.const 4503599627370495))
                            (i64.const 4503599627370496))
                          (i64.or
                            (i64.and
                              (i64.reinterpret_f64
                                (local.get 20))
                              (i64.const 4503599627370495))
                            (i64.const 4503599627370496)))
                        (i64.shl
                          (i64.or
                            (i64.and
                              (i64.reinterpret_f64
                                (local.get 21))
                              (i64.const 4503599627370495))
                            (i64.const 4503599627370496))
                          (i64.sub
                            (i64.add
                              (i64.and
                                (i64.shr_u
                                  (i64.reinterpret_f64
                                    (local.get 21))
                                  (i64.const 52))
                                (i64.const 2047))
                              (i64.const 1075))
                            (i64.add
                              (i64.and
                                (i64.shr_u
                                  (i64.reinterpret_f64
                                    (local.get 19))
                                  (i64.const 52))
                                (i64.const 2047))
                              (i64.and
                                (i64.shr_u
                                  (i64.reinterpret_f64
                                    (local.get 20))
                                  (i64.const 52))
                                (i64.const 2047))))))
                      (local.get 23)))))))
          (local.set 3
            (local.get 21))
          (local.set 6
            (f64.load offset=368
              (local.get 0)))
          (local.set 21
            (local.get 3))
          (local.set 20
            (local.get 6))
          (local.set 19
            (f64.add
              (local.get 21)
              (local.get 20)))
          (local.set 11
            (i32.const 0))
          (local.set 12
            (i32.const 1024))
          (local.set 10
            (i32.const 4097))
          (br_if 0 (;@3;)
            (i32.eqz
              (f64.lt
                (f64.abs
                  (local.get 19))
                (f64.const inf (;=inf;)))))
          (if  ;; label = @4
            (i32.eqz
              (local.get 14))
            (then
              (local.set 23
                (i32.load offset=532
                  (local.get 0)))
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 1024))
              (local.set 10
                (i32.const 4097))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.lt_u
                    (local.get 23)
                    (i32.const 5))))
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 1024))
              (local.set 10
                (i32.const 4097))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.eqz
                    (local.get 23))))
              (local.set 11
                (i32.const 0))
              (local.set 12
                (i32.const 1024))
              (local.set 10
                (i32.const 4097))
              (br_if 1 (;@3;)
                (i32.eqz
                  (i32.eqz
                    (i32.or
                      (f64.ne
                        (f64.sub
                          (local.get 19)
                          (local.get 21))
                        (local.get 20))
                      (f64.ne
                        (f64.sub
                          (local.get 19)
                          (local.get 20))
                        (local.get 21))))))))
          (local.set 3
            (local.get 19))
          (local.set 2
            (i64.load offset=8
              (local.get 0)))
          (local.set 24
            (i64.and
              (local.get 2)
              (i64.const -2)))
          (local.set 7
            (i32.sub
              (local.get 7)
              (i32.const 3)))
          (f64.store offset=344
            (local.get 0)
            (local.get 3))
          (if  ;; label = @4
            (i32.ne
              (local.get 1)
              (i32.const 200))
            (then
              (i64.store offset=520
                (local.get 0)
                (local.get 24))
              (i64.store offset=552
                (local.get 0)
                (i64.add
                  (i64.load offset=552
                    (local.get 0))
                  (i64.extend_i32_s
                    (i32.sub
                      (i32.const 1000)
                      (local.get 7)))))
              (return
                (i32.const 0))))
          (return_call 1
            (local.get 0)
            (local.get 1)
            (local.get 24)
            (i32.sub
              (i32.const 1000)
              (local.get 7))))
        (local.set 9
          (i32.const 1)))
      (local.set 8
        (i64.add
          (i64.const 65536)
          (i64.extend_i32_s
            (i32.shr_s
              (local.get 10)
              (i32.const 10)))))
      (local.set 7
        (i32.sub
          (local.get 7)
          (i32.and
            (local.get 10)
            (i32.const 1023)))))
    (if  ;; label = @1
      (i32.and
        (local.get 12)
        (i32.const 1024))
      (then
        (f64.store offset=344
          (local.get 0)
          (local.get 3))))
    (if  ;; label = @1
      (local.get 9)
      (then
        (return_call 2
          (local.get 0)
          (local.get 1)
          (local.get 8)
          (i32.sub
            (i32.const 1000)
            (local.get 7)))))
    (return_call 0
      (local.get 0)
      (local.get 1)
      (local.get 8)
      (i32.sub
        (i32.const 1000)
        (local.get 7)))
    (unreachable))
  (export "r0" (func 3)))
