import { createGuestRecord, joinGuest } from '../../src/kernel/guestRecords.js';
import { initKernel } from '../../src/kernel/initKernel.js';
import { ThreadContext } from '../../src/kernel/threadContext.js';
import { allocateThread, allocateTid, createSighand } from '../../src/kernel/threadRecords.js';
import { allocateBlock, initHeap } from '../../src/sync/heap.js';
import { COORDINATOR, initMutex } from '../../src/sync/mutex.js';
import { Guest } from '../../src/sync/records/guest.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import { Thread } from '../../src/sync/records/thread.js';
import { createRequestRing } from '../../src/sync/ring.js';
import { addThread } from '../../src/sync/safepoint.js';
import { SharedMemory } from '../../src/sync/sharedMemory.js';

/**
 * A machine with just enough for the kernel's own parts: heap, futexes, timers, one guest. Its address space maps every
 * guest address to the machine address of the same number (a delta of 0), so that no page ever faults.
 */
const MEGABYTES = 32;
const KERNEL_END = 16 << 20;

export interface BareMachine {
  readonly mem: SharedMemory;
  readonly mm: number;
  readonly guest: number;
}

export function createBareMachine(): BareMachine {
  const mem = SharedMemory.create(MEGABYTES << 20);
  mem.setU32(MACHINE + Machine.hostPageShift, 12);
  initHeap(mem, MACHINE + Machine.SIZE, KERNEL_END);
  createRequestRing(mem, COORDINATOR);
  initKernel(mem, COORDINATOR, { cpus: 2 });

  const mm = allocateBlock(mem, Mm.SIZE, COORDINATOR);
  for (const lock of [Mm.mmapLock, Mm.stopLock, Mm.threadsLock]) initMutex(mem, mm + lock);
  mem.setI32(mm + Mm.refs, 1);
  const pages = (MEGABYTES << 20) >>> 12;
  const table = allocateBlock(mem, pages * 4, COORDINATOR);
  for (let page = 1; page < pages; page++) mem.setU32(table + page * 4, 1);
  mem.setU32(mm + Mm.readTable, table);
  mem.setU32(mm + Mm.writeTable, table);
  mem.setU32(mm + Mm.hostPageShift, 12);
  mem.set64(mm + Mm.reach, MEGABYTES << 20);

  const pid = allocateTid(mem, COORDINATOR);
  const guest = createGuestRecord(mem, COORDINATOR, pid, 8 << 20, 0, 0);
  mem.setU32(guest + Guest.sighand, createSighand(mem, COORDINATOR));
  return { mem, mm, guest };
}

/** Guest memory of the machine: the stretch above the kernel's. */
export const GUEST_MEMORY = KERNEL_END;

/** Makes one more thread of the guest; the first has the guest's pid. */
export function createBareThread({ mem, mm, guest }: BareMachine): number {
  const thread = allocateThread(mem, COORDINATOR);
  const first = mem.getU32(guest + Guest.threads) === 0;
  mem.setU32(thread + Thread.tid, first ? mem.getU32(guest + Guest.pid) : allocateTid(mem, COORDINATOR));
  mem.setU32(thread + Thread.sighand, mem.getU32(guest + Guest.sighand));
  addThread(mem, mm, thread, COORDINATOR);
  joinGuest(mem, guest, thread, 0, COORDINATOR);
  return thread;
}

/** A context bound to `thread`. */
export function bindContext(mem: SharedMemory, thread: number): ThreadContext {
  const t = new ThreadContext(mem, () => {});
  t.bind(thread);
  return t;
}
