import { allocateBlock, freeBlock } from '../sync/heap.js';
import { initMutex, withMutex } from '../sync/mutex.js';
import { parkTicket } from '../sync/park.js';
import { Cred } from '../sync/records/cred.js';
import { MACHINE } from '../sync/records/machine.js';
import { IpcPermission, IpcTable } from '../sync/records/sysvIpc.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { initWaitQueue, joinQueue, leaveQueue, wakeQueue } from '../sync/waitQueue.js';
import { CAP_IPC_OWNER, CAP_SYS_ADMIN, capable } from './capabilities.js';
import { realtimeNow } from './clock.js';
import { EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM } from './errno.js';
import { isInGroup } from './groups.js';
import { keepNode } from './leftCall.js';
import { STAYS, type ThreadContext } from './threadContext.js';
import { parkInCall } from './waiting.js';

/** What semaphore sets, message queues and segments have in common: ids, keys, permissions, waiting (Linux: ipc/util.c). */

export const IPC_PRIVATE = 0;
export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const IPC_NOWAIT = 0o4000;

/** An id is its place in the table plus this times a sequence number (IPCMNI). */
const ID_PLACES = 32768;
/** The most objects of a kind (SEMMNI, MSGMNI). */
export const MOST_OBJECTS = 32000;
const FIRST_PLACES = 64;

/** The table whose address is in the field `root` of the Machine, or 0 when nobody has needed it yet. */
export function existingTable(mem: SharedMemory, root: number): number {
  return mem.atomicLoad(MACHINE + root) >>> 0;
}

function tableOf(mem: SharedMemory, root: number, owner: number): number {
  const existing = existingTable(mem, root);
  if (existing !== 0) return existing;
  const made = allocateBlock(mem, IpcTable.SIZE, owner);
  initMutex(mem, made + IpcTable.lock);
  mem.setI32(made + IpcTable.last, -1);
  const seen = mem.atomicCompareExchange(MACHINE + root, 0, made) >>> 0;
  if (seen === 0) return made;
  freeBlock(mem, made, owner);
  return seen;
}

/** Runs `body` with the table of `root` locked. */
export function withTable<T>(t: ThreadContext, root: number, body: (table: number) => T): T {
  const table = tableOf(t.mem, root, t.thread);
  return withMutex(t.mem, table + IpcTable.lock, t.thread, () => body(table));
}

/** The object at a place of the table, or −EINVAL. The table is locked. */
export function objectAt(mem: SharedMemory, table: number, place: number): number {
  if (place >= mem.getU32(table + IpcTable.capacity)) return -EINVAL;
  return mem.getU32(mem.getU32(table + IpcTable.places) + place * 4) || -EINVAL;
}

/** The object with this id, or −EINVAL. The table is locked. */
export function objectById(mem: SharedMemory, table: number, id: number): number {
  if (id < 0) return -EINVAL;
  const object = objectAt(mem, table, id % ID_PLACES);
  return object > 0 && mem.getU32(object + IpcPermission.id) === id ? object : -EINVAL;
}

/** Calls `visit` for every object. The table is locked. */
export function forEachObject(
  mem: SharedMemory,
  table: number,
  visit: (object: number, place: number) => void,
): void {
  let left = mem.getU32(table + IpcTable.count);
  for (let place = 0; left > 0; place++) {
    const object = objectAt(mem, table, place);
    if (object < 0) continue;
    left--;
    visit(object, place);
  }
}

/** Whether the caller has the access in `wanted`, permission bits of any class (ipcperms). */
export function mayAccess(t: ThreadContext, object: number, wanted: number): boolean {
  const { mem } = t;
  const user = mem.getU32(t.cred + Cred.uids + 4);
  if (capable(t, CAP_IPC_OWNER)) return true;
  const requested = (wanted >> 6) | (wanted >> 3) | wanted;
  const own = (field: number): number => mem.getU32(object + field);
  let granted = own(IpcPermission.mode);
  if (user === own(IpcPermission.cuid) || user === own(IpcPermission.uid)) granted >>= 6;
  else if (isInGroup(mem, t.cred, own(IpcPermission.cgid)) || isInGroup(mem, t.cred, own(IpcPermission.gid)))
    granted >>= 3;
  return (requested & ~granted & 7) === 0;
}

/** 0 or −EPERM: whether the caller may change or remove the object (ipcctl_obtain_check). */
export function mayControl(t: ThreadContext, object: number): number {
  const { mem } = t;
  const user = mem.getU32(t.cred + Cred.uids + 4);
  const owners = [mem.getU32(object + IpcPermission.cuid), mem.getU32(object + IpcPermission.uid)];
  return owners.includes(user) || capable(t, CAP_SYS_ADMIN) ? 0 : -EPERM;
}

/** Seconds since 1970. */
export function ipcTime(mem: SharedMemory): number {
  return Math.floor(realtimeNow(mem) / 1000);
}

/**
 * The id for `key`: that of an object there is, which `fits` has looked at (0 or −errno), or of a new one that `make` makes (its
 * address or −errno), unless there are `most` of them. The table is locked.
 */
export function idForKey(
  t: ThreadContext,
  table: number,
  key: number,
  flags: number,
  fits: (object: number) => number,
  make: () => number,
  most = MOST_OBJECTS,
): number {
  const { mem } = t;
  let found = 0;
  if (key !== IPC_PRIVATE)
    forEachObject(mem, table, (object) => {
      if (mem.getI32(object + IpcPermission.key) === key) found = object;
    });
  if (found !== 0) {
    if ((flags & (IPC_CREAT | IPC_EXCL)) === (IPC_CREAT | IPC_EXCL)) return -EEXIST;
    const answer = fits(found);
    if (answer < 0) return answer;
    return mayAccess(t, found, flags & 0o777) ? mem.getU32(found + IpcPermission.id) : -EACCES;
  }
  if (key !== IPC_PRIVATE && (flags & IPC_CREAT) === 0) return -ENOENT;
  if (mem.getU32(table + IpcTable.count) >= most) return -ENOSPC;
  makeRoom(t, table);
  const object = make();
  return object < 0 ? object : enter(t, table, object, key, flags);
}

/** Sees to it that the table has a free place. */
function makeRoom(t: ThreadContext, table: number): void {
  const { mem, thread } = t;
  const capacity = mem.getU32(table + IpcTable.capacity);
  if (mem.getU32(table + IpcTable.count) < capacity) return;
  const larger = Math.min(MOST_OBJECTS, Math.max(FIRST_PLACES, capacity * 2));
  const places = allocateBlock(mem, larger * 4, thread);
  const before = mem.getU32(table + IpcTable.places);
  if (before !== 0) {
    mem.u8.copyWithin(places, before, before + capacity * 4);
    freeBlock(mem, before, thread);
  }
  mem.setU32(table + IpcTable.places, places);
  mem.setU32(table + IpcTable.capacity, larger);
}

/** Gives a new object its id and permissions. */
function enter(t: ThreadContext, table: number, object: number, key: number, flags: number): number {
  const { mem } = t;
  const capacity = mem.getU32(table + IpcTable.capacity);
  let place = mem.getI32(table + IpcTable.last);
  do {
    if (++place >= capacity) {
      place = 0;
      mem.setU32(table + IpcTable.sequence, (mem.getU32(table + IpcTable.sequence) + 1) & 0xffff);
    }
  } while (objectAt(mem, table, place) > 0);
  const id = mem.getU32(table + IpcTable.sequence) * ID_PLACES + place;
  mem.setU32(object + IpcPermission.id, id);
  mem.setI32(object + IpcPermission.key, key);
  mem.setU32(object + IpcPermission.mode, flags & 0o777);
  for (const field of [IpcPermission.uid, IpcPermission.cuid])
    mem.setU32(object + field, mem.getU32(t.cred + Cred.uids + 4));
  for (const field of [IpcPermission.gid, IpcPermission.cgid])
    mem.setU32(object + field, mem.getU32(t.cred + Cred.gids + 4));
  mem.set64(object + IpcPermission.ctime, ipcTime(mem));
  initWaitQueue(mem, object + IpcPermission.waiters);
  mem.setU32(mem.getU32(table + IpcTable.places) + place * 4, object);
  mem.setI32(table + IpcTable.last, place);
  mem.setU32(table + IpcTable.count, mem.getU32(table + IpcTable.count) + 1);
  return id;
}

/**
 * IPC_RMID: takes the object out of the table and wakes who waits for it. True when nobody does: then it is the caller's to
 * free, otherwise the last waiter's (`waitForChange`). The table is locked.
 */
export function removeObject(t: ThreadContext, table: number, object: number): boolean {
  const { mem } = t;
  const place = mem.getU32(object + IpcPermission.id) % ID_PLACES;
  mem.setU32(mem.getU32(table + IpcTable.places) + place * 4, 0);
  mem.setU32(table + IpcTable.count, mem.getU32(table + IpcTable.count) - 1);
  mem.setU32(object + IpcPermission.removed, 1);
  wakeObject(t, object);
  return mem.getU32(object + IpcPermission.waiting) === 0;
}

/** Something about the object has changed: whoever waits looks again. */
export function wakeObject(t: ThreadContext, object: number): void {
  wakeQueue(t.mem, object + IpcPermission.waiters, t.thread);
}

/**
 * Runs `attempt` with the table locked, again whenever the object changes, until it gives a result; undefined makes it wait.
 * `counter(object)` is where the waiter is counted, or 0. Without a result: `removed` once the object is gone (`free` is called by the last waiter),
 * `interrupted` at a signal, `late` at the deadline (monotonic milliseconds).
 */
export function waitForChange(
  t: ThreadContext,
  root: number,
  id: number,
  attempt: (object: number) => number | undefined,
  free: (object: number) => void,
  results: { readonly removed: number; readonly interrupted: number; readonly late: number },
  deadline = Infinity,
  counter: (object: number) => number = () => 0,
): number {
  const { mem, thread } = t;
  // Where the call was left, it counts as waiting, so that the object is there, if only to say that it has been removed.
  const resumed = t.takeResumed();
  let object = resumed ? mem.getU32(thread + Thread.waitObject) : 0;
  let count = resumed ? mem.getU32(thread + Thread.waitCount) : 0;
  let node = resumed ? joinQueue(mem, object + IpcPermission.waiters, thread) : 0;
  const add = (word: number, step: 1 | -1): void => {
    if (word !== 0) mem.setU32(word, mem.getU32(word) + step);
  };
  /** Looks once: a result, or undefined when the thread is to wait. */
  const look = (expired: boolean): number | undefined =>
    withTable(t, root, (table) => {
      if (object === 0) {
        const found = objectById(mem, table, id);
        if (found < 0) return found;
        const result = attempt(found);
        if (result !== undefined) return result;
        object = found;
        node = joinQueue(mem, object + IpcPermission.waiters, thread);
      } else {
        add(count, -1);
        const gone = mem.getU32(object + IpcPermission.removed) !== 0;
        let result = gone ? results.removed : attempt(object);
        if (result === undefined && t.signalPending()) result = results.interrupted;
        if (result === undefined && expired) result = results.late;
        if (result !== undefined) {
          leaveQueue(mem, node);
          const left = mem.getU32(object + IpcPermission.waiting) - 1;
          mem.setU32(object + IpcPermission.waiting, left);
          if (gone && left === 0) free(object);
          return result;
        }
        add(object + IpcPermission.waiting, -1);
      }
      add(object + IpcPermission.waiting, 1);
      count = counter(object);
      add(count, 1);
      return undefined;
    });
  let expired = false;
  try {
    for (;;) {
      const ticket = parkTicket(mem, thread);
      const result = look(expired);
      if (result !== undefined) return result;
      if (t.signalPending()) continue;
      expired = !parkInCall(t, ticket, deadline, true);
    }
  } finally {
    if (t.leaving !== STAYS) {
      mem.setU32(thread + Thread.waitObject, object);
      mem.setU32(thread + Thread.waitCount, count);
      keepNode(t, node);
    }
  }
}

/** struct ipc64_perm of asm-generic, which struct semid64_ds, msqid64_ds and shmid64_ds begin with. */
export const IPC64_PERM_SIZE = 48;

/** Writes struct ipc64_perm at the start of `view`. The table is locked. */
export function describePermission(mem: SharedMemory, object: number, view: DataView): void {
  view.setInt32(0, mem.getI32(object + IpcPermission.key), true);
  const fields = [
    IpcPermission.uid,
    IpcPermission.gid,
    IpcPermission.cuid,
    IpcPermission.cgid,
    IpcPermission.mode,
  ];
  for (const [i, field] of fields.entries()) view.setUint32(4 + i * 4, mem.getU32(object + field), true);
  view.setUint16(24, mem.getU32(object + IpcPermission.id) >>> 15, true);
}

/** IPC_SET: owner and permissions out of a struct ipc64_perm. 0 or −errno; the table is locked. */
export function changePermission(t: ThreadContext, object: number, view: DataView): number {
  const { mem } = t;
  const uid = view.getUint32(4, true);
  const gid = view.getUint32(8, true);
  if (uid === 0xffff_ffff || gid === 0xffff_ffff) return -EINVAL;
  mem.setU32(object + IpcPermission.uid, uid);
  mem.setU32(object + IpcPermission.gid, gid);
  const mode = mem.getU32(object + IpcPermission.mode);
  mem.setU32(object + IpcPermission.mode, (mode & ~0o777) | (view.getUint32(20, true) & 0o777));
  mem.set64(object + IpcPermission.ctime, ipcTime(mem));
  return 0;
}
