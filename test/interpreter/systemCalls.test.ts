import { expect, test } from 'vitest';
import { CodePage } from '../../src/sync/records/codePage.js';
import {
  ATTENTION_SIGNAL,
  EXIT_ATTENTION,
  EXIT_ECALL,
  EXIT_ENDED,
  Thread,
} from '../../src/sync/records/thread.js';
import type { BareMachine } from './bareMachine.js';
import { CODE, DATA, machineWith, register } from './runCode.js';

/** Two calls, with a load behind each. */
const SOURCE = 'lui a1, 64\nld a2, 0(a1)\necall\nld a3, 0(a1)\necall\nld a4, 0(a1)\necall';

/** A machine whose calls `calls` makes, one after another; the last is left to the kernel. */
function machineWithCalls(...calls: ((machine: BareMachine) => number)[]): BareMachine {
  const machine: BareMachine = machineWith(SOURCE, {
    systemCall: () => calls.shift()?.(machine) ?? EXIT_ECALL,
  });
  machine.write64(DATA, 1n);
  return machine;
}

const pcOf = (machine: BareMachine): number => machine.mem.getU64(machine.thread + Thread.pc);

test('goes on behind calls that are made, and counts them as the kernel does', () => {
  const at: number[] = [];
  const done = (machine: BareMachine): number => {
    at.push(pcOf(machine), machine.mem.getU64(machine.thread + Thread.instret));
    return 0;
  };
  const machine = machineWithCalls(done, done);
  expect(machine.run()).toBe(EXIT_ECALL);
  expect(at).toEqual([CODE + 8, 2, CODE + 16, 3]);
  expect(pcOf(machine)).toBe(CODE + 24);
  expect(machine.mem.getU64(machine.thread + Thread.instret)).toBe(4);
});

test('looks its tables and its code up again', () => {
  const machine = machineWithCalls(
    ({ mem, thread }) => {
      // The tables have moved, and another page is mapped now.
      const moved = 0x180_0000;
      mem.u8.copyWithin(moved, mem.getU32(thread + Thread.readTable), mem.getU32(thread + Thread.writeTable));
      mem.setU32(thread + Thread.readTable, moved);
      const entry = moved + (DATA >>> 12) * 4;
      mem.setU32(entry, mem.getU32(entry + 4) + 4096);
      return 0;
    },
    (it) => {
      // Another page of code with the same instructions, but for the load: it is another register's.
      const old = it.codePage(CODE);
      const fresh = 0x200_0000;
      const source = fresh + CodePage.SIZE + 4096;
      const from = it.mem.getU32(old + CodePage.source);
      it.mem.u8.copyWithin(source, from, from + 4096);
      it.mem.setU32(source + 20, (it.mem.getU32(source + 20) & ~(31 << 7)) | (15 << 7));
      it.mem.setU32(fresh + CodePage.source, source);
      it.mem.setU32(fresh + CodePage.extensions, it.extensions);
      it.setCodePage(CODE, fresh);
      return 0;
    },
  );
  machine.write64(DATA + 4096, 2n);
  expect(machine.run()).toBe(EXIT_ECALL);
  expect(['a2', 'a3', 'a4', 'a5'].map((name) => register(machine, name))).toEqual([1n, 2n, 0n, 2n]);
});

test('looks at the attention word behind a call', () => {
  const machine = machineWithCalls(({ mem, thread }) => {
    mem.setI32(thread + Thread.attention, ATTENTION_SIGNAL);
    return 0;
  });
  expect(machine.run()).toBe(EXIT_ATTENTION);
  expect(pcOf(machine)).toBe(CODE + 12);
});

test('leaves the record alone once the thread is gone', () => {
  const machine = machineWithCalls(({ mem, thread }) => {
    mem.u8.fill(0xaa, thread, thread + Thread.SIZE);
    return EXIT_ENDED;
  });
  const { mem, thread } = machine;
  expect(machine.run()).toBe(EXIT_ENDED);
  expect(mem.u8.slice(thread, thread + Thread.SIZE).every((byte) => byte === 0xaa)).toBe(true);
});
