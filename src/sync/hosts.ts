import { allocateBlock } from './heap.js';
import { COORDINATOR, lockMutex, unlockMutex } from './mutex.js';
import { Host, MACHINE, Machine } from './records/machine.js';
import { Thread } from './records/thread.js';
import { pushRequest, RequestKind } from './ring.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * Handing guest threads to thread hosts (workers), from worker to worker and without the main thread.
 *
 * Whoever creates a thread first reserves a host for it (`reserveHost`, the moment at which a machine full of threads
 * says EAGAIN), then starts it (`startThread`): a parked host takes it at once, or it waits in a queue that the next
 * free host empties. A host lives in `nextThread`, which parks it until there is a thread to run.
 *
 * More hosts than needed are kept: whenever hosts run short of threads plus spares, the coordinator is asked for more.
 * Machine.hostsLock guards everything here and is a leaf.
 */

/** The most hosts kept parked ahead of need. */
const MOST_SPARES = 4;
/** What Host.thread holds when the host is to leave. */
const LEAVE = -1;

/** Sets how many hosts the machine may have; called once by the main thread. `present` are already being started. */
export function initHosts(mem: SharedMemory, limit: number, present: number): void {
  mem.setI32(MACHINE + Machine.hostLimit, limit);
  mem.setI32(MACHINE + Machine.hostCount, present);
}

/**
 * Makes the record of a new thread host, on the main thread; the host then lives in `nextThread`. The record's address is
 * the host's lock token while it runs no thread.
 */
export function registerHost(mem: SharedMemory, index: number): number {
  const host = allocateBlock(mem, Host.SIZE, COORDINATOR);
  mem.setU32(host + Host.index, index);
  return host;
}

/** Promises a host to a thread that is about to be created; false when the machine has as many threads as it may. */
export function reserveHost(mem: SharedMemory, owner: number): boolean {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  const committed = mem.getI32(MACHINE + Machine.hostsCommitted);
  const fits = committed < mem.getI32(MACHINE + Machine.hostLimit);
  if (fits) mem.setI32(MACHINE + Machine.hostsCommitted, committed + 1);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  return fits;
}

/** Takes a promise of `reserveHost` back, for a thread that was not started after all. */
export function unreserveHost(mem: SharedMemory, owner: number): void {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.setI32(MACHINE + Machine.hostsCommitted, mem.getI32(MACHINE + Machine.hostsCommitted) - 1);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
}

/**
 * Starts `thread`, for which a host is reserved: the host begins with what Thread.start says. `ring` rings the
 * coordinator's doorbell. Never waits.
 */
export function startThread(mem: SharedMemory, thread: number, owner: number, ring: () => void): void {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  const host = mem.getU32(MACHINE + Machine.idleHosts);
  if (host !== 0) {
    mem.setU32(MACHINE + Machine.idleHosts, mem.getU32(host + Host.nextIdle));
    mem.setI32(MACHINE + Machine.idleHostCount, mem.getI32(MACHINE + Machine.idleHostCount) - 1);
    mem.setU32(thread + Thread.host, host);
  } else {
    mem.setU32(thread + Thread.nextWaiting, 0);
    const last = mem.getU32(MACHINE + Machine.waitingLast);
    if (last !== 0) mem.setU32(last + Thread.nextWaiting, thread);
    else mem.setU32(MACHINE + Machine.waitingFirst, thread);
    mem.setU32(MACHINE + Machine.waitingLast, thread);
  }
  // A guest that has started a second thread will start more; one that has not needs no spares. A start from the main
  // thread is a new guest's first thread.
  if (owner !== COORDINATOR) {
    const committed = mem.getI32(MACHINE + Machine.hostsCommitted);
    const spares = Math.min(MOST_SPARES, Math.max(1, committed >> 2));
    if (spares > mem.getI32(MACHINE + Machine.spareHosts)) mem.setI32(MACHINE + Machine.spareHosts, spares);
  }
  const missing = countMissingLocked(mem);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  if (host !== 0) {
    Atomics.store(mem.i32, (host + Host.thread) >>> 2, thread);
    Atomics.notify(mem.i32, (host + Host.thread) >>> 2, 1);
  }
  if (missing > 0) {
    while (!pushRequest(mem, owner, RequestKind.HostsWanted, missing)) ring();
    ring();
  }
}

/**
 * Looks again at hosts that were asked for and not started yet: returns how many of those `asked` are still wanted. A thread
 * that ended meanwhile has left its host to the next one.
 */
export function stillWanted(mem: SharedMemory, owner: number, asked: number): number {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.setI32(MACHINE + Machine.hostCount, mem.getI32(MACHINE + Machine.hostCount) - asked);
  const missing = countMissingLocked(mem);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  return missing;
}

/** How many hosts are to be started for the threads there are and the spares; they count as present from now on. */
function countMissingLocked(mem: SharedMemory): number {
  const have = mem.getI32(MACHINE + Machine.hostCount);
  const want = Math.min(
    mem.getI32(MACHINE + Machine.hostLimit),
    mem.getI32(MACHINE + Machine.hostsCommitted) + mem.getI32(MACHINE + Machine.spareHosts),
  );
  if (want > have) mem.setI32(MACHINE + Machine.hostCount, want);
  return Math.max(0, want - have);
}

/**
 * Parks a host until a thread is handed to it and returns that thread, or 0 when the host is to end. `finished` says that
 * the host comes back from a thread, whose promise ends with this.
 */
export function nextThread(mem: SharedMemory, host: number, finished: boolean): number {
  lockMutex(mem, MACHINE + Machine.hostsLock, host);
  if (finished)
    mem.setI32(MACHINE + Machine.hostsCommitted, mem.getI32(MACHINE + Machine.hostsCommitted) - 1);
  const waiting = mem.getU32(MACHINE + Machine.waitingFirst);
  if (mem.getI32(MACHINE + Machine.closing) !== 0) {
    unlockMutex(mem, MACHINE + Machine.hostsLock, host);
    return 0;
  }
  if (waiting !== 0) {
    const next = mem.getU32(waiting + Thread.nextWaiting);
    mem.setU32(MACHINE + Machine.waitingFirst, next);
    if (next === 0) mem.setU32(MACHINE + Machine.waitingLast, 0);
    mem.setU32(waiting + Thread.host, host);
    Atomics.store(mem.i32, (host + Host.thread) >>> 2, waiting);
    unlockMutex(mem, MACHINE + Machine.hostsLock, host);
    return waiting;
  }
  Atomics.store(mem.i32, (host + Host.thread) >>> 2, 0);
  mem.setU32(host + Host.nextIdle, mem.getU32(MACHINE + Machine.idleHosts));
  mem.setU32(MACHINE + Machine.idleHosts, host);
  mem.setI32(MACHINE + Machine.idleHostCount, mem.getI32(MACHINE + Machine.idleHostCount) + 1);
  unlockMutex(mem, MACHINE + Machine.hostsLock, host);
  const index = (host + Host.thread) >>> 2;
  for (;;) {
    const thread = Atomics.load(mem.i32, index);
    if (thread === LEAVE) return 0;
    if (thread !== 0) return thread >>> 0;
    Atomics.wait(mem.i32, index, 0);
  }
}

/**
 * Takes a host that ended for good (its worker died) out of the count; `hadThread` when a thread was promised it. Returns
 * how many hosts are to be started in its place.
 */
export function forgetHost(mem: SharedMemory, owner: number, hadThread: boolean): number {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.setI32(MACHINE + Machine.hostCount, mem.getI32(MACHINE + Machine.hostCount) - 1);
  if (hadThread)
    mem.setI32(MACHINE + Machine.hostsCommitted, mem.getI32(MACHINE + Machine.hostsCommitted) - 1);
  const missing = mem.atomicLoad(MACHINE + Machine.closing) === 0 ? countMissingLocked(mem) : 0;
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  return missing;
}

/** Closes the machine's hosts: parked ones leave now, the others when their thread has ended. */
export function closeHosts(mem: SharedMemory, owner: number): void {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.atomicStore(MACHINE + Machine.closing, 1);
  let host = mem.getU32(MACHINE + Machine.idleHosts);
  mem.setU32(MACHINE + Machine.idleHosts, 0);
  mem.setI32(MACHINE + Machine.idleHostCount, 0);
  while (host !== 0) {
    const next = mem.getU32(host + Host.nextIdle);
    Atomics.store(mem.i32, (host + Host.thread) >>> 2, LEAVE);
    Atomics.notify(mem.i32, (host + Host.thread) >>> 2);
    host = next;
  }
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
}
