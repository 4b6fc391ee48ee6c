import { chmodSync, fchmodSync, fchownSync, fstatSync, lchownSync, lstatSync, statSync } from 'node:fs';
import { Fs } from '../../sync/records/files.js';
import { Guest } from '../../sync/records/guest.js';
import type { ThreadContext } from '../threadContext.js';
import { hostArgument, hostCall, hostUmaskTakes } from './hostAccess.js';
import { hostGid, hostUid } from './hostOwners.js';
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
  const uid = t.mem.getU32(t.guest + Guest.uids + 12);
  const gid = t.mem.getU32(t.guest + Guest.gids + 12);
  const own = uid === 0 && gid === 0 && isFileRoot(t);
  if (own && (kind === 'link' || !hostUmaskTakes(mode))) return;
  hostCall(() => {
    const inherits = (statSync(hostArgument(parent)).mode & S_ISGID) !== 0;
    const stats = typeof created === 'number' ? fstatSync(created) : lstatSync(hostArgument(created));
    const group = inherits ? stats.gid : hostGid(gid);
    let bits = mode;
    if (kind === 'directory' && inherits) bits |= S_ISGID;
    if (kind === 'file' && inherits && (mode & 0o2010) === 0o2010) bits = allowedMode(t, stats.gid, bits);
    if (hostUid(uid) !== stats.uid || group !== stats.gid) giveAway(created, hostUid(uid), group);
    if (kind === 'link') return;
    if (typeof created === 'number') fchmodSync(created, bits);
    else chmodSync(hostArgument(created), bits);
  });
}

/** chown, which only root of the host can do: elsewhere what a guest makes belongs to the user that runs Node. */
function giveAway(created: string | number, uid: number, gid: number): void {
  try {
    if (typeof created === 'number') fchownSync(created, uid, gid);
    else lchownSync(hostArgument(created), uid, gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}
