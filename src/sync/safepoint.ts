import { newCodeEpoch } from './codeEpoch.js';
import { lockMutex, unlockMutex } from './mutex.js';
import { Mm } from './records/mm.js';
import { ATTENTION_QUIESCE, ATTENTION_STOP, MODE_GUEST, MODE_KERNEL, Thread } from './records/thread.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * Safepoints: how one thread learns that another no longer uses what it has taken away.
 *
 * A thread is in GUEST mode while it runs guest code or copies from or to guest memory, and in KERNEL mode otherwise:
 * in system calls, while parked, inside host calls. In KERNEL mode it counts as stopped, and it must not touch guest
 * memory. `enterGuest`/`leaveGuest` bracket every stretch of GUEST mode; they do not nest. No mutex may be held when
 * entering GUEST mode except those that stoppers never need (see mm/README.md).
 *
 * Two requests, both made in KERNEL mode and both ended by the target's next `leaveGuest`:
 *  - stopOthers: every other thread of the address space is out of GUEST mode and stays out until resumeOthers.
 *  - quiesceOthers: every other thread has been out of GUEST mode at least once since the call.
 */
export function enterGuest(mem: SharedMemory, thread: number): void {
  const mode = (thread + Thread.mode) >>> 2;
  const attention = (thread + Thread.attention) >>> 2;
  for (;;) {
    Atomics.store(mem.i32, mode, MODE_GUEST);
    const bits = Atomics.load(mem.i32, attention);
    if ((bits & (ATTENTION_STOP | ATTENTION_QUIESCE)) === 0) return;
    leaveGuest(mem, thread);
    if (bits & ATTENTION_STOP) {
      let now = bits;
      while (now & ATTENTION_STOP) {
        Atomics.wait(mem.i32, attention, now);
        now = Atomics.load(mem.i32, attention);
      }
    }
  }
}

/** Ends GUEST mode: passes a safepoint and tells those who wait for it. */
export function leaveGuest(mem: SharedMemory, thread: number): void {
  Atomics.store(mem.i32, (thread + Thread.mode) >>> 2, MODE_KERNEL);
  Atomics.add(mem.i32, (thread + Thread.epoch) >>> 2, 1);
  const attention = (thread + Thread.attention) >>> 2;
  if (Atomics.load(mem.i32, attention) & (ATTENTION_STOP | ATTENTION_QUIESCE)) {
    Atomics.and(mem.i32, attention, ~ATTENTION_QUIESCE);
    Atomics.notify(mem.i32, (thread + Thread.epoch) >>> 2);
  }
}

/**
 * Stops all threads of `mm` but `self` (0 when the caller is no guest thread). The caller is in KERNEL mode, holds
 * Mm.stopLock from here until resumeOthers, and no mutex that a thread in GUEST mode could be waiting for.
 */
export function stopOthers(mem: SharedMemory, mm: number, self: number, owner: number): void {
  lockMutex(mem, mm + Mm.stopLock, owner);
  lockMutex(mem, mm + Mm.threadsLock, owner);
  mem.setU32(mm + Mm.stopped, 1);
  for (let t = mem.getU32(mm + Mm.threads); t !== 0; t = mem.getU32(t + Thread.nextInMm)) {
    if (t !== self) mem.atomicOr(t + Thread.attention, ATTENTION_STOP);
  }
  for (let t = mem.getU32(mm + Mm.threads); t !== 0; t = mem.getU32(t + Thread.nextInMm)) {
    if (t !== self) awaitSafepoint(mem, t, mem.atomicLoad(t + Thread.epoch));
  }
  unlockMutex(mem, mm + Mm.threadsLock, owner);
}

/** Lets the threads that stopOthers stopped go on. */
export function resumeOthers(mem: SharedMemory, mm: number, self: number, owner: number): void {
  lockMutex(mem, mm + Mm.threadsLock, owner);
  mem.setU32(mm + Mm.stopped, 0);
  for (let t = mem.getU32(mm + Mm.threads); t !== 0; t = mem.getU32(t + Thread.nextInMm)) {
    if (t === self) continue;
    mem.atomicAnd(t + Thread.attention, ~ATTENTION_STOP);
    Atomics.notify(mem.i32, (t + Thread.attention) >>> 2);
  }
  unlockMutex(mem, mm + Mm.threadsLock, owner);
  unlockMutex(mem, mm + Mm.stopLock, owner);
}

/**
 * Makes `thread` one of `mm`'s threads and gives it the address space's tables. One that arrives while the others are
 * stopped starts stopped.
 */
export function addThread(mem: SharedMemory, mm: number, thread: number, owner: number): void {
  lockMutex(mem, mm + Mm.threadsLock, owner);
  mem.setU32(thread + Thread.mm, mm);
  mem.setU32(thread + Thread.nextInMm, mem.getU32(mm + Mm.threads));
  mem.setU32(mm + Mm.threads, thread);
  // While there was none its pages came and went without a new epoch.
  if (mem.atomicAdd(mm + Mm.threadCount, 1) === 0) newCodeEpoch(mem, mm);
  if (mem.getU32(mm + Mm.stopped)) mem.atomicOr(thread + Thread.attention, ATTENTION_STOP);
  loadTables(mem, mm, thread);
  unlockMutex(mem, mm + Mm.threadsLock, owner);
}

/** Takes `thread`, which is in KERNEL mode for good, out of its address space's list. */
export function removeThread(mem: SharedMemory, thread: number, owner: number): void {
  const mm = mem.getU32(thread + Thread.mm);
  lockMutex(mem, mm + Mm.threadsLock, owner);
  let link = mm + Mm.threads;
  while (mem.getU32(link) !== thread) link = mem.getU32(link) + Thread.nextInMm;
  mem.setU32(link, mem.getU32(thread + Thread.nextInMm));
  mem.atomicAdd(mm + Mm.threadCount, -1);
  mem.setU32(thread + Thread.mm, 0);
  unlockMutex(mem, mm + Mm.threadsLock, owner);
}

/** Copies what the engine needs of the address space into the thread: at its start, and when the tables have moved. */
export function loadTables(mem: SharedMemory, mm: number, thread: number): void {
  mem.setU32(thread + Thread.readTable, mem.getU32(mm + Mm.readTable));
  mem.setU32(thread + Thread.writeTable, mem.getU32(mm + Mm.writeTable));
  mem.setU32(thread + Thread.codeTable, mem.getU32(mm + Mm.codeTable));
  mem.setU32(thread + Thread.hostPageShift, mem.getU32(mm + Mm.hostPageShift));
  mem.set64(thread + Thread.reach, mem.getU64(mm + Mm.reach));
  mem.setI32(thread + Thread.homeEntry, mem.getI32(mm + Mm.homeDelta) + 1);
}

/** Gives every thread of `mm` the tables anew. All of them are stopped. */
export function reloadTables(mem: SharedMemory, mm: number, owner: number): void {
  lockMutex(mem, mm + Mm.threadsLock, owner);
  for (let t = mem.getU32(mm + Mm.threads); t !== 0; t = mem.getU32(t + Thread.nextInMm))
    loadTables(mem, mm, t);
  unlockMutex(mem, mm + Mm.threadsLock, owner);
}

/**
 * Returns when every thread of `mm` but `self` has passed a safepoint since the call, so that none still holds a
 * translation that was withdrawn before it. The caller is in KERNEL mode.
 */
export function quiesceOthers(mem: SharedMemory, mm: number, self: number, owner: number): void {
  if (mem.atomicLoad(mm + Mm.threadCount) <= 1) return;
  lockMutex(mem, mm + Mm.threadsLock, owner);
  for (let t = mem.getU32(mm + Mm.threads); t !== 0; t = mem.getU32(t + Thread.nextInMm)) {
    if (t === self) continue;
    const epoch = mem.atomicLoad(t + Thread.epoch);
    if (mem.atomicLoad(t + Thread.mode) !== MODE_GUEST) continue;
    mem.atomicOr(t + Thread.attention, ATTENTION_QUIESCE);
    awaitSafepoint(mem, t, epoch);
  }
  unlockMutex(mem, mm + Mm.threadsLock, owner);
}

const SPINS = 2000;

function awaitSafepoint(mem: SharedMemory, thread: number, epoch: number): void {
  const mode = (thread + Thread.mode) >>> 2;
  const epochIndex = (thread + Thread.epoch) >>> 2;
  const passed = () =>
    Atomics.load(mem.i32, mode) !== MODE_GUEST || Atomics.load(mem.i32, epochIndex) !== epoch;
  for (let spin = 0; spin < SPINS; spin++) if (passed()) return;
  while (!passed()) Atomics.wait(mem.i32, epochIndex, epoch, 10);
}
