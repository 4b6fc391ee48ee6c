import type { BigIntStats } from 'node:fs';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { FilesGlobal, GivenOwner } from '../../sync/records/files.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import type { ThreadContext } from '../threadContext.js';
import { existingFilesGlobal, filesGlobal } from './filesGlobal.js';

/**
 * Owners of the host's files as guests see them. The user that runs Node is root to its guests, and so is the host's own root: what
 * belongs to either belongs to 0.
 *
 * Only root of the host can give files away. Where another user runs Node, files stay his, and the machine remembers
 * to whom its guests have given them, as fakeroot(1) does: for as long as it lives, and nobody but its guests sees it.
 */

const ownUid = process.geteuid?.() ?? 0;
const ownGid = process.getegid?.() ?? 0;

/** The host lets the Node process change owners. */
export const canGiveAway = ownUid === 0;

const BUCKETS = 256;

export interface Owners {
  readonly uid: number;
  readonly gid: number;
}

/** What of a file's status tells which file it is, and whose on the host. */
export type HostIdentity = Pick<BigIntStats, 'dev' | 'ino' | 'birthtimeNs' | 'uid' | 'gid'>;

/** User and group of a file of the host as guests see them. */
export function ownersOf(t: ThreadContext, stats: HostIdentity): Owners {
  const given = canGiveAway ? undefined : givenOwners(t, stats);
  return given ?? { uid: toGuest(stats.uid, ownUid), gid: toGuest(stats.gid, ownGid) };
}

function toGuest(id: bigint, own: number): number {
  return Number(id) === own ? 0 : Number(id);
}

/** The host's number of a user of the guest's; −1 stays. */
export function hostUid(uid: number): number {
  return (uid | 0) === -1 ? -1 : uid >>> 0 || ownUid;
}

/** The host's number of a group of the guest's; −1 stays. */
export function hostGid(gid: number): number {
  return (gid | 0) === -1 ? -1 : gid >>> 0 || ownGid;
}

/** Says whether a file is the Node process's, so that a guest's root may give it away where the host would not. */
export function isOwn(stats: HostIdentity): boolean {
  return Number(stats.uid) === ownUid;
}

function givenOwners(t: ThreadContext, stats: HostIdentity): Owners | undefined {
  const { mem } = t;
  const global = existingFilesGlobal(mem);
  if (global === 0 || mem.atomicLoad(global + FilesGlobal.givenOwners) === 0) return undefined;
  return withMutex(mem, global + FilesGlobal.ownersLock, t.thread, () => {
    const entry = mem.getU32(linkLocked(mem, global, stats));
    if (entry === 0) return undefined;
    return { uid: mem.getU32(entry + GivenOwner.uid), gid: mem.getU32(entry + GivenOwner.gid) };
  });
}

/** Remembers to whom a file is given. */
export function rememberOwners(t: ThreadContext, stats: HostIdentity, owners: Owners): void {
  const { mem, thread } = t;
  const global = filesGlobal(mem, thread);
  withMutex(mem, global + FilesGlobal.ownersLock, thread, () => {
    if (mem.getU32(global + FilesGlobal.givenOwners) === 0)
      mem.atomicStore(global + FilesGlobal.givenOwners, allocateBlock(mem, BUCKETS * 4, thread));
    const link = linkLocked(mem, global, stats);
    let entry = mem.getU32(link);
    if (entry === 0) {
      entry = allocateBlock(mem, GivenOwner.SIZE, thread);
      mem.set64(entry + GivenOwner.dev, Number(stats.dev));
      mem.set64(entry + GivenOwner.ino, Number(stats.ino));
      mem.set64(entry + GivenOwner.born, bornOf(stats));
      mem.setU32(link, entry);
    }
    mem.setU32(entry + GivenOwner.uid, owners.uid);
    mem.setU32(entry + GivenOwner.gid, owners.gid);
  });
}

/** Forgets a file that is gone for good. */
export function forgetOwners(t: ThreadContext, stats: (HostIdentity & { nlink: bigint }) | undefined): void {
  const { mem, thread } = t;
  const global = existingFilesGlobal(mem);
  if (canGiveAway || stats === undefined || global === 0) return;
  if (mem.atomicLoad(global + FilesGlobal.givenOwners) === 0) return;
  withMutex(mem, global + FilesGlobal.ownersLock, thread, () => {
    const link = linkLocked(mem, global, stats);
    const entry = mem.getU32(link);
    if (entry === 0) return;
    mem.setU32(link, mem.getU32(entry + GivenOwner.next));
    freeBlock(mem, entry, thread);
  });
}

/** Microseconds: whole numbers. An inode number that is used again belongs to a file that was born later. */
function bornOf(stats: HostIdentity): number {
  return Number(stats.birthtimeNs / 1000n);
}

/** The link to the entry of a file, or the last one of its chain. */
function linkLocked(mem: SharedMemory, global: number, stats: HostIdentity): number {
  const table = mem.getU32(global + FilesGlobal.givenOwners);
  let link = table + Number(stats.ino % BigInt(BUCKETS)) * 4;
  const born = bornOf(stats);
  for (let entry = mem.getU32(link); entry !== 0; entry = mem.getU32(link)) {
    if (
      mem.getU64(entry + GivenOwner.ino) === Number(stats.ino) &&
      mem.getU64(entry + GivenOwner.dev) === Number(stats.dev) &&
      mem.getU64(entry + GivenOwner.born) === born
    )
      break;
    link = entry + GivenOwner.next;
  }
  return link;
}
