import { Guest } from '../../sync/records/guest.js';
import { Mm } from '../../sync/records/mm.js';
import { Sighand } from '../../sync/records/signals.js';
import { Thread } from '../../sync/records/thread.js';
import { CAP_SYS_ADMIN, capable } from '../capabilities.js';
import {
  CLONE_FILES,
  CLONE_FS,
  CLONE_NEWANY,
  CLONE_NEWTIME,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
} from '../clone.js';
import { EBADF, EINVAL, EPERM, ESRCH, SyscallError } from '../errno.js';
import { withFile } from '../files/descriptors.js';
import { acquireFile } from '../files/filesTable.js';
import { namespaceFlag } from '../files/namespaces.js';
import { pathOf, releaseOpenFile } from '../files/openFile.js';
import { processIdOf } from '../files/pidFd.js';
import { undoListOf, unshareUndoList } from '../semaphoreUndos.js';
import type { ThreadContext } from '../threadContext.js';
import { unshareFiles, unshareFs } from '../unshare.js';
import { withThread } from '../withThread.js';
import { mayAccessProcess } from './processMemoryCalls.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** unshare(2), setns(2), kcmp(2). There are no namespaces but the machine's own. */

const CLONE_NEWUSER = 0x1000_0000;

function unshare(t: ThreadContext, flagBits: number): number {
  const { mem } = t;
  const flags = flagBits | 0;
  const alone = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  const known = alone | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_NEWANY | CLONE_NEWTIME;
  if ((flags & ~known) !== 0) return -EINVAL;
  if ((flags & alone) !== 0 && mem.atomicLoad(t.guest + Guest.threadCount) > 1) return -EINVAL;
  if ((flags & (CLONE_SIGHAND | CLONE_VM)) !== 0 && mem.atomicLoad(t.sighand + Sighand.refs) > 1)
    return -EINVAL;
  if ((flags & CLONE_VM) !== 0 && mem.atomicLoad(t.mm + Mm.refs) > 1) return -EINVAL;
  if ((flags & (CLONE_NEWANY | CLONE_NEWTIME)) !== 0) return -EPERM;
  if ((flags & CLONE_SYSVSEM) !== 0) unshareUndoList(t);
  if ((flags & CLONE_FS) !== 0) unshareFs(t);
  if ((flags & CLONE_FILES) !== 0) unshareFiles(t);
  return 0;
}

/** setns(2): a process is in all the namespaces there are; entering the user namespace again is an error (userns_install). */
function setns(t: ThreadContext, fd: number, typeNumber: number): number {
  const type = typeNumber | 0;
  const known = CLONE_NEWANY | CLONE_NEWTIME;
  return withFile(t, fd, (file) => {
    let flags = namespaceFlag(pathOf(t.mem, file));
    if (processIdOf(t.mem, file) !== 0) {
      if (type === 0 || (type & ~known) !== 0) return -EINVAL;
      flags = type;
    } else if (flags === 0 || (type !== 0 && type !== flags)) return -EINVAL;
    if (flags & CLONE_NEWUSER) return -EINVAL;
    return capable(t, CAP_SYS_ADMIN) ? 0 : -EPERM;
  });
}

const KCMP_FILE = 0;
/** KCMP_VM, FILES, FS, SIGHAND: what of the threads is compared. */
const COMPARED: Readonly<Record<number, number>> = {
  1: Thread.mm,
  2: Thread.files,
  3: Thread.fs,
  4: Thread.sighand,
};
const KCMP_IO = 5;
const KCMP_SYSVSEM = 6;

/** 0 when both are the same, 1 or 2 by the order of their addresses. */
function order(a: number, b: number): number {
  return a === b ? 0 : a < b ? 1 : 2;
}

function kcmp(
  t: ThreadContext,
  tid1: number,
  tid2: number,
  type: number,
  index1: number,
  index2: number,
): number {
  const { mem } = t;
  const tids = [tid1 | 0, tid2 | 0];
  // 0 is nobody's id here.
  if (tids.includes(0)) return -ESRCH;
  for (const tid of tids) {
    const pid = withThread(t, tid, (thread) => mem.getU32(mem.getU32(thread + Thread.guest) + Guest.pid));
    if (!mayAccessProcess(t, pid)) return -EPERM;
  }
  const kind = type | 0;
  if (kind === KCMP_FILE) {
    const [a, b] = [fileOf(t, tids[0], index1), fileOf(t, tids[1], index2)];
    return order(a, b);
  }
  const field = COMPARED[kind];
  if (field === undefined && kind !== KCMP_IO && kind !== KCMP_SYSVSEM) return -EINVAL;
  const [a, b] = tids.map((tid) =>
    withThread(t, tid, (thread) => {
      if (kind === KCMP_SYSVSEM) return undoListOf(mem, thread);
      return field === undefined ? 0 : mem.getU32(thread + field);
    }),
  );
  return order(a, b);
}

/** The open file behind a descriptor of a thread; only its address is of interest. */
function fileOf(t: ThreadContext, tid: number, fd: number): number {
  const { mem } = t;
  const file = withThread(t, tid, (thread) => {
    const files = mem.getU32(thread + Thread.files);
    return files === 0 ? 0 : acquireFile(mem, files, fd | 0, t.thread);
  });
  if (file === 0) throw new SyscallError(EBADF);
  releaseOpenFile(mem, file, t.thread);
  return file;
}

export const namespaceCalls: SyscallTable = {
  [SYS.SYS_unshare]: syscall('unshare', ['cloneFlags'], unshare),
  [SYS.SYS_setns]: syscall('setns', ['fd', 'hex'], setns),
  [SYS.SYS_kcmp]: syscall('kcmp', ['int', 'int', 'int', 'long', 'long'], kcmp),
};
