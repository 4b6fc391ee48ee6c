import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { EventSource } from '../../sync/records/events.js';
import { FILE_TIMER, OpenFile } from '../../sync/records/openFile.js';
import { TimerFd } from '../../sync/records/pipe.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EINVAL, ERESTARTSYS } from '../errno.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { READABLE, signalEvents } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { anonymousStatus } from './fileStatus.js';
import { createOpenFile, registerKind } from './openFile.js';
import { O_NONBLOCK, O_RDWR } from './openFlags.js';

/**
 * timerfd: nothing fires. The expirations are computed from the clock by whoever looks; readers and pollers park no
 * longer than until the next one.
 */

/** An open file on a new, disarmed timer of CLOCK_* `clock`. */
export function createTimerFd(mem: SharedMemory, clock: number, flags: number, owner: number): number {
  const timer = allocateBlock(mem, TimerFd.SIZE, owner);
  mem.setU32(timer + TimerFd.clock, clock);
  return createOpenFile(
    mem,
    { kind: FILE_TIMER, flags: O_RDWR | (flags & O_NONBLOCK), path: 'anon_inode:[timerfd]', object: timer },
    owner,
  );
}

/** Milliseconds until the next expiration and the period; both 0 when the timer is disarmed. */
export interface TimerSetting {
  readonly value: number;
  readonly interval: number;
}

function timerOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

function settingLocked(mem: SharedMemory, timer: number): TimerSetting {
  const interval = mem.f64[(timer + TimerFd.interval) >>> 3];
  if (mem.getU32(timer + TimerFd.armed) === 0) return { value: 0, interval };
  const left = mem.f64[(timer + TimerFd.deadline) >>> 3] - monotonicNow();
  if (left > 0) return { value: left, interval };
  return { value: interval > 0 ? interval - (-left % interval) : 0, interval };
}

/** timerfd_gettime. */
export function getTimerFd(mem: SharedMemory, file: number, owner: number): TimerSetting {
  const timer = timerOf(mem, file);
  return withMutex(mem, timer + TimerFd.lock, owner, () => settingLocked(mem, timer));
}

/** timerfd_settime: `deadline` in monotonic milliseconds, or undefined to disarm. Returns the setting before. */
export function setTimerFd(
  mem: SharedMemory,
  file: number,
  deadline: number | undefined,
  interval: number,
  owner: number,
): TimerSetting {
  const timer = timerOf(mem, file);
  const before = withMutex(mem, timer + TimerFd.lock, owner, () => {
    const setting = settingLocked(mem, timer);
    mem.setU32(timer + TimerFd.armed, deadline === undefined ? 0 : 1);
    mem.f64[(timer + TimerFd.deadline) >>> 3] = deadline ?? 0;
    mem.f64[(timer + TimerFd.interval) >>> 3] = interval;
    return setting;
  });
  // Whoever waits computes his time anew.
  signalEvents(mem, timer + TimerFd.source, READABLE, owner);
  return before;
}

/** The timer's clock, for TFD_TIMER_ABSTIME. */
export function timerFdClock(mem: SharedMemory, file: number): number {
  return mem.getU32(timerOf(mem, file) + TimerFd.clock);
}

/** When the timer next expires; in the past when it has. Infinity while disarmed. */
function deadlineOf(mem: SharedMemory, timer: number, owner: number): number {
  return withMutex(mem, timer + TimerFd.lock, owner, () =>
    mem.getU32(timer + TimerFd.armed) === 0 ? Infinity : mem.f64[(timer + TimerFd.deadline) >>> 3],
  );
}

/** How often the timer has expired since the last look, which counts them off; 0 when it has not. */
export function takeExpirations(mem: SharedMemory, file: number, owner: number): number {
  const timer = timerOf(mem, file);
  return withMutex(mem, timer + TimerFd.lock, owner, () => {
    if (mem.getU32(timer + TimerFd.armed) === 0) return 0;
    const deadline = mem.f64[(timer + TimerFd.deadline) >>> 3];
    const late = monotonicNow() - deadline;
    if (late < 0) return 0;
    const interval = mem.f64[(timer + TimerFd.interval) >>> 3];
    if (interval > 0) {
      const expirations = Math.floor(late / interval) + 1;
      mem.f64[(timer + TimerFd.deadline) >>> 3] = deadline + expirations * interval;
      return expirations;
    }
    mem.setU32(timer + TimerFd.armed, 0);
    return 1;
  });
}

const timerOperations: FileOperations = {
  read(t, file, into) {
    if (into.length < 8) return -EINVAL;
    into.probe(t, 'write');
    const { mem, thread } = t;
    const timer = timerOf(mem, file);
    let expirations = 0;
    const attempt = (): boolean => {
      expirations = takeExpirations(mem, file, thread);
      return expirations > 0;
    };
    while (!attempt()) {
      if (mustNotWait(t, file)) return -EAGAIN;
      const until = deadlineOf(mem, timer, thread);
      const outcome = waitInQueue(
        t,
        timer + TimerFd.source + EventSource.waiters,
        () => deadlineOf(mem, timer, thread) !== until,
        { deadline: until },
      );
      if (outcome === 'interrupted') return -ERESTARTSYS;
    }
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(expirations), true);
    return into.copyOut(t, 0, bytes);
  },
  write() {
    return -EINVAL;
  },
  poll(mem, file, owner) {
    return deadlineOf(mem, timerOf(mem, file), owner) <= monotonicNow() ? READABLE : 0;
  },
  deadline(mem, file, owner) {
    return deadlineOf(mem, timerOf(mem, file), owner);
  },
  eventSource(mem, file) {
    return timerOf(mem, file) + TimerFd.source;
  },
  status: anonymousStatus,
  release(mem, file, owner) {
    freeBlock(mem, timerOf(mem, file), owner);
  },
};

registerKind(FILE_TIMER, timerOperations);
