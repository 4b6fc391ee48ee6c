import { MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { releaseObject } from '../../memory/sharedObject.js';
import { copyOut } from '../../memory/userAccess.js';
import { pageAlign, targetPageSize } from '../../mm/pageRange.js';
import { SHM_EXEC, SHM_RDONLY, shmatAddress, targetShmat, targetShmdt } from '../../mm/targetShm.js';
import { IpcPermission, IpcTable, ShmSegment } from '../../sync/records/sysvIpc.js';
import { EACCES, EINVAL } from '../errno.js';
import { changePermission, forEachObject, mayAccess, objectById } from '../sysvIpc.js';
import {
  MOST_SEGMENTS,
  noteAttachment,
  removeSegment,
  retainSegmentObject,
  SHM_LOCKED,
  SHM_MAX,
  segmentUse,
  shmget,
  withSegments,
} from '../sysvShm.js';
import type { ThreadContext } from '../threadContext.js';
import { failed, IPC_INFO, type IpcKind, ipcControl, withControlled } from './ipcControl.js';
import { mappingCall, type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2), with the checks in the order of Linux's ipc/shm.c. */

const SHM_LOCK = 11;
const SHM_UNLOCK = 12;
const SHM_STAT = 13;

/** struct shmid64_ds of asm-generic, behind its struct ipc64_perm. */
const Ds = {
  segsz: 48,
  atime: 56,
  dtime: 64,
  ctime: 72,
  cpid: 80,
  lpid: 84,
  nattch: 88,
  SIZE: 112,
} as const;

function shmat(t: ThreadContext, id: number, address: number, flags: number): number {
  const { mem } = t;
  if (id < 0) return -EINVAL;
  const at = shmatAddress(t, address, flags);
  if (at === -EINVAL) return -EINVAL;
  let size = 0;
  const wanted = (flags & SHM_RDONLY ? 0o444 : 0o666) | (flags & SHM_EXEC ? 0o111 : 0);
  const object = withSegments(t, (table) => {
    const segment = failed(objectById(mem, table, id));
    if (!mayAccess(t, segment, wanted)) return -EACCES;
    size = mem.getU64(segment + ShmSegment.size);
    return retainSegmentObject(t, segment) || -EINVAL;
  });
  if (object < 0) return object;
  try {
    const result = targetShmat(t, object, size, at, flags);
    if (result < 0) return result;
    withSegments(t, (table) => {
      const segment = objectById(mem, table, id);
      if (segment >= 0) noteAttachment(t, segment, ShmSegment.atime);
    });
    return result;
  } finally {
    releaseObject(mem, object, t.thread);
  }
}

function shmdt(t: ThreadContext, address: number): number {
  let id = -1;
  const result = targetShmdt(t, address, (segment) => {
    id = t.mem.getU32(segment + IpcPermission.id);
  });
  if (result < 0) return result;
  withSegments(t, (table) => {
    const segment = objectById(t.mem, table, id);
    if (segment >= 0) noteAttachment(t, segment, ShmSegment.dtime);
  });
  return 0;
}

function describe(t: ThreadContext, segment: number, view: DataView): void {
  const { mem } = t;
  const word = (at: number, field: number): void => view.setUint32(at, mem.getU32(segment + field), true);
  const long = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  long(Ds.segsz, mem.getU64(segment + ShmSegment.size));
  long(Ds.atime, mem.getU64(segment + ShmSegment.atime));
  long(Ds.dtime, mem.getU64(segment + ShmSegment.dtime));
  long(Ds.ctime, mem.getU64(segment + IpcPermission.ctime));
  word(Ds.cpid, ShmSegment.creator);
  word(Ds.lpid, ShmSegment.lastUser);
  long(Ds.nattch, segmentUse(t, segment).attached);
}

/** IPC_INFO (struct shminfo64) and SHM_INFO (struct shm_info): the highest place in use is the result. */
function inform(t: ThreadContext, command: number, buffer: number): number {
  const { mem } = t;
  let highest = 0;
  const values: number[] = [];
  withSegments(t, (table) => {
    let resident = 0;
    let total = 0;
    const units = targetPageSize(t) / MIN_PAGE_SIZE;
    forEachObject(mem, table, (segment, index) => {
      highest = index;
      // In pages of the caller.
      resident += Math.ceil(segmentUse(t, segment).resident / units);
      total += pageAlign(t, mem.getU64(segment + ShmSegment.size)) / targetPageSize(t);
    });
    if (command === IPC_INFO) values.push(SHM_MAX, 1, MOST_SEGMENTS, MOST_SEGMENTS, SHM_MAX, 0, 0, 0, 0);
    else values.push(mem.getU32(table + IpcTable.count), total, resident, 0, 0, 0);
  });
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setBigUint64(i * 8, BigInt(value), true);
  copyOut(t, buffer, bytes);
  return highest;
}

const segments: IpcKind = {
  withTable: withSegments,
  stat: SHM_STAT,
  size: Ds.SIZE,
  describe,
  inform,
  change: changePermission,
  remove: removeSegment,
};

/** There is no swap: locking a segment is a bit of its mode. */
function setLocked(t: ThreadContext, id: number, locked: boolean): number {
  const { mem } = t;
  return withControlled(t, segments, id, (segment) => {
    const mode = mem.getU32(segment + IpcPermission.mode);
    mem.setU32(segment + IpcPermission.mode, locked ? mode | SHM_LOCKED : mode & ~SHM_LOCKED);
    return 0;
  });
}

function shmctl(t: ThreadContext, id: number, command: number, buffer: number): number {
  if (id < 0) return -EINVAL;
  if (command === SHM_LOCK || command === SHM_UNLOCK) return setLocked(t, id, command === SHM_LOCK);
  return ipcControl(t, segments, id, command, buffer);
}

export const shmCalls: SyscallTable = {
  [SYS.SYS_shmget]: syscall('shmget', ['hex', 'size', 'octal'], (t, key, size, flags) =>
    shmget(t, key | 0, size < 0 ? size + 2 ** 64 : size, flags | 0),
  ),
  [SYS.SYS_shmctl]: syscall('shmctl', ['int', 'int', 'pointer'], (t, id, command, buffer) =>
    shmctl(t, id | 0, command | 0, buffer),
  ),
  [SYS.SYS_shmat]: {
    ...mappingCall('shmat', ['int', 'pointer', 'octal'], (t, id, address, flags) =>
      shmat(t, id | 0, address, flags | 0),
    ),
    resultHex: true,
  },
  [SYS.SYS_shmdt]: mappingCall('shmdt', ['pointer'], (t, address) => shmdt(t, address)),
};
