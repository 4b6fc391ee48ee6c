import { readI64, readU32, readU64, write64 } from '../../memory/userAccess.js';
import { Guest } from '../../sync/records/guest.js';
import { Thread } from '../../sync/records/thread.js';
import { realtimeOffset } from '../clock.js';
import { EINVAL, ENOSYS, EPERM, ERESTART_RESTARTBLOCK, ERESTARTSYS, SyscallError } from '../errno.js';
import { futexRequeue, futexWait, futexWake, futexWakeOp } from '../futex.js';
import { futexLockPi, futexRequeuePi, futexUnlockPi, futexWaitRequeuePi } from '../futexPi.js';
import { FUTEX_WAITV_MAX, futexWaitAny, type WaitedWord } from '../futexVector.js';
import type { ThreadContext } from '../threadContext.js';
import { withThread } from '../withThread.js';
import {
  FUTEX_CLOCK_REALTIME,
  FUTEX_CMD_MASK,
  FUTEX_CMP_REQUEUE,
  FUTEX_CMP_REQUEUE_PI,
  FUTEX_LOCK_PI,
  FUTEX_LOCK_PI2,
  FUTEX_PRIVATE_FLAG,
  FUTEX_REQUEUE,
  FUTEX_TRYLOCK_PI,
  FUTEX_UNLOCK_PI,
  FUTEX_WAIT,
  FUTEX_WAIT_BITSET,
  FUTEX_WAIT_REQUEUE_PI,
  FUTEX_WAKE,
  FUTEX_WAKE_BITSET,
  FUTEX_WAKE_OP,
} from './futexOperations.js';
import { mayAccessProcess } from './processMemoryCalls.js';
import { readTimespec } from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** futex(2), futex_waitv(2) and the other calls of futex2, set_robust_list(2). */
const ANY = 0xffff_ffff | 0;

/** Value of Thread.restartKind: a futex wait with a deadline. (RESTART_SLEEP of timeCalls.ts is 1.) */
export const RESTART_FUTEX = 2;

/** A timeout as monotonic milliseconds: absolute on the clock that `op` says, or (FUTEX_WAIT) from now on. */
function deadlineOf(t: ThreadContext, timeout: number, op: number, relative = false): number {
  if (timeout === 0) return Infinity;
  const milliseconds = readTimespec(t, timeout);
  if (relative) return t.deadlineIn(milliseconds);
  return (op & FUTEX_CLOCK_REALTIME) !== 0 ? milliseconds - realtimeOffset(t.mem) : milliseconds;
}

/** FUTEX_WAIT and FUTEX_WAIT_BITSET: with a deadline, a call that a signal interrupts keeps it when it goes on. */
function waitOrRestart(
  t: ThreadContext,
  va: number,
  op: number,
  value: number,
  value3: number,
  deadline: number,
): number {
  const bitset = (op & FUTEX_CMD_MASK) === FUTEX_WAIT ? ANY : value3 | 0;
  const result = futexWait(t, va, value | 0, deadline, bitset, (op & FUTEX_PRIVATE_FLAG) === 0);
  if (result !== -ERESTARTSYS || deadline === Infinity) return result;
  const { mem, thread } = t;
  mem.setU32(thread + Thread.restartKind, RESTART_FUTEX);
  mem.f64[(thread + Thread.restartDeadline) >>> 3] = deadline;
  return -ERESTART_RESTARTBLOCK;
}

/** restart_syscall of a futex wait: the argument registers are still those of the futex call. */
export function restartFutexWait(
  t: ThreadContext,
  va: number,
  operation: number,
  value: number,
  value3: number,
): number {
  const deadline = t.mem.f64[(t.thread + Thread.restartDeadline) >>> 3];
  return waitOrRestart(t, va, operation | 0, value, value3, deadline);
}

function futex(
  t: ThreadContext,
  va: number,
  operation: number,
  value: number,
  timeout: number,
  second: number,
  value3: number,
): number {
  const op = operation | 0;
  const shared = (op & FUTEX_PRIVATE_FLAG) === 0;
  const command = op & FUTEX_CMD_MASK;
  if (
    (op & FUTEX_CLOCK_REALTIME) !== 0 &&
    command !== FUTEX_WAIT_BITSET &&
    command !== FUTEX_WAIT_REQUEUE_PI &&
    command !== FUTEX_LOCK_PI2
  )
    return -ENOSYS;
  switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET: {
      const relative = command === FUTEX_WAIT;
      return waitOrRestart(t, va, op, value, value3, deadlineOf(t, timeout, op, relative));
    }
    case FUTEX_WAKE:
      return futexWake(t, va, value | 0, ANY, shared);
    case FUTEX_WAKE_BITSET:
      return futexWake(t, va, value | 0, value3 | 0, shared);
    // The fourth argument is a count here (val2), not a pointer.
    case FUTEX_REQUEUE:
      return futexRequeue(t, va, value | 0, timeout | 0, second, undefined, shared);
    case FUTEX_CMP_REQUEUE:
      return futexRequeue(t, va, value | 0, timeout | 0, second, value3 | 0, shared);
    case FUTEX_WAKE_OP:
      return futexWakeOp(t, va, value | 0, timeout | 0, second, value3 | 0, shared);
    // Its timeout is on the realtime clock, whatever the flag says.
    case FUTEX_LOCK_PI:
      return futexLockPi(t, va, deadlineOf(t, timeout, FUTEX_CLOCK_REALTIME), false, shared);
    case FUTEX_LOCK_PI2:
      return futexLockPi(t, va, deadlineOf(t, timeout, op), false, shared);
    case FUTEX_TRYLOCK_PI:
      return futexLockPi(t, va, Infinity, true, shared);
    case FUTEX_UNLOCK_PI:
      return futexUnlockPi(t, va, shared);
    case FUTEX_WAIT_REQUEUE_PI:
      return futexWaitRequeuePi(t, va, value | 0, deadlineOf(t, timeout, op), second, ANY, shared);
    case FUTEX_CMP_REQUEUE_PI:
      return futexRequeuePi(t, va, value | 0, timeout | 0, second, value3 | 0, shared);
    default:
      return -ENOSYS;
  }
}

// --- futex2: Documentation/userspace-api/futex2.rst ---

const FUTEX2_SIZE_U32 = 2;
const FUTEX2_PRIVATE = 128;
/** struct futex_waitv. */
const FutexWaitv = { value: 0, address: 8, flags: 16, reserved: 20, SIZE: 24 } as const;

/** Whether words of these flags are shared between processes. Throws EINVAL for flags that are not known. */
function sharedByFlags(flags: number): boolean {
  if ((flags & ~FUTEX2_PRIVATE) !== FUTEX2_SIZE_U32) throw new SyscallError(EINVAL);
  return (flags & FUTEX2_PRIVATE) === 0;
}

function readWord(t: ThreadContext, va: number): WaitedWord {
  const flags = readU32(t, va + FutexWaitv.flags);
  if (readU32(t, va + FutexWaitv.reserved) !== 0) throw new SyscallError(EINVAL);
  const shared = sharedByFlags(flags);
  const expected = readU64(t, va + FutexWaitv.value);
  if (expected > 0xffff_ffff) throw new SyscallError(EINVAL);
  return { va: readI64(t, va + FutexWaitv.address), expected, shared };
}

/** The deadline of an absolute timeout on the clock of that id, in monotonic milliseconds. */
function deadlineOnClock(t: ThreadContext, timeout: number, clock: number): number {
  if (timeout === 0) return Infinity;
  if (clock !== CLOCK_REALTIME && clock !== CLOCK_MONOTONIC) throw new SyscallError(EINVAL);
  return deadlineOf(t, timeout, clock === CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
}
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;

function futexWaitv(
  t: ThreadContext,
  waiters: number,
  countNumber: number,
  flags: number,
  timeout: number,
  clock: number,
): number {
  const count = countNumber >>> 0;
  if ((flags | 0) !== 0 || count === 0 || count > FUTEX_WAITV_MAX || waiters === 0) return -EINVAL;
  const deadline = deadlineOnClock(t, timeout, clock | 0);
  const words = Array.from({ length: count }, (_, i) => readWord(t, waiters + i * FutexWaitv.SIZE));
  return futexWaitAny(t, words, deadline);
}

/** futex_wake(2): unlike FUTEX_WAKE it wakes nobody when `count` is 0. */
function futex2Wake(t: ThreadContext, va: number, mask: number, count: number, flags: number): number {
  const shared = sharedByFlags(flags | 0);
  if (mask < 0 || mask > 0xffff_ffff) return -EINVAL;
  if (mask === 0) return -EINVAL;
  if ((count | 0) === 0) return 0;
  return futexWake(t, va, count | 0, mask | 0, shared);
}

function futex2Wait(
  t: ThreadContext,
  va: number,
  value: number,
  mask: number,
  flags: number,
  timeout: number,
  clock: number,
): number {
  const shared = sharedByFlags(flags | 0);
  if (value < 0 || value > 0xffff_ffff || mask < 0 || mask > 0xffff_ffff) return -EINVAL;
  return futexWait(t, va, value | 0, deadlineOnClock(t, timeout, clock | 0), mask | 0, shared);
}

function futex2Requeue(
  t: ThreadContext,
  waiters: number,
  flags: number,
  wakeCount: number,
  requeueCount: number,
): number {
  if ((flags | 0) !== 0 || waiters === 0) return -EINVAL;
  const from = readWord(t, waiters);
  const to = readWord(t, waiters + FutexWaitv.SIZE);
  if (from.shared !== to.shared) return -EINVAL;
  return futexRequeue(t, from.va, wakeCount | 0, requeueCount | 0, to.va, from.expected | 0, from.shared);
}

// --- robust lists ---

const ROBUST_LIST_HEAD_SIZE = 24;

function setRobustList(t: ThreadContext, head: number, size: number): number {
  if (size !== ROBUST_LIST_HEAD_SIZE) return -EINVAL;
  t.mem.set64(t.thread + Thread.robustList, head);
  return 0;
}

/** Of any thread whose memory the caller might read. */
function getRobustList(t: ThreadContext, tid: number, headPointer: number, sizePointer: number): number {
  const { mem } = t;
  const [owner, head] = withThread(t, tid, (thread) => [
    mem.getU32(mem.getU32(thread + Thread.guest) + Guest.pid),
    mem.getU64(thread + Thread.robustList),
  ]);
  if (!mayAccessProcess(t, owner)) return -EPERM;
  write64(t, sizePointer, ROBUST_LIST_HEAD_SIZE);
  write64(t, headPointer, head);
  return 0;
}

export const futexCalls: SyscallTable = {
  [SYS.SYS_futex]: syscall('futex', ['pointer', 'futexOp', 'int', 'pointer', 'pointer', 'hex'], futex),
  [SYS.SYS_futex_waitv]: syscall('futex_waitv', ['pointer', 'uint', 'hex', 'timespec', 'clock'], futexWaitv),
  [SYS.SYS_futex_wake]: syscall('futex_wake', ['pointer', 'hex', 'int', 'hex'], futex2Wake),
  [SYS.SYS_futex_wait]: syscall(
    'futex_wait',
    ['pointer', 'long', 'hex', 'hex', 'timespec', 'clock'],
    futex2Wait,
  ),
  [SYS.SYS_futex_requeue]: syscall('futex_requeue', ['pointer', 'hex', 'int', 'int'], futex2Requeue),
  [SYS.SYS_set_robust_list]: syscall('set_robust_list', ['pointer', 'size'], setRobustList),
  [SYS.SYS_get_robust_list]: syscall('get_robust_list', ['int', 'pointer', 'pointer'], getRobustList),
};
