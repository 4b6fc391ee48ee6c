import { Mutex } from '../mutex.js';
import { array, embedded, i32, pointer, record, u8, u32, u64 } from '../record.js';
import { EventSource } from './events.js';

/** The names of the machine's POSIX message queues; Machine.posixMessages. */
export const PosixQueues = record({
  /** Guards the list, and PosixQueue.linked. A leaf but for the heap. */
  lock: embedded(Mutex),
  /** First PosixQueue with a name. */
  first: pointer,
});

/** A POSIX message queue (Linux: mqueue_inode_info). */
export const PosixQueue = record({
  /** Open files, and one for the name. Atomic. */
  refs: i32,
  next: pointer,
  /** 1 while it has its name; PosixQueues.lock. */
  linked: u32,
  /** Text; constant. */
  name: pointer,
  mode: u32,
  uid: u32,
  gid: u32,
  /** What it counts for RLIMIT_MSGQUEUE; constant. */
  charged: u64,
  maxMessages: u32,
  messageSize: u32,
  /** Guards what follows. A leaf but for the heap. */
  lock: embedded(Mutex),
  /** Messages, of which the first (Message) is the next to be received. `count` is also read without the lock. */
  count: i32,
  first: pointer,
  bytes: u32,
  /** Threads that wait to receive. */
  receivers: u32,
  /** mq_notify: the process that is told (0: none), how (SIGEV_*), with which signal and value. */
  notifyPid: u32,
  notifyKind: u32,
  notifySignal: u32,
  notifyValue: u64,
  /** SIGEV_THREAD: the netlink socket (one reference), or 0, and the bytes that it gets. */
  notifySocket: pointer,
  notifyCookie: array(u8, 32),
  source: embedded(EventSource),
});
