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
import { prepareToLeave, takeAhead } from '../sync/hosts.js';
import { Guest } from '../sync/records/guest.js';
import {
  ATTENTION_EXIT,
  ATTENTION_SIGNAL,
  ATTENTION_TIER,
  EXIT_ATTENTION,
  EXIT_EBREAK,
  EXIT_ECALL,
  EXIT_ENDED,
  EXIT_FENCE_I,
  EXIT_FETCH,
  EXIT_ILLEGAL,
  EXIT_LEFT,
  EXIT_MISALIGNED_ATOMIC,
  EXIT_READ_FAULT,
  EXIT_WRITE_FAULT,
  START_CALL,
  START_EXEC,
  START_RUN,
  START_VFORK,
  Thread,
} from '../sync/records/thread.js';
import { enterGuest, leaveGuest } from '../sync/safepoint.js';
import { beginCpuTime, closeCpuTime, endCpuTime, openCpuTime } from './cpuTime.js';
import type { Engine } from './engine.js';
import { startProgram } from './exec.js';
import { endThread, setGuestText } from './exit.js';
import { awaitVforkChild, storeChildTid } from './fork.js';
import { freebsdSystemCall } from './freebsd/systemCall.js';
import { leaveCall, resumeCall } from './leftCall.js';
import { semihostingCall } from './linux/semihosting.js';
import { linuxSystemCall } from './linux/systemCall.js';
import { deliverSignals, forceSignal } from './signals/deliverSignals.js';
import { faultInfo } from './signals/sigInfo.js';
import { BUS_ADRALN, ILL_ILLOPC, SIGBUS, SIGILL, SIGTRAP, TRAP_BRKPT } from './signals/signalNumbers.js';
import { LEAVE_VFORK, STAYS, type ThreadContext } from './threadContext.js';

/** What a worker gives the kernel. */
export interface RunnerEnvironment {
  /** What is to be bound to each thread. */
  readonly context: ThreadContext;
  readonly engine: Engine;
  /** The worker's Host record. */
  readonly host: number;
  /** HotCalls.finishWait, where the engine makes system calls. */
  readonly finishWait?: (thread: number) => number;
}

/** Runs guest threads, one at a time, in the worker that made it. */
export interface ThreadRunner {
  /**
   * Runs the thread until it ends (true), or leaves its host to wait without one (false). Either way its record is not this
   * worker's any more. What it throws is a bug of Guesthouse, and leaves the machine in an undefined state.
   */
  run(thread: number): boolean;
  /** The context of the thread being run, for diagnostics. */
  readonly context: ThreadContext;
  /** Gives back what the worker holds of the host; it runs no thread any more. */
  close(): void;
}

/** Makes the runner of a worker. */
export function createThreadRunner(env: RunnerEnvironment): ThreadRunner {
  const { context } = env;
  openCpuTime(context.mem, env.host);
  return {
    context,
    run(thread) {
      context.bind(thread);
      beginCpuTime(context);
      storeChildTid(context);
      const outcome = begin(context, env.finishWait) ? runThread(context, env.engine) : ENDS;
      if (outcome === ENDS) endThread(context);
      else if (outcome === LEAVES) leaveHost(context);
      return outcome === ENDS || outcome === ENDED;
    },
    close: closeCpuTime,
  };
}

/** What Thread.start says; false: the thread must end. */
function begin(t: ThreadContext, finishWait: RunnerEnvironment['finishWait']): boolean {
  const { mem, thread } = t;
  const start = mem.getU32(thread + Thread.start);
  if (start === START_EXEC && !startProgram(t)) return false;
  mem.atomicStore(thread + Thread.start, START_RUN);
  if (start === START_VFORK) awaitVforkChild(t);
  else if (start === START_CALL && finishWait?.(thread) !== 1) resumeCall(t, linuxSystemCall);
  return true;
}

/** The thread waits without a host from here on. Its record is not this worker's any more. */
function leaveHost(t: ThreadContext): void {
  const { mem, thread, leaving } = t;
  t.registersReplaced = false;
  mem.setU32(thread + Thread.start, leaving === LEAVE_VFORK ? START_VFORK : START_CALL);
  prepareToLeave();
  takeAhead(mem, thread);
  endCpuTime(mem, thread);
  leaveCall(t);
}

const NEEDS_KERNEL = ATTENTION_SIGNAL | ATTENTION_EXIT;

/** How the loop of a thread ends: it must end, or is to leave its host (ThreadContext.leaving); or the engine has seen to that. */
export const ENDS = 0;
export const LEAVES = 1;
const ENDED = 2;
const LEFT = 3;

/** The loop of a guest thread: guest code until it needs the kernel, and back. */
export function runThread(t: ThreadContext, engine: Engine): number {
  const { mem, thread } = t;
  const attention = (thread + Thread.attention) >>> 2;
  for (;;) {
    if (t.leaving !== STAYS) return LEAVES;
    if ((Atomics.load(mem.i32, attention) & NEEDS_KERNEL) !== 0 || t.restart !== 0) {
      if (!deliverSignals(t)) return ENDS;
    }
    enterGuest(mem, thread);
    const reason = engine.run(thread);
    // The record is another's by now.
    if (reason === EXIT_ENDED) return ENDED;
    if (reason === EXIT_LEFT) return LEFT;
    leaveGuest(mem, thread);
    switch (reason) {
      case EXIT_ECALL:
        if (t.freebsd) freebsdSystemCall(t);
        else linuxSystemCall(t);
        break;
      case EXIT_READ_FAULT:
        if (!pageFault(t, ACCESS_READ)) return ENDS;
        break;
      case EXIT_WRITE_FAULT:
        if (!pageFault(t, ACCESS_WRITE)) return ENDS;
        break;
      case EXIT_FETCH:
        if (!pageFault(t, ACCESS_FETCH)) return ENDS;
        break;
      case EXIT_ATTENTION:
        Atomics.and(mem.i32, attention, ~ATTENTION_TIER);
        break;
      case EXIT_FENCE_I:
        flushCode(t);
        break;
      case EXIT_ILLEGAL:
        if (!trap(t, SIGILL, ILL_ILLOPC, pcOf(t))) return ENDS;
        break;
      case EXIT_EBREAK:
        if (!(!t.freebsd && semihostingCall(t)) && !trap(t, SIGTRAP, TRAP_BRKPT, pcOf(t))) return ENDS;
        break;
      case EXIT_MISALIGNED_ATOMIC:
        if (!trap(t, SIGBUS, BUS_ADRALN, exitAddressOf(t))) return ENDS;
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
