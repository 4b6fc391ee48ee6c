import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { initMutex, withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { EventSource } from '../../sync/records/events.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_MESSAGES, OpenFile } from '../../sync/records/openFile.js';
import { PosixQueue, PosixQueues } from '../../sync/records/posixQueue.js';
import { Message } from '../../sync/records/sysvIpc.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { allocateText, freeText, textString } from '../../sync/text.js';
import { CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SYS_RESOURCE, capable } from '../capabilities.js';
import {
  EACCES,
  EAGAIN,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  EMFILE,
  ENOENT,
  ERESTARTSYS,
  ETIMEDOUT,
  SyscallError,
} from '../errno.js';
import { isInGroup } from '../groups.js';
import { getLimit, RLIMIT_MSGQUEUE, visitGuests } from '../guestRecords.js';
import { SIGEV_SIGNAL, SIGEV_THREAD } from '../linux/structsSignal.js';
import { sendSignal } from '../signals/pendingSignals.js';
import { queuedInfo } from '../signals/sigInfo.js';
import { SI_MESGQ } from '../signals/signalNumbers.js';
import { dropSocket, signalSocket } from '../sockets/socket.js';
import { putPacket } from '../sockets/socketQueue.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { READABLE, signalEvents, WRITABLE } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { DEV_ANONYMOUS, madeStatus, S_IFREG } from './fileStatus.js';
import { createOpenFile, flagsOf, registerKind } from './openFile.js';
import { O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_WRONLY } from './openFlags.js';
import { atOffset } from './regularFile.js';

/** POSIX message queues: mq_overview(7), ipc/mqueue.c. */

/** What mq_open(3) may ask for: of everybody, and of the privileged. */
const MOST = { messages: 10, size: 8192 };
const MOST_PRIVILEGED = { messages: 65536, size: 16 << 20 };
/** Names there may be (queues_max). */
const MOST_QUEUES = 256;

export interface QueueAttributes {
  readonly messages: number;
  readonly size: number;
}

function queues(mem: SharedMemory, owner: number): number {
  const existing = mem.atomicLoad(MACHINE + Machine.posixMessages) >>> 0;
  if (existing !== 0) return existing;
  const made = allocateBlock(mem, PosixQueues.SIZE, owner);
  initMutex(mem, made + PosixQueues.lock);
  const seen = mem.atomicCompareExchange(MACHINE + Machine.posixMessages, 0, made) >>> 0;
  if (seen === 0) return made;
  freeBlock(mem, made, owner);
  return seen;
}

function findLocked(mem: SharedMemory, all: number, name: string): number {
  let queue = mem.getU32(all + PosixQueues.first);
  while (queue !== 0 && textString(mem, mem.getU32(queue + PosixQueue.name)) !== name)
    queue = mem.getU32(queue + PosixQueue.next);
  return queue;
}

/** mq_open(2): an open file, with one reference. `mode` is what the umask has left. Throws SyscallError. */
export function openQueue(
  t: ThreadContext,
  name: string,
  flags: number,
  mode: number,
  attributes: QueueAttributes | undefined,
): number {
  const { mem, thread } = t;
  const all = queues(mem, thread);
  const queue = withMutex(mem, all + PosixQueues.lock, thread, () => {
    let found = findLocked(mem, all, name);
    if (found === 0) {
      if ((flags & O_CREAT) === 0) throw new SyscallError(ENOENT);
      found = makeLocked(t, all, name, mode, attributes ?? MOST);
    } else {
      if ((flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL)) throw new SyscallError(EEXIST);
      if ((flags & O_ACCMODE) === O_ACCMODE) throw new SyscallError(EINVAL);
      if (!permits(t, found, flags & O_ACCMODE)) throw new SyscallError(EACCES);
    }
    mem.atomicAdd(found + PosixQueue.refs, 1);
    return found;
  });
  try {
    return createOpenFile(
      mem,
      { kind: FILE_MESSAGES, flags: flags & (O_ACCMODE | O_NONBLOCK), path: `/${name}`, object: queue },
      thread,
    );
  } catch (error) {
    releaseQueue(mem, queue, thread);
    throw error;
  }
}

/** Whether the caller may open the queue for that access. */
function permits(t: ThreadContext, queue: number, access: number): boolean {
  const { mem } = t;
  if (capable(t, CAP_DAC_OVERRIDE)) return true;
  const wanted = access === O_RDONLY ? 4 : access === O_WRONLY ? 2 : 6;
  let granted = mem.getU32(queue + PosixQueue.mode);
  if (mem.getU32(t.cred + Cred.uids + 4) === mem.getU32(queue + PosixQueue.uid)) granted >>= 6;
  else if (isInGroup(mem, t.cred, mem.getU32(queue + PosixQueue.gid))) granted >>= 3;
  return (wanted & ~granted & 7) === 0;
}

/** Bytes that a queue counts for RLIMIT_MSGQUEUE. */
function chargeOf({ messages, size }: QueueAttributes): number {
  return messages * (size + 48) + Math.min(messages, 32768) * 48;
}

function makeLocked(
  t: ThreadContext,
  all: number,
  name: string,
  mode: number,
  attributes: QueueAttributes,
): number {
  const { mem, thread, guest } = t;
  const most = capable(t, CAP_SYS_RESOURCE) ? MOST_PRIVILEGED : MOST;
  const { messages, size } = attributes;
  if (messages <= 0 || size <= 0 || messages > most.messages || size > most.size)
    throw new SyscallError(EINVAL);
  const uid = mem.getU32(t.cred + Cred.uids + 4);
  let charged = chargeOf(attributes);
  let count = 0;
  for (let q = mem.getU32(all + PosixQueues.first); q !== 0; q = mem.getU32(q + PosixQueue.next)) {
    count++;
    if (mem.getU32(q + PosixQueue.uid) === uid) charged += mem.getU64(q + PosixQueue.charged);
  }
  if (count >= MOST_QUEUES || charged > getLimit(mem, guest, RLIMIT_MSGQUEUE)[0])
    throw new SyscallError(EMFILE);
  const queue = allocateBlock(mem, PosixQueue.SIZE, thread);
  mem.setI32(queue + PosixQueue.refs, 1);
  initMutex(mem, queue + PosixQueue.lock);
  mem.setU32(queue + PosixQueue.name, allocateText(mem, name, thread));
  mem.setU32(queue + PosixQueue.linked, 1);
  mem.setU32(queue + PosixQueue.mode, mode & 0o777);
  mem.setU32(queue + PosixQueue.uid, uid);
  mem.setU32(queue + PosixQueue.gid, mem.getU32(t.cred + Cred.gids + 4));
  mem.set64(queue + PosixQueue.charged, chargeOf(attributes));
  mem.setU32(queue + PosixQueue.maxMessages, messages);
  mem.setU32(queue + PosixQueue.messageSize, size);
  mem.setU32(queue + PosixQueue.next, mem.getU32(all + PosixQueues.first));
  mem.setU32(all + PosixQueues.first, queue);
  return queue;
}

/** mq_unlink(2): 0 or −errno. */
export function unlinkQueue(t: ThreadContext, name: string): number {
  const { mem, thread } = t;
  const all = queues(mem, thread);
  const queue = withMutex(mem, all + PosixQueues.lock, thread, () => {
    const found = findLocked(mem, all, name);
    if (found === 0) return -ENOENT;
    // The directory is everybody's, with the sticky bit.
    if (!capable(t, CAP_FOWNER) && mem.getU32(t.cred + Cred.uids + 4) !== mem.getU32(found + PosixQueue.uid))
      return -EACCES;
    let link = all + PosixQueues.first;
    while (mem.getU32(link) !== found) link = mem.getU32(link) + PosixQueue.next;
    mem.setU32(link, mem.getU32(found + PosixQueue.next));
    mem.setU32(found + PosixQueue.linked, 0);
    return found;
  });
  if (queue < 0) return queue;
  releaseQueue(mem, queue, thread);
  return 0;
}

function releaseQueue(mem: SharedMemory, queue: number, owner: number): void {
  if (mem.atomicAdd(queue + PosixQueue.refs, -1) !== 1) return;
  for (let message = mem.getU32(queue + PosixQueue.first); message !== 0; ) {
    const next = mem.getU32(message + Message.next);
    freeBlock(mem, message, owner);
    message = next;
  }
  const socket = mem.getU32(queue + PosixQueue.notifySocket);
  if (socket !== 0) dropSocket(mem, socket, owner);
  freeText(mem, mem.getU32(queue + PosixQueue.name), owner);
  freeBlock(mem, queue, owner);
}

/** The PosixQueue of an open file, or 0 when it is something else. */
export function queueOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.kind) === FILE_MESSAGES ? mem.getU32(file + OpenFile.object) : 0;
}

/** Waits until `ready`; 0, or −errno when it must not or cannot wait any longer. */
function waitFor(t: ThreadContext, file: number, ready: () => boolean, deadline: number): number {
  const { mem } = t;
  if (mustNotWait(t, file)) return -EAGAIN;
  const waiters = queueOf(mem, file) + PosixQueue.source + EventSource.waiters;
  const outcome = waitInQueue(t, waiters, ready, { deadline });
  return outcome === 'ready' ? 0 : outcome === 'interrupted' ? -ERESTARTSYS : -ETIMEDOUT;
}

/**
 * mq_timedsend(2): queues a message (Message, its type the priority), which is the queue's from then on. `deadline` in monotonic
 * milliseconds. Returns 0 or −errno.
 */
export function sendMessage(t: ThreadContext, file: number, message: number, deadline: number): number {
  const { mem, thread } = t;
  const queue = queueOf(mem, file);
  if ((flagsOf(mem, file) & O_ACCMODE) === O_RDONLY) return -EBADF;
  const most = mem.getU32(queue + PosixQueue.maxMessages);
  for (;;) {
    let notify: (() => void) | undefined;
    const sent = withMutex(mem, queue + PosixQueue.lock, thread, () => {
      const count = mem.getI32(queue + PosixQueue.count);
      if (count >= most) return false;
      const priority = mem.getU64(message + Message.type);
      let link = queue + PosixQueue.first;
      while (mem.getU32(link) !== 0 && mem.getU64(mem.getU32(link) + Message.type) >= priority)
        link = mem.getU32(link) + Message.next;
      mem.setU32(message + Message.next, mem.getU32(link));
      mem.setU32(link, message);
      mem.atomicStore(queue + PosixQueue.count, count + 1);
      const bytes = mem.getU32(queue + PosixQueue.bytes) + mem.getU32(message + Message.size);
      mem.setU32(queue + PosixQueue.bytes, bytes);
      // Whoever waits for the message gets it, and nobody is told.
      if (count === 0 && mem.getU32(queue + PosixQueue.receivers) === 0)
        notify = takeNotificationLocked(t, queue);
      return true;
    });
    if (sent) {
      signalEvents(mem, queue + PosixQueue.source, READABLE, thread);
      notify?.();
      return 0;
    }
    const result = waitFor(t, file, () => mem.atomicLoad(queue + PosixQueue.count) < most, deadline);
    if (result < 0) return result;
  }
}

/** mq_timedreceive(2): takes the first message of the highest priority, which is the caller's to free; −errno otherwise. */
export function receiveMessage(t: ThreadContext, file: number, deadline: number): number {
  const { mem, thread } = t;
  const queue = queueOf(mem, file);
  if ((flagsOf(mem, file) & O_ACCMODE) === O_WRONLY) return -EBADF;
  const count = queue + PosixQueue.count;
  const receivers = queue + PosixQueue.receivers;
  // A call that is begun again has been waiting.
  let waiting = t.resumed;
  for (;;) {
    const message = withMutex(mem, queue + PosixQueue.lock, thread, () => {
      if (waiting) mem.setU32(receivers, mem.getU32(receivers) - 1);
      waiting = false;
      const first = mem.getU32(queue + PosixQueue.first);
      if (first === 0) {
        waiting = !mustNotWait(t, file);
        if (waiting) mem.setU32(receivers, mem.getU32(receivers) + 1);
        return 0;
      }
      mem.setU32(queue + PosixQueue.first, mem.getU32(first + Message.next));
      mem.atomicStore(count, mem.getI32(count) - 1);
      const bytes = mem.getU32(queue + PosixQueue.bytes) - mem.getU32(first + Message.size);
      mem.setU32(queue + PosixQueue.bytes, bytes);
      return first;
    });
    if (message !== 0) {
      signalEvents(mem, queue + PosixQueue.source, WRITABLE, thread);
      return message;
    }
    const result = waitFor(t, file, () => mem.atomicLoad(count) > 0, deadline);
    if (result < 0) {
      if (waiting)
        withMutex(mem, queue + PosixQueue.lock, thread, () =>
          mem.setU32(receivers, mem.getU32(receivers) - 1),
        );
      return result;
    }
  }
}

const NOTIFY_WOKENUP = 1;
const NOTIFY_REMOVED = 2;

/** What tells the C library's thread by its netlink socket that a message has come, or none will be told of; the lock is held. */
function takeThreadNotificationLocked(
  mem: SharedMemory,
  queue: number,
  what: number,
  owner: number,
): (() => void) | undefined {
  const socket = mem.getU32(queue + PosixQueue.notifySocket);
  if (socket === 0) return undefined;
  mem.setU32(queue + PosixQueue.notifySocket, 0);
  const at = queue + PosixQueue.notifyCookie;
  const cookie = mem.u8.slice(at, at + COOKIE_SIZE);
  cookie[COOKIE_SIZE - 1] = what;
  return () => {
    putPacket(mem, socket, cookie, 0x7fff_ffff, 0x7fff_ffff, 0, owner);
    signalSocket(mem, socket, READABLE, owner);
    dropSocket(mem, socket, owner);
  };
}

/** What is to be done for mq_notify when a message has come; the registration ends with it. */
function takeNotificationLocked(t: ThreadContext, queue: number): (() => void) | undefined {
  const { mem, guest, thread } = t;
  const pid = mem.getU32(queue + PosixQueue.notifyPid);
  if (pid === 0) return undefined;
  mem.setU32(queue + PosixQueue.notifyPid, 0);
  const kind = mem.getU32(queue + PosixQueue.notifyKind);
  if (kind === SIGEV_THREAD) return takeThreadNotificationLocked(mem, queue, NOTIFY_WOKENUP, thread);
  if (kind !== SIGEV_SIGNAL) return undefined;
  const signal = mem.getU32(queue + PosixQueue.notifySignal);
  const value = mem.u64[(queue + PosixQueue.notifyValue) >>> 3];
  const info = queuedInfo(
    signal,
    SI_MESGQ,
    mem.getU32(guest + Guest.pid),
    mem.getU32(t.cred + Cred.uids),
    value,
  );
  return () =>
    visitGuests(mem, thread, (other) => {
      if (mem.getU32(other + Guest.pid) !== pid) return false;
      sendSignal(mem, thread, other, 0, signal, info);
      return true;
    });
}

/** Who is told of the next message: mq_notify(2). */
export interface Notification {
  readonly kind: number;
  readonly signal: number;
  readonly value: bigint;
  /** SIGEV_THREAD: a netlink socket with a reference, which the callee takes over when the result is 0, and what it gets. */
  readonly socket?: number;
  readonly cookie?: Uint8Array;
}

/** NOTIFY_COOKIE_LEN. */
export const COOKIE_SIZE = 32;

/** mq_notify(2): registers the caller, or ends its registration. 0 or −EBUSY. */
export function notifyOf(t: ThreadContext, file: number, notification: Notification | undefined): number {
  const { mem, guest, thread } = t;
  const queue = queueOf(mem, file);
  const pid = mem.getU32(guest + Guest.pid);
  const registered = mem.getU32(queue + PosixQueue.notifyPid);
  const alive = registered !== 0 && registered !== pid && isAlive(t, registered);
  let told: (() => void) | undefined;
  const result = withMutex(mem, queue + PosixQueue.lock, thread, () => {
    const now = mem.getU32(queue + PosixQueue.notifyPid);
    if (notification === undefined) {
      if (now !== pid) return 0;
      mem.setU32(queue + PosixQueue.notifyPid, 0);
      told = takeThreadNotificationLocked(mem, queue, NOTIFY_REMOVED, thread);
      return 0;
    }
    if (now !== 0 && (now !== registered || now === pid || alive)) return -EBUSY;
    told = takeThreadNotificationLocked(mem, queue, NOTIFY_REMOVED, thread);
    mem.setU32(queue + PosixQueue.notifyPid, pid);
    mem.setU32(queue + PosixQueue.notifyKind, notification.kind);
    mem.setU32(queue + PosixQueue.notifySignal, notification.signal);
    mem.u64[(queue + PosixQueue.notifyValue) >>> 3] = notification.value;
    mem.setU32(queue + PosixQueue.notifySocket, notification.socket ?? 0);
    if (notification.cookie !== undefined) mem.u8.set(notification.cookie, queue + PosixQueue.notifyCookie);
    return 0;
  });
  told?.();
  return result;
}

function isAlive(t: ThreadContext, pid: number): boolean {
  let alive = false;
  visitGuests(t.mem, t.thread, (guest) => {
    alive = t.mem.getU32(guest + Guest.pid) === pid && t.mem.getI32(guest + Guest.threadCount) > 0;
    return alive;
  });
  return alive;
}

const queueOperations: FileOperations = {
  read(t, file, into, offset) {
    const { mem } = t;
    const queue = queueOf(mem, file);
    const text = withMutex(mem, queue + PosixQueue.lock, t.thread, () => {
      const field = (name: string, value: number, width: number): string =>
        `${name}:${String(value).padEnd(width)}`;
      const pid = mem.getU32(queue + PosixQueue.notifyPid);
      const signals = pid !== 0 && mem.getU32(queue + PosixQueue.notifyKind) === SIGEV_SIGNAL;
      return (
        `${field('QSIZE', mem.getU32(queue + PosixQueue.bytes), 10)} ` +
        `${field('NOTIFY', pid === 0 ? 0 : mem.getU32(queue + PosixQueue.notifyKind), 5)} ` +
        `${field('SIGNO', signals ? mem.getU32(queue + PosixQueue.notifySignal) : 0, 5)} ${field('NOTIFY_PID', pid, 6)}\n`
      );
    });
    return atOffset(t, file, offset, (position, moveTo) => {
      const n = into.copyOut(t, 0, Buffer.from(text).subarray(position, position + into.length));
      moveTo(position + n);
      return n;
    });
  },
  seek(t, file, offset, whence) {
    return atOffset(t, file, undefined, (position, moveTo) => {
      const target = offset + (whence === 1 ? position : 0);
      if ((whence !== 0 && whence !== 1) || target < 0) return -EINVAL;
      moveTo(target);
      return target;
    });
  },
  poll(mem, file) {
    const queue = queueOf(mem, file);
    const count = mem.atomicLoad(queue + PosixQueue.count);
    const most = mem.getU32(queue + PosixQueue.maxMessages);
    return (count > 0 ? READABLE : 0) | (count < most ? WRITABLE : 0);
  },
  eventSource(mem, file) {
    return queueOf(mem, file) + PosixQueue.source;
  },
  status(t, file) {
    const queue = queueOf(t.mem, file);
    return madeStatus({
      dev: DEV_ANONYMOUS,
      ino: BigInt(queue),
      mode: S_IFREG | t.mem.getU32(queue + PosixQueue.mode),
      uid: t.mem.getU32(queue + PosixQueue.uid),
      gid: t.mem.getU32(queue + PosixQueue.gid),
      size: 80,
    });
  },
  flush(t, file) {
    notifyOf(t, file, undefined);
  },
  release(mem, file, owner) {
    releaseQueue(mem, queueOf(mem, file), owner);
  },
};

registerKind(FILE_MESSAGES, queueOperations);
