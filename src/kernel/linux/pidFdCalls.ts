import { withMutex } from '../../sync/mutex.js';
import { GUEST_ZOMBIE, Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_MADE_DIRECTORY, OpenFile } from '../../sync/records/openFile.js';
import { ProcessId } from '../../sync/records/processId.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { maySignal } from '../capabilities.js';
import { EBADF, EINVAL, ENOENT, EPERM, ESRCH, SyscallError } from '../errno.js';
import { newDescriptor, withFile } from '../files/descriptors.js';
import { acquireFile, releaseFiles, retainFiles } from '../files/filesTable.js';
import { flagsOf, pathOf } from '../files/openFile.js';
import { O_CLOEXEC, O_NONBLOCK } from '../files/openFlags.js';
import {
  createPidFdLocked,
  createThreadFdLocked,
  PIDFD_THREAD,
  processIdLocked,
  processIdOf,
  releaseProcessId,
} from '../files/pidFd.js';
import { threadByTidLocked } from '../guestRecords.js';
import { sendSignal, sendSignalLocked } from '../signals/pendingSignals.js';
import type { SigInfo } from '../signals/sigInfo.js';
import { SI_TKILL, SI_USER } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { mayAccessProcess } from './processMemoryCalls.js';
import { answer, ownInfo, readInfo, validSignal } from './signalCalls.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** Processes and threads by descriptor: pidfd_open, pidfd_send_signal, pidfd_getfd. (waitid and clone know pidfds too.) */

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
  if ((flags & ~(O_NONBLOCK | PIDFD_THREAD)) !== 0 || pid <= 0) return -EINVAL;
  const file = withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    let made = 0;
    visitGuestsLocked(mem, (g) => {
      if (mem.getU32(g + Guest.pid) === pid) made = createPidFdLocked(mem, g, flags, thread);
      else
        withMutex(mem, g + Guest.threadsLock, thread, () => {
          const found = threadByTidLocked(mem, g, pid);
          if (found === 0) return;
          // The id of a thread that is not the first is no process's.
          if ((flags & PIDFD_THREAD) === 0) throw new SyscallError(ENOENT);
          made = createThreadFdLocked(mem, g, found, flags, thread);
        });
      return made !== 0;
    });
    return made;
  });
  return file === 0 ? -ESRCH : newDescriptor(t, file, O_CLOEXEC);
}

/** Calls `visit` for every guest until it returns true. Machine.guestsLock is held. */
function visitGuestsLocked(mem: SharedMemory, visit: (guest: number) => boolean): void {
  for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest))
    if (visit(g)) return;
}

/** Runs `visit` with the thread that ProcessId `process` stands for and its guest, under the guest's threadsLock. Throws ESRCH when it has ended. */
function withThreadLocked<T>(
  t: ThreadContext,
  process: number,
  visit: (guest: number, thread: number) => T,
): T {
  const { mem, thread } = t;
  const pid = mem.getU32(process + ProcessId.pid);
  return withGuestLocked(
    t,
    (g) => mem.getU32(g + Guest.pid) === pid,
    (g) =>
      withMutex(mem, g + Guest.threadsLock, thread, () => {
        const found = threadByTidLocked(mem, g, mem.getU32(process + ProcessId.tid));
        if (found === 0 || mem.getU32(found + Thread.processId) !== process) throw new SyscallError(ESRCH);
        return visit(g, found);
      }),
  );
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

/** Runs `body` with the ProcessId of descriptor `fd`, and whether that is of one thread (PIDFD_THREAD). Throws EBADF. */
function withProcess<T>(
  t: ThreadContext,
  fd: number,
  body: (process: number, isThread: boolean) => T,
  directories = false,
): T {
  return withFile(t, fd, (file) => {
    const process = processIdOf(t.mem, file);
    if (process !== 0) return body(process, (flagsOf(t.mem, file) & PIDFD_THREAD) !== 0);
    const named = directories ? processOfDirectory(t, file) : 0;
    if (named === 0) throw new SyscallError(EBADF);
    try {
      return body(named, false);
    } finally {
      releaseProcessId(t.mem, named, t.thread);
    }
  });
}

const PIDFD_SIGNAL_THREAD = 1;
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
  // At most one scope.
  if (![0, PIDFD_SIGNAL_THREAD, PIDFD_SIGNAL_THREAD_GROUP, PIDFD_SIGNAL_PROCESS_GROUP].includes(flags))
    return -EINVAL;
  return withProcess(
    t,
    fd,
    (process, isThread) => {
      const pid = mem.getU32(process + ProcessId.pid);
      const tid = mem.getU32(process + ProcessId.tid);
      const toThread = flags === 0 ? isThread : flags === PIDFD_SIGNAL_THREAD;
      let info: SigInfo;
      if (infoPointer === 0) info = ownInfo(t, signal, toThread ? SI_TKILL : SI_USER);
      else {
        info = readInfo(
          t,
          infoPointer,
          undefined,
          (tid || pid) === t.tid ? mem.getU32(guest + Guest.pid) : 0,
        );
        if (new DataView(info.buffer, info.byteOffset).getInt32(0, true) !== signal) return -EINVAL;
      }
      validSignal(signal);
      const send = (g: number): number => {
        if (!maySignal(t, g, signal)) return -EPERM;
        if (signal === 0 || mem.atomicLoad(g + Guest.phase) === GUEST_ZOMBIE) return 0;
        return answer(sendSignal(mem, thread, g, 0, signal, info));
      };
      if (toThread || (tid !== 0 && flags !== PIDFD_SIGNAL_PROCESS_GROUP)) {
        const sendTo = (g: number, target: number): number => {
          if (!maySignal(t, g, signal)) return -EPERM;
          // The first thread may have ended before the others.
          if (signal === 0 || target === 0) return 0;
          return answer(sendSignalLocked(mem, thread, g, toThread ? target : 0, signal, info));
        };
        if (tid !== 0) return withThreadLocked(t, process, sendTo);
        return withGuestLocked(
          t,
          (g) => mem.getU32(g + Guest.processId) === process,
          (g) =>
            withMutex(mem, g + Guest.threadsLock, thread, () => sendTo(g, threadByTidLocked(mem, g, pid))),
        );
      }
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
    // A thread that ends has let go of its table, and waits for threadsLock before that goes.
    const tableOfLocked = (first: number, all: boolean): number => {
      for (let o = first; o !== 0; o = all ? mem.getU32(o + Thread.nextInGuest) : 0) {
        const table = mem.getU32(o + Thread.files);
        if (table === 0) continue;
        retainFiles(mem, table);
        return table;
      }
      throw new SyscallError(ESRCH);
    };
    const files =
      mem.getU32(process + ProcessId.tid) !== 0
        ? withThreadLocked(t, process, (_, one) => tableOfLocked(one, false))
        : withGuestLocked(
            t,
            (g) => mem.getU32(g + Guest.processId) === process,
            (g) =>
              withMutex(mem, g + Guest.threadsLock, thread, () =>
                tableOfLocked(mem.getU32(g + Guest.threads), true),
              ),
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
