(module
  (type (;0;) (func (param i32 i32 i64 i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (import "engine" "goOn" (func (;0;) (type 0)))
  (import "engine" "back" (func (;1;) (type 0)))
  (import "engine" "leave" (func (;2;) (type 0)))
  (import "engine" "memory" (memory (;0;) 1 65536 shared))
  (func (;3;) (type 1) (param i32 i32) (result i32)
    (local i64 i64 i64 i32 i64 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i64 i64 i32 i64)
    (if  ;; label = @1
      (i64.ne
        (i64.load offset=520
          (local.get 0))
        (i64.const 65536))
      (then
        (return
          (i32.const 1))))
    (local.set 5
      (i32.const 1000))
    (block  ;; label = @1
      (block  ;; label = @2
        (block  ;; label = @3
          (local.set 2
            (i64.load offset=8
              (local.get 0)))
          (local.set 3
            (local.get 2))
          (local.set 2
            (i64.const 65544))
          (local.set 4
            (i64.load offset=80
              (local.get 0)))
          (local.set 4
            (i64.shl
              (local.get 4)
              (i64.const 1)))
          (local.set 17
            (i64.and
              (local.get 2)
              (i64.const -2)))
          (if  ;; label = @4
            (i64.eq
              (local.get 17)
              (i64.const 65544))
            (then
              (local.set 4
                (i64.add
                  (local.get 4)
                  (i64.const 1)))
              (local.set 18
                (i64.and
                  (local.get 3)
                  (i64.const -2)))
              (local.set 5
                (i32.sub
                  (local.get 5)
                  (i32.const 6)))
              (local.set 19
                (i32.and
                  (i32.shl
                    (i32.wrap_i64
                      (local.get 18))
                    (i32.const 1))
                  (i32.const 24)))
              (local.set 20
                (i64.or
                  (local.get 18)
                  (i64.const 9895604649984)))
              (if  ;; label = @5
                (i64.ne
                  (i64.load offset=3735744
                    (local.get 19))
                  (local.get 20))
                (then
                  (i64.store offset=3735744
                    (local.get 19)
                    (local.get 20))))
              (i64.store offset=8
                (local.get 0)
                (local.get 2))
              (i64.store offset=64
                (local.get 0)
                (local.get 3))
              (i64.store offset=80
                (local.get 0)
                (local.get 4))
              (return_call 0
                (local.get 0)
                (local.get 1)
                (local.get 18)
                (i32.sub
                  (i32.const 1000)
                  (local.get 5)))))
          (local.set 5
            (i32.sub
              (local.get 5)
              (i32.const 4)))
          (local.set 9
            (i32.const 1282))
          (local.set 6
            (local.get 17))
          (br 2 (;@1;)))
        (local.set 7
          (i32.const 1)))
      (local.set 6
        (i64.add
          (i64.const 65536)
          (i64.extend_i32_s
            (i32.shr_s
              (local.get 8)
              (i32.const 10)))))
      (local.set 5
        (i32.sub
          (local.get 5)
          (i32.and
            (local.get 8)
            (i32.const 1023)))))
    (i64.store offset=8
      (local.get 0)
      (local.get 2))
    (i64.store offset=64
      (local.get 0)
      (local.get 3))
    (i64.store offset=80
      (local.get 0)
      (local.get 4))
    (if  ;; label = @1
      (local.get 7)
      (then
        (return_call 2
          (local.get 0)
          (local.get 1)
          (local.get 6)
          (i32.sub
            (i32.const 1000)
            (local.get 5)))))
    (return_call 0
      (local.get 0)
      (local.get 1)
      (local.get 6)
      (i32.sub
        (i32.const 1000)
        (local.get 5)))
    (unreachable))
  (export "r0" (func 3)))
