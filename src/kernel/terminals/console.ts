import { writeSync } from 'node:fs';
import { COORDINATOR, withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { EventSource } from '../../sync/records/events.js';
import { HOST_COOKED, HOST_RAW, HOST_TRANSPARENT, OUTPUT_BYTES, Tty } from '../../sync/records/tty.js';
import { pushRequest, RequestKind } from '../../sync/ring.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EINTR, errnoOfHostCode } from '../errno.js';
import { signalEvents, WRITABLE } from '../files/events.js';
import { ringCoordinator } from '../files/streamRequests.js';
import type { ThreadContext } from '../threadContext.js';
import { waitInQueue } from '../waiting.js';
import { flushEchoLocked } from './lineOutput.js';
import { Outcome } from './outcome.js';
import { ONLCR, OPOST, outputFlags, treatsAsInitial } from './termios.js';

/** The machine's console: a terminal whose other end is the terminal that the Node process runs on. */

/** How the host's terminal is to behave for what the guests have set: HOST_*. */
function hostModeFor(mem: SharedMemory, tty: number): number {
  if (treatsAsInitial(mem, tty)) return HOST_COOKED;
  return outputFlags(mem, tty) === (OPOST | ONLCR) ? HOST_RAW : HOST_TRANSPARENT;
}

/** hostModeFor, for the main thread. */
export function wantedHostMode(mem: SharedMemory, tty: number, owner: number): number {
  return withMutex(mem, tty + Tty.lock, owner, () => hostModeFor(mem, tty));
}

/** How long a guest that sets its terminal waits for the host's to follow, in milliseconds. */
const LONGEST_CHANGE = 2000;

/**
 * The settings have changed: waits until the host's terminal behaves as they say, so that what the guest writes next and
 * what is typed then meets the new ones.
 */
export function followSettings(t: ThreadContext, tty: number): void {
  const { mem, thread } = t;
  const wanted = wantedHostMode(mem, tty, thread);
  const settled = (): boolean => {
    const mode = mem.atomicLoad(tty + Tty.hostMode);
    return mode === wanted || (mode === HOST_TRANSPARENT && wanted === HOST_RAW);
  };
  if (settled()) return;
  ask(mem, RequestKind.TerminalChanged, tty, thread);
  waitInQueue(t, tty + Tty.source + EventSource.waiters, settled, {
    deadline: monotonicNow() + LONGEST_CHANGE,
    stays: true,
  });
}

/** The host's terminal is in mode HOST_* from now on. Main thread. */
export function settleHostMode(mem: SharedMemory, tty: number, mode: number, owner: number): void {
  mem.atomicStore(tty + Tty.hostMode, mode);
  signalEvents(mem, tty + Tty.source, 0, owner);
}

/** A guest finds nothing to read: the main thread is to read the host's terminal. */
export function askForInput(mem: SharedMemory, tty: number, owner: number): void {
  if (mem.getU32(tty + Tty.console) === 0 || mem.atomicExchange(tty + Tty.wanted, 1) !== 0) return;
  ask(mem, RequestKind.TerminalWanted, tty, owner);
}

function ask(mem: SharedMemory, kind: RequestKind, tty: number, owner: number): void {
  while (!pushRequest(mem, owner, kind, tty)) ringCoordinator();
  ringCoordinator();
}

/**
 * Takes the console's output to the host's terminal, as far as that takes it without waiting. What is left is the main
 * thread's to bring there later. Any thread; it holds no lock.
 */
export function drainConsole(mem: SharedMemory, tty: number, owner: number): void {
  if (mem.atomicLoad(tty + Tty.outputUsed) === 0) return;
  const left = withMutex(mem, tty + Tty.lock, owner, () => drainLocked(mem, tty));
  signalEvents(mem, tty + Tty.source, WRITABLE, owner);
  // The main thread looks itself.
  if (left && owner !== COORDINATOR && mem.atomicExchange(tty + Tty.drainAsked, 1) === 0)
    ask(mem, RequestKind.TerminalOutput, tty, owner);
}

/** Says whether something is left. The descriptor does not wait, so that the lock is not held for long. */
function drainLocked(mem: SharedMemory, tty: number): boolean {
  const fd = mem.getI32(tty + Tty.hostFd);
  for (;;) {
    const used = mem.getU32(tty + Tty.outputUsed);
    if (used === 0) return false;
    const head = mem.getU32(tty + Tty.outputHead);
    const written = writeOut(fd, mem.u8, tty + Tty.output + head, Math.min(used, OUTPUT_BYTES - head));
    if (written === 0) return true;
    mem.setU32(tty + Tty.outputHead, (head + written) % OUTPUT_BYTES);
    mem.atomicStore(tty + Tty.outputUsed, used - written);
    flushEchoLocked(mem, tty, new Outcome());
  }
}

/** Bytes that the host's terminal has taken; all of them when it is gone, since nobody will ever see them. */
function writeOut(fd: number, bytes: Uint8Array, from: number, count: number): number {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return writeSync(fd, bytes, from, count);
  } catch (error) {
    const errno = errnoOfHostCode((error as NodeJS.ErrnoException).code);
    return errno === EAGAIN || errno === EINTR ? 0 : count;
  } finally {
    Error.stackTraceLimit = limit;
  }
}
