import { allocateBlock, freeBlock } from '../sync/heap.js';
import { initMutex, withMutex } from '../sync/mutex.js';
import { FutexWaiter } from '../sync/records/futex.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { SIGNAL_COUNT, Sighand, SignalAction, ThreadSignals } from '../sync/records/signals.js';
import { NO_RESERVATION, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { EEXIST, EINVAL } from './errno.js';
import { createFutexWaiter } from './futexQueue.js';
import { discardSignals } from './signals/pendingSignals.js';

/**
 * Thread records come from a pool and are only ever Thread records: whoever unparks a thread that has just ended (a
 * futex waker, a signal) touches a park word at worst, never another record. The same holds for the FutexWaiter and
 * ThreadSignals that belong to each.
 */
export function allocateThread(mem: SharedMemory, owner: number): number {
  const thread = withMutex(mem, MACHINE + Machine.guestsLock, owner, () => {
    const free = mem.getU32(MACHINE + Machine.freeThreads);
    if (free !== 0) mem.setU32(MACHINE + Machine.freeThreads, mem.getU32(free + Thread.nextFree));
    return free;
  });
  if (thread === 0) {
    const fresh = allocateBlock(mem, Thread.SIZE, owner);
    mem.setU32(fresh + Thread.futexWaiter, createFutexWaiter(mem, fresh, owner));
    mem.setU32(fresh + Thread.signals, allocateBlock(mem, ThreadSignals.SIZE, owner));
    initialise(mem, fresh);
    return fresh;
  }
  const waiter = mem.getU32(thread + Thread.futexWaiter);
  const signals = mem.getU32(thread + Thread.signals);
  const parkWord = mem.atomicLoad(thread + Thread.parkWord);
  const epoch = mem.atomicLoad(thread + Thread.epoch);
  mem.zero(thread, Thread.SIZE);
  mem.zero(signals, ThreadSignals.SIZE);
  mem.atomicStore(thread + Thread.parkWord, parkWord);
  mem.atomicStore(thread + Thread.epoch, epoch);
  mem.setU32(thread + Thread.futexWaiter, waiter);
  mem.atomicStore(waiter + FutexWaiter.bucket, 0);
  mem.setU32(thread + Thread.signals, signals);
  initialise(mem, thread);
  return thread;
}

function initialise(mem: SharedMemory, thread: number): void {
  mem.u64[(thread + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
  mem.setI32(thread + Thread.syscall, -1);
  mem.setU32(thread + Thread.state, 'R'.charCodeAt(0));
}

/** Gives a thread's record back to the pool; nobody refers to it any more but for late wake-ups. */
export function freeThread(mem: SharedMemory, thread: number, owner: number): void {
  discardSignals(mem, mem.getU32(thread + Thread.signals) + ThreadSignals.pending, owner);
  withMutex(mem, MACHINE + Machine.guestsLock, owner, () => {
    mem.setU32(thread + Thread.nextFree, mem.getU32(MACHINE + Machine.freeThreads));
    mem.setU32(MACHINE + Machine.freeThreads, thread);
  });
}

/**
 * The next process or thread id: increasing, wrapping at pid_max, never one in use. `wanted` (set_tid of clone3) asks for a
 * certain one: −EINVAL beyond pid_max, −EEXIST when it is in use. (Ids of threads that are being made are not seen.)
 */
export function allocateTid(mem: SharedMemory, owner: number, wanted = 0): number {
  return withMutex(mem, MACHINE + Machine.guestsLock, owner, () => {
    if (wanted !== 0) {
      if (wanted >= mem.getU32(MACHINE + Machine.maxTids)) return -EINVAL;
      if (inUseLocked(mem, wanted)) return -EEXIST;
      // Those that come in turn look whether it is in use from now on.
      mem.setU32(MACHINE + Machine.tidsWrapped, 1);
      return wanted;
    }
    const limit = mem.getU32(MACHINE + Machine.maxTids);
    let tid = mem.getU32(MACHINE + Machine.lastTid);
    do tid = tid + 1 < limit ? tid + 1 : FIRST_TID;
    while (mem.getU32(MACHINE + Machine.tidsWrapped) !== 0 && inUseLocked(mem, tid));
    if (tid === FIRST_TID && mem.getU32(MACHINE + Machine.lastTid) !== FIRST_TID - 1)
      mem.setU32(MACHINE + Machine.tidsWrapped, 1);
    mem.setU32(MACHINE + Machine.lastTid, tid);
    return tid;
  });
}

/** The first id given out; smaller ones belong to the machine itself. */
export const FIRST_TID = 1000;

function inUseLocked(mem: SharedMemory, tid: number): boolean {
  for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest)) {
    if (mem.getU32(g + Guest.pid) === tid) return true;
    if (mem.getU32(g + Guest.pgid) === tid || mem.getU32(g + Guest.sid) === tid) return true;
    // A list read without threadsLock: records are type-stable and the walk is bounded by the machine's threads.
    for (let t = mem.getU32(g + Guest.threads), n = 0; t !== 0 && n < 65536; n++) {
      if (mem.getU32(t + Thread.tid) === tid) return true;
      t = mem.getU32(t + Thread.nextInGuest);
    }
  }
  return false;
}

/** Makes signal actions: all default. The caller holds the one reference. */
export function createSighand(mem: SharedMemory, owner: number): number {
  const sighand = allocateBlock(mem, Sighand.SIZE, owner);
  initMutex(mem, sighand + Sighand.lock);
  mem.setI32(sighand + Sighand.refs, 1);
  return sighand;
}

/** Signal actions of one's own, as `from` has them; with one reference (fork, exec). */
export function copySighand(mem: SharedMemory, from: number, owner: number): number {
  const copy = createSighand(mem, owner);
  withMutex(mem, from + Sighand.lock, owner, () => {
    const size = (SIGNAL_COUNT + 1) * SignalAction.SIZE;
    mem.u8.copyWithin(copy + Sighand.actions, from + Sighand.actions, from + Sighand.actions + size);
  });
  return copy;
}

export function retainSighand(mem: SharedMemory, sighand: number): void {
  mem.atomicAdd(sighand + Sighand.refs, 1);
}

export function releaseSighand(mem: SharedMemory, sighand: number, owner: number): void {
  if (mem.atomicAdd(sighand + Sighand.refs, -1) === 1) freeBlock(mem, sighand, owner);
}

/** Exec: handlers become SIG_DFL, ignored signals stay ignored. */
export function resetHandlers(mem: SharedMemory, sighand: number): void {
  for (let signal = 1; signal <= 64; signal++) {
    const action = sighand + Sighand.actions + signal * SignalAction.SIZE;
    if (mem.getU64(action + SignalAction.handler) > 1) mem.set64(action + SignalAction.handler, 0);
    mem.set64(action + SignalAction.flags, 0);
    mem.set64(action + SignalAction.maskLow, 0);
  }
}
