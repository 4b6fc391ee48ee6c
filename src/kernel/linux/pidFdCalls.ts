import { withMutex } from '../../sync/mutex.js';
import { GUEST_ZOMBIE, Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_MADE_DIRECTORY, OpenFile } from '../../sync/records/openFile.js';
import { ProcessId } from '../../sync/records/processId.js';
import { Thread } from '../../sync/records/thread.js';
import { maySignal } from '../capabilities.js';
import { EBADF, EINVAL, EPERM, ESRCH, SyscallError } from '../errno.js';
import { newDescriptor, withFile } from '../files/descriptors.js';
import { acquireFile, releaseFiles, retainFiles } from '../files/filesTable.js';
import { pathOf } from '../files/openFile.js';
import { O_CLOEXEC, O_NONBLOCK } from '../files/openFlags.js';
import { createPidFdLocked, processIdLocked, processIdOf, releaseProcessId } from '../files/pidFd.js';
import { sendSignal } from '../signals/pendingSignals.js';
import type { SigInfo } from '../signals/sigInfo.js';
import { SI_USER } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { mayAccessProcess } from './processMemoryCalls.js';
import { answer, ownInfo, readInfo, validSignal } from './signalCalls.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** Processes by descriptor: pidfd_open, pidfd_send_signal, pidfd_getfd. (waitid and clone know pidfds too.) */

/** Runs `visit` under Machine.guestsLock on the first guest that `matches`. Throws ESRCH when there is none. */
function withGuestLocked<T>(
  t: ThreadContext,
  matches: (guest: number) => boolean,
  visit: (guest: number) => T,
): T {
  const { mem, thread } = t;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest))
      if (matches(g)) return visit(g);
    throw new SyscallError(ESRCH);
  });
}

function pidfdOpen(t: ThreadContext, pidNumber: number, flags: number): number {
  const { mem, thread } = t;
  const pid = pidNumber | 0;
  if ((flags & ~O_NONBLOCK) !== 0 || pid <= 0) return -EINVAL;
  const file = withGuestLocked(
    t,
    (g) => mem.getU32(g + Guest.pid) === pid,
    (g) => createPidFdLocked(mem, g, flags, thread),
  );
  return newDescriptor(t, file, O_CLOEXEC);
}

/**
 * The ProcessId of the process whose directory in /proc is open as `file`, with a reference, or 0: pidfd_send_signal takes
 * those, too.
 */
function processOfDirectory(t: ThreadContext, file: number): number {
  const { mem, thread } = t;
  if (mem.getU32(file + OpenFile.kind) !== FILE_MADE_DIRECTORY) return 0;
  const pid = Number(/^\/proc\/(\d+)$/.exec(pathOf(mem, file))?.[1] ?? 0);
  if (pid === 0) return 0;
  return withGuestLocked(
    t,
    (g) => mem.getU32(g + Guest.pid) === pid,
    (g) => {
      const process = processIdLocked(mem, g, thread);
      mem.atomicAdd(process + ProcessId.refs, 1);
      return process;
    },
  );
}

/** Runs `body` with the ProcessId of descriptor `fd`. Throws EBADF. */
function withProcess<T>(t: ThreadContext, fd: number, body: (process: number) => T, directories = false): T {
  return withFile(t, fd, (file) => {
    const process = processIdOf(t.mem, file);
    if (process !== 0) return body(process);
    const named = directories ? processOfDirectory(t, file) : 0;
    if (named === 0) throw new SyscallError(EBADF);
    try {
      return body(named);
    } finally {
      releaseProcessId(t.mem, named, t.thread);
    }
  });
}

const PIDFD_SIGNAL_THREAD_GROUP = 2;
const PIDFD_SIGNAL_PROCESS_GROUP = 4;

function pidfdSendSignal(
  t: ThreadContext,
  fd: number,
  signalNumber: number,
  infoPointer: number,
  flags: number,
): number {
  const { mem, thread, guest } = t;
  const signal = signalNumber | 0;
  // At most one scope; PIDFD_SIGNAL_THREAD wants a descriptor of a thread, which there is none of.
  if (flags !== 0 && flags !== PIDFD_SIGNAL_THREAD_GROUP && flags !== PIDFD_SIGNAL_PROCESS_GROUP)
    return -EINVAL;
  return withProcess(
    t,
    fd,
    (process) => {
      const pid = mem.getU32(process + ProcessId.pid);
      let info: SigInfo;
      if (infoPointer === 0) info = ownInfo(t, signal, SI_USER);
      else {
        info = readInfo(t, infoPointer, undefined, pid);
        if (new DataView(info.buffer, info.byteOffset).getInt32(0, true) !== signal) return -EINVAL;
      }
      validSignal(signal);
      const send = (g: number): number => {
        if (!maySignal(t, g, signal)) return -EPERM;
        if (signal === 0 || mem.atomicLoad(g + Guest.phase) === GUEST_ZOMBIE) return 0;
        return answer(sendSignal(mem, thread, g, 0, signal, info));
      };
      if (flags !== PIDFD_SIGNAL_PROCESS_GROUP) {
        if (mem.getU32(guest + Guest.processId) === process) return send(guest);
        return withGuestLocked(t, (g) => mem.getU32(g + Guest.processId) === process, send);
      }
      let result = 0;
      let found = false;
      withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
        for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest)) {
          if (mem.getU32(g + Guest.pgid) !== pid) continue;
          found = true;
          result = send(g);
        }
      });
      return found ? result : -ESRCH;
    },
    true,
  );
}

/** A copy of descriptor `target` of the process. */
function pidfdGetfd(t: ThreadContext, fd: number, target: number, flags: number): number {
  const { mem, thread } = t;
  if ((flags | 0) !== 0) return -EINVAL;
  return withProcess(t, fd, (process) => {
    if (!mayAccessProcess(t, mem.getU32(process + ProcessId.pid))) return -EPERM;
    const files = withGuestLocked(
      t,
      (g) => mem.getU32(g + Guest.processId) === process,
      (g) =>
        withMutex(mem, g + Guest.threadsLock, thread, () => {
          for (let o = mem.getU32(g + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest)) {
            const table = mem.getU32(o + Thread.files);
            // A thread that ends has let go of its table, and waits for threadsLock before that goes.
            if (table === 0) continue;
            retainFiles(mem, table);
            return table;
          }
          throw new SyscallError(ESRCH);
        }),
    );
    try {
      const file = acquireFile(mem, files, target | 0, thread);
      return file === 0 ? -EBADF : newDescriptor(t, file, O_CLOEXEC);
    } finally {
      releaseFiles(mem, files, thread);
    }
  });
}

export const pidFdCalls: SyscallTable = {
  [SYS.SYS_pidfd_open]: syscall('pidfd_open', ['int', 'hex'], pidfdOpen),
  [SYS.SYS_pidfd_send_signal]: syscall(
    'pidfd_send_signal',
    ['fd', 'signal', 'pointer', 'hex'],
    pidfdSendSignal,
  ),
  [SYS.SYS_pidfd_getfd]: syscall('pidfd_getfd', ['fd', 'fd', 'hex'], pidfdGetfd),
};
