import { compareExchangeU32, loadU32, readI64, readU32, readU64, writeU32 } from '../../memory/userAccess.js';
import { monotonicNow } from '../../sync/park.js';
import { realtimeOffset } from '../clock.js';
import { EAGAIN, EBUSY, EDEADLK, EINTR, EINVAL, ENOSYS, EPERM, ERESTARTSYS } from '../errno.js';
import { futexWait, futexWake } from '../futex.js';
import { readTimespec, TIMESPEC_SIZE, writeTimespec } from '../linux/structsTime.js';
import type { ThreadContext } from '../threadContext.js';
import { isRealtimeClock } from './clocks.js';

/**
 * _umtx_op(2) on the kernel's futexes (sys/kern/kern_umtx.c, sys/umtx.h). Every object queues on one of its words; a
 * waiter that finds the word changed looks again, as it does on FreeBSD.
 */
const UMTX_OP_WAIT = 2;
const UMTX_OP_WAKE = 3;
const UMTX_OP_MUTEX_TRYLOCK = 4;
const UMTX_OP_MUTEX_LOCK = 5;
const UMTX_OP_MUTEX_UNLOCK = 6;
const UMTX_OP_CV_WAIT = 8;
const UMTX_OP_CV_SIGNAL = 9;
const UMTX_OP_CV_BROADCAST = 10;
const UMTX_OP_WAIT_UINT = 11;
const UMTX_OP_RW_RDLOCK = 12;
const UMTX_OP_RW_WRLOCK = 13;
const UMTX_OP_RW_UNLOCK = 14;
const UMTX_OP_WAIT_UINT_PRIVATE = 15;
const UMTX_OP_WAKE_PRIVATE = 16;
const UMTX_OP_MUTEX_WAIT = 17;
const UMTX_OP_MUTEX_WAKE = 18;
const UMTX_OP_NWAKE_PRIVATE = 21;
const UMTX_OP_MUTEX_WAKE2 = 22;
const UMTX_OP_SEM2_WAIT = 23;
const UMTX_OP_SEM2_WAKE = 24;
const UMTX_OP_ROBUST_LISTS = 26;

/** struct umutex: owner, flags, …. */
const Umutex = { owner: 0, flags: 4 } as const;
const UMUTEX_UNOWNED = 0;
const UMUTEX_CONTESTED = 0x8000_0000;
const USYNC_PROCESS_SHARED = 1;
const UMUTEX_PRIO_INHERIT = 4;
const UMUTEX_PRIO_PROTECT = 8;

/** struct ucond: has_waiters, flags, clock. */
const Ucond = { hasWaiters: 0, flags: 4, clock: 8 } as const;
const CVWAIT_ABSTIME = 2;
const CVWAIT_CLOCKID = 4;

/** struct urwlock: state, flags, blocked readers, blocked writers. */
const Urwlock = { state: 0, flags: 4, blockedReaders: 8, blockedWriters: 12 } as const;
const URWLOCK_WRITE_OWNER = 0x8000_0000;
const URWLOCK_WRITE_WAITERS = 0x4000_0000;
const URWLOCK_READ_WAITERS = 0x2000_0000;
const URWLOCK_MAX_READERS = 0x1fff_ffff;
const URWLOCK_PREFER_READER = 2;

/** struct _usem2: count with USEM_HAS_WAITERS, flags. */
const Usem2 = { count: 0, flags: 4 } as const;
const USEM_HAS_WAITERS = 0x8000_0000;
const USEM_MAX_COUNT = 0x7fff_ffff;

const UMTX_ABSTIME = 1;
const ANY = 0xffff_ffff | 0;

/** A deadline in monotonic milliseconds, and whether the caller gave it as a time rather than a span. */
interface Timeout {
  readonly deadline: number;
  readonly absolute: boolean;
  /** Where a struct _umtx_time ends, behind which SEM2_WAIT leaves the time that remains; 0 for none. */
  readonly remaining: number;
}

const FOREVER: Timeout = { deadline: Infinity, absolute: false, remaining: 0 };

/** The timeout of most operations: a struct timespec, or a struct _umtx_time when `size` says that it is longer. */
function timeoutOf(t: ThreadContext, size: number, pointer: number): Timeout {
  if (pointer === 0) return FOREVER;
  const time = readTimespec(t, pointer);
  if (size <= TIMESPEC_SIZE) return { deadline: monotonicNow() + time, absolute: false, remaining: 0 };
  const absolute = (readU32(t, pointer + 16) & UMTX_ABSTIME) !== 0;
  const clock = readU32(t, pointer + 20);
  const remaining = size >= 24 + TIMESPEC_SIZE ? pointer + 24 : 0;
  if (!absolute) return { deadline: monotonicNow() + time, absolute, remaining };
  return { deadline: time - (isRealtimeClock(clock) ? realtimeOffset(t.mem) : 0), absolute, remaining };
}

/** Waits on a word; a changed word is no error. */
function waitOn(t: ThreadContext, va: number, expected: number, deadline: number, shared: boolean): number {
  const result = futexWait(t, va, expected | 0, deadline, ANY, shared);
  return result === -EAGAIN ? 0 : result;
}

/** UMTX_OP_WAIT on a long: the futex queues on its low word, the high one is compared once before. */
function waitLong(t: ThreadContext, va: number, value: number, timeout: Timeout): number {
  if (readI64(t, va) !== value) return 0;
  return waitOn(t, va, value | 0, timeout.deadline, true);
}

const interrupted = (result: number): number => (result === -ERESTARTSYS ? -EINTR : result);

function isShared(t: ThreadContext, flags: number): boolean {
  return (readU32(t, flags) & USYNC_PROCESS_SHARED) !== 0;
}

// --- mutexes ---

/** do_lock_normal. Only ordinary mutexes: priority inheritance and ceilings behave as these. */
function lockMutexAt(t: ThreadContext, va: number, timeout: Timeout, how: 'lock' | 'try' | 'wait'): number {
  const shared = isShared(t, va + Umutex.flags);
  const word = va + Umutex.owner;
  const self = t.tid;
  for (;;) {
    const owner = loadU32(t, word);
    if (how === 'wait') {
      if (owner === UMUTEX_UNOWNED || owner === UMUTEX_CONTESTED) return 0;
    } else {
      if (owner === UMUTEX_UNOWNED) {
        if (compareExchangeU32(t, word, UMUTEX_UNOWNED, self) === UMUTEX_UNOWNED) return 0;
        continue;
      }
      if (owner === UMUTEX_CONTESTED) {
        const mine = (self | UMUTEX_CONTESTED) >>> 0;
        if (compareExchangeU32(t, word, UMUTEX_CONTESTED, mine) === UMUTEX_CONTESTED) return 0;
        continue;
      }
      if ((owner & ~UMUTEX_CONTESTED) === self) return -EDEADLK;
      if (how === 'try') return -EBUSY;
    }
    const contested = (owner | UMUTEX_CONTESTED) >>> 0;
    if (owner !== contested && compareExchangeU32(t, word, owner, contested) !== owner) continue;
    const result = waitOn(t, word, contested, timeout.deadline, shared);
    if (result === -ERESTARTSYS) return timeout.deadline === Infinity ? result : -EINTR;
    if (result < 0) return result;
  }
}

/** do_unlock_normal: lets one waiter have a look; the word stays contested when there was one, since others may wait. */
function unlockMutexAt(t: ThreadContext, va: number): number {
  const word = va + Umutex.owner;
  const shared = isShared(t, va + Umutex.flags);
  for (;;) {
    const owner = loadU32(t, word);
    if ((owner & ~UMUTEX_CONTESTED) >>> 0 !== t.tid) return -EPERM;
    const left = (owner & UMUTEX_CONTESTED) !== 0 ? UMUTEX_CONTESTED : UMUTEX_UNOWNED;
    if (compareExchangeU32(t, word, owner, left) !== owner) continue;
    // Nobody queues on a word that is contested and free, so when nobody is there now, nobody waits.
    if (left !== UMUTEX_UNOWNED && futexWake(t, word, 1, ANY, shared) === 0)
      compareExchangeU32(t, word, UMUTEX_CONTESTED, UMUTEX_UNOWNED);
    return 0;
  }
}

/** UMTX_OP_MUTEX_WAKE2: libthr has released the mutex itself and found waiters. */
function wakeMutex(t: ThreadContext, va: number): number {
  const word = va + Umutex.owner;
  const shared = isShared(t, va + Umutex.flags);
  const owner = loadU32(t, word);
  if ((owner & ~UMUTEX_CONTESTED) !== 0 && (owner & UMUTEX_CONTESTED) === 0)
    compareExchangeU32(t, word, owner, (owner | UMUTEX_CONTESTED) >>> 0);
  futexWake(t, word, 1, ANY, shared);
  return 0;
}

// --- condition variables ---

/**
 * do_cv_wait. The word that waiters queue on is c_has_waiters; a signal that comes after the mutex was let go must be seen,
 * so each signal changes the word: it counts on from 1, which libthr only compares with 0.
 */
function waitCondition(t: ThreadContext, va: number, mutex: number, time: number, flags: number): number {
  const shared = isShared(t, va + Ucond.flags);
  const word = va + Ucond.hasWaiters;
  let deadline = Infinity;
  if (time !== 0) {
    deadline = readTimespec(t, time);
    const clock = flags & CVWAIT_CLOCKID ? readU32(t, va + Ucond.clock) : 0;
    if ((flags & CVWAIT_ABSTIME) === 0) deadline += monotonicNow();
    else if (isRealtimeClock(clock)) deadline -= realtimeOffset(t.mem);
  }
  let seen = loadU32(t, word);
  if (seen === 0) {
    const found = compareExchangeU32(t, word, 0, 1);
    seen = found === 0 ? 1 : found;
  }
  const unlocked = unlockMutexAt(t, mutex);
  if (unlocked < 0) return unlocked;
  return interrupted(waitOn(t, word, seen, deadline, shared));
}

function signalCondition(t: ThreadContext, va: number, count: number): number {
  const shared = isShared(t, va + Ucond.flags);
  const word = va + Ucond.hasWaiters;
  for (;;) {
    const seen = loadU32(t, word);
    if (seen === 0) return 0;
    const next = seen === 0xffff_ffff ? 1 : seen + 1;
    if (compareExchangeU32(t, word, seen, next) === seen) break;
  }
  futexWake(t, word, count, ANY, shared);
  return 0;
}

// --- read-write locks ---

function lockRead(t: ThreadContext, va: number, fflag: number, timeout: Timeout): number {
  const flags = readU32(t, va + Urwlock.flags);
  const shared = (flags & USYNC_PROCESS_SHARED) !== 0;
  const preferReader = ((flags | fflag) & URWLOCK_PREFER_READER) !== 0;
  const word = va + Urwlock.state;
  const refusing = (URWLOCK_WRITE_OWNER | (preferReader ? 0 : URWLOCK_WRITE_WAITERS)) >>> 0;
  for (;;) {
    const state = loadU32(t, word);
    if ((state & refusing) === 0) {
      if ((state & URWLOCK_MAX_READERS) === URWLOCK_MAX_READERS) return -EAGAIN;
      if (compareExchangeU32(t, word, state, state + 1) === state) return 0;
      continue;
    }
    const result = waitForLock(t, va, state, URWLOCK_READ_WAITERS, Urwlock.blockedReaders, shared, timeout);
    if (result < 0) return result;
  }
}

function lockWrite(t: ThreadContext, va: number, timeout: Timeout): number {
  const shared = isShared(t, va + Urwlock.flags);
  const word = va + Urwlock.state;
  for (;;) {
    const state = loadU32(t, word);
    if ((state & URWLOCK_WRITE_OWNER) === 0 && (state & URWLOCK_MAX_READERS) === 0) {
      const owned = (state | URWLOCK_WRITE_OWNER) >>> 0;
      if (compareExchangeU32(t, word, state, owned) === state) return 0;
      continue;
    }
    const result = waitForLock(t, va, state, URWLOCK_WRITE_WAITERS, Urwlock.blockedWriters, shared, timeout);
    if (result < 0) return result;
  }
}

/** Announces a waiter in the state and in its count, and waits while the state is that. */
function waitForLock(
  t: ThreadContext,
  va: number,
  state: number,
  waiters: number,
  count: number,
  shared: boolean,
  timeout: Timeout,
): number {
  const word = va + Urwlock.state;
  const announced = (state | waiters) >>> 0;
  if (state !== announced && compareExchangeU32(t, word, state, announced) !== state) return 0;
  addTo(t, va + count, 1);
  const result = waitOn(t, word, announced, timeout.deadline, shared);
  if (addTo(t, va + count, -1) === 0) {
    for (let now = loadU32(t, word); now & waiters; now = loadU32(t, word))
      if (compareExchangeU32(t, word, now, (now & ~waiters) >>> 0) === now) break;
    // Readers who stood back for a writer that has given up.
    if (result < 0) futexWake(t, word, 0x7fff_ffff, ANY, shared);
  }
  if (result === -ERESTARTSYS) return timeout.deadline === Infinity ? result : -EINTR;
  return result;
}

function addTo(t: ThreadContext, va: number, amount: number): number {
  for (;;) {
    const before = loadU32(t, va);
    const after = (before + amount) >>> 0;
    if (compareExchangeU32(t, va, before, after) === before) return after;
  }
}

function unlockRw(t: ThreadContext, va: number): number {
  const shared = isShared(t, va + Urwlock.flags);
  const word = va + Urwlock.state;
  for (;;) {
    const state = loadU32(t, word);
    let left: number;
    if (state & URWLOCK_WRITE_OWNER) left = (state & ~URWLOCK_WRITE_OWNER) >>> 0;
    else if ((state & URWLOCK_MAX_READERS) !== 0) left = state - 1;
    else return -EPERM;
    if (compareExchangeU32(t, word, state, left) !== state) continue;
    if ((left & URWLOCK_MAX_READERS) === 0) futexWake(t, word, 0x7fff_ffff, ANY, shared);
    return 0;
  }
}

// --- semaphores ---

function waitSemaphore(t: ThreadContext, va: number, timeout: Timeout): number {
  const shared = isShared(t, va + Usem2.flags);
  const word = va + Usem2.count;
  for (;;) {
    const count = loadU32(t, word);
    if ((count & USEM_MAX_COUNT) !== 0) return 0;
    const announced = (count | USEM_HAS_WAITERS) >>> 0;
    if (count !== announced && compareExchangeU32(t, word, count, announced) !== count) continue;
    const result = waitOn(t, word, announced, timeout.deadline, shared);
    if (result === 0) return 0;
    if (result === -ERESTARTSYS && !timeout.absolute && timeout.remaining !== 0)
      writeTimespec(t, timeout.remaining, Math.max(0, timeout.deadline - monotonicNow()));
    return interrupted(result);
  }
}

function wakeSemaphore(t: ThreadContext, va: number): number {
  const shared = isShared(t, va + Usem2.flags);
  const word = va + Usem2.count;
  // USEM_HAS_WAITERS stays set: clearing it could pass by one who has just begun to wait.
  futexWake(t, word, 1, ANY, shared);
  return 0;
}

/** UMTX_OP_NWAKE_PRIVATE: wakes everybody at each of `count` addresses. */
function wakeMany(t: ThreadContext, array: number, count: number): number {
  for (let i = 0; i < count; i++) futexWake(t, readU64(t, array + i * 8), 0x7fff_ffff, ANY, false);
  return 0;
}

/** _umtx_op(object, operation, value, uaddr, uaddr2). Unbuilt operations are ENOSYS. */
export function umtxOp(
  t: ThreadContext,
  object: number,
  operation: number,
  value: number,
  first: number,
  second: number,
): number {
  const op = operation & 0xff;
  if (object % 4 !== 0) return -EINVAL;
  const timeout = () => timeoutOf(t, first, second);
  switch (op) {
    case UMTX_OP_WAIT:
      return interrupted(waitLong(t, object, value, timeout()));
    case UMTX_OP_WAIT_UINT:
    case UMTX_OP_WAIT_UINT_PRIVATE:
      return interrupted(waitOn(t, object, value | 0, timeout().deadline, op === UMTX_OP_WAIT_UINT));
    case UMTX_OP_WAKE:
    case UMTX_OP_WAKE_PRIVATE:
      futexWake(t, object, Math.min(Math.max(value, 0), 0x7fff_ffff), ANY, op === UMTX_OP_WAKE);
      return 0;
    case UMTX_OP_NWAKE_PRIVATE:
      return wakeMany(t, object, value);
    case UMTX_OP_MUTEX_LOCK:
    case UMTX_OP_MUTEX_TRYLOCK:
    case UMTX_OP_MUTEX_WAIT: {
      const kind = readU32(t, object + Umutex.flags) & (UMUTEX_PRIO_INHERIT | UMUTEX_PRIO_PROTECT);
      if (kind === (UMUTEX_PRIO_INHERIT | UMUTEX_PRIO_PROTECT)) return -EINVAL;
      const how = op === UMTX_OP_MUTEX_LOCK ? 'lock' : op === UMTX_OP_MUTEX_WAIT ? 'wait' : 'try';
      return lockMutexAt(t, object, how === 'try' ? FOREVER : timeout(), how);
    }
    case UMTX_OP_MUTEX_UNLOCK:
      return unlockMutexAt(t, object);
    case UMTX_OP_MUTEX_WAKE:
    case UMTX_OP_MUTEX_WAKE2:
      return wakeMutex(t, object);
    case UMTX_OP_CV_WAIT:
      return waitCondition(t, object, first, second, value);
    case UMTX_OP_CV_SIGNAL:
      return signalCondition(t, object, 1);
    case UMTX_OP_CV_BROADCAST:
      return signalCondition(t, object, 0x7fff_ffff);
    case UMTX_OP_RW_RDLOCK:
      return lockRead(t, object, value, timeout());
    case UMTX_OP_RW_WRLOCK:
      return lockWrite(t, object, timeout());
    case UMTX_OP_RW_UNLOCK:
      return unlockRw(t, object);
    case UMTX_OP_SEM2_WAIT:
      return waitSemaphore(t, object, timeout());
    case UMTX_OP_SEM2_WAKE:
      return wakeSemaphore(t, object);
    case UMTX_OP_ROBUST_LISTS:
      return -ENOSYS;
    default:
      return op > 30 ? -EINVAL : -ENOSYS;
  }
}

/** Sets the word at `va` to 1 and wakes all who wait for it: thr_exit(2). */
export function announceExit(t: ThreadContext, va: number): void {
  writeU32(t, va, 1);
  writeU32(t, va + 4, 0);
  futexWake(t, va, 0x7fff_ffff, ANY, false);
  futexWake(t, va, 0x7fff_ffff, ANY, true);
}
