(module
  (type (;0;) (func (param i32 i32 i64 i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (import "engine" "goOn" (func (;0;) (type 0)))
  (import "engine" "back" (func (;1;) (type 0)))
  (import "engine" "leave" (func (;2;) (type 0)))
  (import "engine" "memory" (memory (;0;) 1 65536 shared))
  (func (;3;) (type 1) (param i32 i32) (result i32)
    (local i64 i64 i64 i64 i64 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64 i64 i32 i32 i64)
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
    (local.set 15
      (i32.load offset=560
        (local.get 0)))
    (local.set 16
      (i32.load offset=564
        (local.get 0)))
    (local.set 17
      (i64.sub
        (i64.const 0)
        (i64.load offset=576
          (local.get 0))))
    (local.set 18
      (i64.or
        (local.get 17)
        (i64.const 7)))
    (block  ;; label = @1
      (block  ;; label = @2
        (block  ;; label = @3
          (local.set 3
            (i64.load offset=16
              (local.get 0)))
          (local.set 3
            (i64.add
              (local.get 3)
              (i64.const -32)))
          (local.set 2
            (i64.load offset=8
              (local.get 0)))
          (local.set 11
            (i32.const 4))
          (local.set 10
            (i32.const 4097))
          (local.set 19
            (i64.add
              (local.get 3)
              (i64.const 16)))
          (br_if 0 (;@3;)
            (i64.ne
              (i64.and
                (local.get 19)
                (local.get 18))
              (i64.const 0)))
          (local.set 21
            (i32.add
              (i32.wrap_i64
                (local.get 19))
              (i32.const 0)))
          (if  ;; label = @4
            (i32.ge_u
              (i32.and
                (i32.wrap_i64
                  (local.get 19))
                (i32.const 4095))
              (i32.const 4081))
            (then
              (br_if 1 (;@3;)
                (i64.ne
                  (i64.and
                    (i64.add
                      (local.get 19)
                      (i64.const 15))
                    (local.get 17))
                  (i64.const 0)))
              (br_if 1 (;@3;)
                (i32.ne
                  (i32.load
                    (i32.add
                      (local.get 16)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (i64.add
                              (local.get 19)
                              (i64.const 15))
                            (i64.const 12)))
                        (i32.const 2))))
                  (i32.load
                    (i32.add
                      (local.get 16)
                      (i32.shl
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get 19)
                            (i64.const 12)))
                        (i32.const 2))))))))
          (if  ;; label = @4
            (i32.ne
              (i32.load
                (i32.add
                  (local.get 16)
                  (i32.shl
                    (i32.wrap_i64
                      (i64.shr_u
                        (local.get 19)
                        (i64.const 12)))
                    (i32.const 2))))
              (i32.const 1))
            (then
              (local.set 20
                (i32.load
                  (i32.add
                    (local.get 16)
                    (i32.shl
                      (i32.wrap_i64
                        (i64.shr_u
                          (local.get 19)
                          (i64.const 12)))
                      (i32.const 2)))))
              (br_if 1 (;@3;)
                (i32.eqz
                  (local.get 20)))
              (local.set 21
                (i32.add
                  (local.get 21)
                  (i32.sub
                    (local.get 20)
                    (i32.const 1))))))
          (i64.store offset=8
            (local.get 21)
            (local.get 2))
          (local.set 4
            (i64.load offset=64
              (local.get 0)))
          (i64.store
            (local.get 21)
            (local.get 4))
          (local.set 5
            (i64.load offset=80
              (local.get 0)))
          (local.set 4
            (i64.add
              (local.get 5)
              (i64.const 1)))
          (local.set 6
            (i64.load offset=88
              (local.get 0)))
          (local.set 5
            (i64.add
              (local.get 4)
              (local.get 6)))
          (local.set 4
            (i64.load
              (local.get 21)))
          (local.set 2
            (i64.load offset=8
              (local.get 21)))
          (local.set 3
            (i64.add
              (local.get 3)
              (i64.const 32)))
          (local.set 22
            (i64.and
              (local.get 2)
              (i64.const -2)))
          (local.set 7
            (i32.sub
              (local.get 7)
              (i32.const 9)))
          (i64.store offset=8
            (local.get 0)
            (local.get 2))
          (i64.store offset=16
            (local.get 0)
            (local.get 3))
          (i64.store offset=64
            (local.get 0)
            (local.get 4))
          (i64.store offset=80
            (local.get 0)
            (local.get 5))
          (if  ;; label = @4
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
                      (local.get 7)))))
              (return
                (i32.const 0))))
          (return_call 1
            (local.get 0)
            (local.get 1)
            (local.get 22)
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
    (i64.store offset=16
      (local.get 0)
      (local.get 3))
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
