import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { FileLock, FilesGlobal, LOCK_FLOCK, LOCK_OFD, LOCK_POSIX } from '../../sync/records/files.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { wakeQueue } from '../../sync/waitQueue.js';
import { EAGAIN, EDEADLK, ERESTARTSYS } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { waitInQueue } from '../waiting.js';
import { filesGlobal } from './filesGlobal.js';

/**
 * Advisory file locks among the guests of a machine: fcntl's POSIX locks (owned by the descriptor table), open file
 * description locks and flock (owned by the open file). Processes of the host do not see them.
 */

export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
/** End of a lock that reaches to the end of the file, however far that moves. */
export const TO_END = 2 ** 53;

/** What is locked, by whom and how. */
export interface LockRequest {
  readonly kind: number;
  readonly owner: number;
  readonly pid: number;
  readonly type: number;
  readonly dev: number;
  readonly ino: number;
  readonly start: number;
  readonly end: number;
}

function read(mem: SharedMemory, lock: number): LockRequest {
  return {
    kind: mem.getU32(lock + FileLock.kind),
    owner: mem.getU32(lock + FileLock.owner),
    pid: mem.getU32(lock + FileLock.pid),
    type: mem.getU32(lock + FileLock.type),
    dev: mem.getU64(lock + FileLock.dev),
    ino: mem.getU64(lock + FileLock.ino),
    start: mem.getU64(lock + FileLock.start),
    end: mem.getU64(lock + FileLock.end),
  };
}

/** flock and fcntl locks do not see each other. */
function sameWorld(a: LockRequest, b: LockRequest): boolean {
  return (a.kind === LOCK_FLOCK) === (b.kind === LOCK_FLOCK);
}

function sameOwner(a: LockRequest, b: LockRequest): boolean {
  return a.kind === b.kind && a.owner === b.owner;
}

function onSameFile(a: LockRequest, b: LockRequest): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** The first lock of the file, by where it starts, that stands in the way of `wanted`. */
function conflictLocked(mem: SharedMemory, global: number, wanted: LockRequest): LockRequest | undefined {
  let first: LockRequest | undefined;
  for (let l = mem.getU32(global + FilesGlobal.fileLocks); l !== 0; l = mem.getU32(l + FileLock.next)) {
    const lock = read(mem, l);
    if (!onSameFile(lock, wanted) || !sameWorld(lock, wanted) || sameOwner(lock, wanted)) continue;
    if (lock.end <= wanted.start || lock.start >= wanted.end) continue;
    if (lock.type !== F_WRLCK && wanted.type !== F_WRLCK) continue;
    if (first === undefined || lock.start < first.start) first = lock;
  }
  return first;
}

/** How long a chain of waiting processes is followed (Linux: MAX_DEADLK_ITERATIONS). */
const LONGEST_CHAIN = 10;

/** Says whether waiting for `obstacle` would never end: its owner waits, by way of others perhaps, for the owner of `wanted`. */
function deadlockLocked(
  mem: SharedMemory,
  global: number,
  wanted: LockRequest,
  obstacle: LockRequest,
): boolean {
  let next: LockRequest | undefined = obstacle;
  for (let steps = 0; next !== undefined && steps < LONGEST_CHAIN; steps++) {
    if (sameOwner(next, wanted)) return true;
    let request: LockRequest | undefined;
    for (let l = mem.getU32(global + FilesGlobal.wantedLocks); l !== 0; l = mem.getU32(l + FileLock.next)) {
      const one = read(mem, l);
      if (sameOwner(one, next)) request = one;
    }
    next = request && conflictLocked(mem, global, request);
  }
  return false;
}

/** Puts `lock` on a list, FilesGlobal.fileLocks or FilesGlobal.wantedLocks; returns its record. */
function insertLocked(mem: SharedMemory, list: number, lock: LockRequest, owner: number): number {
  const block = allocateBlock(mem, FileLock.SIZE, owner);
  mem.setU32(block + FileLock.kind, lock.kind);
  mem.setU32(block + FileLock.owner, lock.owner);
  mem.setU32(block + FileLock.pid, lock.pid);
  mem.setU32(block + FileLock.type, lock.type);
  mem.set64(block + FileLock.dev, lock.dev);
  mem.set64(block + FileLock.ino, lock.ino);
  mem.set64(block + FileLock.start, lock.start);
  mem.set64(block + FileLock.end, lock.end);
  mem.setU32(block + FileLock.next, mem.getU32(list));
  mem.atomicStore(list, block);
  return block;
}

/** Takes `block` off a list and frees it. */
function unlinkLocked(mem: SharedMemory, list: number, block: number, owner: number): void {
  let link = list;
  while (mem.getU32(link) !== block) link = mem.getU32(link) + FileLock.next;
  mem.atomicStore(link, mem.getU32(block + FileLock.next));
  freeBlock(mem, block, owner);
}

/** `lock` together with the owner's locks of the same type that touch it: F_GETLK tells of them as one. */
function mergedLocked(mem: SharedMemory, global: number, lock: LockRequest): LockRequest {
  let { start, end } = lock;
  for (let changed = true; changed; ) {
    changed = false;
    for (let l = mem.getU32(global + FilesGlobal.fileLocks); l !== 0; l = mem.getU32(l + FileLock.next)) {
      const other = read(mem, l);
      if (!onSameFile(other, lock) || !sameOwner(other, lock) || other.type !== lock.type) continue;
      if (other.end < start || other.start > end || (other.start >= start && other.end <= end)) continue;
      start = Math.min(start, other.start);
      end = Math.max(end, other.end);
      changed = true;
    }
  }
  return { ...lock, start, end };
}

/** Takes the owner's locks out of [start, end) of the file, splitting what sticks out. */
function removeLocked(mem: SharedMemory, global: number, range: LockRequest, owner: number): boolean {
  let link = global + FilesGlobal.fileLocks;
  const pieces: LockRequest[] = [];
  let changed = false;
  for (let block = mem.getU32(link); block !== 0; block = mem.getU32(link)) {
    const lock = read(mem, block);
    if (
      !onSameFile(lock, range) ||
      !sameOwner(lock, range) ||
      lock.end <= range.start ||
      lock.start >= range.end
    ) {
      link = block + FileLock.next;
      continue;
    }
    changed = true;
    mem.atomicStore(link, mem.getU32(block + FileLock.next));
    freeBlock(mem, block, owner);
    if (lock.start < range.start) pieces.push({ ...lock, end: range.start });
    if (lock.end > range.end) pieces.push({ ...lock, start: range.end });
  }
  for (const piece of pieces) insertLocked(mem, global + FilesGlobal.fileLocks, piece, owner);
  return changed;
}

/** The lock that stands in the way of `wanted` (F_GETLK), or undefined. */
export function findConflict(mem: SharedMemory, wanted: LockRequest, owner: number): LockRequest | undefined {
  const global = filesGlobal(mem, owner);
  return withMutex(mem, global + FilesGlobal.locksLock, owner, () => conflictLocked(mem, global, wanted));
}

/** Takes, changes or (F_UNLCK) gives up a lock; waits for it when `wait`. Returns 0, −EAGAIN, −EDEADLK or −ERESTARTSYS. */
export function setLock(t: ThreadContext, wanted: LockRequest, wait: boolean): number {
  const { mem, thread } = t;
  const global = filesGlobal(mem, thread);
  // Where the call was left, it is still among those that wait.
  let request = t.takeResumed() ? mem.getU32(thread + Thread.waitObject) : 0;
  for (;;) {
    let wake = false;
    const done = withMutex(mem, global + FilesGlobal.locksLock, thread, () => {
      if (request !== 0) unlinkLocked(mem, global + FilesGlobal.wantedLocks, request, thread);
      request = 0;
      // flock(2) changes a lock by giving it up first: two that both want more than they share do not wait for each other.
      if (wanted.kind === LOCK_FLOCK && wanted.type !== F_UNLCK && !holdsLocked(mem, global, wanted))
        wake = removeLocked(mem, global, wanted, thread);
      const obstacle = wanted.type === F_UNLCK ? undefined : conflictLocked(mem, global, wanted);
      if (obstacle !== undefined) {
        if (!wait) return -EAGAIN;
        // Only processes are waited for by what they hold elsewhere.
        if (wanted.kind === LOCK_POSIX && deadlockLocked(mem, global, wanted, obstacle)) return -EDEADLK;
        request = insertLocked(mem, global + FilesGlobal.wantedLocks, wanted, thread);
        return 0;
      }
      const whole = wanted.type === F_UNLCK ? wanted : mergedLocked(mem, global, wanted);
      wake = removeLocked(mem, global, whole, thread) || wake;
      if (wanted.type !== F_UNLCK) insertLocked(mem, global + FilesGlobal.fileLocks, whole, thread);
      return 0;
    });
    if (wake) wakeQueue(mem, global + FilesGlobal.lockWaiters, thread);
    if (request === 0) return done;
    mem.setU32(thread + Thread.waitObject, request);
    const free = (): boolean => findConflict(mem, wanted, thread) === undefined;
    if (waitInQueue(t, global + FilesGlobal.lockWaiters, free) !== 'interrupted') continue;
    withMutex(mem, global + FilesGlobal.locksLock, thread, () =>
      unlinkLocked(mem, global + FilesGlobal.wantedLocks, request, thread),
    );
    return -ERESTARTSYS;
  }
}

/** Says whether the owner has a lock of the wanted type already. */
function holdsLocked(mem: SharedMemory, global: number, wanted: LockRequest): boolean {
  for (let l = mem.getU32(global + FilesGlobal.fileLocks); l !== 0; l = mem.getU32(l + FileLock.next)) {
    const lock = read(mem, l);
    if (onSameFile(lock, wanted) && sameOwner(lock, wanted)) return lock.type === wanted.type;
  }
  return false;
}

/** Gives up every lock that `holder` (a Files table or an OpenFile) has, on one file or, without `on`, on all. */
export function dropLocks(
  mem: SharedMemory,
  holder: number,
  owner: number,
  on?: { readonly dev: number; readonly ino: number },
): void {
  const global = filesGlobal(mem, owner);
  if (mem.atomicLoad(global + FilesGlobal.fileLocks) === 0) return;
  let changed = false;
  withMutex(mem, global + FilesGlobal.locksLock, owner, () => {
    let link = global + FilesGlobal.fileLocks;
    for (let block = mem.getU32(link); block !== 0; block = mem.getU32(link)) {
      const lock = read(mem, block);
      if (lock.owner !== holder || (on !== undefined && !onSameFile(lock, { ...lock, ...on }))) {
        link = block + FileLock.next;
        continue;
      }
      changed = true;
      mem.atomicStore(link, mem.getU32(block + FileLock.next));
      freeBlock(mem, block, owner);
    }
  });
  if (changed) wakeQueue(mem, global + FilesGlobal.lockWaiters, owner);
}

/** Says whether any lock exists in the machine: closing a file then has nothing to look for. */
export function anyLocks(mem: SharedMemory, owner: number): boolean {
  return mem.atomicLoad(filesGlobal(mem, owner) + FilesGlobal.fileLocks) !== 0;
}

const KIND_NAMES = ['POSIX ', 'OFDLCK', 'FLOCK '];

/** Text of /proc/locks (locks_show): locks there are, oldest last, not those that are waited for. */
export function formatLocks(t: ThreadContext): string {
  const { mem, thread } = t;
  const global = filesGlobal(mem, thread);
  const locks = withMutex(mem, global + FilesGlobal.locksLock, thread, () => {
    const all: LockRequest[] = [];
    for (let l = mem.getU32(global + FilesGlobal.fileLocks); l !== 0; l = mem.getU32(l + FileLock.next))
      all.push(read(mem, l));
    return all;
  });
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return locks
    .map(({ kind, type, pid, dev, ino, start, end }, i) => {
      const mode = type === F_WRLCK ? 'WRITE' : 'READ';
      const file = `${hex(Math.floor(dev / 256) & 0xfff)}:${hex(dev & 0xff)}:${ino}`;
      const holder = kind === LOCK_OFD ? -1 : pid;
      return `${i + 1}: ${KIND_NAMES[kind]} ADVISORY  ${mode} ${holder} ${file} ${start} ${end === TO_END ? 'EOF' : end - 1}\n`;
    })
    .join('');
}
