import { describe, expect, test } from 'vitest';
import { EXIT_ECALL, EXIT_READ_FAULT, EXIT_WRITE_FAULT } from '../../src/sync/records/thread.js';
import type { BareMachine } from './bareMachine.js';
import { CODE, DATA, machineWith } from './runCode.js';

const PATTERN = Uint8Array.from({ length: 32 }, (_, i) => 0x71 + i * 13);

/** The value of `size` bytes at `offset` of PATTERN. */
function little(offset: number, size: number, signed: boolean): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(PATTERN[offset + i]);
  return BigInt.asUintN(64, signed ? BigInt.asIntN(size * 8, value) : value);
}

const LOADS = [
  ['lb', 1, true],
  ['lbu', 1, false],
  ['lh', 2, true],
  ['lhu', 2, false],
  ['lw', 4, true],
  ['lwu', 4, false],
  ['ld', 8, true],
] as const;
const STORES = [
  ['sb', 1],
  ['sh', 2],
  ['sw', 4],
  ['sd', 8],
] as const;

describe.each([
  [12, 4096],
  [14, 16384],
])('host pages of 2^%i bytes', (hostPageShift, hostPage) => {
  const at = (source: string, address: number): BareMachine => {
    const machine = machineWith(`${source}\necall`, { hostPageShift });
    machine.map(DATA + hostPage, hostPage);
    machine.setX(11, BigInt(address));
    return machine;
  };

  test.each(LOADS)('%s at every alignment, within a page and across pages', (name, size, signed) => {
    for (const base of [DATA + 64, DATA + hostPage - 16]) {
      for (let offset = 0; offset < 17; offset++) {
        const machine = at(`${name} a0, 0(a1)`, base + offset);
        machine.write(base, PATTERN);
        expect(machine.run()).toBe(EXIT_ECALL);
        expect(machine.x(10), `${name} at +${offset}`).toBe(little(offset, size, signed));
        expect(machine.instret).toBe(1);
      }
    }
  });

  test.each(STORES)('%s at every alignment, within a page and across pages', (name, size) => {
    for (const base of [DATA + 64, DATA + hostPage - 16]) {
      for (let offset = 0; offset < 17; offset++) {
        const machine = at(`${name} a0, 0(a1)`, base + offset);
        machine.write(base, PATTERN);
        machine.setX(10, 0xf1e2_d3c4_b5a6_9788n);
        expect(machine.run()).toBe(EXIT_ECALL);
        const expected = [...PATTERN];
        [0x88, 0x97, 0xa6, 0xb5, 0xc4, 0xd3, 0xe2, 0xf1].slice(0, size).forEach((byte, i) => {
          expected[offset + i] = byte;
        });
        expect([...machine.read(base, 32)], `${name} at +${offset}`).toEqual(expected);
      }
    }
  });
});

describe('offsets', () => {
  test('are sign extended and added modulo 2^64', () => {
    const machine = machineWith('ld a0, -8(a1)\nld a2, 2040(a3)\nld a4, 16(a5)\necall');
    machine.write64(DATA, 1n);
    machine.write64(DATA + 8, 2n);
    machine.map(0, 4096);
    machine.write64(8, 3n);
    machine.setX(11, BigInt(DATA + 8));
    machine.setX(13, BigInt(DATA + 8 - 2040));
    machine.setX(15, 0xffff_ffff_ffff_fff8n);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect([machine.x(10), machine.x(12), machine.x(14)]).toEqual([1n, 2n, 3n]);
  });
});

describe('faults leave everything as it was', () => {
  const HOLE = DATA + 0x4000;

  test.each(LOADS)('%s', (name, size) => {
    const machine = machineWith(`addi a2, a2, 1\n${name} a1, 0(a1)\necall`);
    machine.setX(11, BigInt(HOLE + 8));
    expect(machine.run()).toBe(EXIT_READ_FAULT);
    expect(machine.pc).toBe(CODE + 4);
    expect(machine.exitAddress).toBe(BigInt(HOLE + 8));
    expect(machine.exitSize).toBe(size);
    expect(machine.x(11)).toBe(BigInt(HOLE + 8));
    expect(machine.instret).toBe(1);
    // The page comes, and the instruction is done again.
    machine.map(HOLE, 4096);
    machine.write(HOLE + 8, new Uint8Array(8).fill(1));
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(12)).toBe(1n);
    expect(machine.instret).toBe(2);
  });

  test.each(STORES)('%s', (name, size) => {
    const machine = machineWith(`${name} a0, 0(a1)\necall`);
    machine.unmap(DATA, 'w');
    machine.setX(10, 5n);
    machine.setX(11, BigInt(DATA + 16));
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect([machine.pc, machine.exitAddress, machine.exitSize]).toEqual([CODE, BigInt(DATA + 16), size]);
    expect(machine.read64(DATA + 16)).toBe(0n);
  });

  test.each(LOADS.filter(([, size]) => size > 1))('%s whose second page is missing', (name, size) => {
    const machine = machineWith(`${name} a0, 0(a1)\necall`);
    machine.setX(10, 99n);
    machine.setX(11, BigInt(HOLE - 1));
    expect(machine.run()).toBe(EXIT_READ_FAULT);
    expect([machine.exitAddress, machine.exitSize]).toEqual([BigInt(HOLE), size]);
    expect(machine.x(10)).toBe(99n);
  });

  test.each(STORES.filter(([, size]) => size > 1))('%s whose second page is missing', (name, size) => {
    const machine = machineWith(`${name} a0, 0(a1)\necall`);
    machine.setX(10, 0xffff_ffff_ffff_ffffn);
    machine.setX(11, BigInt(HOLE - 1));
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect([machine.exitAddress, machine.exitSize]).toEqual([BigInt(HOLE), size]);
    expect([...machine.read(HOLE - 8, 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test.each(STORES.filter(([, size]) => size > 1))('%s whose first page is missing', (name) => {
    const machine = machineWith(`${name} a0, 0(a1)\necall`);
    machine.map(HOLE + 0x1000, 4096);
    machine.setX(10, 0xffff_ffff_ffff_ffffn);
    machine.setX(11, BigInt(HOLE + 0xfff));
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect(machine.exitAddress).toBe(BigInt(HOLE + 0xfff));
    expect([...machine.read(HOLE + 0x1000, 8)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  test.each([
    ['just beyond the reach', 1n << 28n],
    ['straddling the reach', (1n << 28n) - 4n],
    ['whose low 32 bits are mapped', (1n << 32n) + BigInt(DATA)],
    ['in the upper half', 0xffff_ffff_0004_0000n],
    ['the last one', 0xffff_ffff_ffff_fff8n],
    ['wrapping round', 0xffff_ffff_ffff_fffcn],
  ])('an address %s', (_name, address) => {
    const machine = machineWith('ld a0, 0(a1)\necall');
    machine.map((1 << 28) - 4096, 4096);
    machine.setX(11, address);
    expect(machine.run()).toBe(EXIT_READ_FAULT);
    const first = address === (1n << 28n) - 4n ? 1n << 28n : address;
    expect(machine.exitAddress).toBe(first);
    const store = machineWith('sd a0, 0(a1)\necall');
    store.map((1 << 28) - 4096, 4096);
    store.setX(11, address);
    expect(store.run()).toBe(EXIT_WRITE_FAULT);
    expect(store.exitAddress).toBe(first);
  });

  test('an access that wraps round to a mapped page 0', () => {
    const machine = machineWith('ld a0, 0(a1)\necall');
    machine.map(0, 4096);
    machine.setX(11, 0xffff_ffff_ffff_fffcn);
    expect(machine.run()).toBe(EXIT_READ_FAULT);
    expect(machine.exitAddress).toBe(0xffff_ffff_ffff_fffcn);
  });
});
