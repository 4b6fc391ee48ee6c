import { allocateBlock, freeBlock } from '../sync/heap.js';
import { initMutex, lockMutex, unlockMutex, withMutex } from '../sync/mutex.js';
import { monotonicNow } from '../sync/park.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Timer, TimerList } from '../sync/records/timers.js';
import { pushRequest, RequestKind } from '../sync/ring.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import {
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_TAI,
  CLOCK_THREAD_CPUTIME_ID,
  realtimeOffset,
} from './clock.js';
import { guestCpuLocked, threadCpuLocked } from './cpuTime.js';
import { getLimit, RLIMIT_CPU, setLimit, threadByTidLocked } from './guestRecords.js';
import { SIGEV_NONE, SIGEV_THREAD_ID } from './linux/structsSignal.js';
import { type SendResult, sendSignalLocked, type TakenSignal } from './signals/pendingSignals.js';
import { infoSignal, sentInfo, setInfoOverrun, timerInfo } from './signals/sigInfo.js';
import { SI_KERNEL, SIGKILL, SIGXCPU } from './signals/signalNumbers.js';
import type { ThreadContext } from './threadContext.js';

/**
 * Timers of guests. Armed ones are on a list of the machine; the coordinator sleeps until the earliest deadline and
 * fires what is due (`fireTimers`). A thread that arms an earlier one tells it by RequestKind.TimersChanged.
 * Lock order: Guest.threadsLock → Sighand.lock → TimerList.lock.
 */

/** Timer.id of the interval timers of setitimer. */
export const ITIMER_IDS = [-1, -2, -3] as const;
/** Timer.id of the timer that watches RLIMIT_CPU. */
export const CPU_LIMIT_ID = -4;
/** Overruns are counted up to here (DELAYTIMER_MAX). */
const OVERRUN_LIMIT = 0x7fff_ffff;
/** Shortest period the coordinator follows, milliseconds; shorter ones are made up for as overruns. */
const SHORTEST = 0.05;

/** Makes the machine's timer list. */
export function initTimers(mem: SharedMemory, owner: number): void {
  const list = allocateBlock(mem, TimerList.SIZE, owner);
  initMutex(mem, list + TimerList.lock);
  setF64(mem, list + TimerList.announced, Infinity);
  mem.setU32(MACHINE + Machine.timers, list);
}

function f64(mem: SharedMemory, address: number): number {
  return mem.f64[address >>> 3];
}
function setF64(mem: SharedMemory, address: number, value: number): void {
  mem.f64[address >>> 3] = value;
}

export function timerList(mem: SharedMemory): number {
  return mem.getU32(MACHINE + Machine.timers);
}

/** Runs `body` with the list's lock. */
export function withTimers<T>(mem: SharedMemory, owner: number, body: () => T): T {
  return withMutex(mem, timerList(mem) + TimerList.lock, owner, body);
}

/** Whether a clock counts CPU time. */
export function isCpuClock(clock: number): boolean {
  return clock === CLOCK_PROCESS_CPUTIME_ID || clock === CLOCK_THREAD_CPUTIME_ID;
}

/** Makes an unarmed timer of the guest. TimerList.lock is held. */
export function createTimerLocked(
  mem: SharedMemory,
  guest: number,
  id: number,
  clock: number,
  owner: number,
): number {
  const timer = allocateBlock(mem, Timer.SIZE, owner);
  mem.setU32(timer + Timer.guest, guest);
  mem.setI32(timer + Timer.id, id);
  mem.setI32(timer + Timer.clock, clock);
  mem.setU32(timer + Timer.nextInGuest, mem.getU32(guest + Guest.timers));
  mem.setU32(guest + Guest.timers, timer);
  return timer;
}

/** The guest's timer with that id, or 0. TimerList.lock is held. */
export function findTimerLocked(mem: SharedMemory, guest: number, id: number): number {
  for (let t = mem.getU32(guest + Guest.timers); t !== 0; t = mem.getU32(t + Timer.nextInGuest))
    if (mem.getI32(t + Timer.id) === id) return t;
  return 0;
}

function disarmLocked(mem: SharedMemory, timer: number): void {
  if (mem.getU32(timer + Timer.armed) === 0) return;
  const next = mem.getU32(timer + Timer.nextArmed);
  const previous = mem.getU32(timer + Timer.previousArmed);
  if (next !== 0) mem.setU32(next + Timer.previousArmed, previous);
  if (previous !== 0) mem.setU32(previous + Timer.nextArmed, next);
  else mem.setU32(timerList(mem) + TimerList.armed, next);
  mem.setU32(timer + Timer.armed, 0);
}

function armLocked(mem: SharedMemory, timer: number): void {
  const list = timerList(mem);
  const first = mem.getU32(list + TimerList.armed);
  mem.setU32(timer + Timer.nextArmed, first);
  mem.setU32(timer + Timer.previousArmed, 0);
  if (first !== 0) mem.setU32(first + Timer.previousArmed, timer);
  mem.setU32(list + TimerList.armed, timer);
  mem.setU32(timer + Timer.armed, 1);
}

/** CPU time that a timer counts, milliseconds. Guest.threadsLock is held. */
function timerCpu(mem: SharedMemory, timer: number): number {
  const guest = mem.getU32(timer + Timer.guest);
  const tid = mem.getU32(timer + Timer.cpuTid);
  if (tid === 0) return guestCpuLocked(mem, guest);
  const thread = threadByTidLocked(mem, guest, tid);
  return thread === 0 ? 0 : threadCpuLocked(mem, thread);
}

/** Time of the timer's clock now, milliseconds. Guest.threadsLock is held for CPU clocks. */
function clockNow(mem: SharedMemory, timer: number): number {
  const clock = mem.getI32(timer + Timer.clock);
  if (isCpuClock(clock)) return timerCpu(mem, timer);
  const real = clock === CLOCK_REALTIME || clock === CLOCK_REALTIME_ALARM || clock === CLOCK_TAI;
  return monotonicNow() + (real ? realtimeOffset(mem) : 0);
}

/** What gettime answers: milliseconds left (0 when unarmed) and the period. */
export interface TimerState {
  readonly left: number;
  readonly interval: number;
}

/** Time left of the timer. Guest.threadsLock and TimerList.lock are held. */
export function timerStateLocked(mem: SharedMemory, timer: number): TimerState {
  const interval = f64(mem, timer + Timer.interval);
  if (mem.getU32(timer + Timer.armed) === 0) return { left: 0, interval };
  const cpu = isCpuClock(mem.getI32(timer + Timer.clock));
  const left = cpu
    ? f64(mem, timer + Timer.cpuDeadline) - timerCpu(mem, timer)
    : f64(mem, timer + Timer.deadline) - monotonicNow();
  // An armed timer never shows zero.
  return { left: Math.max(left, 1e-6), interval };
}

/**
 * Arms the timer to expire `value` milliseconds from now (or at that time of its clock when `absolute`), then every
 * `interval`; value 0 disarms it. Guest.threadsLock and TimerList.lock are held. Returns true when the coordinator has
 * to be told (`announceTimers`, with no lock held).
 */
export function setTimerLocked(
  mem: SharedMemory,
  timer: number,
  value: number,
  interval: number,
  absolute: boolean,
): boolean {
  disarmLocked(mem, timer);
  mem.setU32(timer + Timer.sequence, mem.getU32(timer + Timer.sequence) + 1);
  mem.setU32(timer + Timer.pending, 0);
  mem.setU32(timer + Timer.overrun, 0);
  setF64(mem, timer + Timer.interval, interval);
  if (value === 0) return false;
  const now = monotonicNow();
  const left = absolute ? value - clockNow(mem, timer) : value;
  // What lies in the past expires at once, as often as it would have since.
  setF64(mem, timer + Timer.deadline, now + left);
  if (isCpuClock(mem.getI32(timer + Timer.clock)))
    setF64(mem, timer + Timer.cpuDeadline, absolute ? value : timerCpu(mem, timer) + value);
  armLocked(mem, timer);
  const list = timerList(mem);
  if (f64(mem, timer + Timer.deadline) >= f64(mem, list + TimerList.announced)) return false;
  setF64(mem, list + TimerList.announced, f64(mem, timer + Timer.deadline));
  return true;
}

/** Tells the coordinator to look at the earliest deadline again. */
export function announceTimers(t: ThreadContext): void {
  while (!pushRequest(t.mem, t.thread, RequestKind.TimersChanged)) t.ring();
  t.ring();
}

/** Takes the timer away. TimerList.lock is held. */
export function deleteTimerLocked(mem: SharedMemory, timer: number, owner: number): void {
  disarmLocked(mem, timer);
  const guest = mem.getU32(timer + Timer.guest);
  let link = guest + Guest.timers;
  while (mem.getU32(link) !== timer) link = mem.getU32(link) + Timer.nextInGuest;
  mem.setU32(link, mem.getU32(timer + Timer.nextInGuest));
  freeBlock(mem, timer, owner);
}

/** Takes all timers of a guest away: it ends, or execs (those of setitimer survive an exec: `keepIntervals`). */
export function deleteTimers(mem: SharedMemory, guest: number, owner: number, keepIntervals = false): void {
  withTimers(mem, owner, () => {
    for (let t = mem.getU32(guest + Guest.timers); t !== 0; ) {
      const next = mem.getU32(t + Timer.nextInGuest);
      if (!keepIntervals || mem.getI32(t + Timer.id) >= 0) deleteTimerLocked(mem, t, owner);
      t = next;
    }
  });
}

/** The earliest deadline of any timer: monotonic milliseconds, or Infinity. */
export function nextTimerDeadline(mem: SharedMemory, owner: number): number {
  return withTimers(mem, owner, () => nextDeadlineLocked(mem));
}

function nextDeadlineLocked(mem: SharedMemory): number {
  const list = timerList(mem);
  let earliest = Infinity;
  for (let t = mem.getU32(list + TimerList.armed); t !== 0; t = mem.getU32(t + Timer.nextArmed))
    earliest = Math.min(earliest, f64(mem, t + Timer.deadline));
  setF64(mem, list + TimerList.announced, earliest);
  return earliest;
}

/**
 * Fires every timer that is due at `now` (monotonic milliseconds): for the coordinator. Returns the next deadline, or
 * Infinity. A thread that ends meanwhile, or a guest, is no error.
 */
export function fireTimers(mem: SharedMemory, owner: number, now: number): number {
  for (;;) {
    // One guest with something due at a time, because a guest's locks come before the list's.
    const guest = withTimers(mem, owner, () => {
      for (let t = mem.getU32(timerList(mem) + TimerList.armed); t !== 0; t = mem.getU32(t + Timer.nextArmed))
        if (f64(mem, t + Timer.deadline) <= now) return mem.getU32(t + Timer.guest);
      return 0;
    });
    if (guest === 0) return nextTimerDeadline(mem, owner);
    // Guests are reaped by the main thread only, which is the one that fires: the record stays.
    withMutex(mem, guest + Guest.threadsLock, owner, () => fireDueOf(mem, guest, owner, now));
  }
}

/** Fires the due timers of one guest; Guest.threadsLock is held. */
function fireDueOf(mem: SharedMemory, guest: number, owner: number, now: number): void {
  const list = timerList(mem);
  for (;;) {
    lockMutex(mem, list + TimerList.lock, owner);
    let due = 0;
    for (
      let t = mem.getU32(guest + Guest.timers);
      t !== 0 && due === 0;
      t = mem.getU32(t + Timer.nextInGuest)
    )
      if (mem.getU32(t + Timer.armed) !== 0 && f64(mem, t + Timer.deadline) <= now) due = t;
    const shot = due === 0 ? undefined : expireLocked(mem, due, now);
    unlockMutex(mem, list + TimerList.lock, owner);
    if (shot === undefined) return;
    if (shot.signal === 0) continue;
    if (sendShot(mem, guest, shot, owner) !== 'sent') withTimers(mem, owner, () => forget(mem, guest, shot));
  }
}

/** A signal to be sent for a timer. */
interface Shot {
  readonly timer: number;
  readonly id: number;
  readonly sequence: number;
  /** 0: nothing to send. */
  readonly signal: number;
  /** Target of SIGEV_THREAD_ID, 0 for the guest. */
  readonly tid: number;
  readonly value: bigint;
}

/** Moves a due timer on and says what to send. */
function expireLocked(mem: SharedMemory, timer: number, now: number): Shot {
  const id = mem.getI32(timer + Timer.id);
  const interval = f64(mem, timer + Timer.interval);
  let signal = mem.getU32(timer + Timer.notify) === SIGEV_NONE ? 0 : mem.getU32(timer + Timer.signal);
  let expirations = 1;
  if (isCpuClock(mem.getI32(timer + Timer.clock))) {
    const used = timerCpu(mem, timer);
    const left = f64(mem, timer + Timer.cpuDeadline) - used;
    if (left > 0) {
      // CPU time cannot pass faster than one processor a thread: look again when it could be due.
      const threads = Math.max(1, mem.getI32(mem.getU32(timer + Timer.guest) + Guest.threadCount));
      const own = mem.getU32(timer + Timer.cpuTid) !== 0;
      setF64(mem, timer + Timer.deadline, now + Math.max(own ? left : left / Math.min(threads, 8), 1));
      return { timer, id, sequence: 0, signal: 0, tid: 0, value: 0n };
    }
    if (id === CPU_LIMIT_ID) signal = cpuLimitReachedLocked(mem, timer, used, now);
    else if (interval > 0) {
      expirations = 1 + Math.floor(-left / interval);
      setF64(mem, timer + Timer.cpuDeadline, f64(mem, timer + Timer.cpuDeadline) + expirations * interval);
      setF64(mem, timer + Timer.deadline, now + Math.max(interval, 1));
    } else disarmLocked(mem, timer);
  } else if (interval > 0) expirations = forwardLocked(mem, timer, now);
  else disarmLocked(mem, timer);

  if (mem.getU32(timer + Timer.pending) !== 0) {
    // Its signal has not been taken yet: the expirations are overruns.
    const overrun = Math.min(OVERRUN_LIMIT, mem.getU32(timer + Timer.overrun) + expirations);
    mem.setU32(timer + Timer.overrun, overrun);
    signal = 0;
  } else if (signal !== 0) {
    mem.setU32(timer + Timer.overrun, Math.min(OVERRUN_LIMIT, expirations - 1));
    if (id >= 0) mem.setU32(timer + Timer.pending, 1);
  }
  return {
    timer,
    id,
    sequence: mem.getU32(timer + Timer.sequence),
    signal,
    tid: mem.getU32(timer + Timer.notify) === SIGEV_THREAD_ID ? mem.getU32(timer + Timer.tid) : 0,
    value: mem.u64[(timer + Timer.value) >>> 3],
  };
}

/** Moves a due timer with an interval on: how often it has expired (hrtimer_forward). TimerList.lock is held. */
function forwardLocked(mem: SharedMemory, timer: number, now: number): number {
  const interval = f64(mem, timer + Timer.interval);
  const deadline = f64(mem, timer + Timer.deadline);
  const expirations = 1 + Math.max(0, Math.floor((now - deadline) / interval));
  setF64(mem, timer + Timer.deadline, Math.max(deadline + expirations * interval, now + SHORTEST));
  return expirations;
}

/** Counts what is due by now as overruns of the timer's signal, which is about to be taken (posixtimer_rearm). */
function countOverrunsLocked(mem: SharedMemory, timer: number, now: number): void {
  if (mem.getU32(timer + Timer.armed) === 0 || isCpuClock(mem.getI32(timer + Timer.clock))) return;
  if (f64(mem, timer + Timer.interval) === 0 || f64(mem, timer + Timer.deadline) > now) return;
  const overrun = mem.getU32(timer + Timer.overrun) + forwardLocked(mem, timer, now);
  mem.setU32(timer + Timer.overrun, Math.min(OVERRUN_LIMIT, overrun));
}

/**
 * RLIMIT_CPU: SIGXCPU at the soft limit, which then moves on by a second, SIGKILL at the hard one (check_process_timers).
 * Returns the signal. The guest's threadsLock is held.
 */
function cpuLimitReachedLocked(mem: SharedMemory, timer: number, used: number, now: number): number {
  const guest = mem.getU32(timer + Timer.guest);
  const [soft, hard] = getLimit(mem, guest, RLIMIT_CPU);
  if (used >= hard * 1000) {
    disarmLocked(mem, timer);
    return SIGKILL;
  }
  setLimit(mem, guest, RLIMIT_CPU, soft + 1, hard);
  setF64(mem, timer + Timer.cpuDeadline, Math.min(soft + 1, hard) * 1000);
  setF64(mem, timer + Timer.deadline, now + 1);
  return SIGXCPU;
}

function sendShot(mem: SharedMemory, guest: number, shot: Shot, owner: number): SendResult {
  const interval = shot.id < 0;
  const info = interval
    ? sentInfo(shot.signal, SI_KERNEL, 0, 0)
    : timerInfo(shot.signal, shot.id, shot.value);
  const thread = shot.tid === 0 ? 0 : threadByTidLocked(mem, guest, shot.tid);
  if (shot.tid !== 0 && thread === 0) return 'ignored';
  return sendSignalLocked(
    mem,
    owner,
    guest,
    thread,
    shot.signal,
    info,
    interval ? 0 : shot.timer,
    shot.sequence,
  );
}

/** The signal was dropped: the timer waits for nobody to take it. */
function forget(mem: SharedMemory, guest: number, shot: Shot): void {
  if (
    findTimerLocked(mem, guest, shot.id) === shot.timer &&
    mem.getU32(shot.timer + Timer.sequence) === shot.sequence
  )
    mem.setU32(shot.timer + Timer.pending, 0);
}

/** A timer's signal has been taken: puts its overrun count into the siginfo and lets it send again. */
export function fillTimerInfo(t: ThreadContext, taken: TakenSignal): void {
  const { mem, guest, thread } = t;
  withTimers(mem, thread, () => {
    for (
      let timer = mem.getU32(guest + Guest.timers);
      timer !== 0;
      timer = mem.getU32(timer + Timer.nextInGuest)
    ) {
      if (timer !== taken.timer || mem.getU32(timer + Timer.sequence) !== taken.timerSequence) continue;
      countOverrunsLocked(mem, timer, monotonicNow());
      const overrun = mem.getU32(timer + Timer.overrun);
      mem.setU32(timer + Timer.lastOverrun, overrun);
      mem.setU32(timer + Timer.overrun, 0);
      mem.setU32(timer + Timer.pending, 0);
      setInfoOverrun(taken.info, infoSignal(taken.info) === taken.signal ? overrun : 0);
    }
  });
}

/** The pending instances of `signal` have been dropped: the guest's timers that sent one may send again. */
export function forgetTimerSignals(t: ThreadContext, signal: number): void {
  const { mem, guest, thread } = t;
  if (mem.getU32(guest + Guest.timers) === 0) return;
  withTimers(mem, thread, () => {
    for (
      let timer = mem.getU32(guest + Guest.timers);
      timer !== 0;
      timer = mem.getU32(timer + Timer.nextInGuest)
    )
      if (mem.getU32(timer + Timer.signal) === signal) mem.setU32(timer + Timer.pending, 0);
  });
}
