import { describe, expect, test } from 'vitest';
import { additionalFloatSemantics, loadableConstants } from '../../src/isa/floatingPointAdditional.js';
import { instructionNamed } from '../../src/isa/instructions.js';
import {
  BINARY32,
  BINARY64,
  type FloatFormat,
  type FloatStatus,
  KIND_FINITE,
  KIND_NAN,
  makeFormat,
  NV,
  NX,
  roundShift,
  unpack,
} from '../../src/isa/softfloat.js';
import { softLess, softLessOrEqual, softMinMax } from '../../src/isa/softfloatCompare.js';
import { softConvert, softFromInteger, softToInteger } from '../../src/isa/softfloatConvert.js';
import { encode, integerRecords } from './differentialPrograms.js';
import { SLOT_FA } from './executor/executor.js';
import { InterpreterExecutor } from './executor/interpreterExecutor.js';
import { compileTiers, DONE } from './floatTiers.js';
import { edgesOf, interesting, RandomBits, type Width } from './floatVectors.js';

/** Zfa against the manual's definitions, written with the exact arithmetic of softfloat*.ts. */

const FORMATS: readonly (readonly [suffix: string, format: FloatFormat, width: Width])[] = [
  ['s', BINARY32, 32],
  ['d', BINARY64, 64],
  ['h', makeFormat(16, 11), 16],
];
const box = (width: number, bits: bigint): bigint =>
  width === 64 ? bits : BigInt.asUintN(64, -1n << BigInt(width)) | bits;

const isNaNOf = (format: FloatFormat, bits: bigint): boolean => unpack(format, bits).kind === KIND_NAN;
function signalling(format: FloatFormat, ...operands: readonly bigint[]): number {
  return operands.some((bits) => unpack(format, bits).signalling) ? NV : 0;
}

function roundToIntegral(format: FloatFormat, bits: bigint, rm: number, status: FloatStatus): bigint {
  const x = unpack(format, bits);
  if (x.kind === KIND_NAN) {
    status.flags |= signalling(format, bits);
    return format.canonicalNaN;
  }
  if (x.kind !== KIND_FINITE || x.exponent >= 0) return bits;
  const shift = BigInt(-x.exponent);
  const whole = roundShift(x.significand, shift, x.negative, rm);
  if (whole << shift !== x.significand) status.flags |= NX;
  const magnitude = softFromInteger(format, whole, 0, { flags: 0 });
  return x.negative ? magnitude | format.signBit : magnitude;
}

type Model = (format: FloatFormat, a: bigint, b: bigint, rm: number, status: FloatStatus) => bigint;

const TO_FLOAT: Readonly<Record<string, Model>> = {
  fround: (format, a, _b, rm, status) => {
    const own: FloatStatus = { flags: 0 };
    const result = roundToIntegral(format, a, rm, own);
    status.flags |= own.flags & NV;
    return result;
  },
  froundnx: (format, a, _b, rm, status) => roundToIntegral(format, a, rm, status),
  fminm: (format, a, b, _rm, status) => minMax(format, a, b, false, status),
  fmaxm: (format, a, b, _rm, status) => minMax(format, a, b, true, status),
};
function minMax(format: FloatFormat, a: bigint, b: bigint, maximum: boolean, status: FloatStatus): bigint {
  status.flags |= signalling(format, a, b);
  if (isNaNOf(format, a) || isNaNOf(format, b)) return format.canonicalNaN;
  return softMinMax(format, a, b, maximum, status);
}

const COMPARE: Readonly<Record<string, Model>> = {
  fleq: (format, a, b, _rm, status) => {
    status.flags |= signalling(format, a, b);
    return softLessOrEqual(format, a, b, { flags: 0 }) ? 1n : 0n;
  },
  fltq: (format, a, b, _rm, status) => {
    status.flags |= signalling(format, a, b);
    return softLess(format, a, b, { flags: 0 }) ? 1n : 0n;
  },
};

function operandPairs(width: Width): [bigint, bigint][] {
  const random = new RandomBits(width);
  const edges = edgesOf(width);
  const pairs = edges.flatMap((a) => edges.map((b): [bigint, bigint] => [a, b]));
  for (let i = 0; i < 4000; i++) pairs.push([interesting(random, width), interesting(random, width)]);
  return pairs;
}

function check(
  mnemonic: string,
  operands: readonly (readonly [bigint, bigint])[],
  width: number,
  model: (a: bigint, b: bigint, rm: number, status: FloatStatus) => bigint,
): void {
  const { fast, registers, words } = compileTiers(additionalFloatSemantics[mnemonic]);
  for (const [a, b] of operands)
    for (let rm = 0; rm < 5; rm++) {
      registers.set([box(width, a), box(width, b)]);
      words[8] = 0;
      words[9] = rm;
      const status: FloatStatus = { flags: 0 };
      const done = fast();
      const expected = model(a, b, rm, status);
      if (done === DONE && registers[3] === expected && words[8] === status.flags) continue;
      expect(
        [done, registers[3].toString(16), words[8]],
        `${mnemonic} ${a.toString(16)} ${b.toString(16)} mode ${rm}`,
      ).toEqual([DONE, expected.toString(16), status.flags]);
    }
}

describe.each(FORMATS)('Zfa, .%s', (suffix, format, width) => {
  test.each(Object.entries(TO_FLOAT))('%s', (name, model) => {
    check(`${name}.${suffix}`, operandPairs(width), width, (a, b, rm, status) =>
      box(width, model(format, a, b, rm, status)),
    );
  });
  test.each(Object.entries(COMPARE))('%s', (name, model) => {
    check(`${name}.${suffix}`, operandPairs(width), width, (a, b, rm, status) =>
      model(format, a, b, rm, status),
    );
  });

  test('fli', () => {
    const machine = new InterpreterExecutor();
    const row = instructionNamed(`fli.${suffix}`);
    const view = new DataView(new ArrayBuffer(8));
    loadableConstants(suffix as 's' | 'd' | 'h').forEach((value, number) => {
      view.setFloat64(0, value);
      const status: FloatStatus = { flags: 0 };
      const bits = softConvert(BINARY64, format, view.getBigUint64(0), 0, status);
      const code = [row.match | (10 << 7) | (number << 15)];
      const results = machine.run({ code, records: integerRecords(new RandomBits(1), 1, false) });
      expect(results[SLOT_FA].toString(16), String(value)).toBe(box(width, bits).toString(16));
    });
  });
});

test('the constants of fli are those of the manual', () => {
  expect(loadableConstants('s').slice(0, 10)).toEqual([
    -1,
    2 ** -126,
    1 / 65536,
    1 / 32768,
    1 / 256,
    1 / 128,
    0.0625,
    0.125,
    0.25,
    0.3125,
  ]);
  expect(loadableConstants('d')[16]).toBe(1);
  expect(loadableConstants('d').slice(20)).toEqual([
    2,
    2.5,
    3,
    4,
    8,
    16,
    128,
    256,
    32768,
    65536,
    Infinity,
    Number.NaN,
  ]);
  expect(encode(instructionNamed('fli.d'), { rd: 10 }, 0, 0)).toBe(0xf210_0553);
});

test('fcvtmod.w.d', () => {
  const edges = [
    2 ** 31,
    2 ** 31 - 1,
    2 ** 32,
    2 ** 32 + 5,
    2 ** 53 + 2,
    2 ** 63,
    2 ** 70 + 2 ** 30,
    2 ** 83,
    2 ** 84,
    0.5,
  ];
  const view = new DataView(new ArrayBuffer(8));
  const patterns = edges.flatMap((value) =>
    [value, -value, value + 0.75, -value - 1].map((one) => {
      view.setFloat64(0, one);
      return view.getBigUint64(0);
    }),
  );
  const operands = [...patterns.map((a): [bigint, bigint] => [a, 0n]), ...operandPairs(64)];
  check('fcvtmod.w.d', operands, 64, (a, _b, _rm, status) => {
    softToInteger(BINARY64, a, 32, true, 1, status);
    const x = unpack(BINARY64, a);
    if (x.kind !== KIND_FINITE) return 0n;
    const magnitude =
      x.exponent >= 0 ? x.significand << BigInt(x.exponent) : x.significand >> BigInt(-x.exponent);
    return BigInt.asUintN(64, BigInt.asIntN(32, x.negative ? -magnitude : magnitude));
  });
});
