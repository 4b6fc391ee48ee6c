import { describe, expect, it } from 'vitest';
import { executeFloat, FLOAT_CLASS } from '../../src/isa/floatingPointExact.js';
import { BINARY32, BINARY64, type FloatStatus, RNE } from '../../src/isa/softfloat.js';
import { softAdd, softDiv, softMul, softSqrt, softSub } from '../../src/isa/softfloatArithmetic.js';
import { softConvert, softFromInteger } from '../../src/isa/softfloatConvert.js';
import {
  type Batch,
  RECORD_SLOTS,
  referenceMissing,
  runOnReference,
  SLOT_A,
  SLOT_FA,
  SLOT_FCSR,
} from './executor/executor.js';
import { FLOAT_INSTRUCTIONS, floatRecords, withRoundingMode } from './floatInstructions.js';
import { EDGES_32, EDGES_64, interesting, RandomBits } from './floatVectors.js';

const view = new DataView(new ArrayBuffer(8));
function toDouble(bits: bigint): number {
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}
function fromDouble(value: number): bigint {
  if (Number.isNaN(value)) return BINARY64.canonicalNaN;
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}
function toSingle(bits: bigint): number {
  view.setUint32(0, Number(bits));
  return view.getFloat32(0);
}
function fromSingle(value: number): bigint {
  if (Number.isNaN(value)) return BINARY32.canonicalNaN;
  view.setFloat32(0, value);
  return BigInt(view.getUint32(0));
}

describe('the exact slow path against the host', () => {
  const status: FloatStatus = { flags: 0 };
  const pairs64: [bigint, bigint][] = [];
  const pairs32: [bigint, bigint][] = [];
  for (const a of EDGES_64) for (const b of EDGES_64) pairs64.push([a, b]);
  for (const a of EDGES_32) for (const b of EDGES_32) pairs32.push([a, b]);
  const random = new RandomBits(1);
  for (let i = 0; i < 20000; i++) {
    pairs64.push([interesting(random, 64), interesting(random, 64)]);
    pairs32.push([interesting(random, 32), interesting(random, 32)]);
  }

  it('agrees with binary64 arithmetic to nearest even', () => {
    for (const [a, b] of pairs64) {
      const x = toDouble(a);
      const y = toDouble(b);
      const seen = [softAdd, softSub, softMul, softDiv].map((f) => f(BINARY64, a, b, RNE, status));
      expect(seen).toEqual([fromDouble(x + y), fromDouble(x - y), fromDouble(x * y), fromDouble(x / y)]);
      expect(softSqrt(BINARY64, a, RNE, status)).toBe(fromDouble(Math.sqrt(x)));
      expect(softConvert(BINARY64, BINARY32, a, RNE, status)).toBe(fromSingle(Math.fround(x)));
    }
  });

  it('agrees with binary32 arithmetic to nearest even', () => {
    for (const [a, b] of pairs32) {
      const x = toSingle(a);
      const y = toSingle(b);
      const seen = [softAdd, softSub, softMul, softDiv].map((f) => f(BINARY32, a, b, RNE, status));
      // Rounding a binary64 result once more is innocuous for these operations.
      expect(seen).toEqual([fromSingle(x + y), fromSingle(x - y), fromSingle(x * y), fromSingle(x / y)]);
      expect(softSqrt(BINARY32, a, RNE, status)).toBe(fromSingle(Math.sqrt(x)));
    }
  });

  it('agrees with Number() of integers', () => {
    for (const [a] of pairs64) {
      expect(softFromInteger(BINARY64, a, RNE, status)).toBe(fromDouble(Number(a)));
      const signed = BigInt.asIntN(64, a);
      expect(softFromInteger(BINARY64, signed, RNE, status)).toBe(fromDouble(Number(signed)));
    }
  });
});

const missing = referenceMissing();
describe.skipIf(missing !== undefined)(
  `the exact slow path against qemu-riscv64${missing ? ` (skipped: ${missing})` : ''}`,
  () => {
    it.each(FLOAT_INSTRUCTIONS.map((i) => [i.name, i] as const))(
      '%s in every rounding mode',
      (_name, instruction) => {
        const modes = instruction.rounds ? [0, 1, 2, 3, 4] : [0];
        const batches: Batch[] = modes.map((rm) => ({
          code: [instruction.rounds ? withRoundingMode(instruction, rm) : instruction.word],
          records: floatRecords(instruction, 0, 2000),
        }));
        const results = runOnReference(batches);
        const register = instruction.toInteger ? SLOT_A : SLOT_FA;
        const source = instruction.fromInteger ? SLOT_A : SLOT_FA;
        batches.forEach(({ records }, rm) => {
          for (let at = 0; at < records.length; at += RECORD_SLOTS) {
            const status = { flags: 0 };
            const [a, b, c] = records.subarray(at + source + 1, at + source + 4);
            const result = executeFloat(instruction.operation, rm, a, b, c, status);
            const expected = results[rm][at + register];
            const flags = Number(results[rm][at + SLOT_FCSR]) & 31;
            if (result !== expected || status.flags !== flags)
              expect.fail(
                `rm ${rm} of ${[a, b, c].map((v) => v.toString(16))}: ${result.toString(16)} flags ${status.flags}, ` +
                  `qemu ${expected.toString(16)} flags ${flags}`,
              );
          }
          expect(records.length).toBe(results[rm].length);
        });
      },
      60_000,
    );
  },
);

describe('classification', () => {
  it('sets exactly one bit', () => {
    const seen = EDGES_64.map((bits) => executeFloat(FLOAT_CLASS | 32, 0, bits, 0n, 0n, { flags: 0 }));
    expect(new Set(seen)).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((bit) => 1n << BigInt(bit))));
  });
});
