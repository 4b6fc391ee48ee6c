import { FAULT_MAPERR, UserFault } from '../../memory/caller.js';
import { copyOut, probe, readI64, readU32 } from '../../memory/userAccess.js';
import { monotonicNow } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { FILE_SIGNAL, FILE_TIMER, OpenFile } from '../../sync/records/openFile.js';
import {
  CLOCK_BOOTTIME,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  realtimeOffset,
} from '../clock.js';
import { EBADF, EINTR, EINVAL, ERESTARTNOHAND, SyscallError } from '../errno.js';
import { descriptorLimit, newDescriptor, withRealFile } from '../files/descriptors.js';
import {
  controlEpoll,
  createEpoll,
  EPOLL_CTL_DEL,
  isEpoll,
  type ReportedEvent,
  waitEpoll,
} from '../files/epoll.js';
import { createEventFd } from '../files/eventFd.js';
import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
  POLLRDBAND,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
} from '../files/events.js';
import { O_CLOEXEC, O_NONBLOCK } from '../files/openFlags.js';
import { pollFiles } from '../files/poll.js';
import { createSignalFd, setSignalFdMask } from '../files/signalFd.js';
import { createTimerFd, getTimerFd, setTimerFd, type TimerSetting, timerFdClock } from '../files/timerFd.js';
import { readInput } from '../keptInputs.js';
import { acquireDescriptor, releaseDescriptor } from '../leftCall.js';
import { endTemporaryMask, setTemporaryMask } from '../signals/temporaryMask.js';
import type { ThreadContext } from '../threadContext.js';
import { readTimespec, writeTimespec } from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import {
  SYS_epoll_create1,
  SYS_epoll_ctl,
  SYS_epoll_pwait,
  SYS_epoll_pwait2,
  SYS_eventfd2,
  SYS_ppoll,
  SYS_pselect6,
  SYS_signalfd4,
  SYS_timerfd_create,
  SYS_timerfd_gettime,
  SYS_timerfd_settime,
} from './syscallNumbers.js';

/** Waiting for files: poll, select, epoll, and what exists to be waited for: eventfd, timerfd, signalfd. */

/** Deadline of a timeout in milliseconds from now; 0 does not wait at all. */
export function deadlineAfter(t: ThreadContext, milliseconds: number): number {
  return milliseconds <= 0 ? -Infinity : t.deadlineIn(milliseconds);
}

/** Writes back what is left of a timeout, as Linux's poll and select do, unless personality(2) says not to. */
function writeRemaining(t: ThreadContext, pointer: number, deadline: number): void {
  if (pointer === 0 || t.mem.getU32(t.guest + Guest.personality) & STICKY_TIMEOUTS) return;
  writeTimespec(t, pointer, deadline === -Infinity ? 0 : Math.max(0, deadline - monotonicNow()));
}

const STICKY_TIMEOUTS = 0x400_0000;

/** Runs `wait` under the signal mask at the guest's pointer; a call that was interrupted answers −errno `interrupted`. */
function underMask(
  t: ThreadContext,
  mask: number,
  size: number,
  interrupted: number,
  wait: () => number,
): number {
  setTemporaryMask(t, mask, size);
  let result = -EINVAL;
  try {
    result = wait();
  } finally {
    endTemporaryMask(t, result === -EINTR);
  }
  return result === -EINTR ? -interrupted : result;
}

function ppoll(
  t: ThreadContext,
  fds: number,
  count: number,
  timeout: number,
  mask: number,
  maskSize: number,
): number {
  const deadline = timeout === 0 ? Infinity : deadlineAfter(t, readTimespec(t, timeout));
  return underMask(t, mask, maskSize, ERESTARTNOHAND, () => {
    const result = pollDescriptors(t, fds, count, deadline);
    writeRemaining(t, timeout, deadline);
    return result;
  });
}

/**
 * poll(2) on the array of struct pollfd at `fds`, until `deadline` (monotonic milliseconds; −Infinity: does not wait). How many
 * are ready, or −errno: −EINTR when a signal came first.
 */
export function pollDescriptors(t: ThreadContext, fds: number, count: number, deadline: number): number {
  if (count < 0 || count > descriptorLimit(t)) return -EINVAL;
  const bytes = new Uint8Array(count * 8);
  readInput(t, fds, bytes);
  const view = new DataView(bytes.buffer);
  const requests: { file: number; events: number }[] = [];
  let invalid = 0;
  try {
    for (let i = 0; i < count; i++) {
      const fd = view.getInt32(i * 8, true);
      const file = fd < 0 ? 0 : acquireDescriptor(t, fd);
      if (fd >= 0 && file === 0) invalid++;
      requests.push({ file, events: view.getUint16(i * 8 + 4, true) });
    }
    const bits = pollFiles(t, requests, invalid > 0 ? -Infinity : deadline);
    if (typeof bits === 'number') return bits;
    let ready = 0;
    for (let i = 0; i < count; i++) {
      const fd = view.getInt32(i * 8, true);
      const found = fd >= 0 && requests[i].file === 0 ? POLLNVAL : bits[i];
      view.setUint16(i * 8 + 6, found, true);
      if (found !== 0) ready++;
    }
    copyOut(t, fds, bytes);
    return ready;
  } finally {
    requests.forEach(({ file }, i) => {
      if (file !== 0) releaseDescriptor(t, view.getInt32(i * 8, true), file);
    });
  }
}

/** Which POLL* bits make a descriptor readable, writable and exceptional for select (fs/select.c). */
const SELECT_BITS = [
  POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR,
  POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR,
  POLLPRI,
] as const;

function pselect6(
  t: ThreadContext,
  count: number,
  readSet: number,
  writeSet: number,
  exceptSet: number,
  timeout: number,
  maskArgument: number,
): number {
  const deadline = timeout === 0 ? Infinity : deadlineAfter(t, readTimespec(t, timeout));
  const [mask, maskSize] =
    maskArgument === 0 ? [0, 0] : [readI64(t, maskArgument), readI64(t, maskArgument + 8)];
  return underMask(t, mask, maskSize, ERESTARTNOHAND, () => {
    const result = selectDescriptors(t, count, [readSet, writeSet, exceptSet], deadline);
    writeRemaining(t, timeout, deadline);
    return result;
  });
}

/**
 * select(2) on three sets (0: none) of the first `count` descriptors, until `deadline` as for pollDescriptors. How many
 * bits are set, or −errno: −EINTR when a signal came first.
 */
export function selectDescriptors(
  t: ThreadContext,
  count: number,
  pointers: readonly number[],
  deadline: number,
): number {
  const limit = Math.min(count | 0, descriptorLimit(t));
  if (limit < 0) return -EINVAL;
  const size = Math.ceil(limit / 64) * 8;
  const sets = pointers.map((pointer) => {
    const set = new Uint8Array(size);
    if (pointer !== 0) readInput(t, pointer, set);
    return set;
  });
  const requests: { fd: number; file: number; events: number }[] = [];
  try {
    for (let fd = 0; fd < limit; fd++) {
      let events = 0;
      for (let i = 0; i < 3; i++) if ((sets[i][fd >> 3] >> (fd & 7)) & 1) events |= SELECT_BITS[i];
      if (events === 0) continue;
      const file = acquireDescriptor(t, fd);
      if (file === 0) return -EBADF;
      requests.push({ fd, file, events });
    }
    const bits = pollFiles(t, requests, deadline);
    if (typeof bits === 'number') return bits;
    const results = sets.map(() => new Uint8Array(size));
    let ready = 0;
    requests.forEach(({ fd }, at) => {
      for (let i = 0; i < 3; i++) {
        const asked = (sets[i][fd >> 3] >> (fd & 7)) & 1;
        if (asked === 0 || (bits[at] & SELECT_BITS[i]) === 0) continue;
        results[i][fd >> 3] |= 1 << (fd & 7);
        ready++;
      }
    });
    pointers.forEach((pointer, i) => {
      if (pointer !== 0) copyOut(t, pointer, results[i]);
    });
    return ready;
  } finally {
    for (const { fd, file } of requests) releaseDescriptor(t, fd, file);
  }
}

const EPOLL_EVENT_SIZE = 16;
const MAX_EVENTS = Math.floor(0x7fff_ffff / EPOLL_EVENT_SIZE);

function epollCtl(t: ThreadContext, epollFd: number, operation: number, fd: number, event: number): number {
  const interest =
    (operation | 0) === EPOLL_CTL_DEL
      ? { events: 0, dataLow: 0, dataHigh: 0 }
      : { events: readU32(t, event), dataLow: readU32(t, event + 8), dataHigh: readU32(t, event + 12) };
  return withRealFile(t, epollFd, (set) =>
    withRealFile(t, fd, (file) => {
      if (!isEpoll(t.mem, set)) return -EINVAL;
      return controlEpoll(t, set, operation | 0, fd | 0, file, interest);
    }),
  );
}

function epollWait(
  t: ThreadContext,
  epollFd: number,
  events: number,
  max: number,
  deadline: number,
  mask: number,
  maskSize: number,
): number {
  const count = max | 0;
  if (count <= 0 || count > MAX_EVENTS) return -EINVAL;
  return withRealFile(t, epollFd, (set) => {
    if (!isEpoll(t.mem, set)) return -EINVAL;
    // An event that could not be delivered would be lost.
    if (!probe(t, events, EPOLL_EVENT_SIZE, 'write')) throw new UserFault(events, FAULT_MAPERR);
    return underMask(t, mask, maskSize, EINTR, () => {
      const found = waitEpoll(t, set, count, deadline);
      if (typeof found === 'number') return found;
      copyOut(t, events, packEvents(found));
      return found.length;
    });
  });
}

function packEvents(events: readonly ReportedEvent[]): Uint8Array {
  const bytes = new Uint8Array(events.length * EPOLL_EVENT_SIZE);
  const view = new DataView(bytes.buffer);
  events.forEach((event, i) => {
    view.setUint32(i * EPOLL_EVENT_SIZE, event.events, true);
    view.setUint32(i * EPOLL_EVENT_SIZE + 8, event.dataLow, true);
    view.setUint32(i * EPOLL_EVENT_SIZE + 12, event.dataHigh, true);
  });
  return bytes;
}

const EFD_SEMAPHORE = 1;

function eventfd2(t: ThreadContext, initial: number, flags: number): number {
  if ((flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  const file = createEventFd(t.mem, initial >>> 0, (flags & EFD_SEMAPHORE) !== 0, flags, t.thread);
  return newDescriptor(t, file, flags);
}

const TIMERFD_CLOCKS = new Set([
  CLOCK_REALTIME,
  CLOCK_MONOTONIC,
  CLOCK_BOOTTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_BOOTTIME_ALARM,
]);

function timerfdCreate(t: ThreadContext, clock: number, flags: number): number {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0 || !TIMERFD_CLOCKS.has(clock)) return -EINVAL;
  return newDescriptor(t, createTimerFd(t.mem, clock, flags, t.thread), flags);
}

/** Runs `body` on a timerfd. */
function withTimer(t: ThreadContext, fd: number, body: (file: number) => number): number {
  return withRealFile(t, fd, (file) => {
    if (t.mem.getU32(file + OpenFile.kind) !== FILE_TIMER) throw new SyscallError(EINVAL);
    return body(file);
  });
}

function writeSetting(t: ThreadContext, pointer: number, setting: TimerSetting): void {
  writeTimespec(t, pointer, setting.interval);
  writeTimespec(t, pointer + 16, setting.value);
}

const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;

function timerfdSettime(t: ThreadContext, fd: number, flags: number, value: number, old: number): number {
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) !== 0) return -EINVAL;
  const interval = readTimespec(t, value);
  const first = readTimespec(t, value + 16);
  return withTimer(t, fd, (file) => {
    let deadline: number | undefined;
    if (first > 0) {
      const clock = timerFdClock(t.mem, file);
      const realtime = clock === CLOCK_REALTIME || clock === CLOCK_REALTIME_ALARM;
      if (flags & TFD_TIMER_ABSTIME) deadline = first - (realtime ? realtimeOffset(t.mem) : 0);
      else deadline = monotonicNow() + first;
    }
    const before = setTimerFd(t.mem, file, deadline, interval, t.thread);
    if (old !== 0) writeSetting(t, old, before);
    return 0;
  });
}

const SFD_FLAGS = O_CLOEXEC | O_NONBLOCK;
const SIGSET_SIZE = 8;

function signalfd4(t: ThreadContext, fd: number, mask: number, size: number, flags: number): number {
  if (size !== SIGSET_SIZE) return -EINVAL;
  const low = readU32(t, mask);
  const high = readU32(t, mask + 4);
  if ((flags & ~SFD_FLAGS) !== 0) return -EINVAL;
  const { mem, thread } = t;
  if ((fd | 0) === -1) return newDescriptor(t, createSignalFd(mem, low, high, flags, thread), flags);
  return withRealFile(t, fd, (file) => {
    if (mem.getU32(file + OpenFile.kind) !== FILE_SIGNAL) return -EINVAL;
    setSignalFdMask(mem, file, low, high, thread);
    return fd | 0;
  });
}

export const pollCalls: SyscallTable = {
  [SYS_ppoll]: syscall('ppoll', ['pointer', 'uint', 'timespec', 'sigset', 'size'], (t, fds, count, ...rest) =>
    ppoll(t, fds, count | 0, rest[0], rest[1], rest[2]),
  ),
  [SYS_pselect6]: syscall(
    'pselect6',
    ['int', 'pointer', 'pointer', 'pointer', 'timespec', 'pointer'],
    pselect6,
  ),
  [SYS_epoll_create1]: syscall('epoll_create1', ['openFlags'], (t, flags) =>
    (flags & ~O_CLOEXEC) !== 0 ? -EINVAL : newDescriptor(t, createEpoll(t.mem, t.thread), flags),
  ),
  [SYS_epoll_ctl]: syscall('epoll_ctl', ['fd', 'int', 'fd', 'pointer'], epollCtl),
  [SYS_epoll_pwait]: syscall(
    'epoll_pwait',
    ['fd', 'pointer', 'int', 'int', 'sigset', 'size'],
    (t, fd, events, max, timeout, mask, size) =>
      epollWait(t, fd, events, max, (timeout | 0) < 0 ? Infinity : deadlineAfter(t, timeout | 0), mask, size),
  ),
  [SYS_epoll_pwait2]: syscall(
    'epoll_pwait2',
    ['fd', 'pointer', 'int', 'timespec', 'sigset', 'size'],
    (t, fd, events, max, timeout, mask, size) =>
      epollWait(
        t,
        fd,
        events,
        max,
        timeout === 0 ? Infinity : deadlineAfter(t, readTimespec(t, timeout)),
        mask,
        size,
      ),
  ),
  [SYS_eventfd2]: syscall('eventfd2', ['uint', 'openFlags'], (t, initial, flags) =>
    eventfd2(t, initial, flags | 0),
  ),
  [SYS_timerfd_create]: syscall('timerfd_create', ['clock', 'openFlags'], (t, clock, flags) =>
    timerfdCreate(t, clock | 0, flags | 0),
  ),
  [SYS_timerfd_settime]: syscall(
    'timerfd_settime',
    ['fd', 'hex', 'pointer', 'pointer'],
    (t, fd, flags, value, old) => timerfdSettime(t, fd, flags | 0, value, old),
  ),
  [SYS_timerfd_gettime]: syscall('timerfd_gettime', ['fd', 'pointer'], (t, fd, pointer) =>
    withTimer(t, fd, (file) => {
      writeSetting(t, pointer, getTimerFd(t.mem, file, t.thread));
      return 0;
    }),
  ),
  [SYS_signalfd4]: syscall('signalfd4', ['fd', 'sigset', 'size', 'hex'], signalfd4),
};
