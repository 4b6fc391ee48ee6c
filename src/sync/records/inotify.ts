import { Mutex } from '../mutex.js';
import { embedded, i32, pointer, record, u32, u64 } from '../record.js';
import { EventSource } from './events.js';

/** All watches of the machine; Machine.inotify. Made by whoever needs it first. */
export const InotifyTable = record({
  /** Guards the watches, and watches and events of every Inotify. A leaf but for the heap. */
  lock: embedded(Mutex),
  /** First InotifyWatch. */
  first: pointer,
  /** How many there are; read without the lock by whoever might have something to tell. */
  count: i32,
  /** Last number that tells the two halves of a rename. Atomic. */
  lastCookie: i32,
});

/** An inotify instance. */
export const Inotify = record({
  /** First and last InotifyEvent, how many, and the bytes that read(2) gives for them. */
  first: pointer,
  last: pointer,
  events: u32,
  bytes: u32,
  lastWatch: i32,
  source: embedded(EventSource),
});

export const InotifyWatch = record({
  next: pointer,
  inotify: pointer,
  descriptor: i32,
  mask: u32,
  /** Host path of what is watched (Text), and which file that is: it may have other names. */
  path: pointer,
  dev: u64,
  ino: u64,
});

/** An event; its name follows. */
export const InotifyEvent = record({
  next: pointer,
  descriptor: i32,
  mask: u32,
  cookie: u32,
  nameLength: u32,
});
