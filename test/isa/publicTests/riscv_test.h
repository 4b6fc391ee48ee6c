/*
 * The environment of the public riscv-tests for user mode: a test starts at _start, keeps its number in gp, and ends with the
 * exit system call: 0 when all went well, else the number of the case that failed.
 */
#ifndef GUESTHOUSE_RISCV_TEST_H
#define GUESTHOUSE_RISCV_TEST_H

#include "encoding.h"

#ifdef __ASSEMBLER__
        .macro  czero.eqz rd, rs1, rs2
        .insn r OP, 5, 7, \rd, \rs1, \rs2
        .endm
        .macro  czero.nez rd, rs1, rs2
        .insn r OP, 7, 7, \rd, \rs1, \rs2
        .endm
#endif

#define RVTEST_RV64U .macro init; .endm
#define RVTEST_RV64UF .macro init; .endm
#define TESTNUM gp

#define RVTEST_CODE_BEGIN \
        .section .text.init; \
        .globl _start; \
_start: li TESTNUM, 0; \
        fscsr zero; \
        init

#define RVTEST_CODE_END unimp

#define RVTEST_PASS \
        li a0, 0; \
        li a7, 94; \
        ecall

#define RVTEST_FAIL \
        mv a0, TESTNUM; \
        li a7, 94; \
        ecall

#define EXTRA_DATA
#define RVTEST_DATA_BEGIN EXTRA_DATA .align 4; .global begin_signature; begin_signature:
#define RVTEST_DATA_END .align 4; .global end_signature; end_signature:

#endif
