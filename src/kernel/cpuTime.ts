import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { keptThread } from '../sync/hosts.js';
import { withMutex } from '../sync/mutex.js';
import { monotonicNow } from '../sync/park.js';
import { Guest } from '../sync/records/guest.js';
import { Host, MACHINE, Machine } from '../sync/records/machine.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { ThreadContext } from './threadContext.js';

/**
 * CPU time of threads and processes, in milliseconds: what their workers have used up while they had them.
 *
 * To ask the host takes longer than many a thread itself does. So a process is charged, exactly, for all that a worker has done from
 * the first of its threads on that the worker took until it takes one of another process, or none (Host.cpuGuest, cpuBase). Where one
 * thread follows another of the same process the host is not asked, unless that was long ago; how much of the time is whose
 * is then taken from the monotonic clock, and wrong when the host ran something else in between, by TICK at most.
 *
 * What has been said of a thread or a process is kept, and nothing less is said later (cputime_adjust in kernel/sched/cputime.c). A process
 * never has less than any of its threads.
 */

/** How long (milliseconds) the host's answer is good enough to tell threads of one process apart. */
const TICK = 1;

/** This worker's host record; 0 in a program that is none (a test). */
let ownHost = 0;
/** This worker's schedstat file, open: reading it costs a microsecond or two; −1 where the host has none. */
let ownSchedstat: number | undefined;
const text = Buffer.alloc(64);
/** What the host said last, and when it was asked. */
let answer = 0;
let askedAt = -Infinity;
/** The worker's CPU time up to which its threads have been charged. */
let charged = 0;

/** The host's id of this worker's thread (Linux hosts only), else 0. */
function hostThreadId(): number {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').pop()) || 0;
  } catch {
    return 0;
  }
}

/** CPU time that this worker has used up to now; elapsed time where the host does not tell. */
function askHost(): number {
  // Before it is read: the CPU time at any later moment is at most so much more as time has passed since then.
  askedAt = monotonicNow();
  answer = Math.max(answer, readSchedstat() ?? askedAt);
  charged = Math.max(charged, answer);
  return answer;
}

function readSchedstat(): number | undefined {
  if (ownSchedstat === undefined) {
    try {
      ownSchedstat = openSync('/proc/thread-self/schedstat', 'r');
    } catch {
      ownSchedstat = -1;
    }
  }
  if (ownSchedstat < 0) return undefined;
  const length = readSync(ownSchedstat, text, 0, text.length, 0);
  return Number.parseInt(text.toString('latin1', 0, length), 10) / 1e6;
}

/** CPU time of any worker by its host id, or 0; elapsed time where the host does not tell. */
function hostCpu(mem: SharedMemory, tid: number): number {
  if (ownHost !== 0 && tid === mem.getU32(ownHost + Host.hostTid)) return askHost();
  if (tid !== 0) {
    try {
      return Number.parseInt(readFileSync(`/proc/self/task/${tid}/schedstat`, 'latin1'), 10) / 1e6;
    } catch {
      return 0; // The worker has failed.
    }
  }
  return monotonicNow();
}

/** This worker is the host of that record from now on. */
export function openCpuTime(mem: SharedMemory, host: number): void {
  ownHost = host;
  if (host !== 0) mem.setU32(host + Host.hostTid, hostThreadId());
}

/** Closes what this worker keeps open: it is about to end. */
export function closeCpuTime(): void {
  if (ownSchedstat !== undefined && ownSchedstat >= 0) closeSync(ownSchedstat);
  ownSchedstat = undefined;
}

/** The worker begins with the thread. */
export function beginCpuTime({ mem, thread, guest }: ThreadContext): void {
  if (ownHost === 0) return;
  if (mem.f64[(ownHost + Host.cpuBase) >>> 3] === 0) {
    // What the worker has used while it was parked is nothing.
    if (answer === 0) askHost();
    Atomics.store(mem.i32, (ownHost + Host.cpuGuest) >>> 2, guest);
    mem.f64[(ownHost + Host.cpuBase) >>> 3] = answer;
    charged = answer;
  }
  change(mem, thread, mem.getU32(ownHost + Host.hostTid), 0, charged);
}

/** The thread, which runs in this worker, ends or leaves it. No lock is held. */
export function endCpuTime(mem: SharedMemory, thread: number): void {
  if (ownHost === 0) return;
  const now = monotonicNow();
  const next = keptThread();
  const guest = mem.getU32(thread + Thread.guest);
  if (next === 0 || mem.getU32(next + Thread.guest) !== guest) settle(mem, guest, thread);
  else if (now - askedAt >= TICK) askHost();
  else charged = Math.max(charged, answer + now - askedAt);
  change(mem, thread, 0, charged - mem.f64[(thread + Thread.cpuBegan) >>> 3], 0);
}

/** The process is charged for what the worker has done for it. */
function settle(mem: SharedMemory, guest: number, owner: number): void {
  const used = askHost() - mem.f64[(ownHost + Host.cpuBase) >>> 3];
  withMutex(mem, guest + Guest.threadsLock, owner, () => {
    mem.f64[(guest + Guest.cpuTime) >>> 3] += used;
    mem.f64[(ownHost + Host.cpuBase) >>> 3] = 0;
  });
}

/** What others read of a thread that begins or ends to run changes at once: Thread.cpuVersion is odd meanwhile. */
function change(mem: SharedMemory, thread: number, hostTid: number, spent: number, began: number): void {
  const version = (thread + Thread.cpuVersion) >>> 2;
  const before = mem.i32[version];
  Atomics.store(mem.i32, version, before + 1);
  mem.setU32(thread + Thread.hostTid, hostTid);
  if (spent > 0) mem.f64[(thread + Thread.cpuSpent) >>> 3] += spent;
  mem.f64[(thread + Thread.cpuBegan) >>> 3] = began;
  Atomics.store(mem.i32, version, before + 2);
}

/** Looks at a thread that changes before it is taken for one that says nothing new. */
const PATIENCE = 1000;

/** CPU time of a thread. Callable from any worker and the main thread, with its Guest.threadsLock. */
export function threadCpuLocked(mem: SharedMemory, thread: number): number {
  const version = (thread + Thread.cpuVersion) >>> 2;
  const said = mem.f64[(thread + Thread.cpuSaid) >>> 3];
  for (let looks = 0; looks < PATIENCE; looks++) {
    const before = Atomics.load(mem.i32, version);
    const hostTid = mem.getU32(thread + Thread.hostTid);
    const began = mem.f64[(thread + Thread.cpuBegan) >>> 3];
    let cpu = mem.f64[(thread + Thread.cpuSpent) >>> 3];
    if ((before & 1) !== 0 || Atomics.load(mem.i32, version) !== before) continue;
    // No worker has it where it began at 0.
    if (began !== 0) cpu += Math.max(0, hostCpu(mem, hostTid) - began);
    if (cpu <= said) return said;
    mem.f64[(thread + Thread.cpuSaid) >>> 3] = cpu;
    return cpu;
  }
  return said;
}

/** CPU time of the calling thread, which holds no lock. */
export function ownCpu({ mem, thread, guest }: ThreadContext): number {
  return withMutex(mem, guest + Guest.threadsLock, thread, () => threadCpuLocked(mem, thread));
}

/** CPU time of a guest, its ended threads included. The caller holds Guest.threadsLock. */
export function guestCpuLocked(mem: SharedMemory, guest: number): number {
  let cpu = mem.f64[(guest + Guest.cpuTime) >>> 3];
  // Records of hosts stay, and the list only grows at its beginning.
  for (let host = mem.getU32(MACHINE + Machine.hosts); host !== 0; host = mem.getU32(host + Host.nextHost)) {
    const of = (host + Host.cpuGuest) >>> 2;
    if (Atomics.load(mem.i32, of) !== (guest | 0)) continue;
    const base = mem.f64[(host + Host.cpuBase) >>> 3];
    // It may have begun with another process; it cannot have settled this one meanwhile.
    if (base === 0 || Atomics.load(mem.i32, of) !== (guest | 0)) continue;
    cpu += Math.max(0, hostCpu(mem, mem.getU32(host + Host.hostTid)) - base);
  }
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest))
    cpu = Math.max(cpu, mem.f64[(t + Thread.cpuSaid) >>> 3]);
  cpu = Math.max(cpu, mem.f64[(guest + Guest.cpuSaid) >>> 3]);
  mem.f64[(guest + Guest.cpuSaid) >>> 3] = cpu;
  return cpu;
}

/** CPU time of a guest that has ended, microseconds; of one that runs, what it has been charged for. */
export function chargedMicroseconds(mem: SharedMemory, guest: number): number {
  const cpu = Math.max(mem.f64[(guest + Guest.cpuTime) >>> 3], mem.f64[(guest + Guest.cpuSaid) >>> 3]);
  return Math.round(cpu * 1000);
}
