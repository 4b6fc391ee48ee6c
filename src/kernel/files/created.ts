import {
  type BigIntStats,
  chmodSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
  statSync,
} from 'node:fs';
import { Cred } from '../../sync/records/cred.js';
import { Fs } from '../../sync/records/files.js';
import { EPERM, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { S_IFDIR, S_IFLNK, S_IFMT } from './fileStatus.js';
import { hostArgument, hostCall, hostUmaskTakes } from './hostAccess.js';
import { canGiveAway, hostGid, hostUid, isOwn, ownersOf, rememberOwners } from './hostOwners.js';
import { allowedMode, isFileRoot } from './permission.js';

/** What is new on the host: whose it is, and its mode. */

/** The permission bits of something new: what the umask leaves. */
export function createdMode(t: ThreadContext, mode: number): number {
  return mode & 0o7777 & ~t.mem.getU32(t.fs + Fs.umask);
}

const S_ISGID = 0o2000;

/**
 * Gives what was just made (a host path, or an open descriptor) to the caller, as inode_init_owner does, with permission bits `mode`; a
 * directory with the set-group-id bit hands down its group, and to directories the bit. `parent` is the host path of the directory.
 * A symbolic link has no mode.
 */
export function ownCreated(
  t: ThreadContext,
  created: string | number,
  parent: string,
  mode: number,
  kind: 'directory' | 'link' | 'file',
): void {
  const uid = t.mem.getU32(t.cred + Cred.uids + 12);
  const gid = t.mem.getU32(t.cred + Cred.gids + 12);
  const own = uid === 0 && gid === 0 && isFileRoot(t);
  if (own && (kind === 'link' || !hostUmaskTakes(mode))) return;
  hostCall(() => {
    const above = statSync(hostArgument(parent), { bigint: true });
    const inherits = (Number(above.mode) & S_ISGID) !== 0;
    const stats = statusOf(created);
    const before = ownersOf(t, stats);
    const group = inherits ? ownersOf(t, above).gid : gid;
    let bits = mode;
    if (kind === 'directory' && inherits) bits |= S_ISGID;
    if (kind === 'file' && inherits && (mode & 0o2010) === 0o2010) bits = allowedMode(t, group, bits);
    if (uid !== before.uid || group !== before.gid) giveHostFile(t, created, stats, uid, group);
    if (kind === 'link') return;
    if (typeof created === 'number') fchmodSync(created, bits);
    else chmodSync(hostArgument(created), bits);
  });
}

function statusOf(file: string | number): BigIntStats {
  if (typeof file === 'number') return fstatSync(file, { bigint: true });
  return lstatSync(hostArgument(file), { bigint: true });
}

/**
 * chown(2) of a host path (a link itself) or descriptor; −1 leaves an id. A file that is given away loses its set-id bits.
 * Throws SyscallError EPERM where another user of the host owns it.
 */
export function chownHostFile(t: ThreadContext, file: string | number, uid: number, gid: number): void {
  hostCall(() => giveHostFile(t, file, statusOf(file), uid, gid));
}

function giveHostFile(
  t: ThreadContext,
  file: string | number,
  stats: BigIntStats,
  uid: number,
  gid: number,
): void {
  if (canGiveAway) {
    if (typeof file === 'number') fchownSync(file, hostUid(uid), hostGid(gid));
    else lchownSync(hostArgument(file), hostUid(uid), hostGid(gid));
    return;
  }
  if (!isOwn(stats)) throw new SyscallError(EPERM);
  const now = ownersOf(t, stats);
  rememberOwners(t, stats, {
    uid: (uid | 0) === -1 ? now.uid : uid >>> 0,
    gid: (gid | 0) === -1 ? now.gid : gid >>> 0,
  });
  const mode = Number(stats.mode);
  const type = mode & S_IFMT;
  const lost = (mode & 0o4000) | ((mode & 0o2010) === 0o2010 ? 0o2000 : 0);
  if (lost === 0 || type === S_IFDIR || type === S_IFLNK) return;
  if (typeof file === 'number') fchmodSync(file, mode & 0o7777 & ~lost);
  else chmodSync(hostArgument(file), mode & 0o7777 & ~lost);
}
