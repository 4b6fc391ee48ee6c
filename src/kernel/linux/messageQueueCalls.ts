import { copyOut } from '../../memory/userAccess.js';
import { IpcPermission, IpcTable, MessageQueue } from '../../sync/records/sysvIpc.js';
import { CAP_SYS_RESOURCE, capable } from '../capabilities.js';
import { EPERM } from '../errno.js';
import { readInput } from '../keptInputs.js';
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
import { changePermission, forEachObject, MOST_OBJECTS, wakeObject, withTable } from '../sysvIpc.js';
import type { ThreadContext } from '../threadContext.js';
import { IPC_INFO, type IpcKind, ipcControl } from './ipcControl.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2). */

const MSG_STAT = 11;

/** struct msgbuf's first field. */
function messageType(t: ThreadContext, va: number): number {
  const bytes = new Uint8Array(8);
  readInput(t, va, bytes);
  return Number(new DataView(bytes.buffer).getBigInt64(0, true));
}

/** struct msqid64_ds, behind its struct ipc64_perm. */
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

function describe(t: ThreadContext, queue: number, view: DataView): void {
  const { mem } = t;
  const long = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  long(Ds.stime, mem.getU64(queue + MessageQueue.stime));
  long(Ds.rtime, mem.getU64(queue + MessageQueue.rtime));
  long(Ds.ctime, mem.getU64(queue + IpcPermission.ctime));
  long(Ds.bytes, mem.getU32(queue + MessageQueue.bytes));
  long(Ds.messages, mem.getU32(queue + MessageQueue.messages));
  long(Ds.mostBytes, mem.getU32(queue + MessageQueue.mostBytes));
  view.setUint32(Ds.sender, mem.getU32(queue + MessageQueue.lastSender), true);
  view.setUint32(Ds.receiver, mem.getU32(queue + MessageQueue.lastReceiver), true);
}

/** struct msginfo; the highest place in use is the result. */
function inform(t: ThreadContext, command: number, buffer: number): number {
  const { mem } = t;
  let highest = 0;
  let [pool, map, total] = [(MOST_OBJECTS * MOST_QUEUED) / 1024, MOST_QUEUED, MOST_QUEUED];
  withTable(t, MESSAGES, (table) => {
    forEachObject(mem, table, (_, place) => {
      highest = place;
    });
    if (command !== IPC_INFO) {
      const { messages, bytes } = queuedInAll(mem, table);
      [pool, map, total] = [mem.getU32(table + IpcTable.count), messages, bytes];
    }
  });
  const values = [pool, map, MOST_BYTES, MOST_QUEUED, MOST_OBJECTS, MSGSSZ, total, MSGSEG];
  copyOut(t, buffer, new Uint8Array(Int32Array.from(values).buffer));
  return highest;
}

function change(t: ThreadContext, queue: number, view: DataView): number {
  const { mem } = t;
  const most = Number(view.getBigUint64(Ds.mostBytes, true));
  if (most > MOST_QUEUED && !capable(t, CAP_SYS_RESOURCE)) return -EPERM;
  const result = changePermission(t, queue, view);
  if (result < 0) return result;
  mem.setU32(queue + MessageQueue.mostBytes, Math.min(most, 0xffff_ffff));
  wakeObject(t, queue);
  return 0;
}

const queues: IpcKind = {
  withTable: (t, body) => withTable(t, MESSAGES, body),
  stat: MSG_STAT,
  size: Ds.SIZE,
  describe,
  inform,
  change,
  remove: removeQueue,
};

export const messageQueueCalls: SyscallTable = {
  [SYS.SYS_msgget]: syscall('msgget', ['hex', 'octal'], (t, key, flags) => msgget(t, key | 0, flags | 0)),
  [SYS.SYS_msgsnd]: syscall('msgsnd', ['int', 'pointer', 'size', 'octal'], (t, id, va, size, flags) =>
    msgsnd(t, id | 0, va + 8, size, messageType(t, va), flags | 0),
  ),
  [SYS.SYS_msgrcv]: syscall(
    'msgrcv',
    ['int', 'pointer', 'size', 'long', 'octal'],
    (t, id, va, size, type, flags) => msgrcv(t, id | 0, va, size, type, flags | 0),
  ),
  [SYS.SYS_msgctl]: syscall('msgctl', ['int', 'int', 'pointer'], (t, id, command, buffer) =>
    ipcControl(t, queues, id | 0, command | 0, buffer),
  ),
};
