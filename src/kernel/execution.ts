import {
  ACCESS_FETCH,
  ACCESS_READ,
  ACCESS_WRITE,
  FAULT_HANDLED,
  FAULT_NO_MEMORY,
  type FaultOutcome,
  faultCode,
  faultSignal,
} from '../memory/caller.js';
import { fetchFault, flushCode } from '../memory/codePages.js';
import { resolveFault } from '../memory/faults.js';
import { forgetKeptFiles } from '../memory/keptFiles.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { Guest } from '../sync/records/guest.js';
import {
  ATTENTION_EXIT,
  ATTENTION_SIGNAL,
  ATTENTION_TIER,
  EXIT_ATTENTION,
  EXIT_EBREAK,
  EXIT_ECALL,
  EXIT_FENCE_I,
  EXIT_FETCH,
  EXIT_ILLEGAL,
  EXIT_MISALIGNED_ATOMIC,
  EXIT_READ_FAULT,
  EXIT_WRITE_FAULT,
  START_EXEC,
  Thread,
} from '../sync/records/thread.js';
import { enterGuest, leaveGuest } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { beginCpuTime, closeClock, hostThreadId } from './clock.js';
import type { Engine } from './engine.js';
import { startProgram } from './exec.js';
import { endThread, setGuestText } from './exit.js';
import { storeChildTid } from './fork.js';
import { freebsdSystemCall } from './freebsd/systemCall.js';
import { linuxSystemCall } from './linux/systemCall.js';
import { deliverSignals, forceSignal } from './signals/deliverSignals.js';
import { faultInfo } from './signals/sigInfo.js';
import { BUS_ADRALN, ILL_ILLOPC, SIGBUS, SIGILL, SIGTRAP, TRAP_BRKPT } from './signals/signalNumbers.js';
import { ThreadContext } from './threadContext.js';

/** What a worker gives the kernel. */
export interface RunnerEnvironment {
  readonly mem: SharedMemory;
  readonly engine: Engine;
  /** Rings the coordinator's doorbell. */
  ring(): void;
}

/** Runs guest threads, one at a time, in the worker that made it. */
export interface ThreadRunner {
  /**
   * Runs the thread to its end; its record is the pool's again when this returns. What it throws is a bug of
   * Guesthouse, and leaves the machine in an undefined state.
   */
  run(thread: number): void;
  /** The context of the thread being run, for diagnostics. */
  readonly context: ThreadContext;
  /** Gives back what the worker holds of the host; it runs no thread any more. */
  close(): void;
}

/** Makes the runner of a worker. */
export function createThreadRunner(env: RunnerEnvironment): ThreadRunner {
  const context = new ThreadContext(env.mem, () => env.ring());
  const hostTid = hostThreadId();
  return {
    context,
    run(thread) {
      context.bind(thread);
      beginCpuTime(context, hostTid);
      storeChildTid(context);
      if (env.mem.getU32(thread + Thread.start) !== START_EXEC || startProgram(context)) {
        runThread(context, env.engine);
      }
      endThread(context);
    },
    close: closeClock,
  };
}

const NEEDS_KERNEL = ATTENTION_SIGNAL | ATTENTION_EXIT;

/** The loop of a guest thread: guest code until it needs the kernel, and back. Returns when the thread must end. */
export function runThread(t: ThreadContext, engine: Engine): void {
  const { mem, thread } = t;
  const attention = (thread + Thread.attention) >>> 2;
  t.restart = 0;
  t.registersReplaced = false;
  for (;;) {
    if ((Atomics.load(mem.i32, attention) & NEEDS_KERNEL) !== 0 || t.restart !== 0) {
      if (!deliverSignals(t)) return;
    }
    enterGuest(mem, thread);
    const reason = engine.run(thread);
    leaveGuest(mem, thread);
    switch (reason) {
      case EXIT_ECALL:
        if (t.freebsd) freebsdSystemCall(t);
        else linuxSystemCall(t);
        break;
      case EXIT_READ_FAULT:
        if (!pageFault(t, ACCESS_READ)) return;
        break;
      case EXIT_WRITE_FAULT:
        if (!pageFault(t, ACCESS_WRITE)) return;
        break;
      case EXIT_FETCH:
        if (!pageFault(t, ACCESS_FETCH)) return;
        break;
      case EXIT_ATTENTION:
        Atomics.and(mem.i32, attention, ~ATTENTION_TIER);
        break;
      case EXIT_FENCE_I:
        flushCode(t);
        break;
      case EXIT_ILLEGAL:
        if (!trap(t, SIGILL, ILL_ILLOPC, pcOf(t))) return;
        break;
      case EXIT_EBREAK:
        if (!trap(t, SIGTRAP, TRAP_BRKPT, pcOf(t))) return;
        break;
      case EXIT_MISALIGNED_ATOMIC:
        if (!trap(t, SIGBUS, BUS_ADRALN, exitAddressOf(t))) return;
        break;
      default:
        throw new Error(`the engine returned with the unknown reason ${reason}`);
    }
  }
}

function pcOf(t: ThreadContext): bigint {
  return t.mem.u64[(t.thread + Thread.pc) >>> 3];
}

function exitAddressOf(t: ThreadContext): bigint {
  return t.mem.u64[(t.thread + Thread.exitAddress) >>> 3];
}

/** Lets memory/ make the access possible, or raises the signal. False: the thread must end. */
function pageFault(t: ThreadContext, access: number): boolean {
  const { mem, thread } = t;
  const fault = thread + Thread.exitAddress;
  // Addresses are numbers below; those of 2^53 and more are rounded, and never mapped.
  const address = mem.getU64(fault);
  let outcome: FaultOutcome;
  try {
    outcome = access === ACCESS_FETCH ? fetchFault(t, address) : resolveFault(t, address, access);
  } catch (error) {
    // No room for page tables or code.
    if (!(error instanceof OutOfKernelMemory)) throw error;
    if (forgetKeptFiles(mem, thread)) return true;
    outcome = FAULT_NO_MEMORY;
  }
  if (outcome === FAULT_HANDLED) {
    mem.setU32(thread + Thread.faultCount, mem.getU32(thread + Thread.faultCount) + 1);
    return true;
  }
  if (outcome === FAULT_NO_MEMORY) noteOutOfMemory(t);
  return trap(t, faultSignal(outcome), faultCode(outcome), exitAddressOf(t));
}

/** The guest will die of SIGKILL, as by Linux's OOM killer; the embedder is told why. */
function noteOutOfMemory(t: ThreadContext): void {
  const text = `guesthouse: guest ${t.mem.getU32(t.guest + Guest.pid)} killed: out of memory\n`;
  setGuestText(t.mem, t.guest, Guest.crashMessage, Guest.crashMessageLength, text, t.thread);
}

/** A synchronous signal; false: the thread must end. */
function trap(t: ThreadContext, signal: number, code: number, address: bigint): boolean {
  return forceSignal(t, signal, faultInfo(signal, code, address));
}
