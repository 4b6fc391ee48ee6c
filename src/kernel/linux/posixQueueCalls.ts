import { copyIn, copyOut, readI64, writeU32 } from '../../memory/userAccess.js';
import { freeBlock } from '../../sync/heap.js';
import { OpenFile } from '../../sync/records/openFile.js';
import { PosixQueue } from '../../sync/records/posixQueue.js';
import { Message } from '../../sync/records/sysvIpc.js';
import { realtimeOffset } from '../clock.js';
import { EACCES, EBADF, EINVAL, EMSGSIZE, ENAMETOOLONG, ENOENT, ENOMEM, SyscallError } from '../errno.js';
import { createdMode } from '../files/created.js';
import { newDescriptor, pathArgument, withFile, withRealFile } from '../files/descriptors.js';
import { flagsOf } from '../files/openFile.js';
import { O_CLOEXEC, O_NONBLOCK } from '../files/openFlags.js';
import {
  COOKIE_SIZE,
  notifyOf,
  openQueue,
  type QueueAttributes,
  queueOf,
  receiveMessage,
  sendMessage,
  unlinkQueue,
} from '../files/posixQueue.js';
import { makeMessage, messageBytes } from '../messageQueues.js';
import { dropSocket, familyOf, retainSocket, socketOf } from '../sockets/socket.js';
import { AF_NETLINK } from '../sockets/socketNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, Sigevent } from './structsSignal.js';
import { readTimespec } from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** POSIX message queues. The C library takes the first slash of a name away. */

const NAME_MAX = 255;
/** MQ_PRIO_MAX. */
const PRIORITIES = 32768;
/** struct mq_attr. */
const MqAttr = { flags: 0, maxMessages: 8, messageSize: 16, messages: 24, SIZE: 64 } as const;

function nameArgument(t: ThreadContext, va: number): string {
  const name = pathArgument(t, va);
  if (name === '') throw new SyscallError(ENOENT);
  if (name.includes('/') || name === '.' || name === '..') throw new SyscallError(EACCES);
  if (name.length > NAME_MAX) throw new SyscallError(ENAMETOOLONG);
  return name;
}

function mqOpen(t: ThreadContext, nameAt: number, flags: number, mode: number, attributesAt: number): number {
  let attributes: QueueAttributes | undefined;
  if (attributesAt !== 0)
    attributes = {
      messages: readI64(t, attributesAt + MqAttr.maxMessages),
      size: readI64(t, attributesAt + MqAttr.messageSize),
    };
  const file = openQueue(t, nameArgument(t, nameAt), flags | 0, createdMode(t, mode), attributes);
  return newDescriptor(t, file, O_CLOEXEC);
}

/** Runs `body` with the open queue of a descriptor. Throws EBADF for anything else. */
function withQueue<T>(t: ThreadContext, fd: number, body: (file: number, queue: number) => T): T {
  return withFile(t, fd, (file) => {
    const queue = queueOf(t.mem, file);
    if (queue === 0) throw new SyscallError(EBADF);
    return body(file, queue);
  });
}

/** An absolute timeout on the realtime clock, as monotonic milliseconds. */
function deadlineAt(t: ThreadContext, timeout: number): number {
  return timeout === 0 ? Infinity : readTimespec(t, timeout) - realtimeOffset(t.mem);
}

function timedSend(
  t: ThreadContext,
  fd: number,
  va: number,
  size: number,
  priority: number,
  timeout: number,
): number {
  if (priority >>> 0 >= PRIORITIES) return -EINVAL;
  const deadline = deadlineAt(t, timeout);
  return withQueue(t, fd, (file, queue) => {
    if (size < 0 || size > t.mem.getU32(queue + PosixQueue.messageSize)) return -EMSGSIZE;
    const message = makeMessage(t, va, size, priority >>> 0);
    if (message === 0) return -ENOMEM;
    const result = sendMessage(t, file, message, deadline);
    if (result < 0) freeBlock(t.mem, message, t.thread);
    return result;
  });
}

function timedReceive(
  t: ThreadContext,
  fd: number,
  va: number,
  size: number,
  priorityAt: number,
  timeout: number,
): number {
  const { mem } = t;
  const deadline = deadlineAt(t, timeout);
  return withQueue(t, fd, (file, queue) => {
    if (size >= 0 && size < mem.getU32(queue + PosixQueue.messageSize)) return -EMSGSIZE;
    const message = receiveMessage(t, file, deadline);
    if (message < 0) return message;
    try {
      const bytes = messageBytes(mem, message, Infinity);
      copyOut(t, va, bytes);
      if (priorityAt !== 0) writeU32(t, priorityAt, mem.getU64(message + Message.type));
      return bytes.length;
    } finally {
      freeBlock(mem, message, t.thread);
    }
  });
}

/** SIGEV_THREAD: the C library's thread waits at a netlink socket for the bytes at `cookieAt` (mq_notify in ipc/mqueue.c). */
function notifyThread(t: ThreadContext, fd: number, socketFd: number, cookieAt: number): number {
  const { mem } = t;
  const cookie = new Uint8Array(COOKIE_SIZE);
  copyIn(t, cookieAt, cookie);
  return withRealFile(t, socketFd, (file) => {
    const socket = socketOf(mem, file);
    if (familyOf(mem, socket) !== AF_NETLINK) return -EINVAL;
    return withQueue(t, fd, (queueFile) => {
      retainSocket(mem, socket);
      const parts = { kind: SIGEV_THREAD, signal: 0, value: 0n, socket, cookie };
      const result = notifyOf(t, queueFile, parts);
      if (result < 0) dropSocket(mem, socket, t.thread);
      return result;
    });
  });
}

function notify(t: ThreadContext, fd: number, eventAt: number): number {
  if (eventAt === 0) return withQueue(t, fd, (file) => notifyOf(t, file, undefined));
  const event = new Uint8Array(Sigevent.SIZE);
  copyIn(t, eventAt, event);
  const view = new DataView(event.buffer);
  const kind = view.getInt32(Sigevent.notify, true);
  const signal = view.getInt32(Sigevent.signo, true);
  if (kind === SIGEV_THREAD)
    return notifyThread(t, fd, signal, Number(view.getBigUint64(Sigevent.value, true)));
  if (kind !== SIGEV_NONE && kind !== SIGEV_SIGNAL) return -EINVAL;
  if (kind === SIGEV_SIGNAL && (signal < 0 || signal > 64)) return -EINVAL;
  const value = view.getBigUint64(Sigevent.value, true);
  return withQueue(t, fd, (file) => notifyOf(t, file, { kind, signal, value }));
}

function getSetAttributes(t: ThreadContext, fd: number, fresh: number, old: number): number {
  const { mem } = t;
  const wanted = fresh === 0 ? undefined : readI64(t, fresh + MqAttr.flags);
  if (wanted !== undefined && (wanted & ~O_NONBLOCK) !== 0) return -EINVAL;
  return withQueue(t, fd, (file, queue) => {
    const bytes = new Uint8Array(MqAttr.SIZE);
    const view = new DataView(bytes.buffer);
    const long = (at: number, value: number): void => view.setBigInt64(at, BigInt(value), true);
    long(MqAttr.flags, flagsOf(mem, file) & O_NONBLOCK);
    long(MqAttr.maxMessages, mem.getU32(queue + PosixQueue.maxMessages));
    long(MqAttr.messageSize, mem.getU32(queue + PosixQueue.messageSize));
    long(MqAttr.messages, mem.atomicLoad(queue + PosixQueue.count));
    if (wanted !== undefined) {
      if (wanted & O_NONBLOCK) mem.atomicOr(file + OpenFile.flags, O_NONBLOCK);
      else Atomics.and(mem.i32, (file + OpenFile.flags) >>> 2, ~O_NONBLOCK);
    }
    if (old !== 0) copyOut(t, old, bytes);
    return 0;
  });
}

export const posixQueueCalls: SyscallTable = {
  [SYS.SYS_mq_open]: syscall('mq_open', ['string', 'openFlags', 'octal', 'pointer'], mqOpen),
  [SYS.SYS_mq_unlink]: syscall('mq_unlink', ['string'], (t, name) => unlinkQueue(t, nameArgument(t, name))),
  [SYS.SYS_mq_timedsend]: syscall('mq_timedsend', ['fd', 'pointer', 'size', 'uint', 'timespec'], timedSend),
  [SYS.SYS_mq_timedreceive]: syscall(
    'mq_timedreceive',
    ['fd', 'pointer', 'size', 'pointer', 'timespec'],
    timedReceive,
  ),
  [SYS.SYS_mq_notify]: syscall('mq_notify', ['fd', 'pointer'], notify),
  [SYS.SYS_mq_getsetattr]: syscall('mq_getsetattr', ['fd', 'pointer', 'pointer'], getSetAttributes),
};
