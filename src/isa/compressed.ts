import { ALL_EXTENSIONS, NO_EXTENSIONS, WITHOUT_C, ZCB } from './extensions.js';

/**
 * The C extension of RV64, and Zcb, as a table: each compressed instruction is some fixed bits of the 32-bit instruction it stands
 * for, plus bits moved from one place to another (unprivileged ISA manual, chapter "C"). The decoder here and the
 * interpreter's predecoder, which is generated, read the same rows.
 */
export interface CompressedRow {
  readonly mask: number;
  readonly match: number;
  /** Fixed bits of the expansion; 0 when the encoding is reserved. */
  readonly base: number;
  /** Bits `from` … `from + width − 1` of the halfword go to `to` … of the word. */
  readonly moves: readonly Move[];
  /** Bits of the word that are set where bit 12 of the halfword is. */
  readonly sign: number;
  /** What it needs beyond the C extension; the instruction it stands for may need more. */
  readonly extensions: number;
}
export interface Move {
  readonly from: number;
  readonly width: number;
  readonly to: number;
}

/** A piece of an immediate: bits `high` … `low` of the halfword are its bits from `at` on, as in the manual's figures. */
type Piece = readonly [high: number, low: number, at: number];
/** Where bit `i` of an immediate stands in a format. */
type Format = (i: number) => number;

const I: Format = (i) => 20 + i;
const S: Format = (i) => (i < 5 ? 7 + i : 20 + i);
const U: Format = (i) => i;
const B: Format = (i) => (i === 12 ? 31 : i === 11 ? 7 : i < 5 ? 7 + i : 20 + i);
const J: Format = (i) => (i === 20 ? 31 : i === 11 ? 20 : i < 11 ? 20 + i : i);

/** Immediate bits `from` … `to` that bit 12 fills in format `format`. */
function signBits(format: Format, from: number, to: number): number {
  let bits = 0;
  for (let i = from; i <= to; i++) bits |= 1 << format(i);
  return bits;
}

/** The moves that put `pieces` into `format`, adjacent bits together. */
function immediate(format: Format, pieces: readonly Piece[]): Move[] {
  const moves: { from: number; width: number; to: number }[] = [];
  for (const [high, low, at] of pieces) {
    for (let bit = low; bit <= high; bit++) {
      const to = format(at + bit - low);
      const last = moves.at(-1);
      if (last && bit > low && last.from + last.width === bit && last.to + last.width === to) last.width++;
      else moves.push({ from: bit, width: 1, to });
    }
  }
  return moves;
}

/** Register fields of the halfword (low bit, width) and of the word. */
const RD = 7;
const RS1 = 15;
const RS2 = 20;
/** A five-bit register number at bit `from`, to each of the fields. */
const full = (from: number, ...fields: number[]): Move[] => fields.map((to) => ({ from, width: 5, to }));
/** A three-bit one (x8 … x15): the fourth bit is in `base`, by `popular`. */
const short = (from: number, ...fields: number[]): Move[] => fields.map((to) => ({ from, width: 3, to }));
const popular = (...fields: number[]): number => fields.reduce((bits, at) => bits | (8 << at), 0);
const SP = 2 << RS1;
const RA = 1 << RD;

/** Fixed bits of the 32-bit instructions that occur. */
const ADDI = 0x13;
const SLLI = 0x1013;
const SRLI = 0x5013;
const SRAI = 0x4000_5013;
const ANDI = 0x7013;
const XORI = 0x4013;
const ADDIW = 0x1b;
const LUI = 0x37;
const ADD = 0x33;
const SUB = 0x4000_0033;
const XOR = 0x4033;
const OR = 0x6033;
const AND = 0x7033;
const ADDW = 0x3b;
const SUBW = 0x4000_003b;
const MUL = 0x0200_0033;
const ADD_UW = 0x0800_003b;
const SEXT_B = 0x6040_1013;
const SEXT_H = 0x6050_1013;
const ZEXT_H = 0x0800_403b;
const LBU = 0x4003;
const LHU = 0x5003;
const LH = 0x1003;
const SB = 0x23;
const SH = 0x1023;
const LW = 0x2003;
const LD = 0x3003;
const FLD = 0x3007;
const SW = 0x2023;
const SD = 0x3023;
const FSD = 0x3027;
const BEQ = 0x63;
const BNE = 0x1063;
const JAL = 0x6f;
const JALR = 0x67;
const EBREAK = 0x0010_0073;

/** Immediates of more than one row. */
const WORD: readonly Piece[] = [
  [12, 10, 3],
  [6, 6, 2],
  [5, 5, 6],
];
const DOUBLE: readonly Piece[] = [
  [12, 10, 3],
  [6, 5, 6],
];
const WORD_STACK: readonly Piece[] = [
  [12, 12, 5],
  [6, 4, 2],
  [3, 2, 6],
];
const DOUBLE_STACK: readonly Piece[] = [
  [12, 12, 5],
  [6, 5, 3],
  [4, 2, 6],
];
const WORD_STACK_STORE: readonly Piece[] = [
  [12, 9, 2],
  [8, 7, 6],
];
const DOUBLE_STACK_STORE: readonly Piece[] = [
  [12, 10, 3],
  [9, 7, 6],
];
const BYTE: readonly Piece[] = [
  [6, 6, 0],
  [5, 5, 1],
];
const HALF: readonly Piece[] = [[5, 5, 1]];
const SHIFT = immediate(I, [
  [12, 12, 5],
  [6, 2, 0],
]);
const SIX = immediate(I, [[6, 2, 0]]);
const SIX_SIGN = signBits(I, 5, 11);
const BRANCH = immediate(B, [
  [11, 10, 3],
  [6, 5, 6],
  [4, 3, 1],
  [2, 2, 5],
]);
const JUMP = immediate(J, [
  [11, 11, 4],
  [10, 9, 8],
  [8, 8, 10],
  [7, 7, 6],
  [6, 6, 7],
  [5, 3, 1],
  [2, 2, 5],
]);

/** Masks: quadrant and funct3, and what else must be fixed. */
const OPCODE = 0xe003;
const FIELD_RD = 0x0f80;
const FIELD_RS2 = 0x007c;
const IMMEDIATE = 0x107c;

type Row = [
  mask: number,
  match: number,
  base: number,
  moves?: readonly Move[],
  sign?: number,
  extensions?: number,
];

/** Zcb's loads, its stores, and its operations on one register. */
const zcbLoad = (match: number, mask: number, base: number, offset: readonly Piece[]): Row => [
  OPCODE | mask,
  match,
  base | popular(RD, RS1),
  [...short(2, RD), ...short(7, RS1), ...immediate(I, offset)],
  0,
  ZCB,
];
const zcbStore = (match: number, mask: number, base: number, offset: readonly Piece[]): Row => [
  OPCODE | mask,
  match,
  base | popular(RS2, RS1),
  [...short(2, RS2), ...short(7, RS1), ...immediate(S, offset)],
  0,
  ZCB,
];
const zcbUnary = (code: number, base: number): Row => [
  OPCODE | 0x1c7c,
  0x9c61 | (code << 2),
  base | popular(RD, RS1),
  short(7, RD, RS1),
  0,
  ZCB,
];

/** Where two rows match, the first one counts: reserved encodings and special registers stand before the general rule. */
const ROWS: readonly Row[] = [
  // --- quadrant 0 ---
  [OPCODE | 0x1fe0, 0x0000, 0], // c.addi4spn of 0
  [
    OPCODE,
    0x0000,
    ADDI | SP | popular(RD), // c.addi4spn
    [
      ...short(2, RD),
      ...immediate(I, [
        [12, 11, 4],
        [10, 7, 6],
        [6, 6, 2],
        [5, 5, 3],
      ]),
    ],
  ],
  [OPCODE, 0x2000, FLD | popular(RD, RS1), [...short(2, RD), ...short(7, RS1), ...immediate(I, DOUBLE)]],
  [OPCODE, 0x4000, LW | popular(RD, RS1), [...short(2, RD), ...short(7, RS1), ...immediate(I, WORD)]],
  [OPCODE, 0x6000, LD | popular(RD, RS1), [...short(2, RD), ...short(7, RS1), ...immediate(I, DOUBLE)]],
  zcbLoad(0x8000, 0x1c00, LBU, BYTE),
  zcbLoad(0x8400, 0x1c40, LHU, HALF),
  zcbLoad(0x8440, 0x1c40, LH, HALF),
  zcbStore(0x8800, 0x1c00, SB, BYTE),
  zcbStore(0x8c00, 0x1c40, SH, HALF),
  [OPCODE, 0xa000, FSD | popular(RS2, RS1), [...short(2, RS2), ...short(7, RS1), ...immediate(S, DOUBLE)]],
  [OPCODE, 0xc000, SW | popular(RS2, RS1), [...short(2, RS2), ...short(7, RS1), ...immediate(S, WORD)]],
  [OPCODE, 0xe000, SD | popular(RS2, RS1), [...short(2, RS2), ...short(7, RS1), ...immediate(S, DOUBLE)]],

  // --- quadrant 1 ---
  [OPCODE, 0x0001, ADDI, [...full(7, RD, RS1), ...SIX], SIX_SIGN], // c.addi, c.nop
  [OPCODE | FIELD_RD, 0x2001, 0], // c.addiw to x0
  [OPCODE, 0x2001, ADDIW, [...full(7, RD, RS1), ...SIX], SIX_SIGN],
  [OPCODE, 0x4001, ADDI, [...full(7, RD), ...SIX], SIX_SIGN], // c.li
  [OPCODE | IMMEDIATE, 0x6001, 0], // c.lui and c.addi16sp of 0
  [
    OPCODE | FIELD_RD,
    0x6101,
    ADDI | SP | (2 << RD), // c.addi16sp
    immediate(I, [
      [6, 6, 4],
      [5, 5, 6],
      [4, 3, 7],
      [2, 2, 5],
    ]),
    signBits(I, 9, 11),
  ],
  [OPCODE, 0x6001, LUI, [...full(7, RD), ...immediate(U, [[6, 2, 12]])], signBits(U, 17, 31)],
  [OPCODE | 0x0c00, 0x8001, SRLI | popular(RD, RS1), [...short(7, RD, RS1), ...SHIFT]],
  [OPCODE | 0x0c00, 0x8401, SRAI | popular(RD, RS1), [...short(7, RD, RS1), ...SHIFT]],
  [OPCODE | 0x0c00, 0x8801, ANDI | popular(RD, RS1), [...short(7, RD, RS1), ...SIX], SIX_SIGN],
  ...[SUB, XOR, OR, AND, SUBW, ADDW].map((base, i): Row => {
    const match = 0x8c01 | ((i >> 2) << 12) | ((i & 3) << 5);
    const moves = [...short(7, RD, RS1), ...short(2, RS2)];
    return [OPCODE | 0x1c60, match, base | popular(RD, RS1, RS2), moves];
  }),
  [OPCODE | 0x1c60, 0x9c41, MUL | popular(RD, RS1, RS2), [...short(7, RD, RS1), ...short(2, RS2)], 0, ZCB],
  zcbUnary(0, ANDI | (0xff << 20)),
  zcbUnary(1, SEXT_B),
  zcbUnary(2, ZEXT_H),
  zcbUnary(3, SEXT_H),
  zcbUnary(4, ADD_UW),
  zcbUnary(5, XORI | (-1 << 20)),
  [OPCODE, 0xa001, JAL, JUMP, signBits(J, 11, 20)], // c.j
  [OPCODE, 0xc001, BEQ | popular(RS1), [...short(7, RS1), ...BRANCH], signBits(B, 8, 12)],
  [OPCODE, 0xe001, BNE | popular(RS1), [...short(7, RS1), ...BRANCH], signBits(B, 8, 12)],

  // --- quadrant 2 ---
  [OPCODE, 0x0002, SLLI, [...full(7, RD, RS1), ...SHIFT]],
  [OPCODE, 0x2002, FLD | SP, [...full(7, RD), ...immediate(I, DOUBLE_STACK)]],
  [OPCODE | FIELD_RD, 0x4002, 0], // c.lwsp to x0
  [OPCODE, 0x4002, LW | SP, [...full(7, RD), ...immediate(I, WORD_STACK)]],
  [OPCODE | FIELD_RD, 0x6002, 0], // c.ldsp to x0
  [OPCODE, 0x6002, LD | SP, [...full(7, RD), ...immediate(I, DOUBLE_STACK)]],
  [OPCODE | 0x1000 | FIELD_RD | FIELD_RS2, 0x8002, 0], // c.jr x0
  [OPCODE | 0x1000 | FIELD_RS2, 0x8002, JALR, full(7, RS1)], // c.jr
  [OPCODE | 0x1000, 0x8002, ADDI, [...full(7, RD), ...full(2, RS1)]], // c.mv, as the addi that mv also is
  [OPCODE | 0x1000 | FIELD_RD | FIELD_RS2, 0x9002, EBREAK],
  [OPCODE | 0x1000 | FIELD_RS2, 0x9002, JALR | RA, full(7, RS1)], // c.jalr
  [OPCODE | 0x1000, 0x9002, ADD, [...full(7, RD, RS1), ...full(2, RS2)]],
  [OPCODE, 0xa002, FSD | SP, [...full(2, RS2), ...immediate(S, DOUBLE_STACK_STORE)]],
  [OPCODE, 0xc002, SW | SP, [...full(2, RS2), ...immediate(S, WORD_STACK_STORE)]],
  [OPCODE, 0xe002, SD | SP, [...full(2, RS2), ...immediate(S, DOUBLE_STACK_STORE)]],
];

/** The table, in order of precedence. */
export const COMPRESSED: readonly CompressedRow[] = ROWS.map(
  ([mask, match, base, moves = [], sign = 0, extensions = NO_EXTENSIONS]) => ({
    mask,
    match,
    base,
    moves,
    sign,
    extensions,
  }),
);

/** The bucket of a halfword: funct3 and quadrant. */
export const compressedBucket = (half: number): number => ((half >> 11) & 0x1c) | (half & 3);

const buckets: CompressedRow[][] = Array.from({ length: 32 }, () => []);
for (const row of COMPRESSED) buckets[compressedBucket(row.match)].push(row);

/** Rows by bucket. */
export const COMPRESSED_BUCKETS: readonly (readonly CompressedRow[])[] = buckets;

/**
 * The 32-bit instruction that the compressed instruction `half` (low two bits not 11) stands for, or 0 when it is
 * reserved by a processor with `extensions`. HINTs expand to instructions that write x0.
 */
export function expandCompressed(half: number, available = ALL_EXTENSIONS): number {
  if (available & WITHOUT_C) return 0;
  for (const { mask, match, base, moves, sign, extensions } of buckets[compressedBucket(half)]) {
    if ((half & mask) !== match || (extensions & ~available) !== 0) continue;
    let word = base;
    for (const { from, width, to } of moves) word |= ((half >> from) & ((1 << width) - 1)) << to;
    if (half & 0x1000) word |= sign;
    return word >>> 0;
  }
  return 0;
}
