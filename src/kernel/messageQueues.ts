import { copyOut } from '../memory/userAccess.js';
import { allocateBlock, freeBlock, hasKernelMemory } from '../sync/heap.js';
import { Guest } from '../sync/records/guest.js';
import { Machine } from '../sync/records/machine.js';
import { IpcPermission, Message, MessageQueue } from '../sync/records/sysvIpc.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { E2BIG, EACCES, EAGAIN, EIDRM, EINVAL, ENOMEM, ENOMSG, ERESTARTNOHAND } from './errno.js';
import { readInput } from './keptInputs.js';
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

/** System V message queues (Linux: ipc/msg.c). */

export const MESSAGES = Machine.sysvMessages;
/** MSGMAX and MSGMNB. */
export const MOST_BYTES = 8192;
export const MOST_QUEUED = 16384;

const MSG_NOERROR = 0o10000;
const MSG_EXCEPT = 0o20000;
const MSG_COPY = 0o40000;

/** Makes a message of `size` bytes at `va`. Throws UserFault; 0 when the kernel has no room. Nothing is locked. */
export function makeMessage(t: ThreadContext, va: number, size: number, type: number): number {
  const { mem, thread } = t;
  if (!hasKernelMemory(mem, size + Message.SIZE)) return 0;
  const bytes = new Uint8Array(size);
  readInput(t, va, bytes);
  const message = allocateBlock(mem, Message.SIZE + size, thread);
  mem.setU32(message + Message.size, size);
  mem.set64(message + Message.type, type);
  mem.u8.set(bytes, message + Message.SIZE);
  return message;
}

/** The bytes of a message, at most `most`. */
export function messageBytes(mem: SharedMemory, message: number, most: number): Uint8Array {
  const size = Math.min(most, mem.getU32(message + Message.size));
  return mem.u8.slice(message + Message.SIZE, message + Message.SIZE + size);
}

/** msgget(2). */
export function msgget(t: ThreadContext, key: number, flags: number): number {
  const { mem, thread } = t;
  return withTable(t, MESSAGES, (table) =>
    idForKey(
      t,
      table,
      key,
      flags,
      () => 0,
      () => {
        const queue = allocateBlock(mem, MessageQueue.SIZE, thread);
        mem.setU32(queue + MessageQueue.mostBytes, MOST_QUEUED);
        return queue;
      },
    ),
  );
}

function freeQueue(mem: SharedMemory, queue: number, owner: number): void {
  for (let message = mem.getU32(queue + MessageQueue.first); message !== 0; ) {
    const next = mem.getU32(message + Message.next);
    freeBlock(mem, message, owner);
    message = next;
  }
  freeBlock(mem, queue, owner);
}

/** IPC_RMID. The table is locked. */
export function removeQueue(t: ThreadContext, table: number, queue: number): void {
  if (removeObject(t, table, queue)) freeQueue(t.mem, queue, t.thread);
}

function append(t: ThreadContext, queue: number, message: number): void {
  const { mem } = t;
  const last = mem.getU32(queue + MessageQueue.last);
  if (last === 0) mem.setU32(queue + MessageQueue.first, message);
  else mem.setU32(last + Message.next, message);
  mem.setU32(queue + MessageQueue.last, message);
  mem.setU32(queue + MessageQueue.messages, mem.getU32(queue + MessageQueue.messages) + 1);
  const bytes = mem.getU32(queue + MessageQueue.bytes) + mem.getU32(message + Message.size);
  mem.setU32(queue + MessageQueue.bytes, bytes);
  mem.setU32(queue + MessageQueue.lastSender, mem.getU32(t.guest + Guest.pid));
  mem.set64(queue + MessageQueue.stime, ipcTime(mem));
}

/** msgsnd(2): `va` is that of the text, after the type. */
export function msgsnd(
  t: ThreadContext,
  id: number,
  va: number,
  size: number,
  type: number,
  flags: number,
): number {
  const { mem, thread } = t;
  if (size < 0 || size > MOST_BYTES || id < 0 || type < 1) return -EINVAL;
  const message = makeMessage(t, va, size, type);
  if (message === 0) return -ENOMEM;
  let sent = false;
  try {
    return waitForChange(
      t,
      MESSAGES,
      id,
      (queue) => {
        if (!mayAccess(t, queue, 0o222)) return -EACCES;
        const most = mem.getU32(queue + MessageQueue.mostBytes);
        const full =
          mem.getU32(queue + MessageQueue.bytes) + size > most ||
          mem.getU32(queue + MessageQueue.messages) + 1 > most;
        if (full) return (flags & IPC_NOWAIT) !== 0 ? -EAGAIN : undefined;
        append(t, queue, message);
        sent = true;
        wakeObject(t, queue);
        return 0;
      },
      (queue) => freeQueue(mem, queue, thread),
      { removed: -EIDRM, interrupted: -ERESTARTNOHAND, late: 0 },
    );
  } finally {
    if (!sent) freeBlock(mem, message, thread);
  }
}

/** The message that msgrcv(2) wants, and the one before it, or undefined (find_msg). */
function find(
  mem: SharedMemory,
  queue: number,
  wanted: number,
  flags: number,
): { message: number; previous: number } | undefined {
  let found: { message: number; previous: number; type: number } | undefined;
  let previous = 0;
  let index = 0;
  for (let m = mem.getU32(queue + MessageQueue.first); m !== 0; m = mem.getU32(m + Message.next)) {
    const type = mem.getU64(m + Message.type);
    const candidate = { message: m, previous, type };
    if ((flags & MSG_COPY) !== 0) {
      if (index++ === wanted) return candidate;
    } else if (wanted === 0) return candidate;
    else if (wanted > 0) {
      if ((type === wanted) !== ((flags & MSG_EXCEPT) !== 0)) return candidate;
    } else if (type <= -wanted && (found === undefined || type < found.type)) found = candidate;
    previous = m;
  }
  return found;
}

/** msgrcv(2): writes the type at `va` and the text after it; returns its size. */
export function msgrcv(
  t: ThreadContext,
  id: number,
  va: number,
  size: number,
  wanted: number,
  flags: number,
): number {
  const { mem, thread } = t;
  if (id < 0 || size < 0) return -EINVAL;
  const copies = (flags & MSG_COPY) !== 0;
  if (copies && ((flags & MSG_EXCEPT) !== 0 || (flags & IPC_NOWAIT) === 0)) return -EINVAL;
  let taken: { type: number; bytes: Uint8Array } | undefined;
  const result = waitForChange(
    t,
    MESSAGES,
    id,
    (queue) => {
      if (!mayAccess(t, queue, 0o444)) return -EACCES;
      const found = find(mem, queue, wanted, flags);
      if (found === undefined) return (flags & IPC_NOWAIT) !== 0 ? -ENOMSG : undefined;
      const { message, previous } = found;
      const length = mem.getU32(message + Message.size);
      if (length > size && (flags & MSG_NOERROR) === 0) return -E2BIG;
      taken = { type: mem.getU64(message + Message.type), bytes: messageBytes(mem, message, size) };
      if (copies) return taken.bytes.length;
      const next = mem.getU32(message + Message.next);
      mem.setU32(previous === 0 ? queue + MessageQueue.first : previous + Message.next, next);
      if (next === 0) mem.setU32(queue + MessageQueue.last, previous);
      mem.setU32(queue + MessageQueue.messages, mem.getU32(queue + MessageQueue.messages) - 1);
      mem.setU32(queue + MessageQueue.bytes, mem.getU32(queue + MessageQueue.bytes) - length);
      mem.setU32(queue + MessageQueue.lastReceiver, mem.getU32(t.guest + Guest.pid));
      mem.set64(queue + MessageQueue.rtime, ipcTime(mem));
      freeBlock(mem, message, thread);
      wakeObject(t, queue);
      return taken.bytes.length;
    },
    (queue) => freeQueue(mem, queue, thread),
    { removed: -EIDRM, interrupted: -ERESTARTNOHAND, late: 0 },
  );
  if (taken !== undefined) {
    const type = new Uint8Array(8);
    new DataView(type.buffer).setBigInt64(0, BigInt(taken.type), true);
    copyOut(t, va, type);
    copyOut(t, va + 8, taken.bytes);
  }
  return result;
}

/** Messages and bytes in all queues. The table is locked. */
export function queuedInAll(mem: SharedMemory, table: number): { messages: number; bytes: number } {
  let messages = 0;
  let bytes = 0;
  forEachObject(mem, table, (queue) => {
    messages += mem.getU32(queue + MessageQueue.messages);
    bytes += mem.getU32(queue + MessageQueue.bytes);
  });
  return { messages, bytes };
}

/** Text of /proc/sysvipc/msg (sysvipc_msg_proc_show). */
export function formatQueues(t: ThreadContext): string {
  const { mem } = t;
  let text =
    '       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n';
  if (existingTable(mem, MESSAGES) === 0) return text;
  withTable(t, MESSAGES, (table) =>
    forEachObject(mem, table, (queue) => {
      const word = (field: number, width: number): string =>
        String(mem.getU32(queue + field)).padStart(width);
      const long = (field: number): string => String(mem.getU64(queue + field)).padStart(10);
      const mode = mem.getU32(queue + IpcPermission.mode).toString(8);
      text +=
        `${String(mem.getI32(queue + IpcPermission.key)).padStart(10)} ${word(IpcPermission.id, 10)}  ${mode.padStart(4)}  ` +
        `${word(MessageQueue.bytes, 10)} ${word(MessageQueue.messages, 10)} ${word(MessageQueue.lastSender, 5)} ` +
        `${word(MessageQueue.lastReceiver, 5)} ${word(IpcPermission.uid, 5)} ${word(IpcPermission.gid, 5)} ` +
        `${word(IpcPermission.cuid, 5)} ${word(IpcPermission.cgid, 5)} ${long(MessageQueue.stime)} ` +
        `${long(MessageQueue.rtime)} ${long(IpcPermission.ctime)}\n`;
    }),
  );
  return text;
}
