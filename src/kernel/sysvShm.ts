import { hostScale } from '../memory/hostScale.js';
import { createMemoryObject, releaseObject, retainObject } from '../memory/sharedObject.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { withMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mapping } from '../sync/records/mapping.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import { IpcPermission, ShmSegment } from '../sync/records/sysvIpc.js';
import { EINVAL, ENOMEM } from './errno.js';
import { forEachObject, IPC_PRIVATE, idForKey, ipcTime, removeObject, withTable } from './sysvIpc.js';
import type { ThreadContext } from './threadContext.js';

/**
 * System V segments (Linux: ipc/shm.c). A segment's pages are a SharedObject; how often it
 * is attached is how many mappings show the object, so that exit, exec and fork need do nothing about it.
 */
export const SEGMENTS = Machine.sysvShm;
export const SHM_HUGETLB = 0o4000;
export const SHM_NORESERVE = 0o10000;
/** Bits of IpcPermission.mode beyond the permissions. */
const SHM_DEST = 0o1000;
export const SHM_LOCKED = 0o2000;

/** SHMMAX and SHMALL: ULONG_MAX − 2^24; what is asked for arrives rounded there. */
export const SHM_MAX = 2 ** 64 - 2 ** 24;
/** SHMMNI. */
export const MOST_SEGMENTS = 4096;

/** Runs `body` with the table locked; segments that were removed and are attached nowhere any more are gone. */
export function withSegments<T>(t: ThreadContext, body: (table: number) => T): T {
  return withTable(t, SEGMENTS, (table) => {
    sweep(t, table);
    return body(table);
  });
}

/** Frees the records of segments whose pages have gone. */
function sweep(t: ThreadContext, table: number): void {
  const { mem, thread } = t;
  forEachObject(mem, table, (segment) => {
    if (mem.atomicLoad(segment + ShmSegment.object) === 0 && removeObject(t, table, segment))
      freeBlock(mem, segment, thread);
  });
}

/** shmget(2): the id or −errno. */
export function shmget(t: ThreadContext, key: number, size: number, flags: number): number {
  const { mem } = t;
  return withSegments(t, (table) => {
    let object = 0;
    const id = idForKey(
      t,
      table,
      key,
      flags,
      (found) => (size > mem.getU64(found + ShmSegment.size) ? -EINVAL : 0),
      () => {
        const segment = newSegment(t, key, size, flags);
        if (segment > 0) object = mem.getU32(segment + ShmSegment.object);
        return segment;
      },
      MOST_SEGMENTS,
    );
    // The inode of an attached segment is its id.
    if (object !== 0) mem.set64(object + SharedObject.ino, id);
    return id;
  });
}

/** A segment without an id, or −errno. */
function newSegment(t: ThreadContext, key: number, size: number, flags: number): number {
  const { mem, thread } = t;
  if (size < 1 || size > SHM_MAX) return -EINVAL;
  // Huge pages there are none; without SHM_NORESERVE all of it must fit into the machine.
  const machine = mem.getU32(MACHINE + Machine.frameCount) * 2 ** mem.getU32(MACHINE + Machine.hostPageShift);
  if (flags & SHM_HUGETLB || size > (flags & SHM_NORESERVE ? 2 ** 43 : machine)) return -ENOMEM;
  const segment = allocateBlock(mem, ShmSegment.SIZE, thread);
  const name = `/SYSV${(key >>> 0).toString(16).padStart(8, '0')} (deleted)`;
  let object: number;
  try {
    object = createMemoryObject(mem, size, name, thread);
  } catch (error) {
    freeBlock(mem, segment, thread);
    throw error;
  }
  mem.setU32(object + SharedObject.segment, segment);
  mem.atomicStore(segment + ShmSegment.object, object);
  mem.setU32(segment + ShmSegment.creator, mem.getU32(t.guest + Guest.pid));
  mem.set64(segment + ShmSegment.size, size);
  return segment;
}

/** IPC_RMID: the key is free at once, the pages go with the last mapping. The table is locked. */
export function removeSegment(t: ThreadContext, table: number, segment: number): void {
  const { mem } = t;
  const mode = mem.getU32(segment + IpcPermission.mode);
  if (mode & SHM_DEST) return;
  mem.setU32(segment + IpcPermission.mode, mode | SHM_DEST);
  mem.setI32(segment + IpcPermission.key, IPC_PRIVATE);
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
    const scale = 2 ** hostScale(mem);
    return { attached, resident: mem.atomicLoad(object + SharedObject.pageCount) * scale };
  });
}

/** Notes an attachment or a detachment by the caller. The table is locked. */
export function noteAttachment(t: ThreadContext, segment: number, field: number): void {
  const { mem } = t;
  mem.set64(segment + field, ipcTime(mem));
  mem.setU32(segment + ShmSegment.lastUser, mem.getU32(t.guest + Guest.pid));
}

const HEADER =
  '       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ' +
  'ctime                   rss                  swap\n';

/** Text of /proc/sysvipc/shm (Linux: sysvipc_shm_proc_show). */
export function formatSegments(t: ThreadContext): string {
  const { mem } = t;
  let text = HEADER;
  withSegments(t, (table) =>
    forEachObject(mem, table, (segment) => {
      const word = (field: number, width: number): string =>
        String(mem.getU32(segment + field)).padStart(width);
      const long = (value: number, width: number): string => String(value).padStart(width);
      const { attached, resident } = segmentUse(t, segment);
      const mode = mem.getU32(segment + IpcPermission.mode).toString(8);
      text +=
        `${String(mem.getI32(segment + IpcPermission.key)).padStart(10)} ${word(IpcPermission.id, 10)}  ${mode.padStart(4)} ` +
        `${long(mem.getU64(segment + ShmSegment.size), 21)} ${word(ShmSegment.creator, 5)} ${word(ShmSegment.lastUser, 5)}  ` +
        `${long(attached, 5)} ${word(IpcPermission.uid, 5)} ${word(IpcPermission.gid, 5)} ${word(IpcPermission.cuid, 5)} ` +
        `${word(IpcPermission.cgid, 5)} ${long(mem.getU64(segment + ShmSegment.atime), 10)} ` +
        `${long(mem.getU64(segment + ShmSegment.dtime), 10)} ${long(mem.getU64(segment + IpcPermission.ctime), 10)} ` +
        `${long(resident * 4096, 21)} ${long(0, 21)}\n`;
    }),
  );
  return text;
}
