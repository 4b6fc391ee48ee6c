import { linkSync, renameSync, unlinkSync } from 'node:fs';
import { EEXIST, EINVAL, ENOENT, ENOTDIR, ENOTEMPTY, EXDEV } from '../errno.js';
import { pathArgument } from '../files/descriptors.js';
import { S_IFDIR } from '../files/fileStatus.js';
import { hostArgument, hostCall, withParent } from '../files/hostAccess.js';
import { notifyExchanged, notifyMoved } from '../files/inotify.js';
import { namesHaveChanged } from '../files/knownPrograms.js';
import { parentOf, parentPath, requireExisting, requireWritable, typeOf } from '../files/pathResolution.js';
import { MAY_WRITE, requireAccess, requireCreate, requireDelete, subjectOf } from '../files/permission.js';
import type { HostPlace, Place } from '../files/place.js';
import { randomBytes } from '../random.js';
import type { ThreadContext } from '../threadContext.js';
import { nameIsGone, requireNamed, requireNotMounted, resolve, stripSlashes } from './pathCalls.js';
import { type SyscallTable, syscall } from './syscall.js';
import { SYS_renameat2 } from './syscallNumbers.js';

/** renameat2(2). */

/**
 * RENAME_EXCHANGE, in three steps of the host, which has no such call for Node: one of the two names is missing for a moment. What was
 * done is undone when a step fails.
 */
function exchangePlaces(t: ThreadContext, one: HostPlace, other: HostPlace): number {
  const moved = [one, other].map((place): readonly [string, boolean] => [
    place.hostPath,
    typeOf(place) === S_IFDIR,
  ]);
  if (parentPath(one.path) !== parentPath(other.path) && typeOf(other) === S_IFDIR)
    requireAccess(t, subjectOf(t), other, MAY_WRITE);
  if (one.stats?.ino === other.stats?.ino && one.stats?.dev === other.stats?.dev) return 0;
  const suffix = Buffer.from(randomBytes(t.mem, 8)).toString('hex');
  withParent(one, (source) =>
    withParent(other, (target) =>
      hostCall(() => {
        const [a, b] = [hostArgument(source), hostArgument(target)];
        const between = hostArgument(`${parentPath(source)}/.exchange-${suffix}`);
        renameSync(a, between);
        try {
          renameSync(b, a);
        } catch (error) {
          renameSync(between, a);
          throw error;
        }
        renameSync(between, b);
      }),
    ),
  );
  namesHaveChanged(t.mem);
  notifyExchanged(t.mem, moved[0], moved[1], t.thread);
  return 0;
}

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

function renameat2(
  t: ThreadContext,
  oldDirfd: number,
  oldPath: string,
  newDirfd: number,
  newPath: string,
  flags: number,
): number {
  // RENAME_WHITEOUT: no file system here has those.
  if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) return -EINVAL;
  const exchange = flags === RENAME_EXCHANGE;
  const oldResolved = resolve(t, oldDirfd, stripSlashes(oldPath), false);
  const newResolved = resolve(t, newDirfd, stripSlashes(newPath), false);
  requireNamed(oldResolved, false);
  requireNamed(newResolved, false);
  const from = requireExisting(oldResolved);
  const to = newResolved.place;
  const directory = typeOf(from) === S_IFDIR;
  if (typeOf(to) !== 0 && flags & RENAME_NOREPLACE) return -EEXIST;
  if (exchange && typeOf(to) === 0) return -ENOENT;
  if (!directory && (oldPath.endsWith('/') || (newPath.endsWith('/') && !exchange))) return -ENOTDIR;
  if (exchange && newPath.endsWith('/') && typeOf(to) !== S_IFDIR) return -ENOTDIR;
  requireNotMounted(t, from.path);
  requireNotMounted(t, to.path);
  if (mountOf(from) !== mountOf(to)) return -EXDEV;
  requireWritable(from);
  requireWritable(to);
  if (directory && to.path.startsWith(`${from.path}/`)) return -EINVAL;
  if (from.path.startsWith(`${to.path}/`)) return exchange ? -EINVAL : -ENOTEMPTY;
  requireDelete(t, parentOf(t, from), from);
  if (typeOf(to) === 0) requireCreate(t, parentOf(t, to));
  else requireDelete(t, parentOf(t, to), to);
  // A directory that goes elsewhere has its '..' written.
  if (directory && parentPath(from.path) !== parentPath(to.path))
    requireAccess(t, subjectOf(t), from, MAY_WRITE);
  if (exchange) return exchangePlaces(t, from, to);
  withParent(from, (source) =>
    withParent(to, (target) =>
      hostCall(() => {
        const [a, b] = [hostArgument(source), hostArgument(target)];
        if (flags & RENAME_NOREPLACE && !directory) {
          // link fails where something is: the check and the move are one step.
          linkSync(a, b);
          unlinkSync(a);
        } else renameSync(a, b);
      }),
    ),
  );
  namesHaveChanged(t.mem);
  nameIsGone(t, to.stats);
  notifyMoved(t.mem, from.hostPath, to.hostPath, directory, to.stats, t.thread);
  return 0;
}

/** What is mounted at a place; undefined where Guesthouse makes the files itself. */
function mountOf(place: Place): unknown {
  return place.kind === 'host' ? place.mount : undefined;
}

export const renameCalls: SyscallTable = {
  [SYS_renameat2]: syscall(
    'renameat2',
    ['dirfd', 'path', 'dirfd', 'path', 'hex'],
    (t, oldDirfd, oldPath, newDirfd, newPath, flags) =>
      renameat2(t, oldDirfd, pathArgument(t, oldPath), newDirfd, pathArgument(t, newPath), flags | 0),
  ),
};
