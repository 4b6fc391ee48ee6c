import { copyIn, readI32 } from '../../memory/userAccess.js';
import { Mm } from '../../sync/records/mm.js';
import { ATTENTION_EXIT, Thread } from '../../sync/records/thread.js';
import { quiesceOthers } from '../../sync/safepoint.js';
import {
  CLONE_CLEAR_SIGHAND,
  CLONE_DETACHED,
  CLONE_INTO_CGROUP,
  CLONE_NEWTIME,
  CLONE_PARENT,
  CLONE_SIGHAND,
  CLONE_THREAD,
  cloneThread,
} from '../clone.js';
import { E2BIG, EINVAL, EPERM, SyscallError } from '../errno.js';
import { exitGroup } from '../exit.js';
import type { ThreadContext } from '../threadContext.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** Threads: clone, exit, ids, membarrier. */
/** clone(flags, stack, parent_tid, tls, child_tid): RISC-V has CLONE_BACKWARDS. */
function clone(
  t: ThreadContext,
  flags: number,
  stack: number,
  parentTid: number,
  tls: number,
  childTid: number,
): number {
  const low = flags >>> 0;
  return cloneThread(t, {
    flags: low - (low & 0xff),
    exitSignal: low & 0xff,
    stack,
    tls,
    parentTid,
    childTid,
    pidfd: parentTid,
  });
}

/** struct clone_args of clone3(2), all __aligned_u64. */
const CloneArgs = {
  flags: 0,
  pidfd: 8,
  childTid: 16,
  parentTid: 24,
  exitSignal: 32,
  stack: 40,
  stackSize: 48,
  tls: 56,
  setTid: 64,
  setTidSize: 72,
  cgroup: 80,
  SIZE: 88,
} as const;
const CLONE_ARGS_SIZE_VER0 = 64;
/** CLONE_DETACHED and the bits of clone's exit signal are no flags of clone3, but for the one that CLONE_NEWTIME has. */
const NO_FLAGS = CLONE_DETACHED | (0xff & ~CLONE_NEWTIME);

function clone3(t: ThreadContext, pointer: number, size: number): number {
  if (size < 0 || size > 4096) return -E2BIG;
  if (size < CLONE_ARGS_SIZE_VER0) return -EINVAL;
  const bytes = new Uint8Array(Math.max(size, CloneArgs.SIZE));
  copyIn(t, pointer, bytes.subarray(0, size));
  for (let i = CloneArgs.SIZE; i < size; i++) if (bytes[i] !== 0) return -E2BIG;
  const view = new DataView(bytes.buffer);
  const field = (offset: number) => Number(view.getBigUint64(offset, true));
  const exitSignal = field(CloneArgs.exitSignal);
  const flags = field(CloneArgs.flags);
  if (exitSignal > 64 || (flags & NO_FLAGS) !== 0 || flags >= 2 * CLONE_INTO_CGROUP) return -EINVAL;
  const cgroup = field(CloneArgs.cgroup);
  if (flags >= CLONE_INTO_CGROUP && (cgroup > 0x7fff_ffff || size < CloneArgs.SIZE)) return -EINVAL;
  const clears = Math.floor(flags / CLONE_CLEAR_SIGHAND) % 2 === 1;
  if (clears && (flags & CLONE_SIGHAND) !== 0) return -EINVAL;
  if (exitSignal !== 0 && (flags & (CLONE_THREAD | CLONE_PARENT)) !== 0) return -EINVAL;
  const stack = field(CloneArgs.stack);
  const stackSize = field(CloneArgs.stackSize);
  if ((stack === 0) !== (stackSize === 0) || stack + stackSize > t.mem.getU64(t.mm + Mm.taskSize))
    return -EINVAL;
  const setTid = wantedTid(t, field(CloneArgs.setTid), field(CloneArgs.setTidSize));
  return cloneThread(t, {
    flags,
    exitSignal,
    stack: stack + stackSize,
    tls: field(CloneArgs.tls),
    parentTid: field(CloneArgs.parentTid),
    childTid: field(CloneArgs.childTid),
    pidfd: field(CloneArgs.pidfd),
    setTid,
  });
}

/** The id that set_tid asks for; there is one pid namespace. */
function wantedTid(t: ThreadContext, pointer: number, size: number): number | undefined {
  if ((pointer === 0) !== (size === 0) || size > 32) throw new SyscallError(EINVAL);
  if (size === 0) return undefined;
  if (size > 1) throw new SyscallError(EINVAL);
  return readI32(t, pointer);
}

/** Only this thread ends; the run loop sees the attention bit. */
function exit(t: ThreadContext, code: number): number {
  const { mem, thread } = t;
  mem.setU32(thread + Thread.exitStatus, (code & 0xff) << 8);
  mem.atomicOr(thread + Thread.attention, ATTENTION_EXIT);
  return 0;
}

function exitGroupCall(t: ThreadContext, code: number): number {
  exitGroup(t, (code & 0xff) << 8);
  return 0;
}

function setTidAddress(t: ThreadContext, va: number): number {
  t.mem.set64(t.thread + Thread.clearChildTid, va);
  return t.tid;
}

// --- membarrier(2) ---

const MEMBARRIER_QUERY = 0;
const MEMBARRIER_GLOBAL = 1;
const MEMBARRIER_GLOBAL_EXPEDITED = 2;
const MEMBARRIER_REGISTER_GLOBAL_EXPEDITED = 4;
const MEMBARRIER_PRIVATE_EXPEDITED = 8;
const MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 16;
const MEMBARRIER_SUPPORTED = 1 | 2 | 4 | 8 | 16;

function membarrier(t: ThreadContext, command: number, flags: number): number {
  const { mem, mm, thread } = t;
  if ((flags | 0) !== 0) return -EINVAL;
  const registered = mm + Mm.membarrierFlags;
  switch (command | 0) {
    case MEMBARRIER_QUERY:
      return MEMBARRIER_SUPPORTED;
    case MEMBARRIER_GLOBAL:
    case MEMBARRIER_GLOBAL_EXPEDITED:
      quiesceOthers(mem, mm, thread, thread);
      return 0;
    case MEMBARRIER_REGISTER_GLOBAL_EXPEDITED:
      return 0;
    case MEMBARRIER_REGISTER_PRIVATE_EXPEDITED:
      mem.atomicOr(registered, MEMBARRIER_REGISTER_PRIVATE_EXPEDITED);
      return 0;
    case MEMBARRIER_PRIVATE_EXPEDITED:
      if ((mem.atomicLoad(registered) & MEMBARRIER_REGISTER_PRIVATE_EXPEDITED) === 0) return -EPERM;
      // Passing a safepoint is a full barrier.
      quiesceOthers(mem, mm, thread, thread);
      return 0;
    default:
      return -EINVAL;
  }
}

export const threadCalls: SyscallTable = {
  [SYS.SYS_clone]: syscall('clone', ['cloneFlags', 'pointer', 'pointer', 'hex', 'pointer'], clone),
  [SYS.SYS_clone3]: syscall('clone3', ['pointer', 'size'], clone3),
  [SYS.SYS_exit]: syscall('exit', ['int'], exit),
  [SYS.SYS_exit_group]: syscall('exit_group', ['int'], exitGroupCall),
  [SYS.SYS_set_tid_address]: syscall('set_tid_address', ['pointer'], setTidAddress),
  [SYS.SYS_gettid]: syscall('gettid', [], (t) => t.tid),
  [SYS.SYS_membarrier]: syscall('membarrier', ['int', 'hex', 'int'], membarrier),
};
