import { allocateBlock, freeBlock } from '../sync/heap.js';
import { withMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import { SemaphoreUndoList } from '../sync/records/sysvIpc.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { undoSemaphores } from './semaphores.js';
import type { ThreadContext } from './threadContext.js';

/**
 * Whose end undoes what semop(2) was to undo (SEM_UNDO): that of the last thread which shares the list. Threads share it that were made with
 * CLONE_SYSVSEM, as the C libraries do, so a guest has a list, and a thread that was made without a list of its own.
 */

/** The list of a thread, 0 when nobody has needed it yet. */
export function undoListOf(mem: SharedMemory, thread: number): number {
  const guest = mem.getU32(thread + Thread.guest);
  return mem.getU32(thread + Thread.semaphoreUndos) || mem.getU32(guest + Guest.semaphoreUndos);
}

/** The caller's list, made when there is none. Throws OutOfKernelMemory. */
export function needUndoList(t: ThreadContext): number {
  const { mem, guest, thread } = t;
  return withMutex(mem, guest + Guest.threadsLock, thread, () => {
    const existing = undoListOf(mem, thread);
    if (existing !== 0) return existing;
    const made = createUndoList(mem, thread);
    mem.setU32(guest + Guest.semaphoreUndos, made);
    return made;
  });
}

function createUndoList(mem: SharedMemory, owner: number): number {
  const list = allocateBlock(mem, SemaphoreUndoList.SIZE, owner);
  mem.setI32(list + SemaphoreUndoList.refs, 1);
  return list;
}

/** The list of a new thread of the caller's guest: the caller's if it is `shared`. Throws OutOfKernelMemory. */
export function inheritUndoList(t: ThreadContext, child: number, shared: boolean): void {
  const { mem, thread } = t;
  const own = mem.getU32(thread + Thread.semaphoreUndos);
  if (!shared) mem.setU32(child + Thread.semaphoreUndos, createUndoList(mem, thread));
  else if (own !== 0) mem.setU32(child + Thread.semaphoreUndos, retained(mem, own));
}

/** A new guest shares the caller's list (CLONE_SYSVSEM without CLONE_THREAD). Throws OutOfKernelMemory. */
export function shareUndoList(t: ThreadContext, guest: number): void {
  t.mem.setU32(guest + Guest.semaphoreUndos, retained(t.mem, needUndoList(t)));
}

function retained(mem: SharedMemory, list: number): number {
  mem.atomicAdd(list + SemaphoreUndoList.refs, 1);
  return list;
}

/** Gives back the list that `field` holds; the last one that does has what is on it undone (exit_sem). */
export function leaveUndoList(t: ThreadContext, field: number): void {
  const { mem, thread } = t;
  const list = mem.getU32(field);
  if (list === 0) return;
  mem.setU32(field, 0);
  if (mem.atomicAdd(list + SemaphoreUndoList.refs, -1) !== 1) return;
  if (mem.atomicLoad(list + SemaphoreUndoList.used) !== 0) undoSemaphores(t, list);
  freeBlock(mem, list, thread);
}

/** unshare(CLONE_SYSVSEM): the caller leaves its list, and has none in common with others any more. Throws OutOfKernelMemory. */
export function unshareUndoList(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  const alone = mem.atomicLoad(guest + Guest.threadCount) === 1;
  const made = alone ? 0 : createUndoList(mem, thread);
  leaveUndoList(t, thread + Thread.semaphoreUndos);
  if (alone) leaveUndoList(t, guest + Guest.semaphoreUndos);
  mem.setU32(thread + Thread.semaphoreUndos, made);
}

/** execve: the only thread left has its list as the guest's. */
export function keepUndoList(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  const own = mem.getU32(thread + Thread.semaphoreUndos);
  if (own === 0) return;
  leaveUndoList(t, guest + Guest.semaphoreUndos);
  mem.setU32(thread + Thread.semaphoreUndos, 0);
  mem.setU32(guest + Guest.semaphoreUndos, own);
}
