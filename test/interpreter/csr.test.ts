import { describe, expect, test } from 'vitest';
import { EXIT_ECALL, EXIT_ILLEGAL, Thread } from '../../src/sync/records/thread.js';
import type { BareMachine } from './bareMachine.js';
import { CODE, machineWith, register } from './runCode.js';

const flags = (machine: BareMachine): number[] => [
  machine.mem.getU32(machine.thread + Thread.fflags),
  machine.mem.getU32(machine.thread + Thread.frm),
];

function withFcsr(source: string, fflags: number, frm: number): BareMachine {
  const machine = machineWith(`${source}\necall`);
  machine.mem.setU32(machine.thread + Thread.fflags, fflags);
  machine.mem.setU32(machine.thread + Thread.frm, frm);
  machine.setX(11, 0xffff_ffff_ffff_ff6bn);
  expect(machine.run()).toBe(EXIT_ECALL);
  return machine;
}

describe('floating-point CSRs', () => {
  test.each([
    ['csrrw a0, fcsr, a1', 0x0a, 2, 0x4an, [0x0b, 3]],
    ['csrrs a0, fcsr, a1', 0x04, 4, 0x84n, [0x0f, 7]],
    ['csrrc a0, fcsr, a1', 0x1f, 7, 0xffn, [0x14, 4]],
    ['csrrs a0, fcsr, zero', 0x1f, 7, 0xffn, [0x1f, 7]],
    ['csrrwi a0, fcsr, 31', 0x00, 7, 0xe0n, [0x1f, 0]],
    ['csrrsi a0, fcsr, 16', 0x01, 1, 0x21n, [0x11, 1]],
    ['csrrci a0, fcsr, 1', 0x01, 1, 0x21n, [0x00, 1]],
    ['csrrw a0, fflags, a1', 0x15, 5, 0x15n, [0x0b, 5]],
    ['csrrs a0, fflags, a1', 0x14, 5, 0x14n, [0x1f, 5]],
    ['csrrci a0, fflags, 20', 0x15, 5, 0x15n, [0x01, 5]],
    ['csrrw a0, frm, a1', 0x15, 5, 5n, [0x15, 3]],
    ['csrrsi a0, frm, 2', 0x15, 5, 5n, [0x15, 7]],
    ['csrrwi a0, frm, 31', 0x15, 5, 5n, [0x15, 7]],
    ['csrrw a1, fcsr, a1', 0x0a, 2, 0n, [0x0b, 3]],
  ])('%s', (text, fflags, frm, read, after) => {
    const machine = withFcsr(text, fflags, frm);
    expect(register(machine, 'a0')).toBe(read);
    expect(flags(machine)).toEqual(after);
    if (text.startsWith('csrrw a1')) expect(register(machine, 'a1')).toBe(0x4an);
  });

  test('a reserved dynamic rounding mode makes the instruction illegal, not the write', () => {
    const machine = machineWith('csrrwi zero, frm, 5\nfadd.d fa0, fa0, fa0, dyn');
    expect(machine.run()).toBe(EXIT_ILLEGAL);
    expect([machine.pc, machine.exitAddress, machine.exitSize]).toEqual([CODE + 4, 0x02a5_7553n, 4]);
  });
});

describe('counters', () => {
  test('instret and cycle count the instructions before', () => {
    const machine = machineWith('nop\nnop\ncsrrs a0, instret, zero\ncsrrs a1, cycle, zero\necall');
    machine.mem.set64(machine.thread + Thread.instret, 1000);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect([register(machine, 'a0'), register(machine, 'a1')]).toEqual([1002n, 1003n]);
    expect(machine.instret).toBe(1004);
  });

  test('time goes forward at 10 MHz', () => {
    const machine = machineWith('csrrs a0, time, zero\necall');
    machine.run();
    const first = register(machine, 'a0');
    const until = performance.now() + 5;
    while (performance.now() < until);
    machine.pc = CODE;
    machine.run();
    const ticks = Number(register(machine, 'a0') - first);
    expect(ticks).toBeGreaterThanOrEqual(50_000);
    expect(ticks).toBeLessThan(50_000_000);
  });

  test.each([
    ['csrrw zero, cycle', 0xc000_1073],
    ['csrrs a0, cycle, a1', 0xc005_a573],
    ['csrrwi zero, time', 0xc010_5073],
  ])('%s is illegal', (_text, word) => {
    const machine = machineWith(`.word ${word}`);
    expect(machine.run()).toBe(EXIT_ILLEGAL);
  });
});
