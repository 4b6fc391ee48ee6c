import { allocateBlock, freeBlock } from './heap.js';
import { initMutex, lockMutex, Mutex, unlockMutex } from './mutex.js';
import { unpark } from './park.js';
import { embedded, pointer, record } from './record.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * The threads that wait for something to change: readers of an empty pipe, pollers, waiters for a child. A queue wakes
 * threads, it does not hand anything over: a woken thread looks again at what it waits for (as Linux's wait queues do).
 */
export const WaitQueue = record({
  lock: embedded(Mutex),
  /** First node; lock. */
  first: pointer,
});

/** One thread in one queue. */
export const WaitNode = record({
  queue: pointer,
  thread: pointer,
  /** Neighbours in the queue; WaitQueue.lock. */
  next: pointer,
  previous: pointer,
  /** Another node that the same thread keeps while it has no host (Thread.waitNodes). Own thread. */
  nextKept: pointer,
});

export function initWaitQueue(mem: SharedMemory, queue: number): void {
  initMutex(mem, queue + WaitQueue.lock);
  mem.setU32(queue + WaitQueue.first, 0);
}

/** Adds `thread` to the queue and returns its node, for `leaveQueue`. */
export function joinQueue(mem: SharedMemory, queue: number, thread: number): number {
  const node = allocateBlock(mem, WaitNode.SIZE, thread);
  mem.setU32(node + WaitNode.queue, queue);
  mem.setU32(node + WaitNode.thread, thread);
  lockMutex(mem, queue + WaitQueue.lock, thread);
  const first = mem.getU32(queue + WaitQueue.first);
  mem.setU32(node + WaitNode.next, first);
  mem.setU32(node + WaitNode.previous, 0);
  if (first !== 0) mem.setU32(first + WaitNode.previous, node);
  // Atomic, because wakeQueue looks at it without the lock.
  mem.atomicStore(queue + WaitQueue.first, node);
  unlockMutex(mem, queue + WaitQueue.lock, thread);
  return node;
}

/** Takes the node out of its queue and frees it. */
export function leaveQueue(mem: SharedMemory, node: number): void {
  const queue = mem.getU32(node + WaitNode.queue);
  const thread = mem.getU32(node + WaitNode.thread);
  lockMutex(mem, queue + WaitQueue.lock, thread);
  const next = mem.getU32(node + WaitNode.next);
  const previous = mem.getU32(node + WaitNode.previous);
  if (next !== 0) mem.setU32(next + WaitNode.previous, previous);
  if (previous !== 0) mem.setU32(previous + WaitNode.next, next);
  else mem.atomicStore(queue + WaitQueue.first, next);
  unlockMutex(mem, queue + WaitQueue.lock, thread);
  freeBlock(mem, node, thread);
}

/** Wakes every thread in the queue. Cheap when it is empty. `owner` is the caller's lock token. */
export function wakeQueue(mem: SharedMemory, queue: number, owner: number): void {
  if (mem.atomicLoad(queue + WaitQueue.first) === 0) return;
  lockMutex(mem, queue + WaitQueue.lock, owner);
  for (let n = mem.getU32(queue + WaitQueue.first); n !== 0; n = mem.getU32(n + WaitNode.next)) {
    unpark(mem, mem.getU32(n + WaitNode.thread));
  }
  unlockMutex(mem, queue + WaitQueue.lock, owner);
}
