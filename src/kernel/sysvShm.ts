import { createMemoryObject, releaseObject, retainObject } from '../memory/sharedObject.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { initMutex, withMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mapping } from '../sync/records/mapping.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import { SHM_SEGMENTS, ShmSegment, ShmTable } from '../sync/records/sysvShm.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { realtimeNow } from './clock.js';
import { EACCES, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM } from './errno.js';
import { isInGroup } from './groups.js';
import type { ThreadContext } from './threadContext.js';

/**
 * System V segments: the machine's table of ids (Linux: ipc/shm.c). A segment's pages are a SharedObject; how often it
 * is attached is how many mappings show the object, so that exit, exec and fork need do nothing about it.
 */
export const IPC_PRIVATE = 0;
export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const SHM_HUGETLB = 0o4000;
export const SHM_NORESERVE = 0o10000;
/** Bits of ShmSegment.mode beyond the permissions. */
export const SHM_DEST = 0o1000;
export const SHM_LOCKED = 0o2000;

/** SHMMAX and SHMALL: ULONG_MAX − 2^24; what is asked for arrives rounded there. */
export const SHM_MAX = 2 ** 64 - 2 ** 24;
/** An id is its place in the table plus this times a sequence number (IPCMNI). */
const ID_PLACES = 32768;

/** The machine's table, or 0 when there is none yet. */
function existingTable(mem: SharedMemory): number {
  return mem.atomicLoad(MACHINE + Machine.sysvShm) >>> 0;
}

function tableOf(mem: SharedMemory, owner: number): number {
  const existing = existingTable(mem);
  if (existing !== 0) return existing;
  const made = allocateBlock(mem, ShmTable.SIZE, owner);
  initMutex(mem, made + ShmTable.lock);
  mem.setI32(made + ShmTable.last, -1);
  const seen = mem.atomicCompareExchange(MACHINE + Machine.sysvShm, 0, made) >>> 0;
  if (seen === 0) return made;
  freeBlock(mem, made, owner);
  return seen;
}

/** Runs `body` with the table locked; segments that were removed and are attached nowhere any more are gone. */
export function withSegments<T>(t: ThreadContext, body: (table: number) => T): T {
  const table = tableOf(t.mem, t.thread);
  return withMutex(t.mem, table + ShmTable.lock, t.thread, () => {
    sweep(t, table);
    return body(table);
  });
}

function place(table: number, index: number): number {
  return table + ShmTable.segments + index * 4;
}

/** Frees the records of segments whose pages have gone. */
function sweep(t: ThreadContext, table: number): void {
  const { mem, thread } = t;
  let left = mem.getU32(table + ShmTable.count);
  for (let index = 0; left > 0 && index < SHM_SEGMENTS; index++) {
    const segment = mem.getU32(place(table, index));
    if (segment === 0) continue;
    left--;
    if (mem.atomicLoad(segment + ShmSegment.object) !== 0) continue;
    mem.setU32(place(table, index), 0);
    mem.setU32(table + ShmTable.count, mem.getU32(table + ShmTable.count) - 1);
    freeBlock(mem, segment, thread);
  }
}

/** The segment with this id, or −EINVAL. The table is locked. */
export function segmentById(mem: SharedMemory, table: number, id: number): number {
  if (id < 0) return -EINVAL;
  const index = id % ID_PLACES;
  const segment = index < SHM_SEGMENTS ? mem.getU32(place(table, index)) : 0;
  return segment !== 0 && mem.getU32(segment + ShmSegment.id) === id ? segment : -EINVAL;
}

/** The segment at this place of the table (SHM_STAT), or −EINVAL. The table is locked. */
export function segmentAt(mem: SharedMemory, table: number, index: number): number {
  const segment = index < SHM_SEGMENTS ? mem.getU32(place(table, index)) : 0;
  return segment === 0 ? -EINVAL : segment;
}

/** Calls `visit` for every segment. The table is locked. */
export function forEachSegment(
  mem: SharedMemory,
  table: number,
  visit: (segment: number, index: number) => void,
): void {
  for (let index = 0; index < SHM_SEGMENTS; index++) {
    const segment = mem.getU32(place(table, index));
    if (segment !== 0) visit(segment, index);
  }
}

function effectiveUser(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.uids + 4);
}

function effectiveGroup(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.gids + 4);
}

/** Whether the caller has the access in `wanted`, permission bits of any class (Linux: ipcperms). */
export function mayAccess(t: ThreadContext, segment: number, wanted: number): boolean {
  const { mem } = t;
  const requested = (wanted >> 6) | (wanted >> 3) | wanted;
  let granted = mem.getU32(segment + ShmSegment.mode);
  const user = effectiveUser(t);
  if (user === 0) return true;
  if (user === mem.getU32(segment + ShmSegment.cuid) || user === mem.getU32(segment + ShmSegment.uid))
    granted >>= 6;
  else if (
    [ShmSegment.cgid, ShmSegment.gid].some((field) => isInGroup(mem, t.guest, mem.getU32(segment + field)))
  )
    granted >>= 3;
  return (requested & ~granted & 7) === 0;
}

/** 0 or −EPERM: whether the caller may change or remove the segment (ipcctl_obtain_check). */
export function mayControl(t: ThreadContext, segment: number): number {
  const { mem } = t;
  const user = effectiveUser(t);
  const owners = [0, mem.getU32(segment + ShmSegment.cuid), mem.getU32(segment + ShmSegment.uid)];
  return owners.includes(user) ? 0 : -EPERM;
}

/** Seconds since 1970, as segments note them. */
export function shmTime(mem: SharedMemory): number {
  return Math.floor(realtimeNow(mem) / 1000);
}

/** shmget(2): the id or −errno. */
export function shmget(t: ThreadContext, key: number, size: number, flags: number): number {
  const { mem } = t;
  return withSegments(t, (table) => {
    if (key === IPC_PRIVATE) return newSegment(t, table, key, size, flags);
    let found = 0;
    forEachSegment(mem, table, (segment) => {
      if (mem.getI32(segment + ShmSegment.key) === key) found = segment;
    });
    if (found === 0) return flags & IPC_CREAT ? newSegment(t, table, key, size, flags) : -ENOENT;
    if ((flags & (IPC_CREAT | IPC_EXCL)) === (IPC_CREAT | IPC_EXCL)) return -EEXIST;
    if (size > mem.getU64(found + ShmSegment.size)) return -EINVAL;
    return mayAccess(t, found, flags & 0o777) ? mem.getU32(found + ShmSegment.id) : -EACCES;
  });
}

function newSegment(t: ThreadContext, table: number, key: number, size: number, flags: number): number {
  const { mem, thread } = t;
  if (size < 1 || size > SHM_MAX) return -EINVAL;
  // Huge pages there are none; without SHM_NORESERVE all of it must fit into the machine.
  const machine = mem.getU32(MACHINE + Machine.frameCount) * 2 ** mem.getU32(MACHINE + Machine.hostPageShift);
  if (flags & SHM_HUGETLB || size > (flags & SHM_NORESERVE ? 2 ** 43 : machine)) return -ENOMEM;
  if (mem.getU32(table + ShmTable.count) >= SHM_SEGMENTS) return -ENOSPC;
  const segment = allocateBlock(mem, ShmSegment.SIZE, thread);
  const name = `/SYSV${(key >>> 0).toString(16).padStart(8, '0')} (deleted)`;
  let object: number;
  try {
    object = createMemoryObject(mem, size, name, thread);
  } catch (error) {
    freeBlock(mem, segment, thread);
    throw error;
  }
  let index = mem.getI32(table + ShmTable.last);
  do {
    if (++index >= SHM_SEGMENTS) {
      index = 0;
      mem.setU32(table + ShmTable.sequence, (mem.getU32(table + ShmTable.sequence) + 1) & 0xffff);
    }
  } while (mem.getU32(place(table, index)) !== 0);
  const id = mem.getU32(table + ShmTable.sequence) * ID_PLACES + index;
  // The inode of an attached segment is its id.
  mem.set64(object + SharedObject.ino, id);
  mem.setU32(object + SharedObject.segment, segment);
  mem.atomicStore(segment + ShmSegment.object, object);
  mem.setU32(segment + ShmSegment.id, id);
  mem.setI32(segment + ShmSegment.key, key);
  mem.setU32(segment + ShmSegment.mode, flags & 0o777);
  for (const field of [ShmSegment.uid, ShmSegment.cuid]) mem.setU32(segment + field, effectiveUser(t));
  for (const field of [ShmSegment.gid, ShmSegment.cgid]) mem.setU32(segment + field, effectiveGroup(t));
  mem.setU32(segment + ShmSegment.cpid, mem.getU32(t.guest + Guest.pid));
  mem.set64(segment + ShmSegment.size, size);
  mem.set64(segment + ShmSegment.ctime, shmTime(mem));
  mem.setU32(place(table, index), segment);
  mem.setI32(table + ShmTable.last, index);
  mem.setU32(table + ShmTable.count, mem.getU32(table + ShmTable.count) + 1);
  return id;
}

/** IPC_RMID: the key is free at once, the pages go with the last mapping. The table is locked. */
export function removeSegment(t: ThreadContext, table: number, segment: number): void {
  const { mem } = t;
  const mode = mem.getU32(segment + ShmSegment.mode);
  if (mode & SHM_DEST) return;
  mem.setU32(segment + ShmSegment.mode, mode | SHM_DEST);
  mem.setI32(segment + ShmSegment.key, IPC_PRIVATE);
  releaseObject(mem, mem.getU32(segment + ShmSegment.object), t.thread);
  sweep(t, table);
}

/** The segment's object with a reference for the caller, or 0 when it has just gone. The table is locked. */
export function retainSegmentObject(t: ThreadContext, segment: number): number {
  const { mem } = t;
  return withMutex(mem, MACHINE + Machine.filePagesLock, t.thread, () => {
    const object = mem.getU32(segment + ShmSegment.object);
    if (object !== 0) retainObject(mem, object);
    return object;
  });
}

/** How often the segment is attached, and its pages in memory. The table is locked. */
export function segmentUse(t: ThreadContext, segment: number): { attached: number; resident: number } {
  const { mem } = t;
  return withMutex(mem, MACHINE + Machine.filePagesLock, t.thread, () => {
    const object = mem.getU32(segment + ShmSegment.object);
    if (object === 0) return { attached: 0, resident: 0 };
    let attached = 0;
    for (let m = mem.getU32(object + SharedObject.mappings); m !== 0; ) {
      attached++;
      m = mem.getU32(m + Mapping.nextOfObject);
    }
    const scale = 2 ** (mem.getU32(MACHINE + Machine.hostPageShift) - 12);
    return { attached, resident: mem.atomicLoad(object + SharedObject.pageCount) * scale };
  });
}

/** Notes an attachment or a detachment by the caller. The table is locked. */
export function noteAttachment(t: ThreadContext, segment: number, field: number): void {
  const { mem } = t;
  mem.set64(segment + field, shmTime(mem));
  mem.setU32(segment + ShmSegment.lpid, mem.getU32(t.guest + Guest.pid));
}

const HEADER =
  '       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ' +
  'ctime                   rss                  swap\n';

/** Text of /proc/sysvipc/shm (Linux: sysvipc_shm_proc_show). */
export function formatSegments(t: ThreadContext): string {
  const { mem } = t;
  let text = HEADER;
  withSegments(t, (table) =>
    forEachSegment(mem, table, (segment) => {
      const word = (field: number, width: number): string =>
        String(mem.getU32(segment + field)).padStart(width);
      const long = (value: number, width: number): string => String(value).padStart(width);
      const { attached, resident } = segmentUse(t, segment);
      const mode = mem.getU32(segment + ShmSegment.mode).toString(8);
      text +=
        `${String(mem.getI32(segment + ShmSegment.key)).padStart(10)} ${word(ShmSegment.id, 10)}  ${mode.padStart(4)} ` +
        `${long(mem.getU64(segment + ShmSegment.size), 21)} ${word(ShmSegment.cpid, 5)} ${word(ShmSegment.lpid, 5)}  ` +
        `${long(attached, 5)} ${word(ShmSegment.uid, 5)} ${word(ShmSegment.gid, 5)} ${word(ShmSegment.cuid, 5)} ` +
        `${word(ShmSegment.cgid, 5)} ${long(mem.getU64(segment + ShmSegment.atime), 10)} ` +
        `${long(mem.getU64(segment + ShmSegment.dtime), 10)} ${long(mem.getU64(segment + ShmSegment.ctime), 10)} ` +
        `${long(resident * 4096, 21)} ${long(0, 21)}\n`;
    }),
  );
  return text;
}
