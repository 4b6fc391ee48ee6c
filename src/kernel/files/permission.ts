import { Cred } from '../../sync/records/cred.js';
import { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID } from '../capabilities.js';
import { EACCES, EPERM, SyscallError } from '../errno.js';
import { groupsOf } from '../groups.js';
import type { ThreadContext } from '../threadContext.js';
import { type FileStatus, S_IFDIR, S_IFMT } from './fileStatus.js';
import type { Place } from './place.js';
import { statusOfPlace } from './placeStatus.js';

/**
 * Who may do what with a file (fs/namei.c, fs/attr.c). The host decides for a guest that is root: it may do what the Node process
 * may. A guest that has given up being root, or some of root's capabilities, is judged here, before the host is asked.
 */

export const MAY_READ = 4;
export const MAY_WRITE = 2;
export const MAY_EXEC = 1;

/** Who looks at files. */
export interface Subject {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Low word of the capabilities that count. */
  readonly capabilities: number;
}

const FILE_POWERS =
  (1 << CAP_CHOWN) |
  (1 << CAP_DAC_OVERRIDE) |
  (1 << CAP_DAC_READ_SEARCH) |
  (1 << CAP_FOWNER) |
  (1 << CAP_FSETID);

/** The caller may do with files whatever the host allows: user 0 with all capabilities that concern files. */
export function isFileRoot(t: ThreadContext): boolean {
  const { mem, cred } = t;
  return (
    mem.getU32(cred + Cred.uids + 12) === 0 &&
    (mem.getU32(cred + Cred.capabilities) & FILE_POWERS) === FILE_POWERS
  );
}

/** The caller by its filesystem ids; undefined when the host decides. */
export function subjectOf(t: ThreadContext): Subject | undefined {
  if (isFileRoot(t)) return undefined;
  const { mem, cred } = t;
  return {
    uid: mem.getU32(cred + Cred.uids + 12),
    gid: mem.getU32(cred + Cred.gids + 12),
    groups: groupsOf(mem, cred),
    capabilities: mem.getU32(cred + Cred.capabilities),
  };
}

/** The caller by its real ids, as access(2) asks; undefined when the host decides. */
export function realSubjectOf(t: ThreadContext): Subject | undefined {
  const { mem, cred } = t;
  const uid = mem.getU32(cred + Cred.uids);
  // Root's permitted set counts, nobody else's.
  const capabilities = uid === 0 ? mem.getU32(cred + Cred.capabilities + 8) : 0;
  if (uid === 0 && (capabilities & FILE_POWERS) === FILE_POWERS) return undefined;
  return { uid, gid: mem.getU32(cred + Cred.gids), groups: groupsOf(mem, cred), capabilities };
}

function has(subject: Subject, capability: number): boolean {
  return ((subject.capabilities >>> capability) & 1) !== 0;
}

/** Says whether the subject is in a group. */
export function inGroup(subject: Subject, gid: number): boolean {
  return subject.gid === gid || subject.groups.includes(gid);
}

/** generic_permission: whether the subject has all access in `mask` (MAY_*). */
export function permits(
  subject: Subject,
  status: Pick<FileStatus, 'mode' | 'uid' | 'gid'>,
  mask: number,
): boolean {
  const { mode } = status;
  let granted = mode;
  if (subject.uid === status.uid) granted >>= 6;
  else if (inGroup(subject, status.gid)) granted >>= 3;
  if ((mask & ~granted & 7) === 0) return true;
  if ((mode & S_IFMT) === S_IFDIR) {
    if ((mask & MAY_WRITE) === 0 && has(subject, CAP_DAC_READ_SEARCH)) return true;
    return has(subject, CAP_DAC_OVERRIDE);
  }
  if (mask === MAY_READ && has(subject, CAP_DAC_READ_SEARCH)) return true;
  return ((mask & MAY_EXEC) === 0 || (mode & 0o111) !== 0) && has(subject, CAP_DAC_OVERRIDE);
}

/** Throws EACCES unless `subject` (undefined: the host decides) has the access to what is at the place. */
export function requireAccess(
  t: ThreadContext,
  subject: Subject | undefined,
  place: Place,
  mask: number,
): void {
  if (subject === undefined || place.kind === 'opened') return;
  const status = statusOfPlace(t, place);
  if (status !== undefined && !permits(subject, status, mask)) throw new SyscallError(EACCES);
}

/** may_create: throws EACCES unless names can be added to the directory. */
export function requireCreate(t: ThreadContext, directory: Place): void {
  requireAccess(t, subjectOf(t), directory, MAY_WRITE | MAY_EXEC);
}

/** may_delete: throws EACCES, and EPERM where a sticky directory keeps what is another's. */
export function requireDelete(t: ThreadContext, directory: Place, victim: Place): void {
  const subject = subjectOf(t);
  if (subject === undefined) return;
  requireAccess(t, subject, directory, MAY_WRITE | MAY_EXEC);
  const above = statusOfPlace(t, directory);
  const status = statusOfPlace(t, victim);
  if (above === undefined || status === undefined || (above.mode & 0o1000) === 0) return;
  if (status.uid !== subject.uid && above.uid !== subject.uid && !has(subject, CAP_FOWNER))
    throw new SyscallError(EPERM);
}

/** inode_owner_or_capable: throws EPERM. */
export function requireOwner(t: ThreadContext, status: FileStatus): void {
  if (!ownsFile(t, status)) throw new SyscallError(EPERM);
}

/** Says whether the caller is a file's owner, or may do what its owner may. */
export function ownsFile(t: ThreadContext, status: FileStatus): boolean {
  const subject = subjectOf(t);
  return subject === undefined || subject.uid === status.uid || has(subject, CAP_FOWNER);
}

/** What chmod(2) may make of `mode`: no set-group-id bit for a group that the caller is not in. */
export function allowedMode(t: ThreadContext, gid: number, mode: number): number {
  const subject = subjectOf(t);
  if (subject === undefined || inGroup(subject, gid) || has(subject, CAP_FSETID)) return mode;
  return mode & ~0o2000;
}

/** Throws EPERM unless the caller may give a file these owners (chown_ok, chgrp_ok). */
export function requireChown(t: ThreadContext, status: FileStatus, uid: number, gid: number): void {
  const subject = subjectOf(t);
  if (subject === undefined || has(subject, CAP_CHOWN)) return;
  const owner = subject.uid === status.uid;
  if ((uid | 0) !== -1 && !(owner && uid >>> 0 === status.uid)) throw new SyscallError(EPERM);
  if ((gid | 0) !== -1 && !(owner && (gid >>> 0 === status.gid || inGroup(subject, gid >>> 0))))
    throw new SyscallError(EPERM);
}

/** Throws as utimensat(2) does: EPERM, or EACCES for the present time (`now`), which those may set who may write. */
export function requireTimes(t: ThreadContext, status: FileStatus, now: boolean): void {
  if (ownsFile(t, status)) return;
  if (!now) throw new SyscallError(EPERM);
  const subject = subjectOf(t);
  if (subject !== undefined && !permits(subject, status, MAY_WRITE)) throw new SyscallError(EACCES);
}

/** Throws EPERM for a file that a caller may not link who does not own it (fs.protected_hardlinks). */
export function requireLinkable(t: ThreadContext, status: FileStatus): void {
  if (ownsFile(t, status)) return;
  const subject = subjectOf(t);
  const { mode } = status;
  const special = (mode & S_IFMT) !== 0o100000 || (mode & 0o4000) !== 0 || (mode & 0o2010) === 0o2010;
  if (special || (subject !== undefined && !permits(subject, status, MAY_READ | MAY_WRITE)))
    throw new SyscallError(EPERM);
}
