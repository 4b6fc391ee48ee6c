import {
  F,
  F2,
  F3,
  F4,
  FUNCT3,
  FUNCT6,
  FUNCT7,
  I,
  LOAD_FP,
  MADD,
  MAJOR,
  MISC_MEM,
  MSUB,
  NMADD,
  NMSUB,
  OP,
  OP_32,
  OP_FP,
  OP_IMM,
  OP_IMM_32,
  R,
  type Row,
  RS1,
  SHIFT,
  STORE_FP,
  SYSTEM,
} from './encodings.js';
import {
  ZAWRS,
  ZBA,
  ZBB,
  ZBB_ZBKB,
  ZBC,
  ZBC_ZBKC,
  ZBKB,
  ZBKX,
  ZBS,
  ZFA,
  ZFH,
  ZFHMIN,
  ZICBOM,
  ZICBOZ,
  ZICOND,
  ZKND,
  ZKND_ZKNE,
  ZKNE,
  ZKNH,
} from './extensions.js';

/** Rows of the extensions beyond RV64GC, each with the extensions it needs. */

const needing = (extensions: number, rows: readonly Row[]): Row[] =>
  rows.map(([mnemonic, operands, mask, match, more = 0]) => [
    mnemonic,
    operands,
    mask,
    match,
    extensions | more,
  ]);

/** One register to another: the whole immediate of OP-IMM and OP-IMM-32 is the operation. */
const unary = (mnemonic: string, major: number, funct3: number, code: number): Row => [
  mnemonic,
  'd,s',
  MAJOR | FUNCT3 | 0xfff0_0000,
  major | (funct3 << 12) | (code << 20),
];
/** cbo.*: the operation is the immediate, rd is x0. */
const cacheBlock = (mnemonic: string, code: number): Row => [
  mnemonic,
  '0(s)',
  ~RS1,
  MISC_MEM | (2 << 12) | (code << 20),
];

const BIT_MANIPULATION: readonly Row[] = [
  ...needing(ZBA, [
    R('add.uw', 'd,s,t', OP_32, 0, 0x04),
    R('sh1add', 'd,s,t', OP, 2, 0x10),
    R('sh2add', 'd,s,t', OP, 4, 0x10),
    R('sh3add', 'd,s,t', OP, 6, 0x10),
    R('sh1add.uw', 'd,s,t', OP_32, 2, 0x10),
    R('sh2add.uw', 'd,s,t', OP_32, 4, 0x10),
    R('sh3add.uw', 'd,s,t', OP_32, 6, 0x10),
    ['slli.uw', 'd,s,>', MAJOR | FUNCT3 | FUNCT6, OP_IMM_32 | (1 << 12) | (0x02 << 26)],
  ]),
  ...needing(ZBB, [
    unary('clz', OP_IMM, 1, 0x600),
    unary('ctz', OP_IMM, 1, 0x601),
    unary('cpop', OP_IMM, 1, 0x602),
    unary('clzw', OP_IMM_32, 1, 0x600),
    unary('ctzw', OP_IMM_32, 1, 0x601),
    unary('cpopw', OP_IMM_32, 1, 0x602),
    unary('sext.b', OP_IMM, 1, 0x604),
    unary('sext.h', OP_IMM, 1, 0x605),
    ['zext.h', 'd,s', MAJOR | FUNCT3 | 0xfff0_0000, OP_32 | (4 << 12) | (0x04 << 25)],
    R('min', 'd,s,t', OP, 4, 0x05),
    R('minu', 'd,s,t', OP, 5, 0x05),
    R('max', 'd,s,t', OP, 6, 0x05),
    R('maxu', 'd,s,t', OP, 7, 0x05),
    unary('orc.b', OP_IMM, 5, 0x287),
  ]),
  ...needing(ZBB_ZBKB, [
    R('andn', 'd,s,t', OP, 7, 0x20),
    R('orn', 'd,s,t', OP, 6, 0x20),
    R('xnor', 'd,s,t', OP, 4, 0x20),
    R('rol', 'd,s,t', OP, 1, 0x30),
    R('ror', 'd,s,t', OP, 5, 0x30),
    SHIFT('rori', 5, 0x18),
    R('rolw', 'd,s,t', OP_32, 1, 0x30),
    R('rorw', 'd,s,t', OP_32, 5, 0x30),
    R('roriw', 'd,s,<', OP_IMM_32, 5, 0x30),
    unary('rev8', OP_IMM, 5, 0x6b8),
  ]),
  ...needing(ZBC, [R('clmulr', 'd,s,t', OP, 2, 0x05)]),
  ...needing(ZBC_ZBKC, [R('clmul', 'd,s,t', OP, 1, 0x05), R('clmulh', 'd,s,t', OP, 3, 0x05)]),
  ...needing(ZBS, [
    R('bclr', 'd,s,t', OP, 1, 0x24),
    SHIFT('bclri', 1, 0x12),
    R('bext', 'd,s,t', OP, 5, 0x24),
    SHIFT('bexti', 5, 0x12),
    R('binv', 'd,s,t', OP, 1, 0x34),
    SHIFT('binvi', 1, 0x1a),
    R('bset', 'd,s,t', OP, 1, 0x14),
    SHIFT('bseti', 1, 0x0a),
  ]),
  ...needing(ZICOND, [R('czero.eqz', 'd,s,t', OP, 5, 0x07), R('czero.nez', 'd,s,t', OP, 7, 0x07)]),
];

/** aes64ks1i: the round's number in the low bits of rs2; those above 10 are illegal, so there are three rows. */
const keySchedule = (mask: number, round: number): Row => [
  'aes64ks1i',
  'd,s,Y',
  MAJOR | FUNCT3 | FUNCT7 | ((0x10 | mask) << 20),
  OP_IMM | (1 << 12) | (0x18 << 25) | ((0x10 | round) << 20),
];

const CRYPTOGRAPHY: readonly Row[] = [
  // Behind Zbb's zext.h, which is a packw with x0.
  ...needing(ZBKB, [
    R('pack', 'd,s,t', OP, 4, 0x04),
    R('packh', 'd,s,t', OP, 7, 0x04),
    R('packw', 'd,s,t', OP_32, 4, 0x04),
    unary('brev8', OP_IMM, 5, 0x687),
  ]),
  ...needing(ZBKX, [R('xperm4', 'd,s,t', OP, 2, 0x14), R('xperm8', 'd,s,t', OP, 4, 0x14)]),
  ...needing(ZKNE, [R('aes64es', 'd,s,t', OP, 0, 0x19), R('aes64esm', 'd,s,t', OP, 0, 0x1b)]),
  ...needing(ZKND, [
    R('aes64ds', 'd,s,t', OP, 0, 0x1d),
    R('aes64dsm', 'd,s,t', OP, 0, 0x1f),
    unary('aes64im', OP_IMM, 1, 0x300),
  ]),
  ...needing(ZKND_ZKNE, [
    keySchedule(0x8, 0),
    keySchedule(0xe, 8),
    keySchedule(0xf, 10),
    R('aes64ks2', 'd,s,t', OP, 0, 0x3f),
  ]),
  ...needing(ZKNH, [
    unary('sha256sum0', OP_IMM, 1, 0x100),
    unary('sha256sum1', OP_IMM, 1, 0x101),
    unary('sha256sig0', OP_IMM, 1, 0x102),
    unary('sha256sig1', OP_IMM, 1, 0x103),
    unary('sha512sum0', OP_IMM, 1, 0x104),
    unary('sha512sum1', OP_IMM, 1, 0x105),
    unary('sha512sig0', OP_IMM, 1, 0x106),
    unary('sha512sig1', OP_IMM, 1, 0x107),
  ]),
];

const CACHE_BLOCKS: readonly Row[] = [
  ...needing(ZICBOM, [cacheBlock('cbo.inval', 0), cacheBlock('cbo.clean', 1), cacheBlock('cbo.flush', 2)]),
  ...needing(ZICBOZ, [cacheBlock('cbo.zero', 4)]),
  ...needing(ZAWRS, [
    ['wrs.nto', '', 0xffff_ffff, SYSTEM | (0x00d << 20)],
    ['wrs.sto', '', 0xffff_ffff, SYSTEM | (0x01d << 20)],
  ]),
];

/** Zfa: format 0 is F's, 1 D's, 2 Zfh's. */
function additional(format: 0 | 1 | 2): readonly Row[] {
  const s = ['.s', '.d', '.h'][format];
  return [
    [`fli${s}`, 'D,V', MAJOR | FUNCT3 | 0xfff0_0000, OP_FP | ((0x78 | format) << 25) | (1 << 20)],
    F3(`fminm${s}`, 'D,S,T', 0x14 | format, 2),
    F3(`fmaxm${s}`, 'D,S,T', 0x14 | format, 3),
    F2(`fround${s}`, 'D,S,m', 0x20 | format, 4),
    F2(`froundnx${s}`, 'D,S,m', 0x20 | format, 5),
    F3(`fleq${s}`, 'd,S,T', 0x50 | format, 4),
    F3(`fltq${s}`, 'd,S,T', 0x50 | format, 5),
  ];
}

const ADDITIONAL_FLOAT: readonly Row[] = needing(ZFA, [
  ...additional(0),
  ...additional(1),
  ...needing(ZFH, additional(2)),
  // Its rm field must say "towards zero".
  F3('fcvtmod.w.d', 'd,S', 0x61, 1, 8),
]);

const HALF: readonly Row[] = [
  ...needing(ZFHMIN, [
    I('flh', 'D,o(s)', LOAD_FP, 1),
    I('fsh', 'T,q(s)', STORE_FP, 1),
    F3('fmv.x.h', 'd,S', 0x72, 0, 0),
    F3('fmv.h.x', 'D,s', 0x7a, 0, 0),
    F2('fcvt.s.h', 'D,S,m', 0x20, 2),
    F2('fcvt.h.s', 'D,S,m', 0x22, 0),
    F2('fcvt.d.h', 'D,S,m', 0x21, 2),
    F2('fcvt.h.d', 'D,S,m', 0x22, 1),
  ]),
  ...needing(ZFH, [
    F4('fmadd.h', MADD, 2),
    F4('fmsub.h', MSUB, 2),
    F4('fnmsub.h', NMSUB, 2),
    F4('fnmadd.h', NMADD, 2),
    F('fadd.h', 'D,S,T,m', 0x02),
    F('fsub.h', 'D,S,T,m', 0x06),
    F('fmul.h', 'D,S,T,m', 0x0a),
    F('fdiv.h', 'D,S,T,m', 0x0e),
    F2('fsqrt.h', 'D,S,m', 0x2e, 0),
    F3('fsgnj.h', 'D,S,T', 0x12, 0),
    F3('fsgnjn.h', 'D,S,T', 0x12, 1),
    F3('fsgnjx.h', 'D,S,T', 0x12, 2),
    F3('fmin.h', 'D,S,T', 0x16, 0),
    F3('fmax.h', 'D,S,T', 0x16, 1),
    F3('fle.h', 'd,S,T', 0x52, 0),
    F3('flt.h', 'd,S,T', 0x52, 1),
    F3('feq.h', 'd,S,T', 0x52, 2),
    F3('fclass.h', 'd,S', 0x72, 1, 0),
    F2('fcvt.w.h', 'd,S,m', 0x62, 0),
    F2('fcvt.wu.h', 'd,S,m', 0x62, 1),
    F2('fcvt.l.h', 'd,S,m', 0x62, 2),
    F2('fcvt.lu.h', 'd,S,m', 0x62, 3),
    F2('fcvt.h.w', 'D,s,m', 0x6a, 0),
    F2('fcvt.h.wu', 'D,s,m', 0x6a, 1),
    F2('fcvt.h.l', 'D,s,m', 0x6a, 2),
    F2('fcvt.h.lu', 'D,s,m', 0x6a, 3),
  ]),
];

/** The rows, in the order they are put behind those of RV64GC. */
export const EXTENSION_ROWS: readonly Row[] = [
  ...BIT_MANIPULATION,
  ...CRYPTOGRAPHY,
  ...CACHE_BLOCKS,
  ...ADDITIONAL_FLOAT,
  ...HALF,
];
