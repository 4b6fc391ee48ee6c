import { beforeEach, describe, expect, it } from 'vitest';
import { ENOSYS, ESRCH } from '../../src/kernel/errno.js';
import * as SYS from '../../src/kernel/linux/syscallNumbers.js';
import { linuxSyscalls } from '../../src/kernel/linux/syscallTable.js';
import { linuxSystemCall } from '../../src/kernel/linux/systemCall.js';
import { terminateAllGuests } from '../../src/kernel/spawn.js';
import type { ThreadContext } from '../../src/kernel/threadContext.js';
import { fireTimers, nextTimerDeadline } from '../../src/kernel/timers.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { monotonicNow } from '../../src/sync/park.js';
import { Guest } from '../../src/sync/records/guest.js';
import { Thread } from '../../src/sync/records/thread.js';
import {
  type BareMachine,
  bindContext,
  createBareMachine,
  createBareThread,
  GUEST_MEMORY,
} from './bareMachine.js';

const AT = GUEST_MEMORY + 0x2000;
let machine: BareMachine;
let t: ThreadContext;

beforeEach(() => {
  machine = createBareMachine();
  t = bindContext(machine.mem, createBareThread(machine));
});

/** Makes the call through the registers; the result register as a signed number. */
function ecall(number: number, ...args: number[]): number {
  const { mem } = machine;
  mem.set64(t.thread + Thread.x + 17 * 8, number);
  for (let i = 0; i < 6; i++) mem.set64(t.thread + Thread.x + (10 + i) * 8, args[i] ?? 0);
  linuxSystemCall(t);
  return mem.getI64(t.thread + Thread.x + 80);
}

describe('dispatch', () => {
  it('steps over the ecall and stores the result', () => {
    const { mem, guest } = machine;
    mem.u64[(t.thread + Thread.pc) >>> 3] = 0x1_ffff_fffcn;
    expect(ecall(SYS.SYS_getpid)).toBe(mem.getU32(guest + Guest.pid));
    expect(mem.getU64(t.thread + Thread.pc)).toBe(0x2_0000_0000);
    expect(mem.getU32(t.thread + Thread.syscallCount)).toBe(1);
  });

  it('answers ENOSYS to numbers it does not know', () => {
    expect(ecall(SYS.SYS_rseq)).toBe(-ENOSYS);
    expect(ecall(10_000)).toBe(-ENOSYS);
    expect(ecall(2 ** 40 + SYS.SYS_getpid)).toBe(-ENOSYS);
    expect(ecall(-1)).toBe(-ENOSYS);
  });

  it('declares every call under its own number and name', () => {
    const numbers = new Map(Object.entries(SYS).map(([name, number]) => [number as number, name]));
    linuxSyscalls.forEach((entry, number) => {
      if (entry !== undefined) expect(`SYS_${entry.name}`).toBe(numbers.get(number));
    });
  });
});

describe('timers', () => {
  const SIGUSR1 = 10;

  function makeTimer(notify: number, tid = 0): number {
    const { mem } = machine;
    mem.set64(AT, 0x1122334455);
    mem.setU32(AT + 8, SIGUSR1);
    mem.setU32(AT + 12, notify);
    mem.setU32(AT + 16, tid);
    expect(ecall(SYS.SYS_timer_create, 1, AT, AT + 64)).toBe(0);
    return mem.getI32(AT + 64);
  }
  function arm(id: number, valueMs: number, intervalMs: number): void {
    const { mem } = machine;
    mem.set64(AT, Math.floor(intervalMs / 1000));
    mem.set64(AT + 8, (intervalMs % 1000) * 1e6);
    mem.set64(AT + 16, Math.floor(valueMs / 1000));
    mem.set64(AT + 24, (valueMs % 1000) * 1e6);
    expect(ecall(SYS.SYS_timer_settime, id, 0, AT, 0)).toBe(0);
  }
  /** Blocks the signal, and takes it if it is pending. */
  function take(): number {
    const { mem } = machine;
    mem.set64(AT, 2 ** (SIGUSR1 - 1));
    mem.set64(AT + 16, 0);
    mem.set64(AT + 24, 0);
    return ecall(SYS.SYS_rt_sigtimedwait, AT, AT + 64, AT + 16, 8);
  }
  function blockAll(): void {
    machine.mem.set64(AT, 2 ** (SIGUSR1 - 1));
    ecall(SYS.SYS_rt_sigprocmask, 0, AT, 0, 8);
  }

  it('fires when due, with its value, and counts overruns', () => {
    const { mem } = machine;
    blockAll();
    const id = makeTimer(0);
    expect(nextTimerDeadline(mem, COORDINATOR)).toBe(Infinity);
    const from = monotonicNow();
    // So long that none of it is due by itself before the test is over.
    arm(id, 500_000, 100_000);
    const deadline = nextTimerDeadline(mem, COORDINATOR);
    expect(deadline - from).toBeGreaterThan(499_999);
    expect(deadline - from).toBeLessThan(600_000);
    expect(fireTimers(mem, COORDINATOR, deadline - 1)).toBe(deadline);
    expect(take()).toBe(-11);
    expect(fireTimers(mem, COORDINATOR, deadline + 1)).toBeCloseTo(deadline + 100_000, 3);
    // Three more while the first is pending.
    fireTimers(mem, COORDINATOR, deadline + 350_000);
    expect(take()).toBe(SIGUSR1);
    expect(mem.getI32(AT + 64 + 8)).toBe(-2);
    expect(mem.getI32(AT + 64 + 16)).toBe(id);
    expect(mem.getI32(AT + 64 + 20)).toBe(3);
    expect(mem.getU64(AT + 64 + 24)).toBe(0x1122334455);
    expect(ecall(SYS.SYS_timer_getoverrun, id)).toBe(3);
    expect(take()).toBe(-11);
    // The next expiration sends again.
    fireTimers(mem, COORDINATOR, deadline + 410_000);
    expect(take()).toBe(SIGUSR1);
    expect(ecall(SYS.SYS_timer_delete, id)).toBe(0);
    expect(ecall(SYS.SYS_timer_delete, id)).toBe(-22);
    expect(nextTimerDeadline(mem, COORDINATOR)).toBe(Infinity);
  });

  it('SIGEV_THREAD_ID reaches that thread alone', () => {
    const { mem } = machine;
    const other = bindContext(mem, createBareThread(machine));
    expect(ecall(SYS.SYS_timer_create, 1, AT, AT + 64)).toBe(-22);
    const id = makeTimer(4, other.tid);
    arm(id, 1, 0);
    fireTimers(mem, COORDINATOR, monotonicNow() + 5);
    expect(other.signalPending()).toBe(true);
    expect(t.signalPending()).toBe(false);
  });

  it('setitimer counts down and is disarmed by zero', () => {
    const { mem } = machine;
    mem.set64(AT, 0);
    mem.set64(AT + 8, 0);
    mem.set64(AT + 16, 100);
    mem.set64(AT + 24, 0);
    expect(ecall(SYS.SYS_setitimer, 0, AT, 0)).toBe(0);
    expect(ecall(SYS.SYS_getitimer, 0, AT + 64)).toBe(0);
    expect(mem.getU64(AT + 80)).toBeGreaterThanOrEqual(99);
    mem.set64(AT + 16, 0);
    expect(ecall(SYS.SYS_setitimer, 0, AT, AT + 64)).toBe(0);
    expect(mem.getU64(AT + 80)).toBeGreaterThanOrEqual(99);
    expect(nextTimerDeadline(mem, COORDINATOR)).toBe(Infinity);
    expect(ecall(SYS.SYS_setitimer, 3, AT, 0)).toBe(-22);
  });
});

describe('what programs ask the system', () => {
  it('sleeps as long as it was told, at least', () => {
    const { mem } = machine;
    mem.set64(AT, 0);
    mem.set64(AT + 8, 3_000_000);
    const from = monotonicNow();
    expect(ecall(SYS.SYS_nanosleep, AT, 0)).toBe(0);
    expect(monotonicNow() - from).toBeGreaterThanOrEqual(3);
    mem.set64(AT + 8, 1e9);
    expect(ecall(SYS.SYS_nanosleep, AT, 0)).toBe(-22);
  });

  it('keeps limits', () => {
    const { mem } = machine;
    const RLIMIT_NOFILE = 7;
    expect(ecall(SYS.SYS_prlimit64, 0, RLIMIT_NOFILE, 0, AT)).toBe(0);
    expect([mem.getU64(AT), mem.getU64(AT + 8)]).toEqual([1024, 1048576]);
    mem.set64(AT, 512);
    mem.set64(AT + 8, 600);
    expect(ecall(SYS.SYS_prlimit64, 0, RLIMIT_NOFILE, AT, 0)).toBe(0);
    expect(ecall(SYS.SYS_getrlimit, RLIMIT_NOFILE, AT + 32)).toBe(0);
    expect([mem.getU64(AT + 32), mem.getU64(AT + 40)]).toEqual([512, 600]);
    mem.set64(AT, 700);
    expect(ecall(SYS.SYS_prlimit64, 0, RLIMIT_NOFILE, AT, 0)).toBe(-22);
    expect(ecall(SYS.SYS_prlimit64, 0, 16, 0, AT)).toBe(-22);
    const RLIMIT_AS = 9;
    expect(ecall(SYS.SYS_prlimit64, 0, RLIMIT_AS, 0, AT)).toBe(0);
    expect(mem.u64[AT >>> 3]).toBe(0xffff_ffff_ffff_ffffn);
  });

  it('names its thread and its machine', () => {
    const { mem } = machine;
    mem.u8.set(new TextEncoder().encode('worker-with-a-long-name\0'), AT);
    expect(ecall(SYS.SYS_prctl, 15, AT)).toBe(0);
    expect(ecall(SYS.SYS_prctl, 16, AT + 64)).toBe(0);
    expect(Buffer.from(mem.u8.slice(AT + 64, AT + 80)).toString()).toBe('worker-with-a-l\0');
    expect(ecall(SYS.SYS_prctl, 9999)).toBe(-22);
    expect(ecall(SYS.SYS_uname, AT)).toBe(0);
    expect(Buffer.from(mem.u8.slice(AT + 65 * 4, AT + 65 * 4 + 7)).toString()).toBe('riscv64');
  });

  it('hwprobe knows the base and the extensions, and says so of keys it does not know', () => {
    const { mem } = machine;
    for (const [i, key] of [3, 4, 99].entries()) {
      mem.set64(AT + i * 16, key);
      mem.set64(AT + i * 16 + 8, 55);
    }
    expect(ecall(SYS.SYS_riscv_hwprobe, AT, 3, 0, 0, 0)).toBe(0);
    expect([mem.getU64(AT + 8), mem.getU32(AT + 24) & 0xff]).toEqual([1, 3]);
    expect(mem.getI64(AT + 32)).toBe(-1);
    expect(mem.getU64(AT + 40)).toBe(0);
  });

  it('sends signals to init nowhere, and does not mean it by -1', () => {
    const { mem } = machine;
    const SIGKILL = 9;
    expect(ecall(SYS.SYS_kill, 1, 0)).toBe(0);
    expect(ecall(SYS.SYS_kill, 1, SIGKILL)).toBe(0);
    expect(ecall(SYS.SYS_tgkill, 1, 1, SIGKILL)).toBe(0);
    expect(ecall(SYS.SYS_kill, -1, SIGKILL)).toBe(-ESRCH);
    expect(ecall(SYS.SYS_getpgid, 1)).toBe(1);
    expect(terminateAllGuests(mem, COORDINATOR)).toBe(true);
    expect(ecall(SYS.SYS_kill, 1, 0)).toBe(0);
  });

  it('refuses clone flags as the kernel does', () => {
    const CLONE_THREAD = 0x10000;
    const CLONE_SIGHAND = 0x800;
    expect(ecall(SYS.SYS_clone, CLONE_THREAD)).toBe(-22);
    expect(ecall(SYS.SYS_clone, CLONE_SIGHAND)).toBe(-22);
    expect(ecall(SYS.SYS_clone3, AT, 32)).toBe(-22);
  });
});
