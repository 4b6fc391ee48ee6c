import { atomicAndSystemSemantics, COUNTER_CSRS, WRITABLE_CSRS } from './atomicsAndSystem.js';
import { bitManipulationSemantics } from './bitManipulation.js';
import type { Semantics } from './builder.js';
import { cacheBlockSemantics } from './cacheBlocks.js';
import {
  AMO,
  AUIPC,
  BRANCH,
  F,
  F2,
  F3,
  F4,
  FUNCT3,
  I,
  JAL,
  JALR,
  LOAD,
  LOAD_FP,
  LUI,
  MADD,
  MAJOR,
  MISC_MEM,
  MSUB,
  NMADD,
  NMSUB,
  OP,
  OP_32,
  OP_IMM,
  OP_IMM_32,
  R,
  type Row,
  RS1,
  RS2,
  SHIFT,
  STORE,
  STORE_FP,
  SYSTEM,
} from './encodings.js';
import { EXTENSION_ROWS } from './extensionInstructions.js';
import {
  NO_EXTENSIONS,
  ZAWRS,
  ZBC,
  ZBC_ZBKC,
  ZBKB,
  ZBKX,
  ZFA,
  ZFH,
  ZFHMIN,
  ZICBOM,
  ZICBOZ,
  ZKND,
  ZKND_ZKNE,
  ZKNE,
  ZKNH,
} from './extensions.js';
import { floatingPointSemantics } from './floatingPoint.js';
import { additionalFloatSemantics } from './floatingPointAdditional.js';
import { halfSemantics } from './floatingPointHalf.js';
import type { Flow, ImmediateKind, Instruction } from './instruction.js';
import { integerSemantics } from './integer.js';
import { scalarCryptographySemantics } from './scalarCryptography.js';

/**
 * Every 32-bit instruction, one row each: RV64IMAFD_Zicsr_Zifencei here (unprivileged ISA manual, "RV32/64G Instruction Set
 * Listings"), what other extensions add in extensionInstructions.ts. Compressed instructions are expanded to these (compressed.ts).
 */

const RV64I: readonly Row[] = [
  ['lui', 'd,u', MAJOR, LUI],
  ['auipc', 'd,u', MAJOR, AUIPC],
  ['jal', 'd,a', MAJOR, JAL],
  I('jalr', 'd,o(s)', JALR, 0),
  I('beq', 's,t,p', BRANCH, 0),
  I('bne', 's,t,p', BRANCH, 1),
  I('blt', 's,t,p', BRANCH, 4),
  I('bge', 's,t,p', BRANCH, 5),
  I('bltu', 's,t,p', BRANCH, 6),
  I('bgeu', 's,t,p', BRANCH, 7),
  I('lb', 'd,o(s)', LOAD, 0),
  I('lh', 'd,o(s)', LOAD, 1),
  I('lw', 'd,o(s)', LOAD, 2),
  I('ld', 'd,o(s)', LOAD, 3),
  I('lbu', 'd,o(s)', LOAD, 4),
  I('lhu', 'd,o(s)', LOAD, 5),
  I('lwu', 'd,o(s)', LOAD, 6),
  I('sb', 't,q(s)', STORE, 0),
  I('sh', 't,q(s)', STORE, 1),
  I('sw', 't,q(s)', STORE, 2),
  I('sd', 't,q(s)', STORE, 3),
  I('addi', 'd,s,j', OP_IMM, 0),
  I('slti', 'd,s,j', OP_IMM, 2),
  I('sltiu', 'd,s,j', OP_IMM, 3),
  I('xori', 'd,s,j', OP_IMM, 4),
  I('ori', 'd,s,j', OP_IMM, 6),
  I('andi', 'd,s,j', OP_IMM, 7),
  SHIFT('slli', 1, 0x00),
  SHIFT('srli', 5, 0x00),
  SHIFT('srai', 5, 0x10),
  I('addiw', 'd,s,j', OP_IMM_32, 0),
  R('slliw', 'd,s,<', OP_IMM_32, 1, 0x00),
  R('srliw', 'd,s,<', OP_IMM_32, 5, 0x00),
  R('sraiw', 'd,s,<', OP_IMM_32, 5, 0x20),
  R('add', 'd,s,t', OP, 0, 0x00),
  R('sub', 'd,s,t', OP, 0, 0x20),
  R('sll', 'd,s,t', OP, 1, 0x00),
  R('slt', 'd,s,t', OP, 2, 0x00),
  R('sltu', 'd,s,t', OP, 3, 0x00),
  R('xor', 'd,s,t', OP, 4, 0x00),
  R('srl', 'd,s,t', OP, 5, 0x00),
  R('sra', 'd,s,t', OP, 5, 0x20),
  R('or', 'd,s,t', OP, 6, 0x00),
  R('and', 'd,s,t', OP, 7, 0x00),
  R('addw', 'd,s,t', OP_32, 0, 0x00),
  R('subw', 'd,s,t', OP_32, 0, 0x20),
  R('sllw', 'd,s,t', OP_32, 1, 0x00),
  R('srlw', 'd,s,t', OP_32, 5, 0x00),
  R('sraw', 'd,s,t', OP_32, 5, 0x20),
  // Reserved fields of a fence are ignored, and reserved fence modes are taken as a full fence (manual, 2.7).
  I('fence', 'P,Q', MISC_MEM, 0),
  I('fence.i', '', MISC_MEM, 1),
  ['ecall', '', 0xffff_ffff, SYSTEM],
  ['ebreak', '', 0xffff_ffff, SYSTEM | (1 << 20)],
];

const RV64M: readonly Row[] = [
  R('mul', 'd,s,t', OP, 0, 0x01),
  R('mulh', 'd,s,t', OP, 1, 0x01),
  R('mulhsu', 'd,s,t', OP, 2, 0x01),
  R('mulhu', 'd,s,t', OP, 3, 0x01),
  R('div', 'd,s,t', OP, 4, 0x01),
  R('divu', 'd,s,t', OP, 5, 0x01),
  R('rem', 'd,s,t', OP, 6, 0x01),
  R('remu', 'd,s,t', OP, 7, 0x01),
  R('mulw', 'd,s,t', OP_32, 0, 0x01),
  R('divw', 'd,s,t', OP_32, 4, 0x01),
  R('divuw', 'd,s,t', OP_32, 5, 0x01),
  R('remw', 'd,s,t', OP_32, 6, 0x01),
  R('remuw', 'd,s,t', OP_32, 7, 0x01),
];

/** funct5 of the AMOs; bits 25 and 26 are rl and aq. */
const AMOS: readonly (readonly [string, number])[] = [
  ['amoadd', 0x00],
  ['amoswap', 0x01],
  ['sc', 0x03],
  ['amoxor', 0x04],
  ['amoor', 0x08],
  ['amoand', 0x0c],
  ['amomin', 0x10],
  ['amomax', 0x14],
  ['amominu', 0x18],
  ['amomaxu', 0x1c],
];
const RV64A: readonly Row[] = [2, 3].flatMap((funct3): Row[] => {
  const suffix = funct3 === 2 ? '.w' : '.d';
  const mask = MAJOR | FUNCT3 | 0xf800_0000;
  const match = AMO | (funct3 << 12);
  return [
    [`lr${suffix}`, 'Ad,0(s)', mask | RS2, match | (0x02 << 27)],
    ...AMOS.map(([name, funct5]): Row => [name + suffix, 'Ad,t,0(s)', mask, match | (funct5 << 27)]),
  ];
});

/** F (format 0) and D (format 1) differ in two bits and a letter. */
function floating(format: 0 | 1): readonly Row[] {
  const s = format === 0 ? '.s' : '.d';
  const bits = format === 0 ? 'w' : 'd';
  const width = format === 0 ? 2 : 3;
  return [
    I(`fl${bits}`, 'D,o(s)', LOAD_FP, width),
    I(`fs${bits}`, 'T,q(s)', STORE_FP, width),
    F4(`fmadd${s}`, MADD, format),
    F4(`fmsub${s}`, MSUB, format),
    F4(`fnmsub${s}`, NMSUB, format),
    F4(`fnmadd${s}`, NMADD, format),
    F(`fadd${s}`, 'D,S,T,m', 0x00 | format),
    F(`fsub${s}`, 'D,S,T,m', 0x04 | format),
    F(`fmul${s}`, 'D,S,T,m', 0x08 | format),
    F(`fdiv${s}`, 'D,S,T,m', 0x0c | format),
    F2(`fsqrt${s}`, 'D,S,m', 0x2c | format, 0),
    F3(`fsgnj${s}`, 'D,S,T', 0x10 | format, 0),
    F3(`fsgnjn${s}`, 'D,S,T', 0x10 | format, 1),
    F3(`fsgnjx${s}`, 'D,S,T', 0x10 | format, 2),
    F3(`fmin${s}`, 'D,S,T', 0x14 | format, 0),
    F3(`fmax${s}`, 'D,S,T', 0x14 | format, 1),
    F3(`fle${s}`, 'd,S,T', 0x50 | format, 0),
    F3(`flt${s}`, 'd,S,T', 0x50 | format, 1),
    F3(`feq${s}`, 'd,S,T', 0x50 | format, 2),
    F3(`fclass${s}`, 'd,S', 0x70 | format, 1, 0),
    F2(`fcvt.w${s}`, 'd,S,m', 0x60 | format, 0),
    F2(`fcvt.wu${s}`, 'd,S,m', 0x60 | format, 1),
    F2(`fcvt.l${s}`, 'd,S,m', 0x60 | format, 2),
    F2(`fcvt.lu${s}`, 'd,S,m', 0x60 | format, 3),
    F2(`fcvt${s}.w`, 'D,s,m', 0x68 | format, 0),
    F2(`fcvt${s}.wu`, 'D,s,m', 0x68 | format, 1),
    F2(`fcvt${s}.l`, 'D,s,m', 0x68 | format, 2),
    F2(`fcvt${s}.lu`, 'D,s,m', 0x68 | format, 3),
    F3(format === 0 ? 'fmv.x.w' : 'fmv.x.d', 'd,S', 0x70 | format, 0, 0),
    F3(format === 0 ? 'fmv.w.x' : 'fmv.d.x', 'D,s', 0x78 | format, 0, 0),
    format === 0 ? F2('fcvt.s.d', 'D,S,m', 0x20, 1) : F2('fcvt.d.s', 'D,S,m', 0x21, 0),
  ];
}

/**
 * Zicsr, one row per instruction and CSR: what a CSR does is known when it is decoded, and CSRs that a user program may
 * not touch are simply not there. Counters are read-only: only the forms that do not write are legal.
 */
const CSR = 0xfff0_0000;
const ZICSR: readonly Row[] = [
  ...WRITABLE_CSRS.flatMap(([number, name]): Row[] =>
    (['csrrw', 'csrrs', 'csrrc'] as const).flatMap((mnemonic, i): Row[] => [
      [`${mnemonic}:${name}`, 'd,E,s', MAJOR | FUNCT3 | CSR, SYSTEM | ((i + 1) << 12) | (number << 20)],
      [`${mnemonic}i:${name}`, 'd,E,Z', MAJOR | FUNCT3 | CSR, SYSTEM | ((i + 5) << 12) | (number << 20)],
    ]),
  ),
  ...COUNTER_CSRS.flatMap(([number, name]): Row[] =>
    [2, 3, 6, 7].map((funct3): Row => {
      const mnemonic = ['csrrs', 'csrrc', 'csrrsi', 'csrrci'][(funct3 & 1) | ((funct3 >> 1) & 2)];
      const operands = funct3 < 4 ? 'd,E,s' : 'd,E,Z';
      return [
        `${mnemonic}:${name}`,
        operands,
        MAJOR | FUNCT3 | CSR | RS1,
        SYSTEM | (funct3 << 12) | (number << 20),
      ];
    }),
  ),
];

const ROWS: readonly Row[] = [
  ...RV64I,
  ...RV64M,
  ...RV64A,
  ...floating(0),
  ...floating(1),
  ...ZICSR,
  ...EXTENSION_ROWS,
];

const SEMANTICS: Readonly<Record<string, Semantics>> = {
  ...integerSemantics,
  ...atomicAndSystemSemantics,
  ...floatingPointSemantics,
  ...bitManipulationSemantics,
  ...scalarCryptographySemantics,
  ...cacheBlockSemantics,
  ...additionalFloatSemantics,
  ...halfSemantics,
};

/** Extensions whose instructions are seldom executed even by programs that use them. */
const RARE =
  ZBC |
  ZBC_ZBKC |
  ZBKB |
  ZBKX |
  ZKND |
  ZKNE |
  ZKND_ZKNE |
  ZKNH |
  ZFA |
  ZFH |
  ZFHMIN |
  ZICBOM |
  ZICBOZ |
  ZAWRS;

const EXITS = new Set(['ecall', 'ebreak', 'fence.i']);

function flowOf(mnemonic: string, major: number): Flow {
  if (major === BRANCH) return 'branch';
  if (major === JAL) return 'jump';
  if (major === JALR) return 'jumpRegister';
  return EXITS.has(mnemonic) ? 'exit' : 'next';
}

function immediateOf(operands: string): ImmediateKind {
  if (/[jo]/.test(operands)) return 'I';
  if (operands.includes('q')) return 'S';
  if (operands.includes('p')) return 'B';
  if (operands.includes('u')) return 'U';
  if (operands.includes('a')) return 'J';
  if (operands.includes('>')) return 'shift6';
  if (/[<Y]/.test(operands)) return 'shift5';
  if (/[ZV]/.test(operands)) return 'csrImmediate';
  return 'none';
}

/** The semantics of a row: counters have one meaning for all four mnemonics that read them. */
function semanticsOf(mnemonic: string): Semantics | undefined {
  const name = mnemonic.slice(mnemonic.indexOf(':') + 1);
  return SEMANTICS[mnemonic] ?? (mnemonic.includes(':') ? SEMANTICS[`csrr:${name}`] : undefined);
}

/** The table. `index` of a row is its position. */
export const INSTRUCTIONS: readonly Instruction[] = ROWS.map(
  ([mnemonic, operands, mask, match, extensions = NO_EXTENSIONS], index) => ({
    mnemonic,
    operands,
    mask: mask >>> 0,
    match: match >>> 0,
    semantics: semanticsOf(mnemonic),
    index,
    immediate: immediateOf(operands),
    usesRd: /[dD]/.test(operands),
    usesRs1: /[sS]/.test(operands),
    usesRs2: /[tT]/.test(operands),
    usesRs3: operands.includes('R'),
    usesRm: operands.includes('m'),
    flow: flowOf(mnemonic, match & MAJOR),
    memory: [LOAD, LOAD_FP, STORE, STORE_FP, AMO].includes(match & MAJOR),
    extensions,
    rare: (extensions & RARE) !== 0,
  }),
);

const byMnemonic = new Map(INSTRUCTIONS.map((instruction) => [instruction.mnemonic, instruction]));

/** The row of `mnemonic` (CSR rows: "csrrw:fcsr"). Throws when there is none: a mistake of the caller. */
export function instructionNamed(mnemonic: string): Instruction {
  const instruction = byMnemonic.get(mnemonic);
  if (!instruction) throw new Error(`no instruction ${mnemonic}`);
  return instruction;
}
