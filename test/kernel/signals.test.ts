import { beforeEach, describe, expect, it } from 'vitest';
import { EINTR, ERESTARTNOHAND, ERESTARTSYS } from '../../src/kernel/errno.js';
import * as SYS from '../../src/kernel/linux/syscallNumbers.js';
import { linuxSyscalls } from '../../src/kernel/linux/syscallTable.js';
import { deliverSignals, forceSignal } from '../../src/kernel/signals/deliverSignals.js';
import { sendSignal } from '../../src/kernel/signals/pendingSignals.js';
import { faultInfo, sentInfo } from '../../src/kernel/signals/sigInfo.js';
import {
  SA_NODEFER,
  SA_ONSTACK,
  SA_RESETHAND,
  SA_RESTART,
  SA_SIGINFO,
  SI_QUEUE,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  SIGTERM,
  SIGUSR1,
  SIGUSR2,
} from '../../src/kernel/signals/signalNumbers.js';
import type { ThreadContext } from '../../src/kernel/threadContext.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { GUEST_EXITING, Guest } from '../../src/sync/records/guest.js';
import { Mm } from '../../src/sync/records/mm.js';
import { GuestSignals } from '../../src/sync/records/signals.js';
import { ATTENTION_SIGNAL, Thread } from '../../src/sync/records/thread.js';
import {
  type BareMachine,
  bindContext,
  createBareMachine,
  createBareThread,
  GUEST_MEMORY,
} from './bareMachine.js';

const HANDLER = 0x12340;
const STACK = GUEST_MEMORY + 0x10000;
const SCRATCH = GUEST_MEMORY + 0x1000;
const VDSO = 0x5000;

let machine: BareMachine;
let t: ThreadContext;

beforeEach(() => {
  machine = createBareMachine();
  t = bindContext(machine.mem, createBareThread(machine));
  machine.mem.set64(machine.mm + Mm.vdso, VDSO);
  setX(2, STACK);
  machine.mem.set64(t.thread + Thread.pc, 0x4444);
});

function x(register: number, of = t): number {
  return of.mem.getU64(of.thread + Thread.x + register * 8);
}
function setX(register: number, value: number): void {
  machine.mem.set64(t.thread + Thread.x + register * 8, value);
}
function pc(of = t): number {
  return of.mem.getU64(of.thread + Thread.pc);
}
function call(number: number, ...args: number[]): number {
  const [a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0] = args;
  return linuxSyscalls[number]!.handler(t, a0, a1, a2, a3, a4, a5);
}
/** rt_sigaction for `signal`: handler, flags, mask of signals 1–32. */
function act(signal: number, handler: number, flags = 0, mask = 0): void {
  const { mem } = machine;
  mem.set64(SCRATCH, handler);
  mem.set64(SCRATCH + 8, flags);
  mem.set64(SCRATCH + 16, mask);
  expect(call(SYS.SYS_rt_sigaction, signal, SCRATCH, 0, 8)).toBe(0);
}
function send(signal: number, thread = 0, code = 0): string {
  return sendSignal(machine.mem, COORDINATOR, machine.guest, thread, signal, sentInfo(signal, code, 77, 5));
}
function block(low: number, high = 0): void {
  machine.mem.setU32(SCRATCH, low);
  machine.mem.setU32(SCRATCH + 4, high);
  expect(call(SYS.SYS_rt_sigprocmask, 2, SCRATCH, 0, 8)).toBe(0);
}
function blocked(): number {
  expect(call(SYS.SYS_rt_sigprocmask, 0, 0, SCRATCH, 8)).toBe(0);
  return machine.mem.getU64(SCRATCH);
}
function sigreturn(): void {
  call(SYS.SYS_rt_sigreturn);
  expect(t.registersReplaced).toBe(true);
  t.registersReplaced = false;
}
const bit = (signal: number) => 2 ** (signal - 1);

describe('signal frames', () => {
  it("is the kernel's rt_sigframe, and rt_sigreturn puts everything back", () => {
    const { mem } = machine;
    for (let r = 1; r < 32; r++) if (r !== 2) setX(r, 0x1000 + r);
    for (let r = 0; r < 32; r++)
      mem.u64[(t.thread + Thread.f + r * 8) >>> 3] = 0xffff_ffff_0000_0000n + BigInt(r);
    mem.setU32(t.thread + Thread.fflags, 0x11);
    mem.setU32(t.thread + Thread.frm, 3);
    block(bit(SIGUSR2));
    act(SIGUSR1, HANDLER, SA_SIGINFO, bit(SIGTERM));
    send(SIGUSR1);
    expect(t.signalPending()).toBe(true);
    expect(deliverSignals(t)).toBe(true);

    const frame = x(2);
    expect(frame % 16).toBe(0);
    // struct rt_sigframe is 128 + 960 bytes.
    expect(frame).toBe(Math.floor((STACK - 1088) / 16) * 16);
    expect(pc()).toBe(HANDLER);
    expect(x(1)).toBe(VDSO);
    expect(x(10)).toBe(SIGUSR1);
    expect(x(11)).toBe(frame);
    expect(x(12)).toBe(frame + 128);
    // siginfo: signo, code, pid, uid.
    expect([0, 8, 16, 20].map((o) => mem.getU32(frame + o))).toEqual([SIGUSR1, 0, 77, 5]);
    const context = frame + 128;
    expect(mem.getU64(context)).toBe(0);
    expect(mem.getU64(context + 40)).toBe(bit(SIGUSR2));
    const machineContext = context + 176;
    expect(machineContext % 16).toBe(0);
    expect(mem.getU64(machineContext)).toBe(0x4444);
    for (let r = 1; r < 32; r++)
      expect(mem.getU64(machineContext + r * 8)).toBe(r === 2 ? STACK : 0x1000 + r);
    for (let r = 0; r < 32; r++)
      expect(mem.u64[(machineContext + 256 + r * 8) >>> 3]).toBe(0xffff_ffff_0000_0000n + BigInt(r));
    expect(mem.getU32(machineContext + 512)).toBe(0x71);
    expect(blocked()).toBe(bit(SIGUSR1) + bit(SIGUSR2) + bit(SIGTERM));

    // The handler changes what it likes, and the saved pc.
    for (let r = 3; r < 32; r++) setX(r, 9);
    mem.zero(t.thread + Thread.f, 256);
    mem.setU32(t.thread + Thread.frm, 0);
    mem.set64(machineContext, 0x8888);
    sigreturn();
    expect(pc()).toBe(0x8888);
    expect(x(2)).toBe(STACK);
    for (let r = 3; r < 32; r++) expect(x(r)).toBe(0x1000 + r);
    expect(mem.u64[(t.thread + Thread.f + 31 * 8) >>> 3]).toBe(0xffff_ffff_0000_001fn);
    expect(mem.getU32(t.thread + Thread.fflags)).toBe(0x11);
    expect(mem.getU32(t.thread + Thread.frm)).toBe(3);
    expect(blocked()).toBe(bit(SIGUSR2));
  });

  it('goes to the alternate stack with SA_ONSTACK, and sigaltstack says so', () => {
    const { mem } = machine;
    const base = GUEST_MEMORY + 0x20000;
    mem.set64(SCRATCH, base);
    mem.set64(SCRATCH + 8, 0);
    mem.set64(SCRATCH + 16, 0x4000);
    expect(call(SYS.SYS_sigaltstack, SCRATCH, 0)).toBe(0);
    act(SIGUSR1, HANDLER, SA_ONSTACK);
    send(SIGUSR1);
    deliverSignals(t);
    expect(x(2)).toBe(Math.floor((base + 0x4000 - 1088) / 16) * 16);
    expect(call(SYS.SYS_sigaltstack, 0, SCRATCH)).toBe(0);
    expect([mem.getU64(SCRATCH), mem.getU32(SCRATCH + 8), mem.getU64(SCRATCH + 16)]).toEqual([
      base,
      1,
      0x4000,
    ]);
    // It cannot be changed while the thread is on it.
    expect(call(SYS.SYS_sigaltstack, SCRATCH, 0)).toBe(-1);
    // A second signal stays on it, below.
    const first = x(2);
    act(SIGUSR2, HANDLER, SA_ONSTACK);
    send(SIGUSR2);
    deliverSignals(t);
    expect(x(2)).toBe(first - 1088);
    sigreturn();
    sigreturn();
    expect(x(2)).toBe(STACK);
    expect(call(SYS.SYS_sigaltstack, 0, SCRATCH)).toBe(0);
    expect(mem.getU32(SCRATCH + 8)).toBe(0);
  });

  it('nests: pending signals are all delivered before guest code runs', () => {
    act(SIGUSR1, HANDLER, 0);
    act(SIGUSR2, HANDLER + 8, 0);
    send(SIGUSR2);
    send(SIGUSR1);
    deliverSignals(t);
    // The last one delivered runs first, and returns to the first.
    expect(pc()).toBe(HANDLER + 8);
    sigreturn();
    expect(pc()).toBe(HANDLER);
    expect(x(10)).toBe(SIGUSR1);
    sigreturn();
    expect(pc()).toBe(0x4444);
  });
});

describe('actions', () => {
  it('SA_RESETHAND and SA_NODEFER', () => {
    act(SIGUSR1, HANDLER, SA_RESETHAND | SA_NODEFER);
    send(SIGUSR1);
    deliverSignals(t);
    expect(blocked()).toBe(0);
    expect(call(SYS.SYS_rt_sigaction, SIGUSR1, 0, SCRATCH, 8)).toBe(0);
    expect(machine.mem.getU64(SCRATCH)).toBe(0);
  });

  it('refuses bad signals and the unchangeable ones', () => {
    expect(call(SYS.SYS_rt_sigaction, 0, 0, SCRATCH, 8)).toBe(-22);
    expect(call(SYS.SYS_rt_sigaction, 65, 0, SCRATCH, 8)).toBe(-22);
    expect(call(SYS.SYS_rt_sigaction, SIGKILL, SCRATCH, 0, 8)).toBe(-22);
    expect(call(SYS.SYS_rt_sigaction, SIGSTOP, 0, SCRATCH, 8)).toBe(0);
    expect(call(SYS.SYS_rt_sigaction, SIGUSR1, 0, SCRATCH, 4)).toBe(-22);
    block(0xffff_ffff, 0xffff_ffff);
    expect(blocked()).toBe(2 ** 64 - bit(SIGKILL) - bit(SIGSTOP));
  });

  it('ignored signals are dropped at once, unless blocked', () => {
    expect(send(SIGCHLD)).toBe('ignored');
    expect(t.signalPending()).toBe(false);
    block(bit(SIGCHLD));
    expect(send(SIGCHLD)).toBe('sent');
    expect(t.signalPending()).toBe(false);
    block(0);
    expect(t.signalPending()).toBe(true);
    expect(deliverSignals(t)).toBe(true);
    expect(t.signalPending()).toBe(false);
    expect(pc()).toBe(0x4444);
  });

  it('setting SIG_IGN drops what is pending', () => {
    block(bit(SIGUSR1));
    act(SIGUSR1, HANDLER);
    send(SIGUSR1);
    act(SIGUSR1, 1);
    expect(call(SYS.SYS_rt_sigpending, SCRATCH, 8)).toBe(0);
    expect(machine.mem.getU64(SCRATCH)).toBe(0);
  });

  it('a default action ends the guest with the status of wait4', () => {
    send(SIGTERM);
    expect(deliverSignals(t)).toBe(false);
    expect(machine.mem.atomicLoad(machine.guest + Guest.phase)).toBe(GUEST_EXITING);
    expect(machine.mem.getU32(machine.guest + Guest.exitStatus)).toBe(SIGTERM);
  });

  it('SIGKILL comes before everything', () => {
    act(SIGUSR1, HANDLER);
    block(0xffff_ffff, 0xffff_ffff);
    send(SIGUSR1);
    send(SIGKILL);
    expect(deliverSignals(t)).toBe(false);
    expect(machine.mem.getU32(machine.guest + Guest.exitStatus)).toBe(SIGKILL);
  });

  it('a blocked or ignored fault kills, a caught one has its address', () => {
    act(SIGSEGV, HANDLER, SA_SIGINFO);
    expect(forceSignal(t, SIGSEGV, faultInfo(SIGSEGV, 2, 0xdead_beef_0000n))).toBe(true);
    const info = x(11);
    expect(machine.mem.getU32(info + 8)).toBe(2);
    expect(machine.mem.getU64(info + 16)).toBe(0xdead_beef_0000);
    // In the handler SIGSEGV is blocked: the next one is the end.
    expect(forceSignal(t, SIGSEGV, faultInfo(SIGSEGV, 1, 1n))).toBe(false);
    expect(machine.mem.getU32(machine.guest + Guest.exitStatus)).toBe(SIGSEGV);
  });

  it('SIGSTOP stops and SIGCONT lets go', () => {
    const stopped = machine.mem.getU32(machine.guest + Guest.signals) + GuestSignals.stopped;
    send(SIGSTOP);
    machine.mem.atomicStore(stopped, 0);
    expect(t.signalPending()).toBe(true);
    send(SIGCONT);
    // The pending stop is forgotten.
    expect(deliverSignals(t)).toBe(true);
    expect(machine.mem.atomicLoad(stopped)).toBe(0);
  });
});

describe('pending signals', () => {
  it('merges standard signals and queues real-time ones in order, lowest number first', () => {
    block(0xffff_ffff, 0xffff_ffff);
    send(SIGUSR1);
    send(SIGUSR1);
    for (const [signal, value] of [
      [40, 1],
      [35, 2],
      [40, 3],
    ]) {
      const info = sentInfo(signal, SI_QUEUE, 1, 0);
      new DataView(info.buffer).setInt32(24, value, true);
      sendSignal(machine.mem, COORDINATOR, machine.guest, 0, signal, info);
    }
    const taken: number[][] = [];
    machine.mem.setU32(SCRATCH, 0xffff_ffff);
    machine.mem.setU32(SCRATCH + 4, 0xffff_ffff);
    machine.mem.set64(SCRATCH + 16, 0);
    machine.mem.set64(SCRATCH + 24, 0);
    for (;;) {
      const signal = call(SYS.SYS_rt_sigtimedwait, SCRATCH, SCRATCH + 64, SCRATCH + 16, 8);
      if (signal < 0) {
        expect(signal).toBe(-11);
        break;
      }
      taken.push([signal, machine.mem.getI32(SCRATCH + 64 + 24)]);
    }
    expect(taken).toEqual([
      [SIGUSR1, 0],
      [35, 2],
      [40, 1],
      [40, 3],
    ]);
  });

  it('a signal of the guest goes to a thread that does not block it; one of a thread waits for it', () => {
    const other = bindContext(machine.mem, createBareThread(machine));
    machine.mem.set64(other.thread + Thread.x + 16, STACK - 0x8000);
    act(SIGUSR1, HANDLER);
    block(bit(SIGUSR1));
    send(SIGUSR1);
    expect(t.signalPending()).toBe(false);
    expect(other.signalPending()).toBe(true);
    expect(deliverSignals(other)).toBe(true);
    expect(pc(other)).toBe(HANDLER);
    send(SIGUSR1, t.thread);
    expect(t.signalPending()).toBe(false);
    block(0);
    expect(t.signalPending()).toBe(true);
    deliverSignals(t);
    expect(pc()).toBe(HANDLER);
  });

  it('blocking hands a pending signal of the guest on to another thread', () => {
    const other = createBareThread(machine);
    act(SIGUSR1, HANDLER);
    send(SIGUSR1);
    expect(machine.mem.atomicLoad(other + Thread.attention) & ATTENTION_SIGNAL).toBe(0);
    block(bit(SIGUSR1));
    expect(t.signalPending()).toBe(false);
    expect(machine.mem.atomicLoad(other + Thread.attention) & ATTENTION_SIGNAL).toBe(ATTENTION_SIGNAL);
  });

  it('kill, tkill and tgkill find their targets', () => {
    const pid = machine.mem.getU32(machine.guest + Guest.pid);
    const tid = machine.mem.getU32(createBareThread(machine) + Thread.tid);
    block(0xffff_ffff, 0);
    expect(call(SYS.SYS_kill, pid, 0)).toBe(0);
    expect(() => call(SYS.SYS_kill, 999999, 0)).toThrow(expect.objectContaining({ errno: 3 }));
    expect(() => call(SYS.SYS_kill, pid, 65)).toThrow(expect.objectContaining({ errno: 22 }));
    expect(call(SYS.SYS_tgkill, pid, tid, SIGUSR1)).toBe(0);
    expect(call(SYS.SYS_tgkill, pid + 5000, tid, SIGUSR1)).toBe(-3);
    expect(call(SYS.SYS_tgkill, pid, 999999, SIGUSR1)).toBe(-3);
    expect(call(SYS.SYS_tkill, tid, SIGUSR1)).toBe(0);
    expect(call(SYS.SYS_tkill, 0, SIGUSR1)).toBe(-22);
  });
});

describe('interrupted system calls', () => {
  function interrupted(code: number, flags: number | undefined): void {
    setX(10, -code);
    setX(17, 63);
    t.originalA0Low = 5;
    t.originalA0High = 0;
    t.restart = code;
    if (flags !== undefined) {
      act(SIGUSR1, HANDLER, flags);
      send(SIGUSR1);
    }
    expect(deliverSignals(t)).toBe(true);
    expect(t.restart).toBe(0);
  }

  it('ERESTARTSYS restarts with SA_RESTART', () => {
    interrupted(ERESTARTSYS, SA_RESTART);
    sigreturn();
    expect([pc(), x(10)]).toEqual([0x4440, 5]);
  });

  it('ERESTARTSYS gives EINTR without SA_RESTART, ERESTARTNOHAND with it too', () => {
    interrupted(ERESTARTSYS, 0);
    sigreturn();
    expect(pc()).toBe(0x4444);
    expect(machine.mem.getI64(t.thread + Thread.x + 80)).toBe(-EINTR);
    interrupted(ERESTARTNOHAND, SA_RESTART);
    sigreturn();
    expect(machine.mem.getI64(t.thread + Thread.x + 80)).toBe(-EINTR);
  });

  it('everything restarts where no handler runs, a sleep through restart_syscall', () => {
    interrupted(ERESTARTNOHAND, undefined);
    expect([pc(), x(10), x(17)]).toEqual([0x4440, 5, 63]);
    interrupted(516, undefined);
    expect([pc(), x(17)]).toEqual([0x443c, SYS.SYS_restart_syscall]);
  });
});
