import { allocateBlock, freeBlock } from '../sync/heap.js';
import { withMutex } from '../sync/mutex.js';
import { Cred } from '../sync/records/cred.js';
import { Guest } from '../sync/records/guest.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { copyGroups } from './groups.js';
import type { ThreadContext } from './threadContext.js';

/**
 * credentials(7) are each thread's own, as far as the kernel is concerned: the C libraries make the same call in all threads. So the threads
 * of a guest share its Cred until one of them changes what it is. The guest's is always its first thread's, which is what others see.
 * FreeBSD has them for processes.
 */

/** The Cred that a thread acts by. */
export function credOf(mem: SharedMemory, thread: number): number {
  return mem.getU32(thread + Thread.cred) || mem.getU32(thread + Thread.guest) + Guest.cred;
}

/** To be called before the thread changes what it acts as: from here on no other thread does so by the same Cred. Throws OutOfKernelMemory. */
export function separateCred(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  if (t.freebsd) return;
  withMutex(mem, guest + Guest.threadsLock, thread, () => {
    const first = t.tid === mem.getU32(guest + Guest.pid);
    for (let o = mem.getU32(guest + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest))
      if ((o === thread) !== first && mem.getU32(o + Thread.cred) === 0)
        mem.setU32(o + Thread.cred, copyCred(mem, guest + Guest.cred, thread));
  });
}

/** A new thread acts as `creator` does. Guest.threadsLock is held; the thread is on no list yet. Throws OutOfKernelMemory. */
export function inheritCredLocked(mem: SharedMemory, thread: number, creator: number): void {
  const cred = mem.getU32(creator + Thread.cred);
  if (cred !== 0) mem.setU32(thread + Thread.cred, copyCred(mem, cred, creator));
}

/** execve: the only thread left is the guest's first one, by what it was itself. */
export function becomeFirst({ mem, guest, thread }: ThreadContext): void {
  const own = mem.getU32(thread + Thread.cred);
  if (own === 0) return;
  withMutex(mem, guest + Guest.threadsLock, thread, () => {
    const groups = mem.getU32(guest + Guest.cred + Cred.groups);
    if (groups !== 0) freeBlock(mem, groups, thread);
    mem.u8.copyWithin(guest + Guest.cred, own, own + Cred.SIZE);
    mem.setU32(thread + Thread.cred, 0);
  });
  freeBlock(mem, own, thread);
}

/** The thread ends, and is on no list any more: its own Cred goes. */
export function freeCred(mem: SharedMemory, thread: number, owner: number): void {
  const own = mem.getU32(thread + Thread.cred);
  if (own === 0) return;
  mem.setU32(thread + Thread.cred, 0);
  const groups = mem.getU32(own + Cred.groups);
  if (groups !== 0) freeBlock(mem, groups, owner);
  freeBlock(mem, own, owner);
}

/** Makes `to`, where nothing is yet, as `from` is. Throws OutOfKernelMemory. */
export function fillCred(mem: SharedMemory, from: number, to: number, owner: number): void {
  mem.u8.copyWithin(to, from, from + Cred.SIZE);
  mem.setU32(to + Cred.groups, 0);
  mem.setU32(to + Cred.groups, copyGroups(mem, from, owner));
}

function copyCred(mem: SharedMemory, from: number, owner: number): number {
  const cred = allocateBlock(mem, Cred.SIZE, owner);
  fillCred(mem, from, cred, owner);
  return cred;
}
