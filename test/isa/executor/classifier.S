# A RISC-V Linux program that says of instructions whether the processor has them.
#
# It reads u32 words from standard input until end of file, and answers each with a byte on standard output: 0 when it ran
# or faulted some other way, 1 when it was illegal. A compressed instruction stands in the low half of its word; what
# follows is a sea of c.ebreak, so that whatever is jumped to traps. Every integer register is an address in the middle of
# memory that may be written, so that loads and stores meet nothing else.
#
# Build: riscv64-linux-gnu-gcc -nostdlib -static -march=rv64gc -o classifier classifier.S

        .equ    SEA, 0x10000000         # code, 4 MiB
        .equ    SEA_BYTES, 0x400000
        .equ    CODE, 0x10200000
        .equ    SCRATCH, 0x20000000     # data, 1 MiB; registers point to its middle
        .equ    SCRATCH_BYTES, 0x100000
        .equ    WORDS, 4096

        .macro  handle signal
        li      a0, \signal
        la      a1, action
        li      a2, 0
        li      a3, 8
        li      a7, 134                 # rt_sigaction
        ecall
        .endm

        .text
        .globl  _start
_start:
        la      a0, altstack
        li      a1, 0
        li      a7, 132                 # sigaltstack
        ecall
        handle  4                       # SIGILL
        handle  5                       # SIGTRAP
        handle  7                       # SIGBUS
        handle  11                      # SIGSEGV
        li      a0, SEA
        li      a1, SEA_BYTES
        li      a2, 7
        call    map
        li      a0, SCRATCH
        li      a1, SCRATCH_BYTES
        li      a2, 3
        call    map
        li      t0, SEA
        li      t1, SEA + SEA_BYTES
        li      t2, 0x90029002
1:      sw      t2, 0(t0)
        addi    t0, t0, 4
        bltu    t0, t1, 1b
        # The last steps towards the instruction: t6 becomes like the others.
        li      t0, CODE - 8
        lw      t1, enter
        sw      t1, 0(t0)
        lw      t1, enter + 4
        sw      t1, 4(t0)

more:
        li      a0, 0
        la      a1, words
        li      a2, WORDS * 4
        li      a7, 63
        ecall
        blez    a0, finish
        srli    t0, a0, 2
        la      t1, state
        sd      t0, 0(t1)               # words in the batch
        sd      zero, 8(t1)             # words done
next:
        la      t1, state
        ld      t0, 8(t1)
        ld      t2, 0(t1)
        beq     t0, t2, answer
        la      t3, words
        slli    t4, t0, 2
        add     t3, t3, t4
        lw      t4, 0(t3)
        li      t5, CODE
        li      t3, 3
        and     t2, t4, t3
        beq     t2, t3, 2f
        li      t3, 0x90020000          # a compressed one: c.ebreak behind it
        slli    t4, t4, 48
        srli    t4, t4, 48
        or      t4, t4, t3
2:      sw      t4, 0(t5)
        fence.i
        fscsr   zero
        li      x1, SCRATCH + SCRATCH_BYTES / 2
        .irp    register, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
        mv      x\register, x1
        .endr
        li      t6, CODE - 8
        jr      t6

        .balign 4
        .option push
        .option norvc
enter:  addi    t6, ra, 0
        nop
        .option pop

# The signal handler: notes whether the instruction was illegal, and goes on behind it.
on_signal:
        li      t0, 4
        li      t1, 0
        bne     a0, t0, 3f
        ld      t2, 176(a2)             # the pc: the first register of the context
        li      t3, CODE
        bne     t2, t3, 3f
        li      t1, 1
3:      la      t3, state
        ld      t4, 8(t3)
        la      t5, answers
        add     t5, t5, t4
        sb      t1, 0(t5)
        addi    t4, t4, 1
        sd      t4, 8(t3)
        la      t0, next
        sd      t0, 176(a2)
        ret

answer:
        la      a1, answers
        la      t1, state
        ld      a2, 0(t1)
        li      a0, 1
        li      a7, 64
        ecall
        j       more

# mmap(a0, a1, a2, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS)
map:    li      a3, 0x32
        li      a4, -1
        li      a5, 0
        li      a7, 222
        ecall
        ret

finish:
        li      a0, 0
        li      a7, 94
        ecall

        .data
        .balign 16
action: .dword  on_signal
        .dword  0x08000004              # SA_SIGINFO | SA_ONSTACK
        .dword  0
altstack:
        .dword  stack
        .word   0, 0
        .dword  65536

        .bss
        .balign 16
state:  .space  16
words:  .space  WORDS * 4
answers: .space WORDS
        .balign 16
stack:  .space  65536
