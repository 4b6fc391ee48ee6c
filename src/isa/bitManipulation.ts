import { type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Builder, Helper, Semantics } from './builder.js';

/** Zba, Zbb, Zbc, Zbs and Zicond (unprivileged ISA manual, chapters "B" Extension for Bit Manipulation and "Zicond"). */

const low = (value: I64): I32 => i32.wrap_i64(value);
const wide = (value: I32): I64 => i64.extend_i32_s(value);
const unsignedWord = (value: I64): I64 => i64.extend_i32_u(i32.wrap_i64(value));

type Operation = (a: I64, b: I64) => I64;
const register =
  (operation: Operation): Semantics =>
  (b) =>
    b.setX(operation(b.x('rs1'), b.x('rs2')));
const immediate =
  (operation: Operation): Semantics =>
  (b) =>
    b.setX(operation(b.x('rs1'), b.immediate()));
const unary =
  (operation: (a: I64) => I64): Semantics =>
  (b) =>
    b.setX(operation(b.x('rs1')));

/** Zba: an index, shifted, is added to an address. */
const shiftAdd =
  (shift: number, index: (a: I64) => I64): Semantics =>
  (b) =>
    b.setX(i64.add(i64.shl(index(b.x('rs1')), i64.const(shift)), b.x('rs2')));

/** The one of both operands that `first` prefers. */
const choice =
  (first: (a: I64, b: I64) => I32): Semantics =>
  (b) => {
    const x = b.hold(b.x('rs1'));
    const y = b.hold(b.x('rs2'));
    b.setX(select(first(x, y), x, y));
  };

/** wasm takes the bit's number modulo 64, as RISC-V does. */
const bit = (number: I64): I64 => i64.shl(i64.const(1), number);
const clear: Operation = (a, n) => i64.and(a, i64.xor(bit(n), i64.const(-1)));
const extract: Operation = (a, n) => i64.and(i64.shr_u(a, n), i64.const(1));
const invert: Operation = (a, n) => i64.xor(a, bit(n));
const set: Operation = (a, n) => i64.or(a, bit(n));

const LOW_BITS = 0x7f7f_7f7f_7f7f_7f7fn;
const ONES = 0x0101_0101_0101_0101n;

/** Every byte that is not zero becomes 255. */
const orCombine: Semantics = (b) => {
  const x = b.hold(b.x('rs1'));
  // Bit 7 of a byte of the sum says that one of its low seven bits is set; nothing carries over.
  const some = i64.or(i64.add(i64.and(x, i64.const(LOW_BITS)), i64.const(LOW_BITS)), x);
  const flags = i64.and(i64.shr_u(some, i64.const(7)), i64.const(ONES));
  b.setX(i64.mul(flags, i64.const(255)));
};

/** Swaps neighbouring groups of `width` bits; `mask` has the lower one of each pair. Evaluates `x` twice. */
const swapGroups = (x: I64, width: number, mask: bigint): I64 =>
  i64.or(
    i64.and(i64.shr_u(x, i64.const(width)), i64.const(mask)),
    i64.shl(i64.and(x, i64.const(mask)), i64.const(width)),
  );
const BYTES = 0x00ff_00ff_00ff_00ffn;
const HALVES = 0x0000_ffff_0000_ffffn;

const reverseBytes: Semantics = (b) => {
  const pairs = b.hold(swapGroups(b.hold(b.x('rs1')), 8, BYTES));
  const fours = b.hold(swapGroups(pairs, 16, HALVES));
  b.setX(i64.rotl(fours, i64.const(32)));
};

/** The bits of a word in the opposite order. */
const reverseBits: Helper<'i64'> = {
  name: 'reverseBits',
  params: ['i64'],
  result: 'i64',
  define(f) {
    const x = f.param('i64', 0);
    f.set(x, swapGroups(x, 1, 0x5555_5555_5555_5555n));
    f.set(x, swapGroups(x, 2, 0x3333_3333_3333_3333n));
    f.set(x, swapGroups(x, 4, 0x0f0f_0f0f_0f0f_0f0fn));
    f.set(x, swapGroups(x, 8, BYTES));
    f.set(x, swapGroups(x, 16, HALVES));
    f.return(i64.rotl(x, i64.const(32)));
  },
};

/**
 * The low half of a carry-less product. Of each operand the bits of one residue modulo 4 are taken: in the ordinary product of
 * two such numbers at most 16 ones meet in a place, and what they carry goes into the three places between, which are
 * masked out (or, from the highest place, out of the word).
 */
const carrylessProduct: Helper<'i64'> = {
  name: 'carrylessProduct',
  params: ['i64', 'i64'],
  result: 'i64',
  define(f) {
    const mask = (residue: number): I64 => i64.const(0x1111_1111_1111_1111n << BigInt(residue));
    const parts = (value: I64) => [0, 1, 2, 3].map((residue) => f.hold(i64.and(value, mask(residue))));
    const x = parts(f.param('i64', 0));
    const y = parts(f.param('i64', 1));
    const sums = [0, 1, 2, 3].map((residue) => {
      const products = [0, 1, 2, 3].map((i) => i64.mul(x[i], y[(residue - i) & 3]));
      return i64.and(
        products.reduce((a, b) => i64.xor(a, b)),
        mask(residue),
      );
    });
    f.return(sums.reduce((a, b) => i64.or(a, b)));
  },
};

/** Bits 126 … 63 of the carry-less product: the low half of the reversed operands' product, reversed. */
function reversedProduct(b: Builder): I64 {
  const x = b.call(reverseBits, b.x('rs1'));
  const y = b.call(reverseBits, b.x('rs2'));
  return b.call(reverseBits, b.call(carrylessProduct, x, y));
}

/** Zicond: rs1, or 0 where the condition on rs2 holds. */
const zeroWhere =
  (condition: (y: I64) => I32): Semantics =>
  (b) =>
    b.setX(select(condition(b.x('rs2')), i64.const(0), b.x('rs1')));

export const bitManipulationSemantics: Readonly<Record<string, Semantics>> = {
  'add.uw': register((a, b) => i64.add(unsignedWord(a), b)),
  sh1add: shiftAdd(1, (a) => a),
  sh2add: shiftAdd(2, (a) => a),
  sh3add: shiftAdd(3, (a) => a),
  'sh1add.uw': shiftAdd(1, unsignedWord),
  'sh2add.uw': shiftAdd(2, unsignedWord),
  'sh3add.uw': shiftAdd(3, unsignedWord),
  'slli.uw': immediate((a, n) => i64.shl(unsignedWord(a), n)),

  andn: register((a, b) => i64.and(a, i64.xor(b, i64.const(-1)))),
  orn: register((a, b) => i64.or(a, i64.xor(b, i64.const(-1)))),
  xnor: register((a, b) => i64.xor(i64.xor(a, b), i64.const(-1))),
  clz: unary(i64.clz),
  ctz: unary(i64.ctz),
  cpop: unary(i64.popcnt),
  clzw: unary((a) => i64.extend_i32_u(i32.clz(low(a)))),
  ctzw: unary((a) => i64.extend_i32_u(i32.ctz(low(a)))),
  cpopw: unary((a) => i64.extend_i32_u(i32.popcnt(low(a)))),
  'sext.b': unary(i64.extend8_s),
  'sext.h': unary(i64.extend16_s),
  'zext.h': unary((a) => i64.and(a, i64.const(0xffff))),
  min: choice(i64.lt_s),
  minu: choice(i64.lt_u),
  max: choice(i64.gt_s),
  maxu: choice(i64.gt_u),
  rol: register(i64.rotl),
  ror: register(i64.rotr),
  rori: immediate(i64.rotr),
  rolw: register((a, b) => wide(i32.rotl(low(a), low(b)))),
  rorw: register((a, b) => wide(i32.rotr(low(a), low(b)))),
  roriw: immediate((a, b) => wide(i32.rotr(low(a), low(b)))),
  'orc.b': orCombine,
  rev8: reverseBytes,

  clmul: (b) => b.setX(b.call(carrylessProduct, b.x('rs1'), b.x('rs2'))),
  clmulr: (b) => b.setX(reversedProduct(b)),
  clmulh: (b) => b.setX(i64.shr_u(reversedProduct(b), i64.const(1))),

  bclr: register(clear),
  bclri: immediate(clear),
  bext: register(extract),
  bexti: immediate(extract),
  binv: register(invert),
  binvi: immediate(invert),
  bset: register(set),
  bseti: immediate(set),

  'czero.eqz': zeroWhere(i64.eqz),
  'czero.nez': zeroWhere((y) => i64.ne(y, i64.const(0))),
};
