import { copyIn, copyOut, readI32, readU64Big, write64, writeI32 } from '../../memory/userAccess.js';
import { mmResidentPeak } from '../../observe/statistics.js';
import { withMutex } from '../../sync/mutex.js';
import { monotonicNow, parkTicket } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { Thread } from '../../sync/records/thread.js';
import { Timer } from '../../sync/records/timers.js';
import {
  CLOCK_BOOTTIME,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_MONOTONIC,
  CLOCK_MONOTONIC_COARSE,
  CLOCK_MONOTONIC_RAW,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_REALTIME_COARSE,
  CLOCK_TAI,
  CLOCK_THREAD_CPUTIME_ID,
  realtimeNow,
  realtimeOffset,
} from '../clock.js';
import { guestCpuLocked, ownCpu, threadCpuLocked } from '../cpuTime.js';
import {
  EAGAIN,
  EINTR,
  EINVAL,
  EOPNOTSUPP,
  EPERM,
  ERESTART_RESTARTBLOCK,
  ERESTARTNOHAND,
  SyscallError,
} from '../errno.js';
import { threadByTidLocked } from '../guestRecords.js';
import { SIGALRM, SIGPROF, SIGVTALRM } from '../signals/signalNumbers.js';
import { STAYS, type ThreadContext } from '../threadContext.js';
import {
  announceTimers,
  createTimerLocked,
  deleteTimerLocked,
  findTimerLocked,
  isCpuClock,
  setTimerLocked,
  type TimerState,
  timerStateLocked,
  withTimers,
} from '../timers.js';
import { parkInCall } from '../waiting.js';
import { RESTART_FUTEX, restartFutexWait } from './futexCalls.js';
import { SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID, Sigevent } from './structsSignal.js';
import {
  ItimerSpec,
  readTimespec,
  readTimeval,
  rusageBytes,
  writeTimespec,
  writeTimeval,
} from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** Clocks, sleeping and timers. */
const TIMER_ABSTIME = 1;

/**
 * A CPU clock of a negative clock id: the thread or process it names (clock_getcpuclockid, pthread_getcpuclockid), with
 * the clock it stands for; undefined for other ids.
 */
function cpuClockOf(clock: number): { thread: boolean; id: number } | undefined {
  if (clock >= 0 || (clock & 3) === 3) return undefined;
  return { thread: (clock & 4) !== 0, id: ~(clock >> 3) };
}

/** The time of a clock in milliseconds. Throws SyscallError EINVAL. */
function clockTime(t: ThreadContext, clock: number): number {
  const { mem, guest, thread } = t;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
      return realtimeNow(mem);
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
      return monotonicNow();
    case CLOCK_THREAD_CPUTIME_ID:
      return ownCpu(t);
    case CLOCK_PROCESS_CPUTIME_ID:
      return withMutex(mem, guest + Guest.threadsLock, thread, () => guestCpuLocked(mem, guest));
    default:
  }
  const cpu = cpuClockOf(clock);
  if (cpu === undefined) throw new SyscallError(EINVAL);
  return withMutex(mem, guest + Guest.threadsLock, thread, () => {
    if (!cpu.thread) {
      if (cpu.id !== 0 && cpu.id !== mem.getU32(guest + Guest.pid)) throw new SyscallError(EINVAL);
      return guestCpuLocked(mem, guest);
    }
    const target = cpu.id === 0 ? thread : threadByTidLocked(mem, guest, cpu.id);
    if (target === 0) throw new SyscallError(EINVAL);
    return threadCpuLocked(mem, target);
  });
}

function clockGettime(t: ThreadContext, clock: number, va: number): number {
  writeTimespec(t, va, clockTime(t, clock | 0));
  return 0;
}

function clockGetres(t: ThreadContext, clock: number, va: number): number {
  clockTime(t, clock | 0);
  if (va === 0) return 0;
  const coarse = (clock | 0) === CLOCK_REALTIME_COARSE || (clock | 0) === CLOCK_MONOTONIC_COARSE;
  writeTimespec(t, va, coarse ? 4 : 1e-6);
  return 0;
}

function clockSettime(t: ThreadContext, clock: number, va: number): number {
  readTimespec(t, va);
  clockTime(t, clock | 0);
  return (clock | 0) === CLOCK_REALTIME ? -EPERM : -EINVAL;
}

/** struct timex: its size, and where what is told stands. */
const TIMEX_SIZE = 208;
const ADJ_ADJTIME = 0x8000;
const ADJ_OFFSET_SINGLESHOT = 0x8001;
const ADJ_OFFSET_SS_READ = 0xa001;
const STA_UNSYNC = 0x40;
const TIME_ERROR = 5;

/** adjtimex(2): tells that nobody disciplines the clock; guests may not, since it is the host's. */
function adjtimex(t: ThreadContext, va: number): number {
  const bytes = new Uint8Array(TIMEX_SIZE);
  copyIn(t, va, bytes);
  const view = new DataView(bytes.buffer);
  const modes = view.getUint32(0, true);
  if (modes & ADJ_ADJTIME && (modes & ADJ_OFFSET_SINGLESHOT) !== ADJ_OFFSET_SINGLESHOT) return -EINVAL;
  if (modes !== 0 && modes !== ADJ_OFFSET_SS_READ) return -EPERM;
  bytes.fill(0, 4);
  const now = realtimeNow(t.mem);
  const words: readonly (readonly [number, number])[] = [
    [24, 16_000_000], // maxerror
    [32, 16_000_000], // esterror
    [40, STA_UNSYNC], // status
    [48, 2], // constant
    [56, 1], // precision
    [64, 32_768_000], // tolerance
    [72, Math.floor(now / 1000)],
    [80, Math.floor((now % 1000) * 1000)],
    [88, 10_000], // tick
  ];
  for (const [at, value] of words) view.setBigInt64(at, BigInt(value), true);
  copyOut(t, va, bytes);
  return TIME_ERROR;
}

function clockAdjtime(t: ThreadContext, clock: number, va: number): number {
  clockTime(t, clock | 0);
  return (clock | 0) === CLOCK_REALTIME ? adjtimex(t, va) : -EOPNOTSUPP;
}

function gettimeofday(t: ThreadContext, time: number, zone: number): number {
  if (time !== 0) writeTimeval(t, time, realtimeNow(t.mem));
  if (zone !== 0) {
    writeI32(t, zone, 0);
    writeI32(t, zone + 4, 0);
  }
  return 0;
}

/** Sleeps until `deadline` (monotonic milliseconds); false when a signal came first. */
function sleepUntil(t: ThreadContext, deadline: number): boolean {
  const { mem, thread } = t;
  for (;;) {
    const ticket = parkTicket(mem, thread);
    if (monotonicNow() >= deadline) return true;
    if (t.signalPending()) return false;
    parkInCall(t, ticket, deadline);
  }
}

const RESTART_SLEEP = 1;

/** A relative sleep: interrupted, it says what is left, and goes on to its end when no handler ran. */
function sleepFor(t: ThreadContext, deadline: number, remaining: number): number {
  const { mem, thread } = t;
  if (sleepUntil(t, deadline)) return 0;
  if (remaining !== 0) writeTimespec(t, remaining, Math.max(0, deadline - monotonicNow()));
  mem.setU32(thread + Thread.restartKind, RESTART_SLEEP);
  mem.f64[(thread + Thread.restartDeadline) >>> 3] = deadline;
  mem.set64(thread + Thread.restartArgument, remaining);
  return -ERESTART_RESTARTBLOCK;
}

function nanosleep(t: ThreadContext, request: number, remaining: number): number {
  return sleepFor(t, t.deadlineIn(readTimespec(t, request)), remaining);
}

/** Clocks that nobody can sleep by. */
const SLEEPLESS: ReadonlySet<number> = new Set([
  CLOCK_THREAD_CPUTIME_ID,
  CLOCK_MONOTONIC_RAW,
  CLOCK_REALTIME_COARSE,
  CLOCK_MONOTONIC_COARSE,
]);

function clockNanosleep(
  t: ThreadContext,
  clockId: number,
  flags: number,
  request: number,
  remaining: number,
): number {
  const clock = clockId | 0;
  if (SLEEPLESS.has(clock)) return -EOPNOTSUPP;
  const time = readTimespec(t, request);
  const now = clockTime(t, clock);
  if (clock === CLOCK_PROCESS_CPUTIME_ID || cpuClockOf(clock) !== undefined) {
    // Other threads must consume the time; look now and then.
    const end = (flags & TIMER_ABSTIME) !== 0 ? time : now + time;
    return t.keepHost(() => {
      for (let left = end - now; left > 0; left = end - clockTime(t, clock)) {
        if (!sleepUntil(t, monotonicNow() + Math.max(left / 8, 1))) return -ERESTARTNOHAND;
      }
      return 0;
    });
  }
  if ((flags & TIMER_ABSTIME) === 0) return sleepFor(t, t.deadlineIn(time), remaining);
  const real = clock === CLOCK_REALTIME || clock === CLOCK_TAI || clock === CLOCK_REALTIME_ALARM;
  const deadline = time - (real ? realtimeOffset(t.mem) : 0);
  return sleepUntil(t, deadline) ? 0 : -ERESTARTNOHAND;
}

function restartSyscall(
  t: ThreadContext,
  a0: number,
  a1: number,
  a2: number,
  _a3: number,
  _a4: number,
  a5: number,
): number {
  const { mem, thread } = t;
  const kind = mem.getU32(thread + Thread.restartKind);
  mem.setU32(thread + Thread.restartKind, 0);
  try {
    return restart(t, kind, a0, a1, a2, a5);
  } finally {
    // It is begun again.
    if (t.leaving !== STAYS) mem.setU32(thread + Thread.restartKind, kind);
  }
}

function restart(t: ThreadContext, kind: number, a0: number, a1: number, a2: number, a5: number): number {
  const { mem, thread } = t;
  if (kind === RESTART_FUTEX) return restartFutexWait(t, a0, a1, a2, a5);
  if (kind !== RESTART_SLEEP) return -EINTR;
  const deadline = mem.f64[(thread + Thread.restartDeadline) >>> 3];
  return sleepFor(t, deadline, mem.getU64(thread + Thread.restartArgument));
}

// --- interval timers ---

const ITIMERS = [
  { id: -1, clock: CLOCK_MONOTONIC, signal: SIGALRM },
  { id: -2, clock: CLOCK_PROCESS_CPUTIME_ID, signal: SIGVTALRM },
  { id: -3, clock: CLOCK_PROCESS_CPUTIME_ID, signal: SIGPROF },
] as const;

/** Runs `body` with the locks that timers of the guest need. */
function withGuestTimers<T>(t: ThreadContext, body: () => T): T {
  return withMutex(t.mem, t.guest + Guest.threadsLock, t.thread, () => withTimers(t.mem, t.thread, body));
}

function writeItimerval(t: ThreadContext, va: number, state: TimerState): void {
  writeTimeval(t, va + ItimerSpec.interval, state.interval);
  // Rounded up: an armed timer never shows zero.
  writeTimeval(t, va + ItimerSpec.value, Math.ceil(state.left * 1000) / 1000);
}

function getitimer(t: ThreadContext, which: number, va: number): number {
  const kind = ITIMERS[which | 0];
  if (kind === undefined) return -EINVAL;
  const state = withGuestTimers(t, () => {
    const timer = findTimerLocked(t.mem, t.guest, kind.id);
    return timer === 0 ? { left: 0, interval: 0 } : timerStateLocked(t.mem, timer);
  });
  writeItimerval(t, va, state);
  return 0;
}

function setitimer(t: ThreadContext, which: number, fresh: number, old: number): number {
  const kind = ITIMERS[which | 0];
  if (kind === undefined) return -EINVAL;
  const interval = fresh === 0 ? 0 : readTimeval(t, fresh + ItimerSpec.interval);
  const value = fresh === 0 ? 0 : readTimeval(t, fresh + ItimerSpec.value);
  const { mem, guest, thread } = t;
  let announce = false;
  const before = withGuestTimers(t, () => {
    let timer = findTimerLocked(mem, guest, kind.id);
    if (timer === 0) {
      timer = createTimerLocked(mem, guest, kind.id, kind.clock, thread);
      mem.setU32(timer + Timer.signal, kind.signal);
    }
    const state = timerStateLocked(mem, timer);
    announce = setTimerLocked(mem, timer, value, interval, false);
    return state;
  });
  if (announce) announceTimers(t);
  if (old !== 0) writeItimerval(t, old, before);
  return 0;
}

// --- POSIX timers ---

/** The clocks timer_create accepts, with the thread that a CPU clock counts. */
function timerClock(t: ThreadContext, id: number): { clock: number; cpuTid: number } {
  switch (id) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
    case CLOCK_PROCESS_CPUTIME_ID:
      return { clock: id, cpuTid: 0 };
    case CLOCK_THREAD_CPUTIME_ID:
      return { clock: id, cpuTid: t.tid };
    default:
  }
  const cpu = cpuClockOf(id);
  if (cpu === undefined) throw new SyscallError(EINVAL);
  clockTime(t, id);
  return cpu.thread
    ? { clock: CLOCK_THREAD_CPUTIME_ID, cpuTid: cpu.id === 0 ? t.tid : cpu.id }
    : { clock: CLOCK_PROCESS_CPUTIME_ID, cpuTid: 0 };
}

/** RLIMIT_SIGPENDING bounds timers in Linux; so does this. */
const MAX_TIMERS = 4096;

function timerCreate(t: ThreadContext, clockId: number, event: number, idPointer: number): number {
  const { mem, guest, thread } = t;
  const { clock, cpuTid } = timerClock(t, clockId | 0);
  let notify: number = SIGEV_SIGNAL;
  let signal = SIGALRM;
  let tid = 0;
  let value: bigint | undefined;
  if (event !== 0) {
    value = readU64Big(t, event + Sigevent.value);
    signal = readI32(t, event + Sigevent.signo);
    notify = readI32(t, event + Sigevent.notify);
    // The C library makes SIGEV_THREAD of SIGEV_THREAD_ID; the kernel takes it as SIGEV_SIGNAL.
    if (notify === SIGEV_THREAD) notify = SIGEV_SIGNAL;
    if (notify !== SIGEV_SIGNAL && notify !== SIGEV_NONE && notify !== SIGEV_THREAD_ID) return -EINVAL;
    if (notify !== SIGEV_NONE && (signal < 1 || signal > 64)) return -EINVAL;
    if (notify === SIGEV_THREAD_ID) {
      tid = readI32(t, event + Sigevent.tid);
      const target = withMutex(mem, guest + Guest.threadsLock, thread, () =>
        threadByTidLocked(mem, guest, tid),
      );
      if (target === 0) return -EINVAL;
    }
  }
  const id = withTimers(mem, thread, () => {
    let count = 0;
    for (
      let other = mem.getU32(guest + Guest.timers);
      other !== 0;
      other = mem.getU32(other + Timer.nextInGuest)
    )
      count++;
    if (count >= MAX_TIMERS) throw new SyscallError(EAGAIN);
    const fresh = mem.getI32(guest + Guest.lastTimerId);
    mem.setI32(guest + Guest.lastTimerId, (fresh + 1) & 0x7fff_ffff);
    const timer = createTimerLocked(mem, guest, fresh, clock, thread);
    mem.setU32(timer + Timer.notify, notify);
    mem.setU32(timer + Timer.signal, signal);
    mem.setU32(timer + Timer.tid, tid);
    mem.setU32(timer + Timer.cpuTid, isCpuClock(clock) ? cpuTid : 0);
    mem.u64[(timer + Timer.value) >>> 3] = value ?? BigInt(fresh);
    return fresh;
  });
  try {
    writeI32(t, idPointer, id);
  } catch (error) {
    withTimers(mem, thread, () => deleteTimerLocked(mem, findTimerLocked(mem, guest, id), thread));
    throw error;
  }
  return 0;
}

/** The guest's timer, or EINVAL; TimerList.lock is held. */
function requireTimerLocked(t: ThreadContext, id: number): number {
  const timer = (id | 0) < 0 ? 0 : findTimerLocked(t.mem, t.guest, id | 0);
  if (timer === 0) throw new SyscallError(EINVAL);
  return timer;
}

function timerSettime(t: ThreadContext, id: number, flags: number, fresh: number, old: number): number {
  if (fresh === 0) return -EINVAL;
  const interval = readTimespec(t, fresh + ItimerSpec.interval);
  const value = readTimespec(t, fresh + ItimerSpec.value);
  let announce = false;
  const before = withGuestTimers(t, () => {
    const timer = requireTimerLocked(t, id);
    const state = timerStateLocked(t.mem, timer);
    announce = setTimerLocked(t.mem, timer, value, interval, (flags & TIMER_ABSTIME) !== 0);
    return state;
  });
  if (announce) announceTimers(t);
  if (old !== 0) writeItimerspec(t, old, before);
  return 0;
}

function writeItimerspec(t: ThreadContext, va: number, state: TimerState): void {
  writeTimespec(t, va + ItimerSpec.interval, state.interval);
  writeTimespec(t, va + ItimerSpec.value, state.left);
}

function timerGettime(t: ThreadContext, id: number, va: number): number {
  writeItimerspec(
    t,
    va,
    withGuestTimers(t, () => timerStateLocked(t.mem, requireTimerLocked(t, id))),
  );
  return 0;
}

function timerGetoverrun(t: ThreadContext, id: number): number {
  return withTimers(t.mem, t.thread, () => t.mem.getU32(requireTimerLocked(t, id) + Timer.lastOverrun));
}

function timerDelete(t: ThreadContext, id: number): number {
  withTimers(t.mem, t.thread, () => deleteTimerLocked(t.mem, requireTimerLocked(t, id), t.thread));
  return 0;
}

// --- accounting ---

const CLK_TCK = 100;

function times(t: ThreadContext, va: number): number {
  const ticks = (milliseconds: number) => Math.floor((milliseconds * CLK_TCK) / 1000);
  if (va !== 0) {
    const { mem, guest, thread } = t;
    const own = withMutex(mem, guest + Guest.threadsLock, thread, () => guestCpuLocked(mem, guest));
    write64(t, va, ticks(own));
    write64(t, va + 8, 0);
    write64(t, va + 16, ticks(mem.getU64(guest + Guest.childCpuMicroseconds) / 1000));
    write64(t, va + 24, 0);
  }
  return ticks(monotonicNow());
}

const RUSAGE_SELF = 0;
const RUSAGE_CHILDREN = -1;
const RUSAGE_THREAD = 1;

function getrusage(t: ThreadContext, who: number, va: number): number {
  const { mem, guest, thread } = t;
  let cpu: number;
  let faults: number;
  let peak = Math.max(mem.getU64(guest + Guest.residentPeak), mmResidentPeak(mem, t.mm));
  switch (who | 0) {
    case RUSAGE_SELF:
      [cpu, faults] = withMutex(mem, guest + Guest.threadsLock, thread, () => {
        let sum = mem.getU64(guest + Guest.faultCount);
        for (let o = mem.getU32(guest + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest))
          sum += mem.getU32(o + Thread.faultCount);
        return [guestCpuLocked(mem, guest), sum];
      });
      break;
    case RUSAGE_CHILDREN:
      cpu = mem.getU64(guest + Guest.childCpuMicroseconds) / 1000;
      faults = mem.getU64(guest + Guest.childFaultCount);
      peak = mem.getU64(guest + Guest.childResidentPeak);
      break;
    case RUSAGE_THREAD:
      cpu = ownCpu(t);
      faults = mem.getU32(thread + Thread.faultCount);
      break;
    default:
      return -EINVAL;
  }
  copyOut(t, va, rusageBytes(cpu, faults, Math.round(peak / 1024)));
  return 0;
}

export const timeCalls: SyscallTable = {
  [SYS.SYS_clock_gettime]: syscall('clock_gettime', ['clock', 'pointer'], clockGettime),
  [SYS.SYS_clock_getres]: syscall('clock_getres', ['clock', 'pointer'], clockGetres),
  [SYS.SYS_clock_settime]: syscall('clock_settime', ['clock', 'timespec'], clockSettime),
  [SYS.SYS_adjtimex]: syscall('adjtimex', ['pointer'], adjtimex),
  [SYS.SYS_clock_adjtime]: syscall('clock_adjtime', ['clock', 'pointer'], clockAdjtime),
  [SYS.SYS_gettimeofday]: syscall('gettimeofday', ['pointer', 'pointer'], gettimeofday),
  [SYS.SYS_nanosleep]: syscall('nanosleep', ['timespec', 'pointer'], nanosleep),
  [SYS.SYS_clock_nanosleep]: syscall(
    'clock_nanosleep',
    ['clock', 'int', 'timespec', 'pointer'],
    clockNanosleep,
  ),
  [SYS.SYS_restart_syscall]: syscall('restart_syscall', [], restartSyscall),
  [SYS.SYS_getitimer]: syscall('getitimer', ['int', 'pointer'], getitimer),
  [SYS.SYS_setitimer]: syscall('setitimer', ['int', 'pointer', 'pointer'], setitimer),
  [SYS.SYS_timer_create]: syscall('timer_create', ['clock', 'pointer', 'pointer'], timerCreate),
  [SYS.SYS_timer_settime]: syscall('timer_settime', ['int', 'hex', 'pointer', 'pointer'], timerSettime),
  [SYS.SYS_timer_gettime]: syscall('timer_gettime', ['int', 'pointer'], timerGettime),
  [SYS.SYS_timer_getoverrun]: syscall('timer_getoverrun', ['int'], timerGetoverrun),
  [SYS.SYS_timer_delete]: syscall('timer_delete', ['int'], timerDelete),
  [SYS.SYS_times]: syscall('times', ['pointer'], times),
  [SYS.SYS_getrusage]: syscall('getrusage', ['int', 'pointer'], getrusage),
};
