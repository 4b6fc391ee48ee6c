import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { EventSource } from '../../sync/records/events.js';
import { FilesGlobal } from '../../sync/records/files.js';
import { FILE_SIGNAL, OpenFile } from '../../sync/records/openFile.js';
import { SignalFd } from '../../sync/records/signalFd.js';
import { Sighand } from '../../sync/records/signals.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EINVAL, ERESTARTSYS } from '../errno.js';
import {
  pendingLocked,
  recalculateAttention,
  type TakenSignal,
  takeSignalLocked,
} from '../signals/pendingSignals.js';
import { SIGNALFD_INFO_SIZE, signalFdInfo } from '../signals/signalFdInfo.js';
import { UNBLOCKABLE_LOW } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { fillTimerInfo } from '../timers.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { READABLE, signalEvents } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { anonymousStatus } from './fileStatus.js';
import { existingFilesGlobal, filesGlobal } from './filesGlobal.js';
import { createOpenFile, registerKind } from './openFile.js';
import { O_NONBLOCK, O_RDWR } from './openFlags.js';

/**
 * signalfd(2): reading takes pending signals of whoever reads (not of whoever made the descriptor), blocked or not. All
 * signalfds of the machine share one source of events; those who wait look for themselves.
 */

/** An open file on a new signalfd for the signals of the mask. `flags` may hold O_NONBLOCK. */
export function createSignalFd(
  mem: SharedMemory,
  low: number,
  high: number,
  flags: number,
  owner: number,
): number {
  const object = allocateBlock(mem, SignalFd.SIZE, owner);
  const file = createOpenFile(
    mem,
    { kind: FILE_SIGNAL, flags: O_RDWR | (flags & O_NONBLOCK), path: 'anon_inode:[signalfd]', object },
    owner,
  );
  mem.atomicAdd(filesGlobal(mem, owner) + FilesGlobal.signalFds, 1);
  setSignalFdMask(mem, file, low, high, owner);
  return file;
}

/** Changes the signals that are read through the signalfd; whoever waits looks again. */
export function setSignalFdMask(
  mem: SharedMemory,
  file: number,
  low: number,
  high: number,
  owner: number,
): void {
  const object = mem.getU32(file + OpenFile.object);
  mem.atomicStore(object + SignalFd.low, low & ~UNBLOCKABLE_LOW);
  mem.atomicStore(object + SignalFd.high, high);
  signalEvents(mem, sourceOf(mem), READABLE, owner);
}

function sourceOf(mem: SharedMemory): number {
  return existingFilesGlobal(mem) + FilesGlobal.signalSource;
}

function masksOf(mem: SharedMemory, file: number): readonly [low: number, high: number] {
  const object = mem.getU32(file + OpenFile.object);
  return [mem.atomicLoad(object + SignalFd.low), mem.atomicLoad(object + SignalFd.high)];
}

/** Whether a signal of the mask is pending for the thread, or its guest. */
function isPending(mem: SharedMemory, file: number, thread: number): boolean {
  const [low, high] = masksOf(mem, file);
  const sighand = mem.getU32(thread + Thread.sighand);
  const [pendingLow, pendingHigh] = withMutex(mem, sighand + Sighand.lock, thread, () =>
    pendingLocked(mem, thread),
  );
  return ((pendingLow & low) | (pendingHigh & high)) !== 0;
}

function take(t: ThreadContext, file: number): TakenSignal | undefined {
  const { mem, thread, sighand } = t;
  const [low, high] = masksOf(mem, file);
  const taken = withMutex(mem, sighand + Sighand.lock, thread, () => {
    const signal = takeSignalLocked(mem, thread, low, high, thread);
    if (signal !== undefined) recalculateAttention(mem, thread);
    return signal;
  });
  if (taken !== undefined && taken.timer !== 0) fillTimerInfo(t, taken);
  return taken;
}

const signalOperations: FileOperations = {
  read(t, file, into) {
    const most = Math.floor(into.length / SIGNALFD_INFO_SIZE);
    if (most === 0) return -EINVAL;
    const { mem, thread } = t;
    let done = 0;
    while (done < most) {
      const taken = take(t, file);
      if (taken !== undefined) {
        const copied = into.copyOut(t, done * SIGNALFD_INFO_SIZE, signalFdInfo(taken.info));
        if (copied < SIGNALFD_INFO_SIZE) break;
        done++;
      } else {
        if (done > 0) break;
        if (mustNotWait(t, file)) return -EAGAIN;
        const outcome = waitInQueue(t, sourceOf(mem) + EventSource.waiters, () =>
          isPending(mem, file, thread),
        );
        if (outcome === 'interrupted') return -ERESTARTSYS;
      }
    }
    return done * SIGNALFD_INFO_SIZE;
  },
  write() {
    return -EINVAL;
  },
  poll(mem, file, thread) {
    return isPending(mem, file, thread) ? READABLE : 0;
  },
  eventSource: (mem) => sourceOf(mem),
  status: anonymousStatus,
  release(mem, file, owner) {
    mem.atomicAdd(filesGlobal(mem, owner) + FilesGlobal.signalFds, -1);
    freeBlock(mem, mem.getU32(file + OpenFile.object), owner);
  },
};

registerKind(FILE_SIGNAL, signalOperations);
