import { expect, test } from 'vitest';
import { decode } from '../../src/isa/decoder.js';
import { instructionNamed } from '../../src/isa/instructions.js';
import { encode, integerRecords } from './differentialPrograms.js';
import { ILLEGAL, RECORD_SLOTS, SLOT_A, SLOT_FCSR } from './executor/executor.js';
import { InterpreterExecutor } from './executor/interpreterExecutor.js';
import { RandomBits } from './floatVectors.js';

/** What qemu-riscv64 7.2 does not have, or has wrong, against the manual's definitions written out on BigInts. */

const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
const word = (value: bigint): bigint => BigInt.asUintN(32, value);
const bitAt = (value: bigint, i: number): bigint => (value >> BigInt(i)) & 1n;

function carryless(a: bigint, b: bigint): bigint {
  let product = 0n;
  for (let i = 0; i < 64; i++) if (bitAt(b, i)) product ^= a << BigInt(i);
  return product;
}
function trailingZeros(value: bigint, width: number): bigint {
  let count = 0;
  while (count < width && !bitAt(value, count)) count++;
  return BigInt(count);
}

const MODELS: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  ctz: (a) => trailingZeros(a, 64),
  ctzw: (a) => trailingZeros(word(a), 32),
  'czero.eqz': (a, b) => (b === 0n ? 0n : a),
  'czero.nez': (a, b) => (b === 0n ? a : 0n),
  clmul: (a, b) => carryless(a, b),
  clmulh: (a, b) => carryless(a, b) >> 64n,
  clmulr: (a, b) => carryless(a, b) >> 63n,
  max: (a, b) => (signed(a) > signed(b) ? a : b),
  'add.uw': (a, b) => word(a) + b,
};

const machine = new InterpreterExecutor();

test.each(Object.entries(MODELS))('%s', (mnemonic, model) => {
  const records = integerRecords(new RandomBits(1), 400);
  const results = machine.run({ code: [encode(instructionNamed(mnemonic), {}, 0, 0)], records });
  for (let at = 0; at < records.length; at += RECORD_SLOTS) {
    const [a, b] = [records[at + SLOT_A + 1], records[at + SLOT_A + 2]];
    expect(results[at + SLOT_A], `${a.toString(16)} ${b.toString(16)}`).toBe(BigInt.asUintN(64, model(a, b)));
  }
});

/** Zcb: the halfword, as binutils 2.42 assembles it, and the instruction it stands for. */
test.each([
  [0x8188, 'lbu', { rd: 10, rs1: 11, immediate: 0 }],
  [0x81e8, 'lbu', { rd: 10, rs1: 11, immediate: 3 }],
  [0x8588, 'lhu', { rd: 10, rs1: 11, immediate: 0 }],
  [0x85a8, 'lhu', { rd: 10, rs1: 11, immediate: 2 }],
  [0x85e8, 'lh', { rd: 10, rs1: 11, immediate: 2 }],
  [0x89c8, 'sb', { rs2: 10, rs1: 11, immediate: 1 }],
  [0x8da8, 'sh', { rs2: 10, rs1: 11, immediate: 2 }],
  [0x9d61, 'andi', { rd: 10, rs1: 10, immediate: 255 }],
  [0x9d65, 'sext.b', { rd: 10, rs1: 10 }],
  [0x9d69, 'zext.h', { rd: 10, rs1: 10 }],
  [0x9d6d, 'sext.h', { rd: 10, rs1: 10 }],
  [0x9d71, 'add.uw', { rd: 10, rs1: 10, rs2: 0 }],
  [0x9d75, 'xori', { rd: 10, rs1: 10, immediate: -1 }],
  [0x9d4d, 'mul', { rd: 10, rs1: 10, rs2: 11 }],
])('%#x is %s', (half, mnemonic, fields) => {
  const decoded = decode(half)!;
  expect(decoded).toMatchObject({ length: 2, ...fields });
  expect(decoded.instruction.mnemonic).toBe(mnemonic);
});

test('cbo.zero clears the block around its address, and nothing else', () => {
  const records = integerRecords(new RandomBits(2), 1, false);
  const addi = (rd: number, rs1: number, immediate: number): number =>
    (0x13 | (rd << 7) | (rs1 << 15) | (immediate << 20)) >>> 0;
  // a4 is the middle of the record's 64 bytes of memory, which are a block.
  const zero = encode(instructionNamed('cbo.zero'), { rs1: 13 }, 0, 0);
  const results = machine.run({ code: [addi(13, 14, 7), zero, addi(13, 0, 0)], records });
  expect([...results.subarray(9, 17)]).toEqual(new Array(8).fill(0n));
  expect(results[SLOT_FCSR]).not.toBe(ILLEGAL);
});

test.each(['cbo.clean', 'cbo.flush', 'cbo.inval'])('%s changes nothing', (mnemonic) => {
  const records = integerRecords(new RandomBits(3), 2, false);
  const results = machine.run({ code: [encode(instructionNamed(mnemonic), { rs1: 14 }, 0, 0)], records });
  expect([...results]).toEqual([...records]);
});

test.each(['wrs.nto', 'wrs.sto'])('%s ends', (mnemonic) => {
  const records = integerRecords(new RandomBits(4), 2, false);
  expect([...machine.run({ code: [instructionNamed(mnemonic).match], records })]).toEqual([...records]);
});
