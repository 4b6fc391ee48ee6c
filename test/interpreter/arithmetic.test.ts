import { describe, expect, test } from 'vitest';
import { EXIT_ECALL } from '../../src/sync/records/thread.js';
import { assemble } from '../isa/assembler.js';
import { CODE, machineWith } from './runCode.js';

/** Values at which integer instructions go wrong. */
const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  64n,
  0x7fffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1234_5678_9abc_def0n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_ffff_fffen,
  0xffff_ffff_ffff_ffffn,
];

const u = (value: bigint): bigint => BigInt.asUintN(64, value);
const s = (value: bigint): bigint => BigInt.asIntN(64, value);
/** Result of a W instruction. */
const w = (value: bigint): bigint => u(BigInt.asIntN(32, value));
const s32 = (value: bigint): bigint => BigInt.asIntN(32, value);
const u32 = (value: bigint): bigint => BigInt.asUintN(32, value);
const flag = (value: boolean): bigint => (value ? 1n : 0n);

const divide = (a: bigint, b: bigint): bigint => (b === 0n ? -1n : a / b);
const remainder = (a: bigint, b: bigint): bigint => (b === 0n ? a : a % b);

/** What the manual says each instruction computes, in BigInts. */
const REGISTER_FORMS: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => u(a + b),
  sub: (a, b) => u(a - b),
  sll: (a, b) => u(a << (b & 63n)),
  slt: (a, b) => flag(s(a) < s(b)),
  sltu: (a, b) => flag(a < b),
  xor: (a, b) => a ^ b,
  srl: (a, b) => a >> (b & 63n),
  sra: (a, b) => u(s(a) >> (b & 63n)),
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  addw: (a, b) => w(a + b),
  subw: (a, b) => w(a - b),
  sllw: (a, b) => w(a << (b & 31n)),
  srlw: (a, b) => w(u32(a) >> (b & 31n)),
  sraw: (a, b) => w(s32(a) >> (b & 31n)),
  mul: (a, b) => u(a * b),
  mulh: (a, b) => u((s(a) * s(b)) >> 64n),
  mulhsu: (a, b) => u((s(a) * b) >> 64n),
  mulhu: (a, b) => (a * b) >> 64n,
  div: (a, b) => u(divide(s(a), s(b))),
  divu: (a, b) => u(divide(a, b)),
  rem: (a, b) => u(remainder(s(a), s(b))),
  remu: (a, b) => remainder(a, b),
  mulw: (a, b) => w(a * b),
  divw: (a, b) => w(divide(s32(a), s32(b))),
  divuw: (a, b) => w(divide(u32(a), u32(b))),
  remw: (a, b) => w(remainder(s32(a), s32(b))),
  remuw: (a, b) => w(remainder(u32(a), u32(b))),
};

const IMMEDIATE_FORMS: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  addi: REGISTER_FORMS.add,
  slti: REGISTER_FORMS.slt,
  sltiu: REGISTER_FORMS.sltu,
  xori: REGISTER_FORMS.xor,
  ori: REGISTER_FORMS.or,
  andi: REGISTER_FORMS.and,
  addiw: REGISTER_FORMS.addw,
};

const SHIFTS: Readonly<Record<string, readonly [(a: bigint, b: bigint) => bigint, number]>> = {
  slli: [REGISTER_FORMS.sll, 63],
  srli: [REGISTER_FORMS.srl, 63],
  srai: [REGISTER_FORMS.sra, 63],
  slliw: [REGISTER_FORMS.sllw, 31],
  srliw: [REGISTER_FORMS.srlw, 31],
  sraiw: [REGISTER_FORMS.sraw, 31],
};

/** Runs one instruction on a1 (and a2), for every pair of values. */
function check(
  text: string,
  pairs: Iterable<readonly [bigint, bigint]>,
  expected: (a: bigint, b: bigint) => bigint,
): void {
  const machine = machineWith(`${text}\necall`);
  for (const [a, b] of pairs) {
    machine.pc = CODE;
    machine.setX(11, a);
    machine.setX(12, b);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(10), `${text} of ${a.toString(16)}, ${b.toString(16)}`).toBe(expected(a, b));
    expect(machine.pc).toBe(CODE + 4);
  }
}

const PAIRS = EDGES.flatMap((a) => EDGES.map((b) => [a, b] as const));

describe('register forms', () => {
  test.each(Object.entries(REGISTER_FORMS))('%s', (name, expected) => {
    check(`${name} a0, a1, a2`, PAIRS, expected);
  });
});

describe('immediate forms', () => {
  test.each(Object.entries(IMMEDIATE_FORMS))('%s', (name, expected) => {
    for (const immediate of [0, 1, -1, 2047, -2048, 1365]) {
      const b = u(BigInt(immediate));
      check(
        `${name} a0, a1, ${immediate}`,
        EDGES.map((a) => [a, b] as const),
        expected,
      );
    }
  });

  test.each(Object.entries(SHIFTS))('%s', (name, [expected, most]) => {
    for (const amount of [0, 1, 7, 31, most]) {
      check(
        `${name} a0, a1, ${amount}`,
        EDGES.map((a) => [a, BigInt(amount)] as const),
        expected,
      );
    }
  });

  test('lui and auipc sign-extend', () => {
    check('lui a0, 0x80000', [[0n, 0n]], () => 0xffff_ffff_8000_0000n);
    check('lui a0, 0x7ffff', [[0n, 0n]], () => 0x7fff_f000n);
    check('auipc a0, 0xfffff', [[0n, 0n]], () => BigInt(CODE - 0x1000));
    check('auipc a0, 0x80000', [[0n, 0n]], () => u(BigInt(CODE) - 0x8000_0000n));
  });
});

describe('x0', () => {
  test.each([
    ...Object.keys(REGISTER_FORMS).map((name) => `${name} zero, a1, a2`),
    'addi zero, a1, 5',
    'lui zero, 5',
    'auipc zero, 5',
    'jal zero, 4',
    'csrrw zero, fcsr, a1',
    'csrrs zero, instret, zero',
  ])('%s leaves it 0', (text) => {
    const machine = machineWith(`${text}\nadd a0, zero, zero\necall`);
    machine.setX(11, 7n);
    machine.setX(12, 3n);
    machine.setX(10, 99n);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(0)).toBe(0n);
    expect(machine.x(10)).toBe(0n);
  });

  test('is 0 as the destination of a load', () => {
    const machine = machineWith('ld zero, 0(a1)\nadd a0, zero, zero\necall');
    machine.write64(0x40000, 77n);
    machine.setX(11, 0x40000n);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect([machine.x(0), machine.x(10)]).toEqual([0n, 0n]);
  });
});

test('every register is itself', () => {
  const machine = machineWith('');
  for (let register = 1; register < 32; register++) {
    // addi xN, xN, N; add x(N+1), x0, xN and so on would hide mix-ups: each is written from its own value only.
    const word = 0x13 | (register << 7) | (register << 15) | (register << 20);
    machine.write(
      CODE + (register - 1) * 4,
      [word, word >>> 8, word >>> 16, word >>> 24].map((b) => b & 255),
    );
    machine.setX(register, BigInt(register) << 32n);
  }
  machine.write(CODE + 31 * 4, assemble('ecall').bytes);
  machine.pc = CODE;
  expect(machine.run()).toBe(EXIT_ECALL);
  for (let register = 1; register < 32; register++) {
    expect(machine.x(register)).toBe((BigInt(register) << 32n) + BigInt(register));
  }
});

test('compressed instructions run like the long ones, and the pc goes on by two', () => {
  // c.li a0,5; c.addi a0,-7; c.slli a0,33; c.srai a0,1 (a0 is x10); c.mv a1,a0; c.add a1,a0; c.ebreak
  const machine = machineWith('.half 0x4515, 0x1565, 0x1506, 0x8505, 0x85aa, 0x95aa, 0x9002');
  expect(machine.run()).toBe(2);
  expect(machine.x(10)).toBe(u(-2n << 32n));
  expect(machine.x(11)).toBe(u(-2n << 33n));
  expect(machine.pc).toBe(CODE + 12);
  expect(machine.instret).toBe(6);
});
