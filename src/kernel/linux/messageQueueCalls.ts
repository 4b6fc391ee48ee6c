import { copyIn, copyOut, readI64 } from '../../memory/userAccess.js';
import { IpcPermission, IpcTable, MessageQueue } from '../../sync/records/sysvIpc.js';
import { privileged } from '../capabilities.js';
import { EACCES, EINVAL, EPERM, SyscallError } from '../errno.js';
import {
  MESSAGES,
  MOST_BYTES,
  MOST_QUEUED,
  msgget,
  msgrcv,
  msgsnd,
  queuedInAll,
  removeQueue,
} from '../messageQueues.js';
import {
  changePermission,
  describePermission,
  forEachObject,
  IPC64_PERM_SIZE,
  MOST_OBJECTS,
  mayAccess,
  mayControl,
  objectAt,
  objectById,
  wakeObject,
  withTable,
} from '../sysvIpc.js';
import type { ThreadContext } from '../threadContext.js';
import { failed, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT } from './ipcControl.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2). */

const MSG_STAT = 11;
const MSG_INFO = 12;
const MSG_STAT_ANY = 13;

/** struct msqid64_ds. */
const Ds = {
  stime: 48,
  rtime: 56,
  ctime: 64,
  bytes: 72,
  messages: 80,
  mostBytes: 88,
  sender: 96,
  receiver: 100,
  SIZE: 120,
};
const MSGSSZ = 16;
const MSGSEG = 0xffff;

function status(t: ThreadContext, id: number, command: number, buffer: number): number {
  const { mem } = t;
  const bytes = new Uint8Array(Ds.SIZE);
  const view = new DataView(bytes.buffer);
  const result = withTable(t, MESSAGES, (table) => {
    const queue = failed((command === IPC_STAT ? objectById : objectAt)(mem, table, id));
    if (command !== MSG_STAT_ANY && !mayAccess(t, queue, 0o444)) throw new SyscallError(EACCES);
    describePermission(mem, queue, view);
    const long = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
    long(IPC64_PERM_SIZE, mem.getU64(queue + MessageQueue.stime));
    long(Ds.rtime, mem.getU64(queue + MessageQueue.rtime));
    long(Ds.ctime, mem.getU64(queue + IpcPermission.ctime));
    long(Ds.bytes, mem.getU32(queue + MessageQueue.bytes));
    long(Ds.messages, mem.getU32(queue + MessageQueue.messages));
    long(Ds.mostBytes, mem.getU32(queue + MessageQueue.mostBytes));
    view.setUint32(Ds.sender, mem.getU32(queue + MessageQueue.lastSender), true);
    view.setUint32(Ds.receiver, mem.getU32(queue + MessageQueue.lastReceiver), true);
    return command === IPC_STAT ? 0 : mem.getU32(queue + IpcPermission.id);
  });
  copyOut(t, buffer, bytes);
  return result;
}

/** struct msginfo; the highest place in use is the result. */
function information(t: ThreadContext, command: number, buffer: number): number {
  const { mem } = t;
  let highest = 0;
  let [pool, map, total] = [(MOST_OBJECTS * MOST_QUEUED) / 1024, MOST_QUEUED, MOST_QUEUED];
  withTable(t, MESSAGES, (table) => {
    forEachObject(mem, table, (_, place) => {
      highest = place;
    });
    if (command === MSG_INFO) {
      const { messages, bytes } = queuedInAll(mem, table);
      [pool, map, total] = [mem.getU32(table + IpcTable.count), messages, bytes];
    }
  });
  const values = [pool, map, MOST_BYTES, MOST_QUEUED, MOST_OBJECTS, MSGSSZ, total, MSGSEG];
  copyOut(t, buffer, new Uint8Array(Int32Array.from(values).buffer));
  return highest;
}

function setStatus(t: ThreadContext, id: number, buffer: number): number {
  const { mem } = t;
  const bytes = new Uint8Array(Ds.SIZE);
  copyIn(t, buffer, bytes);
  const view = new DataView(bytes.buffer);
  return withTable(t, MESSAGES, (table) => {
    const queue = failed(objectById(mem, table, id));
    failed(mayControl(t, queue));
    const most = Number(view.getBigUint64(Ds.mostBytes, true));
    if (most > MOST_QUEUED && !privileged(t)) return -EPERM;
    const result = changePermission(t, queue, view);
    if (result < 0) return result;
    mem.setU32(queue + MessageQueue.mostBytes, Math.min(most, 0xffff_ffff));
    wakeObject(t, queue);
    return 0;
  });
}

function msgctl(t: ThreadContext, id: number, command: number, buffer: number): number {
  if (id < 0 || command < 0) return -EINVAL;
  switch (command) {
    case IPC_INFO:
    case MSG_INFO:
      return information(t, command, buffer);
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
      return status(t, id, command, buffer);
    case IPC_SET:
      return setStatus(t, id, buffer);
    case IPC_RMID:
      return withTable(t, MESSAGES, (table) => {
        const queue = failed(objectById(t.mem, table, id));
        failed(mayControl(t, queue));
        removeQueue(t, table, queue);
        return 0;
      });
    default:
      return -EINVAL;
  }
}

export const messageQueueCalls: SyscallTable = {
  [SYS.SYS_msgget]: syscall('msgget', ['hex', 'octal'], (t, key, flags) => msgget(t, key | 0, flags | 0)),
  [SYS.SYS_msgsnd]: syscall('msgsnd', ['int', 'pointer', 'size', 'octal'], (t, id, va, size, flags) =>
    msgsnd(t, id | 0, va + 8, size, readI64(t, va), flags | 0),
  ),
  [SYS.SYS_msgrcv]: syscall(
    'msgrcv',
    ['int', 'pointer', 'size', 'long', 'octal'],
    (t, id, va, size, type, flags) => msgrcv(t, id | 0, va, size, type, flags | 0),
  ),
  [SYS.SYS_msgctl]: syscall('msgctl', ['int', 'int', 'pointer'], (t, id, command, buffer) =>
    msgctl(t, id | 0, command | 0, buffer),
  ),
};
