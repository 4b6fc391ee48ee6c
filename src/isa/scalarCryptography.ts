import { type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Builder, Helper, Semantics } from './builder.js';

/**
 * Zbkb, Zbkx, Zkne, Zknd and Zknh beyond what they share with Zbb and Zbc (unprivileged ISA manual, chapter "Cryptography
 * Extensions: Scalar & Entropy Source Instructions"). There are no tables: bytes are computed with eight at a time.
 */

const c = (value: bigint | number): I64 => i64.const(value);
const low = (value: I64): I32 => i32.wrap_i64(value);
const wide = (value: I32): I64 => i64.extend_i32_s(value);
const lowWord = (value: I64): I64 => i64.and(value, c(0xffff_ffffn));
const exclusiveOr = (first: I64, ...others: readonly I64[]): I64 =>
  others.reduce((a, b) => i64.xor(a, b), first);

/** Every byte of a register, the same. */
const every = (byte: number): I64 => c(0x0101_0101_0101_0101n * BigInt(byte));

// --- Zbkb and Zbkx ---

/** The bits of every byte in the opposite order. */
const reverseBitsOfBytes: Helper<'i64'> = {
  name: 'reverseBitsOfBytes',
  params: ['i64'],
  result: 'i64',
  define(f) {
    const x = f.param('i64', 0);
    for (const [width, mask] of [
      [1, 0x55],
      [2, 0x33],
      [4, 0x0f],
    ]) {
      const upper = i64.and(i64.shr_u(x, c(width)), every(mask));
      f.set(x, i64.or(upper, i64.shl(i64.and(x, every(mask)), c(width))));
    }
    f.return(x);
  },
};

/** xperm4 and xperm8: each group of `width` bits of the second operand picks one of the first; none where it is too large. */
function permutation(width: 4 | 8): Helper<'i64'> {
  const groups = 64 / width;
  return {
    name: `permutation${width}`,
    params: ['i64', 'i64'],
    result: 'i64',
    define(f) {
      const table = f.param('i64', 0);
      const indices = f.param('i64', 1);
      const result = f.local('i64');
      const at = f.local('i64');
      const group = c(2 ** width - 1);
      f.loop((again) => {
        const index = f.hold(i64.and(i64.shr_u(indices, at), group));
        const picked = i64.and(i64.shr_u(table, i64.mul(index, c(width))), group);
        const shown = select(i64.lt_u(index, c(groups)), picked, c(0));
        f.set(result, i64.or(result, i64.shl(shown, at)));
        f.set(at, i64.add(at, c(width)));
        f.brIf(again, i64.lt_u(at, c(64)));
      });
      f.return(result);
    },
  };
}
const permutation4 = permutation(4);
const permutation8 = permutation(8);

// --- AES: arithmetic in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, for eight bytes at once ---

/** Each byte times x. */
const timesX = (a: I64): I64 =>
  i64.xor(i64.shl(i64.and(a, every(0x7f)), c(1)), i64.mul(i64.and(i64.shr_u(a, c(7)), every(1)), c(0x1b)));

/** The products of the bytes of two registers. */
const fieldProduct: Helper<'i64'> = {
  name: 'fieldProduct',
  params: ['i64', 'i64'],
  result: 'i64',
  define(f) {
    const a = f.param('i64', 0);
    const b = f.param('i64', 1);
    const result = f.local('i64');
    for (let bit = 0; bit < 8; bit++) {
      const chosen = i64.mul(i64.and(i64.shr_u(b, c(bit)), every(1)), c(255));
      f.set(result, i64.xor(result, i64.and(a, chosen)));
      f.set(a, timesX(a));
    }
    f.return(result);
  },
};

/** The inverses of eight bytes, and 0 for 0: their 254th powers. */
const fieldInverse: Helper<'i64'> = {
  name: 'fieldInverse',
  params: ['i64'],
  result: 'i64',
  define(f, use) {
    const a = f.param('i64', 0);
    const times = (x: I64, y: I64): I64 => f.hold(use(fieldProduct, x, y));
    const squared = (x: I64): I64 => times(x, x);
    const third = times(squared(a), a);
    const twelfth = squared(squared(third));
    const fifteenth = times(twelfth, third);
    const power240 = squared(squared(squared(squared(fifteenth))));
    f.return(times(times(power240, twelfth), squared(a)));
  },
};

/** Each byte turned left by `count`. */
const turned = (a: I64, count: number): I64 =>
  i64.or(
    i64.shl(i64.and(a, every(0xff >> count)), c(count)),
    i64.and(i64.shr_u(a, c(8 - count)), every(0xff >> (8 - count))),
  );

/** SubBytes (FIPS 197, 5.1.1) of eight bytes. */
const substitute: Helper<'i64'> = {
  name: 'substituteBytes',
  params: ['i64'],
  result: 'i64',
  define(f, use) {
    const a = f.hold(use(fieldInverse, f.param('i64', 0)));
    f.return(exclusiveOr(a, turned(a, 1), turned(a, 2), turned(a, 3), turned(a, 4), every(0x63)));
  },
};

/** InvSubBytes (FIPS 197, 5.3.2) of eight bytes. */
const substituteBack: Helper<'i64'> = {
  name: 'substituteBytesBack',
  params: ['i64'],
  result: 'i64',
  define(f, use) {
    const a = f.param('i64', 0);
    f.return(use(fieldInverse, exclusiveOr(turned(a, 1), turned(a, 3), turned(a, 6), every(0x05))));
  },
};

/** The bytes of each column (32 bits) moved down by `count` places: byte i becomes what byte i + count was. */
const rotatedColumns = (a: I64, count: number): I64 => {
  const kept = 0xffff_ffffn >> BigInt(8 * count);
  const both = (mask: bigint): I64 => c(mask | (mask << 32n));
  return i64.or(
    i64.and(i64.shr_u(a, c(8 * count)), both(kept)),
    i64.and(i64.shl(a, c(32 - 8 * count)), both(0xffff_ffffn ^ kept)),
  );
};

/** MixColumns (FIPS 197, 5.1.3) of two columns: 2, 3, 1, 1. */
const mixColumns: Helper<'i64'> = {
  name: 'mixColumns',
  params: ['i64'],
  result: 'i64',
  define(f) {
    const a = f.param('i64', 0);
    const doubled = f.hold(timesX(a));
    f.return(
      exclusiveOr(
        doubled,
        rotatedColumns(f.hold(i64.xor(doubled, a)), 1),
        rotatedColumns(a, 2),
        rotatedColumns(a, 3),
      ),
    );
  },
};

/** InvMixColumns (FIPS 197, 5.3.3): 14, 11, 13, 9, which is MixColumns after 5, 0, 4, 0. */
const mixColumnsBack: Helper<'i64'> = {
  name: 'mixColumnsBack',
  params: ['i64'],
  result: 'i64',
  define(f, use) {
    const a = f.param('i64', 0);
    const quadruple = f.hold(timesX(f.hold(timesX(a))));
    f.return(use(mixColumns, exclusiveOr(a, quadruple, rotatedColumns(quadruple, 2))));
  },
};

/** Columns 0 and 1 after ShiftRows or InvShiftRows: which byte of (rs2, rs1) each byte is. */
const SHIFTED = [0, 5, 10, 15, 4, 9, 14, 3];
const SHIFTED_BACK = [0, 13, 10, 7, 4, 1, 14, 11];

function shiftedRows(b: Builder, order: readonly number[]): I64 {
  const sources = [b.hold(b.x('rs1')), b.hold(b.x('rs2'))];
  return order
    .map((from, to) => {
      const mask = c(0xffn << BigInt(8 * to));
      const distance = 8 * ((from & 7) - to);
      const source = sources[from >> 3];
      if (distance === 0) return i64.and(source, mask);
      const moved = distance > 0 ? i64.shr_u(source, c(distance)) : i64.shl(source, c(-distance));
      return i64.and(moved, mask);
    })
    .reduce((a, byte) => i64.or(a, byte));
}

const encrypt =
  (mixes: boolean): Semantics =>
  (b) => {
    const bytes = b.call(substitute, shiftedRows(b, SHIFTED));
    b.setX(mixes ? b.call(mixColumns, bytes) : bytes);
  };
const decrypt =
  (mixes: boolean): Semantics =>
  (b) => {
    const bytes = b.call(substituteBack, shiftedRows(b, SHIFTED_BACK));
    b.setX(mixes ? b.call(mixColumnsBack, bytes) : bytes);
  };

/** aes64ks1i: the word of the key schedule that both words of a round are made with; the last round does without the constant. */
const keySchedule1: Semantics = (b) => {
  const round = b.hold(i64.and(b.immediate(), c(15)));
  const word = b.hold(low(i64.shr_u(b.x('rs1'), c(32))));
  const last = b.hold(i64.eq(round, c(10)));
  const input = select(last, word, i32.rotr(word, i32.const(8)));
  const substituted = b.call(substitute, i64.extend_i32_u(input));
  // 1, 2, 4, …, 128, and what follows those in the field: 0x1b, 0x36.
  const constants = select(
    i64.lt_u(round, c(8)),
    i64.shl(c(1), round),
    i64.shl(c(0x1b), i64.and(round, c(1))),
  );
  const result = b.hold(lowWord(i64.xor(substituted, select(last, c(0), constants))));
  b.setX(i64.or(result, i64.shl(result, c(32))));
};

const keySchedule2: Semantics = (b) => {
  const y = b.hold(b.x('rs2'));
  const first = b.hold(i64.xor(i64.shr_u(b.x('rs1'), c(32)), lowWord(y)));
  b.setX(i64.or(first, i64.shl(i64.xor(first, i64.shr_u(y, c(32))), c(32))));
};

// --- SHA-2 ---

/** The rotations of a SHA-512 function, the last one a shift for the small sigmas. */
const sigma64 =
  (rotations: readonly number[], shift?: number): Semantics =>
  (b) => {
    const x = b.hold(b.x('rs1'));
    const parts = rotations.map((count) => i64.rotr(x, c(count)));
    b.setX(
      exclusiveOr(parts[0], ...parts.slice(1), ...(shift === undefined ? [] : [i64.shr_u(x, c(shift))])),
    );
  };
/** The same of SHA-256, on the low word. */
const sigma32 =
  (rotations: readonly number[], shift?: number): Semantics =>
  (b) => {
    const x = b.hold(low(b.x('rs1')));
    const parts = rotations.map((count) => i32.rotr(x, i32.const(count)));
    if (shift !== undefined) parts.push(i32.shr_u(x, i32.const(shift)));
    b.setX(wide(parts.reduce((a, part) => i32.xor(a, part))));
  };

export const scalarCryptographySemantics: Readonly<Record<string, Semantics>> = {
  pack: (b) => b.setX(i64.or(lowWord(b.x('rs1')), i64.shl(b.x('rs2'), c(32)))),
  packh: (b) => b.setX(i64.or(i64.and(b.x('rs1'), c(0xff)), i64.shl(i64.and(b.x('rs2'), c(0xff)), c(8)))),
  packw: (b) =>
    b.setX(
      wide(i32.or(i32.and(low(b.x('rs1')), i32.const(0xffff)), i32.shl(low(b.x('rs2')), i32.const(16)))),
    ),
  brev8: (b) => b.setX(b.call(reverseBitsOfBytes, b.x('rs1'))),
  xperm4: (b) => b.setX(b.call(permutation4, b.x('rs1'), b.x('rs2'))),
  xperm8: (b) => b.setX(b.call(permutation8, b.x('rs1'), b.x('rs2'))),

  aes64es: encrypt(false),
  aes64esm: encrypt(true),
  aes64ds: decrypt(false),
  aes64dsm: decrypt(true),
  aes64im: (b) => b.setX(b.call(mixColumnsBack, b.x('rs1'))),
  aes64ks1i: keySchedule1,
  aes64ks2: keySchedule2,

  sha256sum0: sigma32([2, 13, 22]),
  sha256sum1: sigma32([6, 11, 25]),
  sha256sig0: sigma32([7, 18], 3),
  sha256sig1: sigma32([17, 19], 10),
  sha512sum0: sigma64([28, 34, 39]),
  sha512sum1: sigma64([14, 18, 41]),
  sha512sig0: sigma64([1, 8], 7),
  sha512sig1: sigma64([19, 61], 6),
};
