import { describe, expect, test } from 'vitest';
import {
  EXIT_ECALL,
  EXIT_MISALIGNED_ATOMIC,
  EXIT_READ_FAULT,
  EXIT_WRITE_FAULT,
} from '../../src/sync/records/thread.js';
import { CODE, DATA, machineWith } from './runCode.js';

const s = BigInt.asIntN;
const u = BigInt.asUintN;
const less = (signed: boolean, bits: number, a: bigint, b: bigint): boolean =>
  signed ? s(bits, a) < s(bits, b) : u(bits, a) < u(bits, b);

/** New value of memory, from the old one and the operand. */
const OPERATIONS: Readonly<Record<string, (a: bigint, b: bigint, bits: number) => bigint>> = {
  amoswap: (_a, b) => b,
  amoadd: (a, b) => a + b,
  amoxor: (a, b) => a ^ b,
  amoand: (a, b) => a & b,
  amoor: (a, b) => a | b,
  amomin: (a, b, bits) => (less(true, bits, a, b) ? a : b),
  amomax: (a, b, bits) => (less(true, bits, a, b) ? b : a),
  amominu: (a, b, bits) => (less(false, bits, a, b) ? a : b),
  amomaxu: (a, b, bits) => (less(false, bits, a, b) ? b : a),
};
const VALUES = [
  0n,
  1n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  1n << 63n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
];

const CASES = Object.keys(OPERATIONS).flatMap((name) => [
  [`${name}.w`, 32] as const,
  [`${name}.d`, 64] as const,
]);

describe('AMO', () => {
  test.each(CASES)('%s', (name, bits) => {
    const operation = OPERATIONS[name.slice(0, -2)];
    const machine = machineWith(`${name}.aqrl a0, a2, 0(a1)\necall`.replace('0(', '('));
    for (const memory of VALUES) {
      for (const operand of VALUES) {
        machine.pc = CODE;
        machine.write64(DATA + 8, memory);
        machine.setX(11, BigInt(DATA + 8));
        machine.setX(12, operand);
        expect(machine.run()).toBe(EXIT_ECALL);
        expect(machine.x(10)).toBe(u(64, s(bits, memory)));
        const low = u(bits, operation(u(bits, memory), u(bits, operand), bits));
        expect(machine.read64(DATA + 8)).toBe(bits === 64 ? low : ((memory >> 32n) << 32n) | low);
      }
    }
  });

  test('with rd, rs1 and rs2 the same register', () => {
    const machine = machineWith('amoadd.d a1, a1, (a1)\necall');
    machine.write64(DATA, 5n);
    machine.setX(11, BigInt(DATA));
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(11)).toBe(5n);
    expect(machine.read64(DATA)).toBe(BigInt(DATA) + 5n);
  });

  test.each(CASES)('%s needs alignment and a writable page', (name, bits) => {
    const size = bits / 8;
    const machine = machineWith(`${name} a0, a2, (a1)\necall`);
    machine.setX(10, 99n);
    machine.setX(11, BigInt(DATA + size / 2));
    expect(machine.run()).toBe(EXIT_MISALIGNED_ATOMIC);
    expect([machine.pc, machine.exitAddress, machine.exitSize]).toEqual([
      CODE,
      BigInt(DATA + size / 2),
      size,
    ]);
    machine.setX(11, BigInt(DATA));
    machine.unmap(DATA, 'w');
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect([machine.pc, machine.exitAddress, machine.exitSize]).toEqual([CODE, BigInt(DATA), size]);
    machine.setX(11, 1n << 40n);
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect(machine.exitAddress).toBe(1n << 40n);
    expect([machine.x(10), machine.instret]).toEqual([99n, 0]);
  });
});

describe.each([
  ['w', 4],
  ['d', 8],
])('LR/SC .%s', (suffix, size) => {
  const PAIR = `lr.${suffix} a0, (a1)\nsc.${suffix} a2, a3, (a1)\necall`;

  test('succeeds when nothing came between', () => {
    const machine = machineWith(PAIR);
    machine.write64(DATA, 0xffff_ffff_8000_0000n);
    machine.setX(11, BigInt(DATA));
    machine.setX(13, 0x1234n);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(10)).toBe(0xffff_ffff_8000_0000n);
    expect(machine.x(12)).toBe(0n);
    expect(machine.read64(DATA)).toBe(size === 4 ? 0xffff_ffff_0000_1234n : 0x1234n);
  });

  test('fails when the value has changed', () => {
    const machine = machineWith(`lr.${suffix} a0, (a1)\nsw a4, 0(a1)\nsc.${suffix} a2, a3, (a1)\necall`);
    machine.setX(11, BigInt(DATA));
    machine.setX(13, 0x1234n);
    machine.setX(14, 7n);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(12)).toBe(1n);
    expect(machine.read64(DATA)).toBe(7n);
  });

  test('fails at another address, without a reservation, and the second time', () => {
    const machine = machineWith(`
      sc.${suffix} a2, a3, (a1)
      lr.${suffix} a0, (a1)
      sc.${suffix} a4, a3, (a5)
      lr.${suffix} a0, (a1)
      sc.${suffix} a6, a3, (a1)
      sc.${suffix} a7, a3, (a1)
      ecall`);
    machine.setX(11, BigInt(DATA));
    machine.setX(15, BigInt(DATA + 8));
    machine.setX(13, 0n);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect([12, 14, 16, 17].map((n) => machine.x(n))).toEqual([1n, 1n, 0n, 1n]);
  });

  test('a misaligned SC faults, though it would fail anyway', () => {
    const machine = machineWith(`sc.${size === 4 ? 'w' : 'd'} a2, a0, (a1)\necall`);
    machine.setX(11, BigInt(DATA + size / 2));
    expect(machine.run()).toBe(EXIT_MISALIGNED_ATOMIC);
    expect([machine.pc, machine.exitAddress]).toEqual([CODE, BigInt(DATA + size / 2)]);
  });

  test('faults: misaligned, unmapped, read-only', () => {
    const machine = machineWith(PAIR);
    machine.setX(11, BigInt(DATA + size / 2));
    expect(machine.run()).toBe(EXIT_MISALIGNED_ATOMIC);
    machine.setX(11, BigInt(DATA + 0x4000));
    expect(machine.run()).toBe(EXIT_READ_FAULT);
    expect([machine.exitAddress, machine.exitSize]).toEqual([BigInt(DATA + 0x4000), size]);
    machine.unmap(DATA, 'w');
    machine.setX(11, BigInt(DATA));
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect(machine.pc).toBe(CODE + 4);
    // The reservation has outlived the fault: given the page, the SC is done again and succeeds.
    machine.map(DATA, 4096);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(12)).toBe(0n);
  });
});
