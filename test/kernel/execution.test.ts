import { beforeEach, describe, expect, it } from 'vitest';
import { CLONE_NEWNS, CLONE_PIDFD, cloneThread } from '../../src/kernel/clone.js';
import type { Engine } from '../../src/kernel/engine.js';
import { runThread } from '../../src/kernel/execution.js';
import { endThread, exitGroup } from '../../src/kernel/exit.js';
import * as SYS from '../../src/kernel/linux/syscallNumbers.js';
import { linuxSyscalls } from '../../src/kernel/linux/syscallTable.js';
import { walkRobustList } from '../../src/kernel/robustList.js';
import { actionOf } from '../../src/kernel/signals/pendingSignals.js';
import { SIGBUS, SIGILL, SIGSEGV, SIGTRAP } from '../../src/kernel/signals/signalNumbers.js';
import { reapGuest } from '../../src/kernel/spawn.js';
import type { ThreadContext } from '../../src/kernel/threadContext.js';
import { readU32, write64, writeU32 } from '../../src/memory/userAccess.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { GUEST_ZOMBIE, Guest } from '../../src/sync/records/guest.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import { SignalAction } from '../../src/sync/records/signals.js';
import {
  ATTENTION_EXIT,
  ATTENTION_TIER,
  EXIT_ATTENTION,
  EXIT_EBREAK,
  EXIT_ECALL,
  EXIT_ILLEGAL,
  EXIT_MISALIGNED_ATOMIC,
  EXIT_READ_FAULT,
  EXIT_WRITE_FAULT,
  Thread,
} from '../../src/sync/records/thread.js';
import { RequestKind, takeRequest } from '../../src/sync/ring.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';
import { contextOf, createGuest, createKernel, map } from './kernelGuest.js';

const HANDLER = 0x7000;
let mem: SharedMemory;
let t: ThreadContext;

beforeEach(() => {
  mem = createKernel();
  t = createGuest(mem);
  setX(2, map(t, 65536) + 65536);
  mem.set64(t.thread + Thread.pc, 0x4000);
});

function setX(register: number, value: number): void {
  mem.set64(t.thread + Thread.x + register * 8, value);
}
function x(register: number): number {
  return mem.getI64(t.thread + Thread.x + register * 8);
}
function pc(): number {
  return mem.getU64(t.thread + Thread.pc);
}
/** An engine that makes these exits one after the other, and then the guest's exit_group. */
function script(...steps: (() => number)[]): Engine {
  let next = 0;
  return {
    run() {
      if (next < steps.length) return steps[next++]();
      return ecall(SYS.SYS_exit_group, 42);
    },
  };
}
function ecall(number: number, a0 = 0): number {
  setX(17, number);
  setX(10, a0);
  return EXIT_ECALL;
}
function fault(exit: number, address: number): number {
  mem.set64(t.thread + Thread.exitAddress, address);
  return exit;
}
function handle(signal: number): void {
  mem.set64(actionOf(t.sighand, signal) + SignalAction.handler, HANDLER);
}

/** What the engine may return, and the signal with si_code and si_addr that it becomes. */
const traps: (readonly [string, number, number, () => number, number])[] = [
  ['a wild read', SIGSEGV, 1, () => fault(EXIT_READ_FAULT, 0x123), 0x123],
  ['an illegal instruction', SIGILL, 1, () => fault(EXIT_ILLEGAL, 0xffff_ffff), 0x4000],
  ['a breakpoint', SIGTRAP, 1, () => EXIT_EBREAK, 0x4000],
  ['a misaligned atomic', SIGBUS, 1, () => fault(EXIT_MISALIGNED_ATOMIC, 0x9001), 0x9001],
];

describe('the loop of a thread', () => {
  it('makes system calls until the thread exits', () => {
    let seen = 0;
    runThread(
      t,
      script(
        () => ecall(SYS.SYS_gettid),
        () => {
          seen = x(10);
          return ecall(SYS.SYS_getpid);
        },
      ),
    );
    expect(seen).toBe(t.tid);
    expect(mem.getU32(t.guest + Guest.exitStatus)).toBe(42 << 8);
    expect(mem.getU32(t.thread + Thread.syscallCount)).toBe(3);
    expect(pc()).toBe(0x400c);
  });

  it('brings pages in, and goes on at the same instruction', () => {
    const page = map(t, 4096);
    runThread(
      t,
      script(() => fault(EXIT_WRITE_FAULT, page + 8)),
    );
    expect(mem.getU32(t.thread + Thread.faultCount)).toBe(1);
    expect(mem.getU32(t.guest + Guest.exitStatus)).toBe(42 << 8);
  });

  it.each(traps)('%s becomes its signal', (_name, signal, code, exit, address) => {
    handle(signal);
    const seen: number[] = [];
    runThread(
      t,
      script(exit, () => {
        seen.push(pc(), x(10), readU32(t, x(11)), readU32(t, x(11) + 8), readU32(t, x(11) + 16));
        return EXIT_ATTENTION;
      }),
    );
    expect(seen).toEqual([HANDLER, signal, signal, code, address]);
  });

  it('a signal without a handler ends the guest and leaves a report', () => {
    runThread(
      t,
      script(() => fault(EXIT_READ_FAULT, 0x123)),
    );
    expect(mem.getU32(t.guest + Guest.exitStatus)).toBe(SIGSEGV);
    const at = mem.getU32(t.guest + Guest.crashMessage);
    const report = Buffer.from(
      mem.u8.slice(at, at + mem.getU32(t.guest + Guest.crashMessageLength)),
    ).toString();
    expect(report).toContain('SIGSEGV');
    expect(report).toContain('0x123');
  });

  it('ends when another thread ends the guest, and takes a tier request as no more than that', () => {
    let runs = 0;
    runThread(t, {
      run() {
        if (++runs === 1) {
          mem.atomicOr(t.thread + Thread.attention, ATTENTION_TIER);
          return EXIT_ATTENTION;
        }
        expect(mem.atomicLoad(t.thread + Thread.attention)).toBe(0);
        exitGroup(t, 7 << 8);
        return EXIT_ATTENTION;
      },
    });
    expect(runs).toBe(2);
    expect(mem.getU32(t.guest + Guest.exitStatus)).toBe(7 << 8);
  });
});

const THREAD_FLAGS = 0x3d0f00;

describe('threads', () => {
  it('clone makes a thread as the flags say', () => {
    const page = map(t, 4096);
    setX(8, 77);
    const tid = cloneThread(t, {
      flags: THREAD_FLAGS,
      exitSignal: 0,
      stack: 0x55550,
      tls: 0x66660,
      parentTid: page,
      childTid: page + 4,
      pidfd: 0,
    });
    expect(readU32(t, page)).toBe(tid);
    expect(mem.getI32(t.guest + Guest.threadCount)).toBe(2);
    const child = mem.getU32(t.guest + Guest.threads);
    const register = (r: number) => mem.getU64(child + Thread.x + r * 8);
    expect([register(2), register(4), register(8), register(10)]).toEqual([0x55550, 0x66660, 77, 0]);
    expect(mem.getU64(child + Thread.clearChildTid)).toBe(page + 4);
    expect(mem.getU32(child + Thread.mm)).toBe(t.mm);
    // No host is parked: the thread waits for one.
    expect(mem.getU32(MACHINE + Machine.waitingFirst)).toBe(child);
  });

  it('a bad place for the descriptor leaves no thread behind', () => {
    const args = {
      flags: THREAD_FLAGS,
      exitSignal: 0,
      stack: 0,
      tls: 0,
      parentTid: 0x10,
      childTid: 0,
      pidfd: 0x20,
    };
    const committed = mem.getI32(MACHINE + Machine.hostsCommitted);
    const guests = mem.getI32(MACHINE + Machine.guestCount);
    const fail = () =>
      expect(() => cloneThread(t, { ...args, flags: THREAD_FLAGS | CLONE_PIDFD })).toThrow(
        expect.objectContaining({ address: 0x20 }),
      );
    // The Thread record itself stays in its pool.
    fail();
    const used = mem.getU64(MACHINE + Machine.heapUsed);
    fail();
    expect(mem.getI32(t.guest + Guest.threadCount)).toBe(1);
    expect(mem.getI32(MACHINE + Machine.hostsCommitted)).toBe(committed);
    expect(mem.getU64(MACHINE + Machine.heapUsed)).toBe(used);
    // Namespaces are not to be had.
    expect(() => cloneThread(t, { ...args, flags: CLONE_NEWNS })).toThrow(
      expect.objectContaining({ errno: 1 }),
    );
    expect(mem.getI32(MACHINE + Machine.guestCount)).toBe(guests);
  });

  it('an end clears the tid word; the last one takes everything with it', () => {
    const used = mem.getU64(MACHINE + Machine.heapUsed);
    const frames = mem.getI32(MACHINE + Machine.framesUsed);
    const other = createGuest(mem);
    const page = map(other, 4096);
    writeU32(other, page, 99);
    cloneThread(other, {
      flags: THREAD_FLAGS,
      exitSignal: 0,
      stack: 0,
      tls: 0,
      parentTid: page + 8,
      childTid: page,
      pidfd: 0,
    });
    const child = contextOf(mem, mem.getU32(other.guest + Guest.threads));
    endThread(child);
    expect(readU32(other, page)).toBe(0);
    expect(mem.getI32(other.guest + Guest.threadCount)).toBe(1);
    expect(mem.getI32(other.mm + Mm.threadCount)).toBe(1);
    mem.setU32(other.thread + Thread.exitStatus, 3 << 8);
    const { guest } = other;
    endThread(other);
    expect(mem.atomicLoad(guest + Guest.phase)).toBe(GUEST_ZOMBIE);
    expect(mem.getU32(guest + Guest.exitStatus)).toBe(3 << 8);
    const requests = [];
    for (let r = takeRequest(mem, COORDINATOR); r !== undefined; r = takeRequest(mem, COORDINATOR))
      requests.push(r);
    expect(requests.map((r) => [r.kind, r.a])).toContainEqual([RequestKind.GuestEnded, guest]);
    reapGuest(mem, guest, COORDINATOR);
    expect(mem.getI32(MACHINE + Machine.framesUsed)).toBe(frames);
    // Two pooled threads remain, with what belongs to them.
    expect(mem.getU64(MACHINE + Machine.heapUsed) - used).toBeLessThan(2 * 2048 + 1024);
  });

  it('exit of the last thread gives the guest its status', () => {
    const { guest } = t;
    cloneThread(t, {
      flags: THREAD_FLAGS & ~0x300000,
      exitSignal: 0,
      stack: 0,
      tls: 0,
      parentTid: 0,
      childTid: 0,
      pidfd: 0,
    });
    const child = contextOf(mem, mem.getU32(guest + Guest.threads));
    runThread(t, { run: () => ecall(SYS.SYS_exit, 5) });
    endThread(t);
    expect(mem.atomicLoad(child.thread + Thread.attention) & ATTENTION_EXIT).toBe(0);
    mem.setU32(child.thread + Thread.exitStatus, 9 << 8);
    endThread(child);
    expect(mem.getU32(guest + Guest.exitStatus)).toBe(9 << 8);
  });
});

describe('robust lists', () => {
  const OWNER_DIED = 0x4000_0000;
  const WAITERS = 0x8000_0000;

  it('marks what the dead thread held, and nothing else', () => {
    const head = map(t, 8192);
    const entries = [head + 0x100, head + 0x200, head + 0x300];
    const offset = 16;
    const chain = [...entries, head];
    write64(t, head, entries[0]);
    write64(t, head + 8, offset);
    entries.forEach((entry, i) => {
      write64(t, entry, chain[i + 1]);
    });
    writeU32(t, entries[0] + offset, t.tid);
    writeU32(t, entries[1] + offset, (t.tid | WAITERS) >>> 0);
    writeU32(t, entries[2] + offset, t.tid + 1);
    // One that was about to be locked.
    write64(t, head + 16, head + 0x400);
    writeU32(t, head + 0x400 + offset, t.tid);
    expect(linuxSyscalls[SYS.SYS_set_robust_list]!.handler(t, head, 24, 0, 0, 0, 0)).toBe(0);
    expect(linuxSyscalls[SYS.SYS_set_robust_list]!.handler(t, head, 23, 0, 0, 0, 0)).toBe(-22);
    walkRobustList(t);
    expect(readU32(t, entries[0] + offset)).toBe(OWNER_DIED);
    expect(readU32(t, entries[1] + offset)).toBe((OWNER_DIED | WAITERS) >>> 0);
    expect(readU32(t, entries[2] + offset)).toBe(t.tid + 1);
    expect(readU32(t, head + 0x400 + offset)).toBe(OWNER_DIED);
  });

  it('survives circles and wild pointers', () => {
    const head = map(t, 4096);
    write64(t, head, head + 0x100);
    write64(t, head + 0x100, head + 0x100);
    mem.set64(t.thread + Thread.robustList, head);
    walkRobustList(t);
    write64(t, head, 0x1234_5678_9000);
    walkRobustList(t);
    mem.set64(t.thread + Thread.robustList, 8);
    walkRobustList(t);
    expect(readU32(t, head)).toBe(0x5678_9000);
  });
});
