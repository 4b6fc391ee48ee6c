import type { Semantics } from './builder.js';

/**
 * One instruction of the ISA, as one row of the tables in instructions.ts.
 *
 * `operands` is the operand list in assembler order, one letter each (binutils' letters where it has them):
 * d s t   integer rd, rs1, rs2              D S T R  floating-point rd, rs1, rs2, rs3
 * j       12-bit immediate                  o(s) q(s) load and store offset with base
 * > <     6- and 5-bit shift amount         u        upper 20 bits
 * p a     branch and jump target            m        rounding mode (5 and 6 are illegal)
 * 0(s)    base without offset               E Z      CSR number, 5-bit CSR immediate
 * P Q     fence predecessor, successor      A        aq/rl suffix of the mnemonic
 * V       number of a constant of Zfa's fli    Y    round of aes64ks1i
 */
export interface Instruction {
  readonly mnemonic: string;
  readonly operands: string;
  readonly mask: number;
  readonly match: number;
  /** What it means; undefined only while nobody has written it: then it is illegal. */
  readonly semantics: Semantics | undefined;
  /** Position in the table: a dense number for other tables to be indexed with. */
  readonly index: number;
  /** How its immediate is encoded. */
  readonly immediate: ImmediateKind;
  /** Which of its register fields mean a register; the others decode as 0. */
  readonly usesRd: boolean;
  readonly usesRs1: boolean;
  readonly usesRs2: boolean;
  readonly usesRs3: boolean;
  readonly usesRm: boolean;
  /** What it does with control, for those who look for the ends of basic blocks. */
  readonly flow: Flow;
  /** Says whether it is a load, a store or an AMO. */
  readonly memory: boolean;
  /** What it needs beyond RV64GC, as a mask (extensions.ts); all of them. */
  readonly extensions: number;
  /** Says that it is executed seldom: engines may keep it out of the code that must be small. */
  readonly rare: boolean;
}

export type ImmediateKind = 'none' | 'I' | 'S' | 'B' | 'U' | 'J' | 'shift6' | 'shift5' | 'csrImmediate';

/** next: falls through. branch: may go to pc + immediate. jump: does. jumpRegister: goes to rs1. exit: leaves the engine. */
export type Flow = 'next' | 'branch' | 'jump' | 'jumpRegister' | 'exit';

/** An instruction of a program: its row and the values of its fields. */
export interface Decoded {
  readonly instruction: Instruction;
  /** 2 or 4. */
  readonly length: number;
  /** The 32-bit form (compressed ones expanded), and the word as it stands in memory. */
  readonly word: number;
  readonly raw: number;
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  readonly rs3: number;
  readonly rm: number;
  /** Sign extended; shift amount, CSR number or CSR immediate where the row has those. */
  readonly immediate: number;
}
