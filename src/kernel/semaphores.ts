import { allocateBlock, freeBlock } from '../sync/heap.js';
import { Guest } from '../sync/records/guest.js';
import { Machine } from '../sync/records/machine.js';
import {
  IpcPermission,
  Semaphore,
  SemaphoreSet,
  SemaphoreUndo,
  SemaphoreUndoList,
} from '../sync/records/sysvIpc.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { E2BIG, EACCES, EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOSPC, ERANGE } from './errno.js';
import { needUndoList } from './semaphoreUndos.js';
import {
  existingTable,
  forEachObject,
  IPC_NOWAIT,
  idForKey,
  ipcTime,
  mayAccess,
  removeObject,
  waitForChange,
  wakeObject,
  withTable,
} from './sysvIpc.js';
import type { ThreadContext } from './threadContext.js';

/** System V semaphores (Linux: ipc/sem.c). */

export const SEMAPHORES = Machine.sysvSemaphores;
/** SEMMSL, SEMOPM and SEMVMX. */
export const MOST_PER_SET = 32000;
export const MOST_OPERATIONS = 500;
export const MOST_VALUE = 32767;
/** The most semaphores there are in all sets, so that the kernel's memory lasts (SEMMNS is larger). */
const MOST_SEMAPHORES = 256000;

const SEM_UNDO = 0x1000;

/** One operation of semop(2). */
export interface SemaphoreOperation {
  readonly number: number;
  readonly change: number;
  readonly flags: number;
}

/** The record of a semaphore of a set. */
export function semaphoreOf(mem: SharedMemory, set: number, number: number): number {
  return mem.getU32(set + SemaphoreSet.semaphores) + number * Semaphore.SIZE;
}

/** How many semaphores all sets have. The table is locked. */
export function countSemaphores(mem: SharedMemory, table: number): number {
  let sum = 0;
  forEachObject(mem, table, (set) => {
    sum += mem.getU32(set + SemaphoreSet.count);
  });
  return sum;
}

/** semget(2): the id or −errno. */
export function semget(t: ThreadContext, key: number, count: number, flags: number): number {
  const { mem, thread } = t;
  if (count < 0 || count > MOST_PER_SET) return -EINVAL;
  return withTable(t, SEMAPHORES, (table) =>
    idForKey(
      t,
      table,
      key,
      flags,
      (set) => (count > mem.getU32(set + SemaphoreSet.count) ? -EINVAL : 0),
      () => {
        if (count === 0) return -EINVAL;
        if (countSemaphores(mem, table) + count > MOST_SEMAPHORES) return -ENOSPC;
        const set = allocateBlock(mem, SemaphoreSet.SIZE, thread);
        try {
          const semaphores = allocateBlock(mem, count * Semaphore.SIZE, thread);
          mem.setU32(set + SemaphoreSet.semaphores, semaphores);
        } catch (error) {
          freeBlock(mem, set, thread);
          throw error;
        }
        mem.setU32(set + SemaphoreSet.count, count);
        return set;
      },
    ),
  );
}

function freeSet(mem: SharedMemory, set: number, owner: number): void {
  for (let undo = mem.getU32(set + SemaphoreSet.undos); undo !== 0; ) {
    const next = mem.getU32(undo + SemaphoreUndo.next);
    freeBlock(mem, mem.getU32(undo + SemaphoreUndo.adjustments), owner);
    freeBlock(mem, undo, owner);
    undo = next;
  }
  freeBlock(mem, mem.getU32(set + SemaphoreSet.semaphores), owner);
  freeBlock(mem, set, owner);
}

/** IPC_RMID. The table is locked. */
export function removeSet(t: ThreadContext, table: number, set: number): void {
  if (removeObject(t, table, set)) freeSet(t.mem, set, t.thread);
}

function undoOf(mem: SharedMemory, set: number, list: number): number {
  let undo = mem.getU32(set + SemaphoreSet.undos);
  while (undo !== 0 && mem.getU32(undo + SemaphoreUndo.list) !== list)
    undo = mem.getU32(undo + SemaphoreUndo.next);
  return undo;
}

/** The adjustments of a list to a set, made when there are none. */
function needUndo(t: ThreadContext, set: number, list: number): number {
  const { mem, thread } = t;
  const existing = undoOf(mem, set, list);
  if (existing !== 0) return existing;
  const undo = allocateBlock(mem, SemaphoreUndo.SIZE, thread);
  try {
    const adjustments = allocateBlock(mem, mem.getU32(set + SemaphoreSet.count) * 4, thread);
    mem.setU32(undo + SemaphoreUndo.adjustments, adjustments);
  } catch (error) {
    freeBlock(mem, undo, thread);
    throw error;
  }
  mem.setU32(undo + SemaphoreUndo.list, list);
  mem.setU32(undo + SemaphoreUndo.next, mem.getU32(set + SemaphoreSet.undos));
  mem.setU32(set + SemaphoreSet.undos, undo);
  mem.atomicStore(list + SemaphoreUndoList.used, 1);
  return undo;
}

/** SETVAL and SETALL: nobody's adjustments of the semaphore hold any more. The table is locked. */
export function clearUndos(mem: SharedMemory, set: number, number: number): void {
  for (let undo = mem.getU32(set + SemaphoreSet.undos); undo !== 0; ) {
    mem.setI32(mem.getU32(undo + SemaphoreUndo.adjustments) + number * 4, 0);
    undo = mem.getU32(undo + SemaphoreUndo.next);
  }
}

/** The operation that a thread waits for, to be counted with the semaphore. */
interface Blocked {
  operation: SemaphoreOperation | undefined;
}

/** Does all operations or none (perform_atomic_semop): 0, −errno, or undefined with `blocked` set. */
function perform(
  t: ThreadContext,
  set: number,
  operations: readonly SemaphoreOperation[],
  undo: number,
  blocked: Blocked,
): number | undefined {
  const { mem } = t;
  const adjustments = undo === 0 ? 0 : mem.getU32(undo + SemaphoreUndo.adjustments);
  let done = 0;
  const step = ({ number, change, flags }: SemaphoreOperation, sign: 1 | -1): void => {
    const value = semaphoreOf(mem, set, number) + Semaphore.value;
    mem.setI32(value, mem.getI32(value) + sign * change);
    if ((flags & SEM_UNDO) === 0) return;
    const adjustment = adjustments + number * 4;
    mem.setI32(adjustment, mem.getI32(adjustment) - sign * change);
  };
  const refused = (operation: SemaphoreOperation): number | undefined => {
    const { number, change, flags } = operation;
    const value = mem.getI32(semaphoreOf(mem, set, number) + Semaphore.value);
    if (change === 0 ? value !== 0 : value + change < 0) {
      blocked.operation = operation;
      return (flags & IPC_NOWAIT) !== 0 ? -EAGAIN : undefined;
    }
    if (value + change > MOST_VALUE) return -ERANGE;
    if ((flags & SEM_UNDO) === 0) return 0;
    const adjusted = mem.getI32(adjustments + number * 4) - change;
    return adjusted < -MOST_VALUE - 1 || adjusted > MOST_VALUE ? -ERANGE : 0;
  };
  for (const operation of operations) {
    const answer = refused(operation);
    if (answer !== 0) {
      while (done > 0) step(operations[--done], -1);
      return answer;
    }
    step(operation, 1);
    done++;
  }
  const pid = mem.getU32(t.guest + Guest.pid);
  for (const { number } of operations) mem.setU32(semaphoreOf(mem, set, number) + Semaphore.pid, pid);
  mem.set64(set + SemaphoreSet.otime, ipcTime(mem));
  return 0;
}

/** semop(2) and semtimedop(2); `deadline` in monotonic milliseconds. */
export function semop(
  t: ThreadContext,
  id: number,
  operations: readonly SemaphoreOperation[],
  deadline: number,
): number {
  const { mem } = t;
  if (operations.length < 1 || id < 0) return -EINVAL;
  if (operations.length > MOST_OPERATIONS) return -E2BIG;
  const alters = operations.some(({ change }) => change !== 0);
  const undoes = operations.some(({ change, flags }) => change !== 0 && (flags & SEM_UNDO) !== 0);
  const blocked: Blocked = { operation: undefined };
  const list = undoes ? needUndoList(t) : 0;
  let checked = t.resumed;
  const attempt = (set: number): number | undefined => {
    if (!checked) {
      const count = mem.getU32(set + SemaphoreSet.count);
      if (operations.some(({ number }) => number >= count)) return -EFBIG;
      if (!mayAccess(t, set, alters ? 0o222 : 0o444)) return -EACCES;
      checked = true;
    }
    const result = perform(t, set, operations, undoes ? needUndo(t, set, list) : 0, blocked);
    if (result === 0 && alters) wakeObject(t, set);
    return result;
  };
  const counter = (set: number): number => {
    const { number, change } = blocked.operation as SemaphoreOperation;
    return semaphoreOf(mem, set, number) + (change === 0 ? Semaphore.zero : Semaphore.growing);
  };
  return waitForChange(
    t,
    SEMAPHORES,
    id,
    attempt,
    (set) => freeSet(mem, set, t.thread),
    { removed: -EIDRM, interrupted: -EINTR, late: -EAGAIN },
    deadline,
    counter,
  );
}

/** The last thread of a SemaphoreUndoList ends (exit_sem): what is to be undone is added to the semaphores. */
export function undoSemaphores(t: ThreadContext, list: number): void {
  const { mem, guest, thread } = t;
  if (existingTable(mem, SEMAPHORES) === 0) return;
  withTable(t, SEMAPHORES, (table) =>
    forEachObject(mem, table, (set) => {
      const undo = undoOf(mem, set, list);
      if (undo === 0) return;
      const adjustments = mem.getU32(undo + SemaphoreUndo.adjustments);
      for (let number = 0; number < mem.getU32(set + SemaphoreSet.count); number++) {
        const adjustment = mem.getI32(adjustments + number * 4);
        if (adjustment === 0) continue;
        const semaphore = semaphoreOf(mem, set, number);
        const value = mem.getI32(semaphore + Semaphore.value) + adjustment;
        mem.setI32(semaphore + Semaphore.value, Math.min(Math.max(value, 0), MOST_VALUE));
        mem.setU32(semaphore + Semaphore.pid, mem.getU32(guest + Guest.pid));
      }
      let link = set + SemaphoreSet.undos;
      while (mem.getU32(link) !== undo) link = mem.getU32(link) + SemaphoreUndo.next;
      mem.setU32(link, mem.getU32(undo + SemaphoreUndo.next));
      freeBlock(mem, adjustments, thread);
      freeBlock(mem, undo, thread);
      mem.set64(set + SemaphoreSet.otime, ipcTime(mem));
      wakeObject(t, set);
    }),
  );
}

/** Text of /proc/sysvipc/sem (sysvipc_sem_proc_show). */
export function formatSets(t: ThreadContext): string {
  const { mem } = t;
  let text = '       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n';
  if (existingTable(mem, SEMAPHORES) === 0) return text;
  withTable(t, SEMAPHORES, (table) =>
    forEachObject(mem, table, (set) => {
      const word = (field: number, width: number): string => String(mem.getU32(set + field)).padStart(width);
      const long = (field: number): string => String(mem.getU64(set + field)).padStart(10);
      text +=
        `${String(mem.getI32(set + IpcPermission.key)).padStart(10)} ${word(IpcPermission.id, 10)}  ` +
        `${mem
          .getU32(set + IpcPermission.mode)
          .toString(8)
          .padStart(
            4,
          )} ${word(SemaphoreSet.count, 10)} ${word(IpcPermission.uid, 5)} ${word(IpcPermission.gid, 5)} ` +
        `${word(IpcPermission.cuid, 5)} ${word(IpcPermission.cgid, 5)} ${long(SemaphoreSet.otime)} ${long(IpcPermission.ctime)}\n`;
    }),
  );
  return text;
}
