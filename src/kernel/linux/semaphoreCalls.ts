import { copyIn, copyOut } from '../../memory/userAccess.js';
import { Guest } from '../../sync/records/guest.js';
import { IpcPermission, IpcTable, Semaphore, SemaphoreSet } from '../../sync/records/sysvIpc.js';
import { E2BIG, EACCES, EINVAL, ERANGE, SyscallError } from '../errno.js';
import { readInput } from '../keptInputs.js';
import {
  clearUndos,
  countSemaphores,
  MOST_OPERATIONS,
  MOST_PER_SET,
  MOST_VALUE,
  removeSet,
  SEMAPHORES,
  type SemaphoreOperation,
  semaphoreOf,
  semget,
  semop,
} from '../semaphores.js';
import {
  changePermission,
  forEachObject,
  IPC64_PERM_SIZE,
  ipcTime,
  MOST_OBJECTS,
  mayAccess,
  objectById,
  wakeObject,
  withTable,
} from '../sysvIpc.js';
import type { ThreadContext } from '../threadContext.js';
import { failed, IPC_INFO, type IpcKind, ipcControl } from './ipcControl.js';
import { readTimespec } from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** System V semaphores: semget(2), semop(2), semtimedop(2), semctl(2). */

const GETPID = 11;
const GETVAL = 12;
const GETALL = 13;
const GETNCNT = 14;
const GETZCNT = 15;
const SETVAL = 16;
const SETALL = 17;
const SEM_STAT = 18;

/** SEMMNS, and sizes that mean nothing. */
const SEMMNS = 1_024_000_000;
const SEMUSZ = 20;

function semtimedop(
  t: ThreadContext,
  id: number,
  list: number,
  countNumber: number,
  timeout: number,
): number {
  const count = countNumber >>> 0;
  if (count < 1 || id < 0) return -EINVAL;
  if (count > MOST_OPERATIONS) return -E2BIG;
  const deadline = timeout === 0 ? Infinity : t.deadlineIn(readTimespec(t, timeout));
  const bytes = new Uint8Array(count * 6);
  readInput(t, list, bytes);
  const view = new DataView(bytes.buffer);
  const operations = Array.from(
    { length: count },
    (_, i): SemaphoreOperation => ({
      number: view.getUint16(i * 6, true),
      change: view.getInt16(i * 6 + 2, true),
      flags: view.getInt16(i * 6 + 4, true),
    }),
  );
  return semop(t, id, operations, deadline);
}

function describe(t: ThreadContext, set: number, view: DataView): void {
  const { mem } = t;
  const long = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  long(IPC64_PERM_SIZE, mem.getU64(set + SemaphoreSet.otime));
  long(IPC64_PERM_SIZE + 8, mem.getU64(set + IpcPermission.ctime));
  long(IPC64_PERM_SIZE + 16, mem.getU32(set + SemaphoreSet.count));
}

/** struct seminfo; the highest place in use is the result. */
function inform(t: ThreadContext, command: number, buffer: number): number {
  const { mem } = t;
  let highest = 0;
  let usage = [SEMUSZ, MOST_VALUE];
  withTable(t, SEMAPHORES, (table) => {
    forEachObject(mem, table, (_, place) => {
      highest = place;
    });
    if (command !== IPC_INFO) usage = [mem.getU32(table + IpcTable.count), countSemaphores(mem, table)];
  });
  const values = [
    ...[SEMMNS, MOST_OBJECTS, SEMMNS, SEMMNS, MOST_PER_SET, MOST_OPERATIONS, MOST_OPERATIONS],
    usage[0],
    MOST_VALUE,
    usage[1],
  ];
  copyOut(t, buffer, new Uint8Array(Int32Array.from(values).buffer));
  return highest;
}

/** GETVAL and its like: what one semaphore is. */
function one(t: ThreadContext, id: number, number: number, command: number): number {
  const { mem } = t;
  return withTable(t, SEMAPHORES, (table) => {
    const set = failed(objectById(mem, table, id));
    if (!mayAccess(t, set, 0o444)) return -EACCES;
    if (number < 0 || number >= mem.getU32(set + SemaphoreSet.count)) return -EINVAL;
    const semaphore = semaphoreOf(mem, set, number);
    switch (command) {
      case GETVAL:
        return mem.getI32(semaphore + Semaphore.value);
      case GETPID:
        return mem.getU32(semaphore + Semaphore.pid);
      case GETNCNT:
        return mem.getU32(semaphore + Semaphore.growing);
      default:
        return mem.getU32(semaphore + Semaphore.zero);
    }
  });
}

function getAll(t: ThreadContext, id: number, buffer: number): number {
  const { mem } = t;
  const values = withTable(t, SEMAPHORES, (table) => {
    const set = failed(objectById(mem, table, id));
    if (!mayAccess(t, set, 0o444)) throw new SyscallError(EACCES);
    return Uint16Array.from({ length: mem.getU32(set + SemaphoreSet.count) }, (_, i) =>
      mem.getI32(semaphoreOf(mem, set, i) + Semaphore.value),
    );
  });
  copyOut(t, buffer, new Uint8Array(values.buffer));
  return 0;
}

/** SETVAL (`from` 0 or more) and SETALL: sets the values from that semaphore on. */
function setValues(t: ThreadContext, set: number, from: number, values: readonly number[]): number {
  const { mem } = t;
  if (values.some((value) => value < 0 || value > MOST_VALUE)) return -ERANGE;
  for (const [i, value] of values.entries()) {
    const semaphore = semaphoreOf(mem, set, from + i);
    mem.setI32(semaphore + Semaphore.value, value);
    mem.setU32(semaphore + Semaphore.pid, mem.getU32(t.guest + Guest.pid));
    clearUndos(mem, set, from + i);
  }
  mem.set64(set + IpcPermission.ctime, ipcTime(mem));
  wakeObject(t, set);
  return 0;
}

function setAll(t: ThreadContext, id: number, buffer: number): number {
  const { mem } = t;
  const find = (table: number): number => {
    const set = failed(objectById(mem, table, id));
    if (!mayAccess(t, set, 0o222)) throw new SyscallError(EACCES);
    return set;
  };
  const count = withTable(t, SEMAPHORES, (table) => mem.getU32(find(table) + SemaphoreSet.count));
  const bytes = new Uint8Array(count * 2);
  copyIn(t, buffer, bytes);
  return withTable(t, SEMAPHORES, (table) =>
    setValues(t, find(table), 0, [...new Uint16Array(bytes.buffer)]),
  );
}

const sets: IpcKind = {
  withTable: (t, body) => withTable(t, SEMAPHORES, body),
  stat: SEM_STAT,
  // struct semid64_ds: times, count, two unused words.
  size: IPC64_PERM_SIZE + 40,
  describe,
  inform,
  change: changePermission,
  remove: removeSet,
};

function semctl(t: ThreadContext, id: number, number: number, command: number, argument: number): number {
  if (id < 0) return -EINVAL;
  switch (command) {
    case GETALL:
      return getAll(t, id, argument);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
      return one(t, id, number, command);
    case SETALL:
      return setAll(t, id, argument);
    case SETVAL:
      if ((argument | 0) > MOST_VALUE || (argument | 0) < 0) return -ERANGE;
      return withTable(t, SEMAPHORES, (table) => {
        const set = failed(objectById(t.mem, table, id));
        if (number < 0 || number >= t.mem.getU32(set + SemaphoreSet.count)) return -EINVAL;
        return mayAccess(t, set, 0o222) ? setValues(t, set, number, [argument | 0]) : -EACCES;
      });
    default:
      return ipcControl(t, sets, id, command, argument);
  }
}

export const semaphoreCalls: SyscallTable = {
  [SYS.SYS_semget]: syscall('semget', ['hex', 'int', 'octal'], (t, key, count, flags) =>
    semget(t, key | 0, count | 0, flags | 0),
  ),
  [SYS.SYS_semop]: syscall('semop', ['int', 'pointer', 'uint'], (t, id, list, count) =>
    semtimedop(t, id | 0, list, count, 0),
  ),
  [SYS.SYS_semtimedop]: syscall(
    'semtimedop',
    ['int', 'pointer', 'uint', 'timespec'],
    (t, id, list, count, timeout) => semtimedop(t, id | 0, list, count, timeout),
  ),
  [SYS.SYS_semctl]: syscall('semctl', ['int', 'int', 'int', 'hex'], (t, id, number, command, argument) =>
    semctl(t, id | 0, number | 0, command | 0, argument),
  ),
};
