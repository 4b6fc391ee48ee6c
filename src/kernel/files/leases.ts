import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { Cred } from '../../sync/records/cred.js';
import { FilesGlobal, Lease } from '../../sync/records/files.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { FILE_HOST, OpenFile } from '../../sync/records/openFile.js';
import { SharedObject } from '../../sync/records/sharedObject.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { wakeQueue } from '../../sync/waitQueue.js';
import { CAP_LEASE, capable } from '../capabilities.js';
import { EACCES, EAGAIN, EINVAL, ERESTARTSYS, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { waitInQueue } from '../waiting.js';
import { leaseSignal, ownByDefault } from './asyncSignals.js';
import { F_RDLCK, F_UNLCK, F_WRLCK } from './fileLocks.js';
import { filesGlobal } from './filesGlobal.js';
import { onClose, operationsOf } from './openFile.js';

/**
 * Leases (F_SETLEASE, Linux: fs/locks.c): the holder is told before another open file or truncate(2) of a guest gets at the file, and has
 * some time to give the lease up. Processes of the host do not see them.
 */

/** /proc/sys/fs/lease-break-time, milliseconds. */
const BREAK_TIME = 45_000;

interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
}

function isOn(mem: SharedMemory, lease: number, { dev, ino }: FileIdentity): boolean {
  return mem.getU64(lease + Lease.ino) === ino && mem.getU64(lease + Lease.dev) === dev;
}

/** The leases there are, or those on one file. FilesGlobal.locksLock is held. */
function leasesLocked(mem: SharedMemory, global: number, on?: FileIdentity): number[] {
  const found: number[] = [];
  for (let l = mem.getU32(global + FilesGlobal.leases); l !== 0; l = mem.getU32(l + Lease.next))
    if (on === undefined || isOn(mem, l, on)) found.push(l);
  return found;
}

function removeLocked(mem: SharedMemory, global: number, lease: number, owner: number): void {
  let link = global + FilesGlobal.leases;
  while (mem.getU32(link) !== lease) link = mem.getU32(link) + Lease.next;
  mem.atomicStore(link, mem.getU32(lease + Lease.next));
  freeBlock(mem, lease, owner);
}

/** What has not been given up in time is taken away or made less (time_out_leases). */
function expireLocked(mem: SharedMemory, global: number, on: FileIdentity, owner: number): void {
  for (const lease of leasesLocked(mem, global, on)) {
    const until = mem.f64[(lease + Lease.breaksAt) >>> 3];
    if (until === 0 || monotonicNow() < until) continue;
    changeLocked(mem, global, lease, mem.getU32(lease + Lease.target), owner);
  }
}

function changeLocked(mem: SharedMemory, global: number, lease: number, type: number, owner: number): void {
  if (type === F_UNLCK) removeLocked(mem, global, lease, owner);
  else {
    mem.setU32(lease + Lease.type, type);
    mem.f64[(lease + Lease.breaksAt) >>> 3] = 0;
  }
}

function identityOf(mem: SharedMemory, file: number): FileIdentity {
  const hostFile = mem.getU32(file + OpenFile.hostFile);
  return { dev: mem.getU64(hostFile + HostFile.dev), ino: mem.getU64(hostFile + HostFile.ino) };
}

/** Whether the file is open in a way that does not go with a lease of `type` through `file` (check_conflicting_open). */
function isOpenOtherwise(mem: SharedMemory, file: number, type: number): boolean {
  const object = mem.getU32(mem.getU32(file + OpenFile.hostFile) + HostFile.object);
  if (type === F_RDLCK) return mem.atomicLoad(object + SharedObject.writeClaims) > 0;
  const first = mem.getU32(object + SharedObject.files);
  return first === 0 || mem.getU32(first + HostFile.nextOfObject) !== 0;
}

/** fcntl(F_SETLEASE): 0 or −errno. `fd` is what a signal names. */
export function setLease(t: ThreadContext, file: number, fd: number, type: number): number {
  const { mem, thread } = t;
  if (type !== F_RDLCK && type !== F_WRLCK && type !== F_UNLCK) return -EINVAL;
  const { uid } = operationsOf(mem, file).status(t, file);
  if (uid !== mem.getU32(t.cred + Cred.uids + 12) && !capable(t, CAP_LEASE)) return -EACCES;
  if (mem.getU32(file + OpenFile.kind) !== FILE_HOST) return -EINVAL;
  const on = identityOf(mem, file);
  const global = filesGlobal(mem, thread);
  const result = withMutex(mem, global + FilesGlobal.locksLock, thread, () => {
    expireLocked(mem, global, on, thread);
    const all = leasesLocked(mem, global, on);
    const own = all.find((lease) => mem.getU32(lease + Lease.file) === file);
    if (type === F_UNLCK) {
      if (own === undefined) return -EAGAIN;
      removeLocked(mem, global, own, thread);
      return 0;
    }
    if (isOpenOtherwise(mem, file, type)) return -EAGAIN;
    for (const lease of all) {
      if (lease === own) continue;
      if (type === F_WRLCK || mem.f64[(lease + Lease.breaksAt) >>> 3] !== 0) return -EAGAIN;
    }
    if (own !== undefined) {
      changeLocked(mem, global, own, type, thread);
      return 0;
    }
    const lease = allocateBlock(mem, Lease.SIZE, thread);
    mem.setU32(lease + Lease.file, file);
    mem.setU32(lease + Lease.type, type);
    mem.set64(lease + Lease.dev, on.dev);
    mem.set64(lease + Lease.ino, on.ino);
    mem.setU32(lease + Lease.next, mem.getU32(global + FilesGlobal.leases));
    mem.atomicStore(global + FilesGlobal.leases, lease);
    return 0;
  });
  if (result !== 0) return result;
  wakeQueue(mem, global + FilesGlobal.lockWaiters, thread);
  if (type !== F_UNLCK) ownByDefault(t, file, fd);
  return 0;
}

/** fcntl(F_GETLEASE): what the open file's lease is, or is to become; F_UNLCK without one. */
export function getLease(t: ThreadContext, file: number): number {
  const { mem, thread } = t;
  if (mem.getU32(file + OpenFile.kind) !== FILE_HOST) return F_UNLCK;
  const on = identityOf(mem, file);
  const global = filesGlobal(mem, thread);
  return withMutex(mem, global + FilesGlobal.locksLock, thread, () => {
    expireLocked(mem, global, on, thread);
    const own = leasesLocked(mem, global, on).find((lease) => mem.getU32(lease + Lease.file) === file);
    if (own === undefined) return F_UNLCK;
    const breaks = mem.f64[(own + Lease.breaksAt) >>> 3] !== 0;
    return mem.getU32(own + (breaks ? Lease.target : Lease.type));
  });
}

/** The open file goes, and its lease with it. */
function dropLease(mem: SharedMemory, file: number, owner: number): void {
  const global = filesGlobal(mem, owner);
  if (mem.atomicLoad(global + FilesGlobal.leases) === 0) return;
  const gone = withMutex(mem, global + FilesGlobal.locksLock, owner, () => {
    const own = leasesLocked(mem, global).find((lease) => mem.getU32(lease + Lease.file) === file);
    if (own !== undefined) removeLocked(mem, global, own, owner);
    return own !== undefined;
  });
  if (gone) wakeQueue(mem, global + FilesGlobal.lockWaiters, owner);
}

onClose(dropLease);

/**
 * A file is going to be opened, for writing when `writes`, or cut: whoever has a lease that is in the way is told, and given time (break_lease).
 * Throws EAGAIN when the caller does not wait, and ERESTARTSYS.
 */
export function breakLeases(t: ThreadContext, on: FileIdentity, writes: boolean, waits: boolean): void {
  const { mem, thread } = t;
  const global = filesGlobal(mem, thread);
  if (mem.atomicLoad(global + FilesGlobal.leases) === 0) return;
  const target = writes ? F_UNLCK : F_RDLCK;
  const obstaclesLocked = (): number[] => {
    expireLocked(mem, global, on, thread);
    return leasesLocked(mem, global, on).filter(
      (lease) => writes || mem.getU32(lease + Lease.type) === F_WRLCK,
    );
  };
  const isFree = (): boolean =>
    withMutex(mem, global + FilesGlobal.locksLock, thread, () => obstaclesLocked().length === 0);
  for (;;) {
    const signals: (() => void)[] = [];
    const deadline = withMutex(mem, global + FilesGlobal.locksLock, thread, () => {
      let earliest = Infinity;
      for (const lease of obstaclesLocked()) {
        const at = (lease + Lease.breaksAt) >>> 3;
        // Told already, unless it was to become less only.
        if (mem.f64[at] === 0 || (writes && mem.getU32(lease + Lease.target) !== F_UNLCK)) {
          mem.f64[at] = monotonicNow() + BREAK_TIME;
          mem.setU32(lease + Lease.target, target);
          signals.push(leaseSignal(mem, mem.getU32(lease + Lease.file), thread));
        }
        earliest = Math.min(earliest, mem.f64[at]);
      }
      return earliest;
    });
    for (const send of signals) send();
    if (deadline === Infinity) return;
    if (!waits) throw new SyscallError(EAGAIN);
    const queue = global + FilesGlobal.lockWaiters;
    if (waitInQueue(t, queue, isFree, { deadline, stays: true }) === 'interrupted')
      throw new SyscallError(ERESTARTSYS);
  }
}
