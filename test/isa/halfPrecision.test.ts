import { describe, expect, test } from 'vitest';
import { halfSemantics } from '../../src/isa/floatingPointHalf.js';
import { BINARY32, BINARY64, type FloatStatus, makeFormat } from '../../src/isa/softfloat.js';
import { softAdd, softDiv, softFma, softMul, softSqrt, softSub } from '../../src/isa/softfloatArithmetic.js';
import {
  softClassify,
  softEqual,
  softLess,
  softLessOrEqual,
  softMinMax,
} from '../../src/isa/softfloatCompare.js';
import { softConvert, softFromInteger, softToInteger } from '../../src/isa/softfloatConvert.js';
import { compileTiers, DONE } from './floatTiers.js';
import { EDGES_16, edgesOf, interesting, RandomBits } from './floatVectors.js';

/** Zfh, which computes with doubles, against the exact arithmetic of softfloat*.ts on binary16, in all rounding modes. */

const BINARY16 = makeFormat(16, 11);
const BOX_16 = 0xffff_ffff_ffff_0000n;
const BOX_32 = 0xffff_ffff_0000_0000n;
const truth = (value: boolean): bigint => (value ? 1n : 0n);

type Operation = (a: bigint, b: bigint, c: bigint, rm: number, status: FloatStatus) => bigint;
const sign = BINARY16.signBit;

/** Results are register patterns. */
const BINARY: Readonly<Record<string, Operation>> = {
  'fadd.h': (a, b, _c, rm, s) => BOX_16 | softAdd(BINARY16, a, b, rm, s),
  'fsub.h': (a, b, _c, rm, s) => BOX_16 | softSub(BINARY16, a, b, rm, s),
  'fmul.h': (a, b, _c, rm, s) => BOX_16 | softMul(BINARY16, a, b, rm, s),
  'fdiv.h': (a, b, _c, rm, s) => BOX_16 | softDiv(BINARY16, a, b, rm, s),
  'fmin.h': (a, b, _c, _rm, s) => BOX_16 | softMinMax(BINARY16, a, b, false, s),
  'fmax.h': (a, b, _c, _rm, s) => BOX_16 | softMinMax(BINARY16, a, b, true, s),
  'feq.h': (a, b, _c, _rm, s) => truth(softEqual(BINARY16, a, b, s)),
  'flt.h': (a, b, _c, _rm, s) => truth(softLess(BINARY16, a, b, s)),
  'fle.h': (a, b, _c, _rm, s) => truth(softLessOrEqual(BINARY16, a, b, s)),
};
const FUSED: Readonly<Record<string, Operation>> = {
  'fmadd.h': (a, b, c, rm, s) => BOX_16 | softFma(BINARY16, a, b, c, rm, s),
  'fmsub.h': (a, b, c, rm, s) => BOX_16 | softFma(BINARY16, a, b, c ^ sign, rm, s),
  'fnmsub.h': (a, b, c, rm, s) => BOX_16 | softFma(BINARY16, a ^ sign, b, c, rm, s),
  'fnmadd.h': (a, b, c, rm, s) => BOX_16 | softFma(BINARY16, a ^ sign, b, c ^ sign, rm, s),
};
const UNARY: Readonly<Record<string, Operation>> = {
  'fsqrt.h': (a, _b, _c, rm, s) => BOX_16 | softSqrt(BINARY16, a, rm, s),
  'fclass.h': (a) => BigInt(softClassify(BINARY16, a)),
  'fcvt.s.h': (a, _b, _c, rm, s) => BOX_32 | softConvert(BINARY16, BINARY32, a, rm, s),
  'fcvt.d.h': (a, _b, _c, rm, s) => softConvert(BINARY16, BINARY64, a, rm, s),
  'fcvt.w.h': (a, _b, _c, rm, s) => softToInteger(BINARY16, a, 32, true, rm, s),
  'fcvt.wu.h': (a, _b, _c, rm, s) => softToInteger(BINARY16, a, 32, false, rm, s),
  'fcvt.l.h': (a, _b, _c, rm, s) => softToInteger(BINARY16, a, 64, true, rm, s),
  'fcvt.lu.h': (a, _b, _c, rm, s) => softToInteger(BINARY16, a, 64, false, rm, s),
};
const FROM_INTEGER: Readonly<Record<string, Operation>> = {
  'fcvt.h.w': (a, _b, _c, rm, s) => BOX_16 | softFromInteger(BINARY16, BigInt.asIntN(32, a), rm, s),
  'fcvt.h.wu': (a, _b, _c, rm, s) => BOX_16 | softFromInteger(BINARY16, BigInt.asUintN(32, a), rm, s),
  'fcvt.h.l': (a, _b, _c, rm, s) => BOX_16 | softFromInteger(BINARY16, BigInt.asIntN(64, a), rm, s),
  'fcvt.h.lu': (a, _b, _c, rm, s) => BOX_16 | softFromInteger(BINARY16, a, rm, s),
};

/** Runs operand registers through a row in every mode; `plain` takes them to what the model wants. */
function check(
  mnemonic: string,
  model: Operation,
  operands: Iterable<readonly bigint[]>,
  plain: (register: bigint) => bigint,
): void {
  const { fast, registers, words } = compileTiers(halfSemantics[mnemonic]);
  const status: FloatStatus = { flags: 0 };
  for (const [a, b = 0n, c = 0n] of operands)
    for (let rm = 0; rm < 5; rm++) {
      registers.set([a, b, c]);
      words[8] = 0;
      words[9] = rm;
      status.flags = 0;
      const done = fast();
      const expected = model(plain(a), plain(b), plain(c), rm, status);
      if (done === DONE && registers[3] === expected && words[8] === status.flags) continue;
      const what = `${mnemonic} ${[a, b, c].map((v) => v.toString(16)).join(' ')} mode ${rm}`;
      expect([done, registers[3].toString(16), words[8]], what).toEqual([
        DONE,
        expected.toString(16),
        status.flags,
      ]);
    }
}

const boxed = (bits: bigint): bigint => BOX_16 | bits;
const half = (register: bigint): bigint =>
  (register & BOX_16) === BOX_16 ? register & 0xffffn : BINARY16.canonicalNaN;

const COUNT = Number(process.env.GUESTHOUSE_FLOAT_VECTORS ?? 4000);

describe('binary16', () => {
  const every = Array.from({ length: 0x1_0000 }, (_, bits) => [boxed(BigInt(bits))]);

  test.each(Object.entries(UNARY))('%s of every number', (mnemonic, model) => {
    check(mnemonic, model, every, half);
  });

  test.each(Object.entries(BINARY))('%s', (mnemonic, model) => {
    const random = new RandomBits(1);
    const pairs = EDGES_16.flatMap((a) => EDGES_16.map((b) => [boxed(a), boxed(b)]));
    for (let i = 0; i < COUNT; i++)
      pairs.push([boxed(interesting(random, 16)), boxed(interesting(random, 16))]);
    check(mnemonic, model, pairs, half);
  });

  test.each(Object.entries(FUSED))('%s', (mnemonic, model) => {
    const random = new RandomBits(2);
    const some = EDGES_16.filter((_, i) => i % 3 === 0);
    const triples = some.flatMap((a) => some.flatMap((b) => some.map((c) => [a, b, c].map(boxed))));
    for (let i = 0; i < COUNT; i++) triples.push([0, 1, 2].map(() => boxed(interesting(random, 16))));
    check(mnemonic, model, triples, half);
  });

  test.each(Object.entries(FROM_INTEGER))('%s', (mnemonic, model) => {
    const random = new RandomBits(3);
    const integers = [
      0n,
      1n,
      2047n,
      2048n,
      2049n,
      65503n,
      65504n,
      65519n,
      65520n,
      65536n,
      1n << 62n,
      1n << 63n,
    ];
    const both = integers.flatMap((n) => [[n], [BigInt.asUintN(64, -n)]]);
    for (let i = 0; i < COUNT; i++) both.push([random.next() >> BigInt(random.below(64))]);
    check(mnemonic, model, both, (register) => register);
  });

  test('fcvt.h.s and fcvt.h.d', () => {
    const random = new RandomBits(4);
    for (const [width, format] of [
      [32, BINARY32],
      [64, BINARY64],
    ] as const) {
      const box = width === 32 ? BOX_32 : 0n;
      const patterns = [...edgesOf(width)];
      for (let i = 0; i < COUNT; i++) patterns.push(interesting(random, width));
      // Near every half, where rounding decides.
      for (let i = 0; i < COUNT; i++) {
        const near = softConvert(BINARY16, format, interesting(random, 16), 0, { flags: 0 });
        for (const step of [-1n, 0n, 1n]) patterns.push(BigInt.asUintN(width, near + step));
        const middle = 1n << (format.fractionBits - 11n);
        for (const step of [-1n, 0n, 1n]) patterns.push(BigInt.asUintN(width, near + middle + step));
      }
      check(
        width === 32 ? 'fcvt.h.s' : 'fcvt.h.d',
        (a, _b, _c, rm, s) => BOX_16 | softConvert(format, BINARY16, a, rm, s),
        patterns.map((bits) => [box | bits]),
        (register) => BigInt.asUintN(width, register),
      );
    }
  });

  test('badly boxed operands are NaN', () => {
    const bad = [0x3c00n, 0xffff_ffff_fffe_3c00n, 0xffff_ffff_0000_3c00n].map((a) => [a, boxed(0x3c00n)]);
    check('fadd.h', BINARY['fadd.h'], bad, half);
    check('fclass.h', UNARY['fclass.h'], bad, half);
  });
});
