import { EINVAL, ENOTDIR, SyscallError } from '../errno.js';
import { newDescriptor, pathArgument, withFile } from '../files/descriptors.js';
import { S_IFDIR } from '../files/fileStatus.js';
import {
  addWatch,
  checkMask,
  createInotify,
  IN_DONT_FOLLOW,
  IN_ONLYDIR,
  isInotify,
  removeWatch,
} from '../files/inotify.js';
import { O_CLOEXEC, O_NONBLOCK } from '../files/openFlags.js';
import { AT_FDCWD, typeOf } from '../files/pathResolution.js';
import { MAY_READ, requireAccess, subjectOf } from '../files/permission.js';
import type { ThreadContext } from '../threadContext.js';
import { existing } from './pathCalls.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** inotify_init1(2), inotify_add_watch(2), inotify_rm_watch(2). */

function init(t: ThreadContext, flags: number): number {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  return newDescriptor(t, createInotify(t.mem, flags, t.thread), flags);
}

/** Runs `body` with the open instance. Throws EBADF, and EINVAL for another file. */
function withInstance<T>(t: ThreadContext, fd: number, body: (file: number) => T): T {
  return withFile(t, fd, (file) => {
    if (!isInotify(t.mem, file)) throw new SyscallError(EINVAL);
    return body(file);
  });
}

function add(t: ThreadContext, fd: number, path: number, maskNumber: number): number {
  const mask = maskNumber | 0;
  const wrong = checkMask(mask);
  if (wrong < 0) return wrong;
  return withInstance(t, fd, (file) => {
    const place = existing(t, AT_FDCWD, pathArgument(t, path), (mask & IN_DONT_FOLLOW) === 0);
    requireAccess(t, subjectOf(t), place, MAY_READ);
    if ((mask & IN_ONLYDIR) !== 0 && typeOf(place) !== S_IFDIR) return -ENOTDIR;
    // What Guesthouse makes itself never changes by a call: its path is no host's, and nothing is told of it.
    if (place.kind !== 'host') return addWatch(t, file, `made:${place.path}`, { dev: 0, ino: 0 }, mask);
    const { dev = 0n, ino = 0n } = place.stats ?? {};
    return addWatch(t, file, place.hostPath, { dev: Number(dev), ino: Number(ino) }, mask);
  });
}

export const inotifyCalls: SyscallTable = {
  [SYS.SYS_inotify_init1]: syscall('inotify_init1', ['openFlags'], init),
  [SYS.SYS_inotify_add_watch]: syscall('inotify_add_watch', ['fd', 'path', 'hex'], add),
  [SYS.SYS_inotify_rm_watch]: syscall('inotify_rm_watch', ['fd', 'int'], (t, fd, descriptor) =>
    withInstance(t, fd, (file) => removeWatch(t, file, descriptor | 0)),
  ),
};
