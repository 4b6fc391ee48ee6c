import { copyIn, copyOut, readU32, writeU32 } from '../../memory/userAccess.js';
import { withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Thread } from '../../sync/records/thread.js';
import { CAP_SYS_NICE, capable } from '../capabilities.js';
import { E2BIG, EACCES, EINVAL, EPERM, ESRCH, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { withThread } from '../withThread.js';
import { writeTimespec } from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/**
 * Scheduling: policies, priorities, niceness, processors. All of it is kept and told as Linux does; which thread runs when, and
 * where, is the host's affair.
 */
const SCHED_OTHER = 0;
const SCHED_FIFO = 1;
const SCHED_RR = 2;
const SCHED_BATCH = 3;
const SCHED_IDLE = 5;
const SCHED_DEADLINE = 6;
const SCHED_RESET_ON_FORK = 0x4000_0000;

// --- processors ---

/** The processors a guest sees, one bit each, in whole words of 8 bytes. */
function allProcessors(t: ThreadContext): Uint8Array {
  const cpus = t.mem.getU32(MACHINE + Machine.cpuCount);
  const mask = new Uint8Array(Math.ceil(cpus / 64) * 8);
  for (let cpu = 0; cpu < cpus; cpu++) mask[cpu >> 3] |= 1 << (cpu & 7);
  return mask;
}

/** Processors that Thread.affinity has bits for; of a machine with more, the others are always allowed. */
const AFFINITY_BYTES = 8;

function schedGetaffinity(t: ThreadContext, pid: number, size: number, pointer: number): number {
  if ((pid | 0) < 0) return -ESRCH;
  const mask = allProcessors(t);
  if (size % 8 !== 0 || size < mask.length) return -EINVAL;
  withThread(t, pid, (thread) => {
    const set = t.mem.u8.subarray(thread + Thread.affinity, thread + Thread.affinity + AFFINITY_BYTES);
    if (set.some((byte) => byte !== 0)) mask.set(set);
  });
  copyOut(t, pointer, mask);
  return mask.length;
}

function schedSetaffinity(t: ThreadContext, pid: number, size: number, pointer: number): number {
  if ((pid | 0) < 0) return -ESRCH;
  const wanted = new Uint8Array(128);
  copyIn(t, pointer, wanted.subarray(0, Math.min(Math.max(size, 0), wanted.length)));
  withThread(t, pid, (thread) => requireSameOwner(t, thread));
  const present = allProcessors(t);
  let any = false;
  for (let i = 0; i < wanted.length; i++) {
    wanted[i] &= present[i] ?? 0;
    any ||= wanted[i] !== 0;
  }
  if (!any) return -EINVAL;
  withThread(t, pid, (thread) => t.mem.u8.set(wanted.subarray(0, AFFINITY_BYTES), thread + Thread.affinity));
  return 0;
}

/** The first processor that the caller may run on: which one it is on nobody knows. */
function getcpu(t: ThreadContext, cpu: number, node: number): number {
  const [low, high] = [0, 4].map((at) => t.mem.getU32(t.thread + Thread.affinity + at));
  const first = low !== 0 ? lowestBit(low) : high !== 0 ? 32 + lowestBit(high) : 0;
  if (cpu !== 0) writeU32(t, cpu, first);
  if (node !== 0) writeU32(t, node, 0);
  return 0;
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

/** Yields in a row sleep now and then: what else can give a processor away that spinning threads fight for? */
function schedYield(): number {
  if ((++yields & 7) === 0) Atomics.wait(yieldWord, 0, 0, 0.01);
  return 0;
}
const yieldWord = new Int32Array(new SharedArrayBuffer(4));
let yields = 0;

// --- policies ---

interface Policy {
  readonly kind: number;
  readonly priority: number;
  readonly resetOnFork: boolean;
}

function policyOf(t: ThreadContext, thread: number): Policy {
  const word = t.mem.getU32(thread + Thread.schedulingPolicy);
  return {
    kind: word & ~SCHED_RESET_ON_FORK,
    priority: t.mem.getU32(thread + Thread.schedulingPriority),
    resetOnFork: (word & SCHED_RESET_ON_FORK) !== 0,
  };
}

/** Whether the thread is of the caller's user, or the caller may change everybody's (check_same_owner, set_one_prio_perm). */
function isSameOwner(t: ThreadContext, thread: number): boolean {
  const { mem } = t;
  const user = mem.getU32(t.cred + Cred.uids + 4);
  const guest = mem.getU32(thread + Thread.guest);
  return (
    [0, 4].some((which) => mem.getU32(guest + Guest.cred + Cred.uids + which) === user) ||
    capable(t, CAP_SYS_NICE)
  );
}

function requireSameOwner(t: ThreadContext, thread: number): void {
  if (!isSameOwner(t, thread)) throw new SyscallError(EPERM);
}

/** __sched_setscheduler: checks the policy, then whether the caller may have it. Throws SyscallError. */
function setPolicy(t: ThreadContext, thread: number, wanted: Policy): void {
  const { kind, priority } = wanted;
  const realtime = kind === SCHED_FIFO || kind === SCHED_RR;
  if (!realtime && kind !== SCHED_OTHER && kind !== SCHED_BATCH && kind !== SCHED_IDLE)
    throw new SyscallError(EINVAL);
  if (priority < 0 || priority > 99 || realtime !== (priority !== 0)) throw new SyscallError(EINVAL);
  const now = policyOf(t, thread);
  if (!capable(t, CAP_SYS_NICE)) {
    requireSameOwner(t, thread);
    if (realtime && (kind !== now.kind || priority > now.priority)) throw new SyscallError(EPERM);
    if (now.resetOnFork && !wanted.resetOnFork) throw new SyscallError(EPERM);
  }
  const word = kind | (wanted.resetOnFork ? SCHED_RESET_ON_FORK : 0);
  t.mem.setU32(thread + Thread.schedulingPolicy, word);
  t.mem.setU32(thread + Thread.schedulingPriority, priority);
}

function schedSetscheduler(t: ThreadContext, pid: number, policy: number, param: number): number {
  if (param === 0 || (pid | 0) < 0 || (policy | 0) < 0) return -EINVAL;
  const priority = readU32(t, param) | 0;
  const word = policy | 0;
  const kind = word & ~SCHED_RESET_ON_FORK;
  const resetOnFork = (word & SCHED_RESET_ON_FORK) !== 0;
  withThread(t, pid, (thread) => setPolicy(t, thread, { kind, priority, resetOnFork }));
  return 0;
}

function schedSetparam(t: ThreadContext, pid: number, param: number): number {
  if (param === 0 || (pid | 0) < 0) return -EINVAL;
  const priority = readU32(t, param) | 0;
  withThread(t, pid, (thread) => setPolicy(t, thread, { ...policyOf(t, thread), priority }));
  return 0;
}

function schedGetscheduler(t: ThreadContext, pid: number): number {
  if ((pid | 0) < 0) return -EINVAL;
  return withThread(t, pid, (thread) => t.mem.getU32(thread + Thread.schedulingPolicy));
}

function schedGetparam(t: ThreadContext, pid: number, param: number): number {
  if (param === 0 || (pid | 0) < 0) return -EINVAL;
  const { priority } = withThread(t, pid, (thread) => policyOf(t, thread));
  writeU32(t, param, priority);
  return 0;
}

/** struct sched_attr (include/uapi/linux/sched/types.h) as its first version has it. */
const Attr = { size: 0, policy: 4, flags: 8, nice: 16, priority: 20, SIZE: 48 } as const;
const SCHED_FLAG_RESET_ON_FORK = 1;

function schedSetattr(t: ThreadContext, pid: number, pointer: number, flags: number): number {
  if (pointer === 0 || (pid | 0) < 0 || (flags | 0) !== 0) return -EINVAL;
  const size = readU32(t, pointer) || Attr.SIZE;
  if (size < Attr.SIZE || size > 4096) {
    writeU32(t, pointer, Attr.SIZE);
    return -E2BIG;
  }
  const bytes = new Uint8Array(size);
  copyIn(t, pointer, bytes);
  if (bytes.subarray(Attr.SIZE).some((byte) => byte !== 0)) {
    writeU32(t, pointer, Attr.SIZE);
    return -E2BIG;
  }
  const view = new DataView(bytes.buffer);
  const kind = view.getInt32(Attr.policy, true);
  const attrFlags = view.getBigUint64(Attr.flags, true);
  if (kind < 0 || attrFlags > 1n) return -EINVAL;
  const resetOnFork = (Number(attrFlags) & SCHED_FLAG_RESET_ON_FORK) !== 0;
  const niceness = Math.min(19, Math.max(-20, view.getInt32(Attr.nice, true)));
  withThread(t, pid, (thread) => {
    const nice = kind === SCHED_OTHER || kind === SCHED_BATCH;
    if (nice && niceness < t.mem.getI32(thread + Thread.niceness) && !capable(t, CAP_SYS_NICE))
      throw new SyscallError(EPERM);
    setPolicy(t, thread, { kind, priority: view.getInt32(Attr.priority, true), resetOnFork });
    if (nice) t.mem.setI32(thread + Thread.niceness, niceness);
  });
  return 0;
}

function schedGetattr(t: ThreadContext, pid: number, pointer: number, size: number, flags: number): number {
  if (pointer === 0 || (pid | 0) < 0 || size < Attr.SIZE || size > 4096 || (flags | 0) !== 0) return -EINVAL;
  const bytes = new Uint8Array(Attr.SIZE);
  const view = new DataView(bytes.buffer);
  withThread(t, pid, (thread) => {
    const { kind, priority, resetOnFork } = policyOf(t, thread);
    view.setUint32(Attr.size, Attr.SIZE, true);
    view.setUint32(Attr.policy, kind, true);
    view.setUint32(Attr.flags, resetOnFork ? SCHED_FLAG_RESET_ON_FORK : 0, true);
    view.setInt32(Attr.nice, t.mem.getI32(thread + Thread.niceness), true);
    view.setUint32(Attr.priority, priority, true);
  });
  copyOut(t, pointer, bytes);
  return 0;
}

function priorityRange(policy: number, realtime: number): number {
  switch (policy | 0) {
    case SCHED_FIFO:
    case SCHED_RR:
      return realtime;
    case SCHED_OTHER:
    case SCHED_BATCH:
    case SCHED_IDLE:
    case SCHED_DEADLINE:
      return 0;
    default:
      return -EINVAL;
  }
}

/** Time slices, milliseconds: of SCHED_RR, and of ordinary threads. SCHED_FIFO has none. */
const RR_SLICE = 100;
const FAIR_SLICE = 3;

function schedRrGetInterval(t: ThreadContext, pid: number, pointer: number): number {
  if ((pid | 0) < 0) return -EINVAL;
  const { kind } = withThread(t, pid, (thread) => policyOf(t, thread));
  writeTimespec(t, pointer, kind === SCHED_RR ? RR_SLICE : kind === SCHED_FIFO ? 0 : FAIR_SLICE);
  return 0;
}

// --- niceness ---

const PRIO_PROCESS = 0;
const PRIO_PGRP = 1;
const PRIO_USER = 2;

/** Runs `visit` with every thread that (which, who) names; throws ESRCH when there is none. */
function visitThreads(
  t: ThreadContext,
  which: number,
  whoNumber: number,
  visit: (thread: number) => void,
): void {
  const { mem, thread, guest } = t;
  const who = whoNumber | 0;
  if (which === PRIO_PROCESS) {
    withThread(t, who, visit);
    return;
  }
  const field = which === PRIO_PGRP ? Guest.pgid : Guest.cred + Cred.uids;
  const own = which === PRIO_PGRP ? guest + Guest.pgid : t.cred + Cred.uids;
  const wanted = who === 0 ? mem.getU32(own) : who >>> 0;
  let found = false;
  withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest)) {
      if (mem.getU32(g + field) !== wanted) continue;
      withMutex(mem, g + Guest.threadsLock, thread, () => {
        for (let o = mem.getU32(g + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest)) {
          found = true;
          visit(o);
        }
      });
    }
  });
  if (!found) throw new SyscallError(ESRCH);
}

/** Answers 20 less the lowest niceness, so that it is never negative. */
function getpriority(t: ThreadContext, which: number, who: number): number {
  if (which < PRIO_PROCESS || which > PRIO_USER) return -EINVAL;
  let lowest = 19;
  visitThreads(t, which, who, (thread) => {
    lowest = Math.min(lowest, t.mem.getI32(thread + Thread.niceness));
  });
  return 20 - lowest;
}

function setpriority(t: ThreadContext, which: number, who: number, nicenessNumber: number): number {
  if (which < PRIO_PROCESS || which > PRIO_USER) return -EINVAL;
  const niceness = Math.min(19, Math.max(-20, nicenessNumber | 0));
  const may = capable(t, CAP_SYS_NICE);
  let refused = 0;
  visitThreads(t, which, who, (thread) => {
    const at = thread + Thread.niceness;
    if (!isSameOwner(t, thread)) refused = -EPERM;
    else if (niceness < t.mem.getI32(at) && !may) refused = -EACCES;
    else t.mem.setI32(at, niceness);
  });
  return refused;
}

export const schedulingCalls: SyscallTable = {
  [SYS.SYS_sched_yield]: syscall('sched_yield', [], schedYield),
  [SYS.SYS_sched_getaffinity]: syscall('sched_getaffinity', ['int', 'size', 'pointer'], schedGetaffinity),
  [SYS.SYS_sched_setaffinity]: syscall('sched_setaffinity', ['int', 'size', 'pointer'], schedSetaffinity),
  [SYS.SYS_sched_getscheduler]: syscall('sched_getscheduler', ['int'], schedGetscheduler),
  [SYS.SYS_sched_setscheduler]: syscall('sched_setscheduler', ['int', 'int', 'pointer'], schedSetscheduler),
  [SYS.SYS_sched_getparam]: syscall('sched_getparam', ['int', 'pointer'], schedGetparam),
  [SYS.SYS_sched_setparam]: syscall('sched_setparam', ['int', 'pointer'], schedSetparam),
  [SYS.SYS_sched_getattr]: syscall('sched_getattr', ['int', 'pointer', 'size', 'hex'], schedGetattr),
  [SYS.SYS_sched_setattr]: syscall('sched_setattr', ['int', 'pointer', 'hex'], schedSetattr),
  [SYS.SYS_sched_get_priority_max]: syscall('sched_get_priority_max', ['int'], (_t, policy) =>
    priorityRange(policy, 99),
  ),
  [SYS.SYS_sched_get_priority_min]: syscall('sched_get_priority_min', ['int'], (_t, policy) =>
    priorityRange(policy, 1),
  ),
  [SYS.SYS_sched_rr_get_interval]: syscall('sched_rr_get_interval', ['int', 'pointer'], schedRrGetInterval),
  [SYS.SYS_getpriority]: syscall('getpriority', ['int', 'int'], getpriority),
  [SYS.SYS_setpriority]: syscall('setpriority', ['int', 'int', 'int'], setpriority),
  [SYS.SYS_getcpu]: syscall('getcpu', ['pointer', 'pointer', 'pointer'], getcpu),
};
