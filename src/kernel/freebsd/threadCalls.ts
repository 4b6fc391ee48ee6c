import { copyIn, readCString, write64, writeU8 } from '../../memory/userAccess.js';
import { withMutex } from '../../sync/mutex.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Thread } from '../../sync/records/thread.js';
import {
  CLONE_FILES,
  CLONE_FS,
  CLONE_SIGHAND,
  CLONE_THREAD,
  CLONE_VFORK,
  CLONE_VM,
  cloneThread,
} from '../clone.js';
import { EINVAL, ENAMETOOLONG, EOPNOTSUPP, ERANGE, ESRCH } from '../errno.js';
import { setComm } from '../exec.js';
import { exitGroup } from '../exit.js';
import { threadByTidLocked } from '../guestRecords.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import * as LINUX from '../linux/syscallNumbers.js';
import { SIGCHLD } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { linuxCall } from './linuxCall.js';
import * as SYS from './syscallNumbers.js';
import { announceExit, umtxOp } from './umtx.js';

/** Threads and new processes: thr_new(2) and its like, fork, scheduling. */
const SP = 2;
const TP = 4;
const T0 = 5;
const A0 = 10;
const A1 = 11;

/** struct thr_param. */
const ThrParam = {
  start: 0,
  argument: 8,
  stackBase: 16,
  stackSize: 24,
  tlsBase: 32,
  childTid: 48,
  parentTid: 56,
  flags: 64,
  SIZE: 104,
} as const;
const THR_SUSPENDED = 1;
/** sizeof(struct tcb): the thread pointer stands behind it (cpu_set_user_tls). */
const TLS_TCB_SIZE = 16;

function thrNew(t: ThreadContext, pointer: number, size: number): number {
  if (size < 0 || size > ThrParam.SIZE) return -EINVAL;
  const bytes = new Uint8Array(ThrParam.SIZE);
  copyIn(t, pointer, bytes.subarray(0, size));
  const view = new DataView(bytes.buffer);
  const field = (offset: number) => Number(view.getBigUint64(offset, true));
  if (view.getUint32(ThrParam.flags, true) & THR_SUSPENDED) return -EOPNOTSUPP;
  const { mem } = t;
  const stack = field(ThrParam.stackBase) + field(ThrParam.stackSize);
  const start = view.getBigUint64(ThrParam.start, true);
  const storeTid = (va: number, tid: number): void => {
    if (va !== 0) write64(t, va, tid);
  };
  cloneThread(t, {
    flags: CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
    exitSignal: 0,
    stack: 0,
    tls: 0,
    parentTid: 0,
    childTid: 0,
    pidfd: 0,
    prepare: (child) => {
      const tid = mem.getU32(child + Thread.tid);
      storeTid(field(ThrParam.childTid), tid);
      storeTid(field(ThrParam.parentTid), tid);
      mem.u64[(child + Thread.pc) >>> 3] = start;
      mem.set64(child + Thread.x + SP * 8, Math.floor(stack / 16) * 16);
      mem.set64(child + Thread.x + TP * 8, field(ThrParam.tlsBase) + TLS_TCB_SIZE);
      mem.u64[(child + Thread.x + A0 * 8) >>> 3] = view.getBigUint64(ThrParam.argument, true);
    },
  });
  return 0;
}

const linuxExit = linuxCall(LINUX.SYS_exit);

function thrExit(t: ThreadContext, state: number): number {
  if (state !== 0) announceExit(t, state);
  return linuxExit(t, 0, 0, 0, 0, 0, 0);
}

function thrSetName(t: ThreadContext, id: number, name: number): number {
  const { mem, guest, thread } = t;
  const bytes = name === 0 ? new Uint8Array(0) : readCString(t, name, 20);
  if (bytes === undefined) return -ENAMETOOLONG;
  return withMutex(mem, guest + Guest.threadsLock, thread, () => {
    const target = threadByTidLocked(mem, guest, id);
    if (target === 0) return -ESRCH;
    setComm(mem, target, bytes);
    return 0;
  });
}

// --- new processes ---

/** The child of a fork returns 0, without an error. */
function newProcess(t: ThreadContext, flags: number): number {
  const { mem } = t;
  return cloneThread(t, {
    flags,
    exitSignal: SIGCHLD,
    stack: 0,
    tls: 0,
    parentTid: 0,
    childTid: 0,
    pidfd: 0,
    prepare: (child) => {
      mem.set64(child + Thread.x + A0 * 8, 0);
      mem.set64(child + Thread.x + A1 * 8, 0);
      mem.set64(child + Thread.x + T0 * 8, 0);
    },
  });
}

const RFFDG = 1 << 2;
const RFPROC = 1 << 4;
const RFMEM = 1 << 5;
const RFNOWAIT = 1 << 6;
const RFCFDG = 1 << 12;
const RFSIGSHARE = 1 << 14;
const RFSPAWN = 1 << 31;

/** rfork(2) with RFPROC: which resources the child shares. Changes of the calling process alone are not built. */
function rfork(t: ThreadContext, flagBits: number): number {
  const flags = flagBits | 0;
  if (flags & RFSPAWN) return newProcess(t, CLONE_VM | CLONE_VFORK);
  if ((flags & (RFFDG | RFCFDG)) === (RFFDG | RFCFDG)) return -EINVAL;
  if (!(flags & RFPROC) || flags & (RFCFDG | RFNOWAIT)) return -EOPNOTSUPP;
  let clone = 0;
  if (flags & RFMEM) clone |= CLONE_VM;
  if (!(flags & RFFDG)) clone |= CLONE_FILES;
  if (flags & RFSIGSHARE) {
    if (!(flags & RFMEM)) return -EINVAL;
    clone |= CLONE_SIGHAND;
  }
  return newProcess(t, clone);
}

// --- processors ---

const CPU_SETSIZE_BYTES = 128;

/** cpuset_getaffinity(level, which, id, size, mask): all processors of the machine, for whatever is asked. */
function cpusetGetaffinity(
  t: ThreadContext,
  _level: number,
  _which: number,
  _id: number,
  size: number,
  mask: number,
): number {
  const cpus = t.mem.getU32(MACHINE + Machine.cpuCount);
  if (size < Math.ceil(cpus / 8) || size > CPU_SETSIZE_BYTES) return -ERANGE;
  for (let i = 0; i < size; i++) {
    let bits = 0;
    for (let cpu = i * 8; cpu < Math.min(cpus, i * 8 + 8); cpu++) bits |= 1 << (cpu & 7);
    writeU8(t, mask + i, bits);
  }
  return 0;
}

export const threadCalls: SyscallTable = {
  [SYS.SYS_thr_new]: syscall('thr_new', ['pointer', 'int'], thrNew),
  [SYS.SYS_thr_exit]: syscall('thr_exit', ['pointer'], thrExit),
  [SYS.SYS_thr_self]: syscall('thr_self', ['pointer'], (t, va) => {
    write64(t, va, t.tid);
    return 0;
  }),
  [SYS.SYS_thr_set_name]: syscall('thr_set_name', ['long', 'string'], thrSetName),
  [SYS.SYS__umtx_op]: syscall('_umtx_op', ['pointer', 'int', 'hex', 'hex', 'pointer'], umtxOp),
  [SYS.SYS_exit]: syscall('exit', ['int'], (t, code) => {
    exitGroup(t, (code & 0xff) << 8);
    return 0;
  }),
  [SYS.SYS_fork]: syscall('fork', [], (t) => newProcess(t, 0)),
  [SYS.SYS_vfork]: syscall('vfork', [], (t) => newProcess(t, CLONE_VM | CLONE_VFORK)),
  [SYS.SYS_rfork]: syscall('rfork', ['hex'], rfork),
  [SYS.SYS_sched_yield]: syscall('sched_yield', [], linuxCall(LINUX.SYS_sched_yield)),
  [SYS.SYS_cpuset_getaffinity]: syscall(
    'cpuset_getaffinity',
    ['int', 'int', 'long', 'size', 'pointer'],
    cpusetGetaffinity,
  ),
};
