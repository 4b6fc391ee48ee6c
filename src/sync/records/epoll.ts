import { Mutex } from '../mutex.js';
import { embedded, f64, i32, pointer, record, u32 } from '../record.js';
import { EventSource } from './events.js';

/** An epoll set. */
export const Epoll = record({
  /** Guards `items`, `ready` and the items' fields; a leaf. */
  lock: embedded(Mutex),
  /** Its open file; constant. */
  file: pointer,
  /** First item (EpollItem.nextOfEpoll); lock and FilesGlobal.epollLock to change. */
  items: pointer,
  /** First and last item of the ready list (EpollItem.nextReady); lock. */
  readyFirst: pointer,
  readyLast: pointer,
  /** Items whose file has a deadline of its own (timerfd); lock. */
  timedItems: i32,
  /** Who waits in epoll_wait, and sets that contain this one. */
  source: embedded(EventSource),
});

/** One file in one epoll set. */
export const EpollItem = record({
  epoll: pointer,
  file: pointer,
  fd: i32,
  /** EPOLL* events and flags asked for; 0 after a oneshot fired; Epoll.lock. */
  events: u32,
  dataLow: u32,
  dataHigh: u32,
  /** 1 while in the ready list; Epoll.lock. */
  ready: u32,
  nextReady: pointer,
  /** Neighbours in the set; Epoll.lock. */
  nextOfEpoll: pointer,
  previousOfEpoll: pointer,
  /** Next item that watches the same file; FilesGlobal.epollLock. */
  nextOfFile: pointer,
  /** The event source that the item watches, or 0 for a file that is always ready; constant. */
  source: pointer,
  /** Next item of the source; EventSource.watchLock. */
  nextOfSource: pointer,
  /** The file has a deadline of its own (timerfd); constant. */
  timed: u32,
  /** The deadline that was last reported, for edge-triggered timers; Epoll.lock. */
  reported: f64,
});
