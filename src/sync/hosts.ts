import { allocateBlock } from './heap.js';
import { COORDINATOR, lockMutex, unlockMutex } from './mutex.js';
import { Host, MACHINE, Machine } from './records/machine.js';
import { ASLEEP, MODE_GUEST, MOVABLE, Thread } from './records/thread.js';
import { pushRequest, RequestKind } from './ring.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * Handing guest threads to thread hosts (workers), from worker to worker and without the main thread.
 *
 * Whoever creates a thread first reserves a host for it (`reserveHost`, the moment at which a machine full of threads
 * says EAGAIN), then starts it (`startThread`): it goes into a queue, from which the next free host takes it, and a parked host
 * is told to look there. A host lives in `nextThread`, which parks it until there is a thread to run.
 *
 * To wake a parked host takes 20 to 50 µs, and where processors are busy it takes one from somebody else. A parent that waits for its child before that gives its own host away
 * (`parkWithoutHost` in park.ts), which finds the child in the queue; when the child ends, its host goes on with the parent. So a
 * thread may run on one host after another, and neither of the two waits for a worker to wake up, nor does a second worker have to get
 * warm, which takes V8 some tenths of a second. So where that is likely, because it has happened the last times or a process forks for
 * the first time, no host is told of the next thread at once, provided that one watches the queue: it takes what stays there while
 * the starter runs guest code instead of coming to a wait. A host that goes to sleep with its thread, or starts another one, tells first.
 *
 * The same holds for a thread that waits without a host and is woken by one that mostly waits then.
 *
 * More hosts than needed are kept: whenever hosts run short of threads (but for those that wait without one) plus spares, the coordinator
 * is asked for more, up to Machine.hostsAhead. It is not where the starter is likely to take its thread itself, but looks after the queue then.
 * A thread that finds no idle host takes one from a thread that sleeps in a system call: the one that has
 * slept longest is woken, leaves its call and its host, and waits without one (kernel/waiting.ts). So most threads may wait at little
 * cost. Only where that does not help, because threads are busy, or sleep where they cannot leave, does the coordinator, which looks
 * at the queue as long as there is one (`relieveQueue`), start more hosts, a few at a time.
 * Machine.hostsLock guards everything here and is a leaf.
 */

/** The most hosts kept parked ahead of need. */
const MOST_SPARES = 4;
/** What Host.thread holds when the host is to leave, and when it is to look into the queue. */
const LEAVE = -1;
const LOOK = -2;

/** This worker as a host: its record and lock token. The main thread is none. */
let self = COORDINATOR;
/** The host is about to take its next thread: it goes on with what it resumes from now on. */
let leaving = false;
/** What this host knows of one kind of threads that it starts. */
interface Experience {
  /** The thread that this host has put into the queue last and not taken itself. */
  queued: number;
  /** How much speaks for it that this host takes the next one itself: it grows with each that it took, and falls faster. */
  score: number;
}
/** From here on it is likely. */
const LIKELY = 4;
const HIGHEST_SCORE = 10;
/** What a thread that another host took says. */
const TAKEN_AWAY = 3;
/**
 * The first threads of new processes, whose parents mostly wait for them; other threads; parents that vfork has kept waiting until now,
 * and which mostly wait for what their children have just begun to execute; threads that have waited without a host for something else.
 */
const FIRST_SCORES = { process: 8, thread: 4, parent: 8, woken: 0 } as const;
type Kind = keyof typeof FIRST_SCORES;
const experiences: Readonly<Record<Kind, Experience>> = {
  process: { queued: 0, score: 0 },
  thread: { queued: 0, score: 0 },
  parent: { queued: 0, score: 0 },
  woken: { queued: 0, score: 0 },
};
const KINDS = ['process', 'thread', 'parent', 'woken'] as const;
/** No host has been told yet of the thread that this host has put into the queue last. */
let untold = false;
/** The watching host looks into the queue at such intervals (milliseconds), as long as somebody has relied on it within so many of them. */
const WATCH_INTERVAL = 3;
const WATCHES = 33;
/**
 * It takes a thread when what it has seen of the starter adds up to so much, look by look: in guest code, in the kernel (which may
 * be on its way to a wait, slowly where processors are busy).
 */
const ENOUGH = 8;
const IN_GUEST = 4;
const IN_KERNEL = 1;

/** How to ring the coordinator of a machine. */
const doorbells = new WeakMap<SharedMemory, () => void>();

/** The thread that this host takes next, before those of the queue; 0: none. */
let kept = 0;

/** Says how this worker (or the main thread) rings the coordinator, also from within what that does. */
export function setHostDoorbell(mem: SharedMemory, ring: () => void): void {
  doorbells.set(mem, ring);
}

/** Makes this worker the host of that record. */
export function becomeHost(host: number): void {
  self = host;
  leaving = false;
  for (const kind of KINDS) {
    experiences[kind].queued = 0;
    experiences[kind].score = FIRST_SCORES[kind];
  }
  untold = false;
  kept = 0;
}

/** The host is about to be free: a thread that its present one wakes while it ends is taken over without another worker. */
export function prepareToLeave(): void {
  leaving = self !== COORDINATOR;
}

/** The thread that this host certainly takes next, or 0: not known. */
export function keptThread(): number {
  return kept;
}

/**
 * The thread of this host is about to leave it: one of the same guest that is the next to get a host is taken at once, so that
 * keptThread says so. The owner is the thread, which holds no lock.
 */
export function takeAhead(mem: SharedMemory, owner: number): void {
  if (kept !== 0 || self === COORDINATOR) return;
  const first = mem.atomicLoad(MACHINE + Machine.waitingFirst);
  const guest = mem.getU32(owner + Thread.guest);
  if (first === 0 || mem.getU32(first + Thread.guest) !== guest) return;
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  if (mem.getU32(MACHINE + Machine.waitingFirst) === first) kept = dequeueLocked(mem);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
}

/** The thread that a host runs, or 0. */
export function threadOfHost(mem: SharedMemory, host: number): number {
  const thread = mem.atomicLoad(host + Host.thread);
  return thread === LEAVE || thread === LOOK ? 0 : thread >>> 0;
}

/** Whether a thread waits for a host at the moment. */
export function threadsWaiting(mem: SharedMemory): boolean {
  return mem.atomicLoad(MACHINE + Machine.waitingFirst) !== 0;
}

/**
 * Sets how many hosts the machine may have, and how many of them ahead of need; called once by the main thread. `present` are
 * already being started.
 */
export function initHosts(mem: SharedMemory, limit: number, present: number, ahead = limit): void {
  mem.setI32(MACHINE + Machine.hostLimit, limit);
  mem.setI32(MACHINE + Machine.hostsAhead, ahead);
  mem.setI32(MACHINE + Machine.hostCount, present);
}

/**
 * Makes the record of a new thread host, on the main thread; the host then lives in `nextThread`. The record's address is
 * the host's lock token while it runs no thread.
 */
export function registerHost(mem: SharedMemory, index: number): number {
  const host = allocateBlock(mem, Host.SIZE, COORDINATOR);
  mem.setU32(host + Host.index, index);
  lockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  mem.setU32(host + Host.nextHost, mem.getU32(MACHINE + Machine.hosts));
  mem.setU32(MACHINE + Machine.hosts, host);
  unlockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  return host;
}

/** Promises a host to a thread that is about to be created; false when the machine has as many threads as it may. */
export function reserveHost(mem: SharedMemory, owner: number): boolean {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  const committed = mem.getI32(MACHINE + Machine.hostsCommitted);
  const fits = committed < mem.getI32(MACHINE + Machine.hostLimit);
  if (fits) mem.setI32(MACHINE + Machine.hostsCommitted, committed + 1);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  return fits;
}

/** Takes a promise of `reserveHost` back, for a thread that was not started after all. */
export function unreserveHost(mem: SharedMemory, owner: number): void {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.setI32(MACHINE + Machine.hostsCommitted, mem.getI32(MACHINE + Machine.hostsCommitted) - 1);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
}

/**
 * Starts `thread`, for which a host is reserved: the host begins with what Thread.start says. `ring` rings the
 * coordinator's doorbell. Never waits. `keep`: the caller gives up its own host at once, which runs the thread next.
 */
export function startThread(
  mem: SharedMemory,
  thread: number,
  owner: number,
  ring: () => void,
  kind: 'process' | 'thread' = 'thread',
  keep = false,
): void {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  let queued: Queued = KEPT;
  if (keep && kept === 0) kept = thread;
  else queued = queueLikelyLocked(mem, thread, owner, kind);
  const { likely } = queued;
  // A guest that has started a second thread will start more; one that has not, or waits for each of them, needs no spares. A start
  // from the main thread is a new guest's first thread.
  if (owner !== COORDINATOR && !likely) {
    const committed = mem.getI32(MACHINE + Machine.hostsCommitted);
    const spares = Math.min(MOST_SPARES, Math.max(1, committed >> 2));
    if (spares > mem.getI32(MACHINE + Machine.spareHosts)) mem.setI32(MACHINE + Machine.spareHosts, spares);
  }
  const missing = likely && owner !== COORDINATOR ? 0 : countMissingLocked(mem);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  tellOf(mem, queued.earlier);
  tellOf(mem, queued.told);
  if (missing > 0) {
    while (!pushRequest(mem, owner, RequestKind.HostsWanted, missing)) ring();
    ring();
  }
}

/**
 * Hands a thread that left its host to one again (park.ts). For callers that may hold any lock but the heap's and the ring's.
 * The thread's promise of a host is still good.
 */
export function resumeThread(mem: SharedMemory, thread: number): void {
  if (leaving && kept === 0) {
    kept = thread;
    return;
  }
  const waker = leaving || self === COORDINATOR ? 0 : threadOfHost(mem, self);
  lockMutex(mem, MACHINE + Machine.hostsLock, self);
  let queued = KEPT;
  if (waker !== 0) queued = queueLikelyLocked(mem, thread, waker, 'woken');
  else {
    queued = { ...KEPT, told: enqueueLocked(mem, thread, true) };
    mem.setU32(MACHINE + Machine.starter, 0);
  }
  unlockMutex(mem, MACHINE + Machine.hostsLock, self);
  tellOf(mem, queued.earlier);
  tellOf(mem, queued.told);
}

/**
 * resumeThread for a thread that the calling one lets go on, and which is likely to wait for it next. `owner` is the calling thread, which
 * holds no lock.
 */
export function resumeParent(mem: SharedMemory, thread: number, owner: number): void {
  if (leaving && kept === 0) {
    kept = thread;
    return;
  }
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  const { earlier, told } = queueLikelyLocked(mem, thread, owner, 'parent');
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  tellOf(mem, earlier);
  tellOf(mem, told);
}

/** What came of putting a thread into the queue that its starter's host is perhaps the next one to look into. */
interface Queued {
  /** Who is to be told of the one before, and of this one. */
  readonly earlier: Told;
  readonly told: Told;
  /** This host is expected to take it itself. */
  readonly likely: boolean;
}

/**
 * Puts a thread into the queue, which `owner` has started or let go on. Where this host is likely to take it itself, nobody is told, provided that
 * a host watches the queue.
 */
function queueLikelyLocked(mem: SharedMemory, thread: number, owner: number, kind: Kind): Queued {
  // It did not wait for the last one.
  const earlier = untold ? findHostLocked(mem) : NOBODY;
  const experience = experiences[kind];
  if (experience.queued !== 0) experience.score = Math.max(0, experience.score - TAKEN_AWAY);
  const likely = experience.score >= LIKELY;
  const tell = !likely || mem.getI32(MACHINE + Machine.watchingHosts) === 0;
  if (!tell) mem.setU32(MACHINE + Machine.watchesUsed, mem.getU32(MACHINE + Machine.watchesUsed) + 1);
  untold = !tell;
  const told = enqueueLocked(mem, thread, tell);
  mem.setU32(MACHINE + Machine.starter, owner === COORDINATOR ? 0 : owner);
  experience.queued = thread;
  return { earlier, told, likely };
}

/** Who is to be told of a thread in the queue: an idle host, or a sleeping thread that has one, and perhaps the coordinator. */
interface Told {
  readonly host: number;
  readonly sleeper: number;
  readonly coordinator: boolean;
}
const NOBODY: Told = { host: 0, sleeper: 0, coordinator: false };
/** The host keeps the thread for itself. */
const KEPT: Queued = { earlier: NOBODY, told: NOBODY, likely: true };

/** Puts a thread into the queue; says who is to be told (`tellOf`, without the lock), if anybody is. */
function enqueueLocked(mem: SharedMemory, thread: number, tell: boolean): Told {
  mem.setU32(thread + Thread.nextWaiting, 0);
  const last = mem.getU32(MACHINE + Machine.waitingLast);
  if (last !== 0) mem.setU32(last + Thread.nextWaiting, thread);
  else mem.atomicStore(MACHINE + Machine.waitingFirst, thread);
  mem.setU32(MACHINE + Machine.waitingLast, thread);
  return tell ? findHostLocked(mem) : NOBODY;
}

/** Who is to be told of a thread in the queue: the host that became idle last, or whoever can give one away. */
function findHostLocked(mem: SharedMemory): Told {
  const host = mem.getU32(MACHINE + Machine.idleHosts);
  if (host !== 0) {
    leaveIdleLocked(mem, host);
    return { host, sleeper: 0, coordinator: false };
  }
  const coordinator = mem.getI32(MACHINE + Machine.queueWatched) === 0;
  mem.setI32(MACHINE + Machine.queueWatched, 1);
  return { host: 0, sleeper: takeSleeperLocked(mem), coordinator };
}

function tellOf(mem: SharedMemory, { host, sleeper, coordinator }: Told): void {
  if (host !== 0) wakeHost(mem, host);
  if (sleeper !== 0) wakeSleeper(mem, sleeper);
  if (coordinator) doorbells.get(mem)?.();
}

/** Wakes a thread that sleeps with a host. If it has gone to wait without one since, it need not hear of this. */
function wakeSleeper(mem: SharedMemory, thread: number): void {
  const index = (thread + Thread.parkWord) >>> 2;
  Atomics.add(mem.i32, index, 1);
  Atomics.notify(mem.i32, index);
}

/** The thread that has slept longest of those with a host that they may leave, or 0. It is not found again in this sleep. */
function takeSleeperLocked(mem: SharedMemory): number {
  for (;;) {
    let found = 0;
    const now = mem.atomicLoad(MACHINE + Machine.sleeps);
    let longest = -1;
    for (
      let host = mem.getU32(MACHINE + Machine.hosts);
      host !== 0;
      host = mem.getU32(host + Host.nextHost)
    ) {
      const thread = threadOfHost(mem, host);
      if (thread === 0 || mem.atomicLoad(thread + Thread.asleep) !== MOVABLE) continue;
      const sleeps = (now - mem.getU32(thread + Thread.sleep)) >>> 0;
      if (sleeps <= longest) continue;
      longest = sleeps;
      found = thread;
    }
    if (found === 0) return 0;
    if (mem.atomicCompareExchange(found + Thread.asleep, MOVABLE, ASLEEP) === MOVABLE) return found;
  }
}

/** Whether somebody has found no host and relies on the coordinator to look at the queue. */
export function queueIsWatched(mem: SharedMemory): boolean {
  return mem.atomicLoad(MACHINE + Machine.queueWatched) !== 0;
}

/**
 * For the coordinator, a moment after its doorbell was rung for it and again as long as this says so: wakes sleeping threads
 * for those in the queue. Returns how many threads have been taken out of it so far (modulo 2^32), by which the caller sees whether it moves;
 * undefined when the queue is empty and has not moved since that was `before`: it need not be looked at any more.
 */
export function relieveQueue(mem: SharedMemory, before: number): number | undefined {
  const sleepers: number[] = [];
  lockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  const first = mem.getU32(MACHINE + Machine.waitingFirst);
  const taken = mem.atomicLoad(MACHINE + Machine.threadsTaken);
  const idle = first === 0 && taken === before;
  if (idle) mem.setI32(MACHINE + Machine.queueWatched, 0);
  else {
    for (let thread = first; thread !== 0; thread = mem.getU32(thread + Thread.nextWaiting)) {
      const sleeper = takeSleeperLocked(mem);
      if (sleeper === 0) break;
      sleepers.push(sleeper);
    }
  }
  unlockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  for (const sleeper of sleepers) wakeSleeper(mem, sleeper);
  return idle ? undefined : taken;
}

/**
 * How many hosts are to be started for threads that stay in the queue, at most as many as are kept ahead of need; they are counted already.
 * `seen` is what the last looks have seen of who started them (queueWeight), since the queue has moved.
 */
export function hostsForQueue(mem: SharedMemory, seen: number): number {
  if (seen < ENOUGH) return 0;
  lockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  const missing = threadsWaiting(mem) ? countMissingLocked(mem) : 0;
  unlockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  return missing;
}

/** More hosts for a queue that does not move: how many are to be started, at most `most`; they are counted already. */
export function addHosts(mem: SharedMemory, most: number): number {
  lockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  const have = mem.getI32(MACHINE + Machine.hostCount);
  const count = Math.max(0, Math.min(most, mem.getI32(MACHINE + Machine.hostLimit) - have));
  mem.setI32(MACHINE + Machine.hostCount, have + count);
  unlockMutex(mem, MACHINE + Machine.hostsLock, COORDINATOR);
  return count;
}

/** The thread of this host is going to sleep on it: a thread that it has started must not wait for that. */
export function tellOfStarted(mem: SharedMemory): void {
  if (!untold) return;
  untold = false;
  lockMutex(mem, MACHINE + Machine.hostsLock, self);
  const told = threadsWaiting(mem) ? findHostLocked(mem) : NOBODY;
  unlockMutex(mem, MACHINE + Machine.hostsLock, self);
  tellOf(mem, told);
}

/** Takes a host off the list of idle ones; false when it is not there (it has been told to look, or to leave). */
function leaveIdleLocked(mem: SharedMemory, host: number): boolean {
  let link = MACHINE + Machine.idleHosts;
  while (mem.getU32(link) !== host) {
    if (mem.getU32(link) === 0) return false;
    link = mem.getU32(link) + Host.nextIdle;
  }
  mem.setU32(link, mem.getU32(host + Host.nextIdle));
  mem.setI32(MACHINE + Machine.idleHostCount, mem.getI32(MACHINE + Machine.idleHostCount) - 1);
  return true;
}

/** The first thread of the queue, or 0. */
function dequeueLocked(mem: SharedMemory): number {
  const thread = mem.getU32(MACHINE + Machine.waitingFirst);
  if (thread === 0) return 0;
  const next = mem.getU32(thread + Thread.nextWaiting);
  mem.atomicStore(MACHINE + Machine.waitingFirst, next);
  mem.atomicAdd(MACHINE + Machine.threadsTaken, 1);
  if (next === 0) mem.setU32(MACHINE + Machine.waitingLast, 0);
  return thread;
}

/** Tells a host that is parked no more to look into the queue. */
function wakeHost(mem: SharedMemory, host: number): void {
  Atomics.store(mem.i32, (host + Host.thread) >>> 2, LOOK);
  Atomics.notify(mem.i32, (host + Host.thread) >>> 2, 1);
}

/**
 * Looks again at hosts that were asked for and not started yet: returns how many of those `asked` are still wanted. A thread
 * that ended meanwhile has left its host to the next one.
 */
export function stillWanted(mem: SharedMemory, owner: number, asked: number): number {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.setI32(MACHINE + Machine.hostCount, mem.getI32(MACHINE + Machine.hostCount) - asked);
  const missing = countMissingLocked(mem);
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  return missing;
}

/** How many hosts are to be started for the threads there are and the spares; they count as present from now on. */
function countMissingLocked(mem: SharedMemory): number {
  const have = mem.getI32(MACHINE + Machine.hostCount);
  const want = Math.min(
    mem.getI32(MACHINE + Machine.hostLimit),
    mem.getI32(MACHINE + Machine.hostsAhead),
    mem.getI32(MACHINE + Machine.hostsCommitted) -
      mem.atomicLoad(MACHINE + Machine.threadsHostless) +
      mem.getI32(MACHINE + Machine.spareHosts),
  );
  if (want > have) mem.setI32(MACHINE + Machine.hostCount, want);
  return Math.max(0, want - have);
}

/**
 * Parks a host until there is a thread for it and returns that thread, or 0 when the host is to end. `finished` says that
 * the host comes back from a thread that has ended, whose promise ends with this.
 */
export function nextThread(mem: SharedMemory, host: number, finished: boolean): number {
  return takeNext(mem, host, finished, false);
}

/** nextThread for a host that is new: what its starter is likely to take itself it leaves to it, as one that watches does. */
export function firstThread(mem: SharedMemory, host: number): number {
  return takeNext(mem, host, false, true);
}

function takeNext(mem: SharedMemory, host: number, finished: boolean, isNew: boolean): number {
  leaving = false;
  const forgotten = untold;
  untold = false;
  let done = finished;
  let patient = isNew;
  for (;;) {
    lockMutex(mem, MACHINE + Machine.hostsLock, host);
    if (done) mem.setI32(MACHINE + Machine.hostsCommitted, mem.getI32(MACHINE + Machine.hostsCommitted) - 1);
    done = false;
    if (kept === 0 && mem.getI32(MACHINE + Machine.closing) !== 0) {
      unlockMutex(mem, MACHINE + Machine.hostsLock, host);
      return 0;
    }
    const thread = kept !== 0 ? kept : patient && leavesAlone(mem) ? 0 : dequeueLocked(mem);
    kept = 0;
    patient = false;
    if (thread !== 0) for (const kind of KINDS) noteOwn(experiences[kind], thread);
    if (thread !== 0) {
      mem.setU32(thread + Thread.host, host);
      Atomics.store(mem.i32, (host + Host.thread) >>> 2, thread);
      // It took another one than the one of which it has told nobody, or than the one that it was told of.
      const unwatched =
        mem.getI32(MACHINE + Machine.watchingHosts) === 0 && mem.getU32(MACHINE + Machine.idleHosts) !== 0;
      const told = threadsWaiting(mem) && (forgotten || unwatched) ? findHostLocked(mem) : NOBODY;
      unlockMutex(mem, MACHINE + Machine.hostsLock, host);
      tellOf(mem, told);
      return thread;
    }
    Atomics.store(mem.i32, (host + Host.thread) >>> 2, 0);
    mem.setU32(host + Host.nextIdle, mem.getU32(MACHINE + Machine.idleHosts));
    mem.setU32(MACHINE + Machine.idleHosts, host);
    mem.setI32(MACHINE + Machine.idleHostCount, mem.getI32(MACHINE + Machine.idleHostCount) + 1);
    const watches = mem.getI32(MACHINE + Machine.watchingHosts) === 0;
    if (watches) mem.setI32(MACHINE + Machine.watchingHosts, 1);
    unlockMutex(mem, MACHINE + Machine.hostsLock, host);
    if (!looksAgain(mem, host, watches)) return 0;
  }
}

function noteOwn(experience: Experience, taken: number): void {
  if (taken !== experience.queued) return;
  experience.queued = 0;
  if (experience.score < HIGHEST_SCORE) experience.score++;
}

/** Whether the one thread that waits for a host is likely to be taken by its starter's. Machine.hostsLock is held. */
function leavesAlone(mem: SharedMemory): boolean {
  const first = mem.getU32(MACHINE + Machine.waitingFirst);
  return first !== 0 && first === mem.getU32(MACHINE + Machine.waitingLast) && weightOfStarter(mem) < ENOUGH;
}

/** What the starter of the thread in the queue does, as a part of ENOUGH. Its record is a thread's, whoever has it by now. */
function weightOfStarter(mem: SharedMemory): number {
  const starter = mem.getU32(MACHINE + Machine.starter);
  if (starter === 0) return ENOUGH;
  const asleep = mem.atomicLoad(starter + Thread.asleep);
  if (asleep === ASLEEP || asleep === MOVABLE) return ENOUGH;
  return mem.atomicLoad(starter + Thread.mode) === MODE_GUEST ? IN_GUEST : IN_KERNEL;
}

/** What a look at the queue says of whether its starter will come to take the thread there: to be added up as long as it does not move. */
export function queueWeight(mem: SharedMemory): number {
  return threadsWaiting(mem) ? weightOfStarter(mem) : 0;
}

/** Waits, parked or watching the queue, until the host is to look there; false when it is to leave. */
function looksAgain(mem: SharedMemory, host: number, watches: boolean): boolean {
  const index = (host + Host.thread) >>> 2;
  if (watches && watchQueue(mem, host)) return true;
  for (;;) {
    const word = Atomics.load(mem.i32, index);
    if (word !== 0) return word !== LEAVE;
    Atomics.wait(mem.i32, index, 0);
  }
}

/** Watches the queue for a thread that nobody takes, or until the host is told something; whether it has found one. */
function watchQueue(mem: SharedMemory, host: number): boolean {
  const index = (host + Host.thread) >>> 2;
  let used = mem.getU32(MACHINE + Machine.watchesUsed);
  /** Machine.threadsTaken at the last look, and what has been seen since it changed. */
  let before = 0;
  let seen = 0;
  for (let watches = 0; watches < WATCHES; watches++) {
    if (Atomics.wait(mem.i32, index, 0, WATCH_INTERVAL) !== 'timed-out') break;
    const now = mem.atomicLoad(MACHINE + Machine.threadsTaken);
    seen = (now === before ? seen : 0) + queueWeight(mem);
    before = now;
    if (seen >= ENOUGH) break;
    const usedNow = mem.getU32(MACHINE + Machine.watchesUsed);
    if (usedNow !== used) watches = 0;
    used = usedNow;
  }
  lockMutex(mem, MACHINE + Machine.hostsLock, host);
  mem.setI32(MACHINE + Machine.watchingHosts, 0);
  // Whoever relied on this host has put its thread there before.
  const found = threadsWaiting(mem) && leaveIdleLocked(mem, host);
  unlockMutex(mem, MACHINE + Machine.hostsLock, host);
  return found;
}

/**
 * Takes a host that ended for good (its worker died) out of the count; `hadThread` when a thread was promised it. Returns
 * how many hosts are to be started in its place.
 */
export function forgetHost(mem: SharedMemory, owner: number, hadThread: boolean): number {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.setI32(MACHINE + Machine.hostCount, mem.getI32(MACHINE + Machine.hostCount) - 1);
  if (hadThread)
    mem.setI32(MACHINE + Machine.hostsCommitted, mem.getI32(MACHINE + Machine.hostsCommitted) - 1);
  const missing = mem.atomicLoad(MACHINE + Machine.closing) === 0 ? countMissingLocked(mem) : 0;
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
  return missing;
}

/** Closes the machine's hosts: parked ones leave now, the others when their thread has ended. */
export function closeHosts(mem: SharedMemory, owner: number): void {
  lockMutex(mem, MACHINE + Machine.hostsLock, owner);
  mem.atomicStore(MACHINE + Machine.closing, 1);
  let host = mem.getU32(MACHINE + Machine.idleHosts);
  mem.setU32(MACHINE + Machine.idleHosts, 0);
  mem.setI32(MACHINE + Machine.idleHostCount, 0);
  while (host !== 0) {
    const next = mem.getU32(host + Host.nextIdle);
    Atomics.store(mem.i32, (host + Host.thread) >>> 2, LEAVE);
    Atomics.notify(mem.i32, (host + Host.thread) >>> 2);
    host = next;
  }
  unlockMutex(mem, MACHINE + Machine.hostsLock, owner);
}
