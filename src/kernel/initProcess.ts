import { INIT_PID } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { ASLEEP, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { createGuestRecord, joinGuest } from './guestRecords.js';
import { allocateThread } from './threadRecords.js';

/**
 * The machine's init, process 1: the parent of the guests that the embedder starts, and of orphans. It stands for the
 * embedder; it has one thread, which sleeps for ever and which no host runs, and no memory, descriptors or directory (in
 * /proc it is as a thread of the kernel). It is on the list of guests, so that calls which name processes find it.
 */

const STACK_SIZE = 8 << 20;

/** Makes the machine's init; once, as the first guest of all. It does not count as one that is still there (Machine.guestCount). */
export function createInitProcess(mem: SharedMemory, owner: number): void {
  const guest = createGuestRecord(mem, owner, INIT_PID, STACK_SIZE, 0, 0);
  const thread = allocateThread(mem, owner);
  mem.setU32(thread + Thread.tid, INIT_PID);
  mem.u8.set(new TextEncoder().encode('init'), thread + Thread.comm);
  mem.atomicStore(thread + Thread.asleep, ASLEEP);
  joinGuest(mem, guest, thread, 0, owner);
  mem.setI32(MACHINE + Machine.guestCount, 0);
}
