# A RISC-V Linux program that executes instructions it is sent: the other side of the differential tests.
#
# It reads batches from standard input until end of file, and answers each on standard output:
#   u32 count, u32 words          header
#   u32 code[words]               instructions; they return with `ret` and may use a0-a3, fa0-fa3, a4 (address of the
#                                 middle of the record's memory), a5-a7
#   count records of 17 u64:      fcsr, a0 … a3, fa0 … fa3, memory[8]
# The answer is the records as the code left them. A record whose code raised SIGILL has fcsr = −1.
#
# Build: riscv64-linux-gnu-gcc -nostdlib -static -march=rv64gc -o executor executor.S

        .equ    RECORD, 136
        .equ    MAX_RECORDS, 16384

        .text
        .globl  _start
_start:
        # rt_sigaction(SIGILL, &action, 0, 8)
        li      a0, 4
        la      a1, action
        li      a2, 0
        li      a3, 8
        li      a7, 134
        ecall

next_batch:
        la      a1, header
        li      a2, 8
        call    read_all
        beqz    a0, finish
        la      s0, header
        lw      s1, 0(s0)               # count
        lw      s2, 4(s0)               # words
        la      a1, code
        slli    a2, s2, 2
        call    read_all
        fence.i
        la      a1, records
        li      t0, RECORD
        mul     a2, s1, t0
        call    read_all

        la      s3, records
        mv      s4, s1
each:
        beqz    s4, answer
        ld      t0, 0(s3)
        fscsr   t0
        ld      a0, 8(s3)
        ld      a1, 16(s3)
        ld      a2, 24(s3)
        ld      a3, 32(s3)
        fld     fa0, 40(s3)
        fld     fa1, 48(s3)
        fld     fa2, 56(s3)
        fld     fa3, 64(s3)
        addi    a4, s3, 104
        la      t0, code
        jalr    t0
        frcsr   t0
        sd      t0, 0(s3)
        sd      a0, 8(s3)
        sd      a1, 16(s3)
        sd      a2, 24(s3)
        sd      a3, 32(s3)
        fsd     fa0, 40(s3)
        fsd     fa1, 48(s3)
        fsd     fa2, 56(s3)
        fsd     fa3, 64(s3)
after:
        addi    s3, s3, RECORD
        addi    s4, s4, -1
        j       each

answer:
        la      s3, records
        li      t0, RECORD
        mul     s4, s1, t0
write_more:
        beqz    s4, next_batch
        li      a0, 1
        mv      a1, s3
        mv      a2, s4
        li      a7, 64
        ecall
        blez    a0, finish
        add     s3, s3, a0
        sub     s4, s4, a0
        j       write_more

# Reads a2 bytes to a1; returns 0 in a0 at end of file.
read_all:
        mv      t1, a1
        mv      t2, a2
1:      beqz    t2, 2f
        li      a0, 0
        mv      a1, t1
        mv      a2, t2
        li      a7, 63
        ecall
        blez    a0, 3f
        add     t1, t1, a0
        sub     t2, t2, a0
        j       1b
2:      li      a0, 1
        ret
3:      li      a0, 0
        ret

finish:
        li      a0, 0
        li      a7, 94
        ecall

# The signal handler: marks the record and resumes after it (the pc is the first register of the context).
on_illegal:
        la      t0, illegal
        sd      t0, 176(a2)
        ret
illegal:
        li      t0, -1
        sd      t0, 0(s3)
        j       after

        .section .rwx, "awx", @progbits
        .balign 4096
code:   .space  4096

        .data
        .balign 16
action: .dword  on_illegal
        .dword  4                       # SA_SIGINFO
        .dword  0

        .bss
        .balign 4096
header: .space  4096
records: .space RECORD * MAX_RECORDS
