import { allocateBlock, freeBlock, OutOfKernelMemory } from '../sync/heap.js';
import { monotonicNow, parkWithoutHost } from '../sync/park.js';
import { KeptFile, Thread } from '../sync/records/thread.js';
import { pushRequest, RequestKind } from '../sync/ring.js';
import { joinSleepers, leaveSleepers } from '../sync/sleepers.js';
import { leaveQueue, WaitNode } from '../sync/waitQueue.js';
import { acquireFile } from './files/filesTable.js';
import { releaseOpenFile } from './files/openFile.js';
import { keepInputs, takeInputs } from './keptInputs.js';
import { STAYS, type ThreadContext } from './threadContext.js';

/**
 * A system call that a thread has left with its host (ThreadContext.leave): it is begun again, from the ecall, by whichever host
 * has the thread after it has been unparked. What must not be lost in between is kept in the Thread record: the places in wait
 * queues, so that somebody unparks it, the open files of its descriptors, which others may close or replace meanwhile, the
 * time from which its timeout counts, what it has read of the guest's memory (keptInputs.ts), and the bytes that are done. The second beginning then finds the same files and the same
 * deadline, looks whether it has to wait any longer, and joins the queues anew.
 */

/** Keeps the place in a wait queue. The queue must be there as long as what the thread keeps is. */
export function keepNode(t: ThreadContext, node: number): void {
  const { mem, thread } = t;
  mem.setU32(node + WaitNode.nextKept, mem.getU32(thread + Thread.waitNodes));
  mem.setU32(thread + Thread.waitNodes, node);
}

/** The open file of `fd` with a reference for the caller, or 0: in a call that is begun again, the one that it had. */
export function acquireDescriptor(t: ThreadContext, fd: number): number {
  if (t.keptFiles.length > 0) {
    const index = t.keptFiles.findIndex((kept) => kept.fd === fd);
    if (index >= 0) return t.keptFiles.splice(index, 1)[0].file;
  }
  return acquireFile(t.mem, t.files, fd, t.thread);
}

/** Gives the reference of `acquireDescriptor` back, or keeps it when the call is left. */
export function releaseDescriptor(t: ThreadContext, fd: number, file: number): void {
  if (t.leaving === STAYS || !keepFile(t, fd, file)) releaseOpenFile(t.mem, file, t.thread);
}

function keepFile(t: ThreadContext, fd: number, file: number): boolean {
  const { mem, thread } = t;
  try {
    const kept = allocateBlock(mem, KeptFile.SIZE, thread);
    mem.setU32(kept + KeptFile.file, file);
    mem.setI32(kept + KeptFile.fd, fd);
    mem.setU32(kept + KeptFile.next, mem.getU32(thread + Thread.keptFiles));
    mem.setU32(thread + Thread.keptFiles, kept);
    return true;
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    // The queues may go with the file: the thread leaves them at once and begins the call again.
    leaveQueues(t);
    t.leaveTicket = ~t.leaveTicket;
    return false;
  }
}

function leaveQueues(t: ThreadContext): void {
  const { mem, thread } = t;
  for (let node = mem.getU32(thread + Thread.waitNodes), next = 0; node !== 0; node = next) {
    next = mem.getU32(node + WaitNode.nextKept);
    leaveQueue(mem, node);
  }
  mem.setU32(thread + Thread.waitNodes, 0);
}

/** The thread waits without a host from here on: its record is not this worker's any more. */
export function leaveCall(t: ThreadContext): void {
  const { mem, thread, leaveTicket, leaveDeadline } = t;
  mem.f64[(thread + Thread.callBegan) >>> 3] = t.callBegan;
  mem.setU32(thread + Thread.callProgress, t.progress);
  keepInputs(t);
  if (leaveDeadline !== Infinity && joinSleepers(mem, thread, leaveDeadline)) {
    while (!pushRequest(mem, thread, RequestKind.TimersChanged)) t.ring();
    t.ring();
  }
  parkWithoutHost(mem, thread, leaveTicket);
}

/** Begins the call again that the thread has left: `call` makes it. */
export function resumeCall(t: ThreadContext, call: (t: ThreadContext) => void): void {
  const { mem, thread } = t;
  leaveSleepers(mem, thread);
  leaveQueues(t);
  for (let kept = mem.getU32(thread + Thread.keptFiles), next = 0; kept !== 0; kept = next) {
    next = mem.getU32(kept + KeptFile.next);
    t.keptFiles.push({ fd: mem.getI32(kept + KeptFile.fd), file: mem.getU32(kept + KeptFile.file) });
    freeBlock(mem, kept, thread);
  }
  mem.setU32(thread + Thread.keptFiles, 0);
  takeInputs(t);
  t.callBegan = mem.f64[(thread + Thread.callBegan) >>> 3];
  t.progress = mem.getU32(thread + Thread.callProgress);
  t.resumed = true;
  call(t);
  t.resumed = false;
  // Descriptors that the call does not name any more: its arguments in memory have changed.
  for (const { file } of t.keptFiles.splice(0)) releaseOpenFile(mem, file, thread);
}

/** A wait that ends sooner than this (milliseconds) is not worth leaving the host for. */
const SHORT = 2;

/** Whether it pays to leave the host for a wait until `deadline` (monotonic milliseconds). */
export function isLong(deadline: number): boolean {
  return deadline === Infinity || deadline - monotonicNow() > SHORT;
}
