import { Mutex } from '../mutex.js';
import { embedded, i32, pointer, record, u32, u64 } from '../record.js';

/** A kqueue(2): an epoll set, and the knotes that its entries stand for (kernel/freebsd/kqueue.ts). */
export const Kqueue = record({
  /** Guards the knotes. Taken before the locks of epoll and of files. */
  lock: embedded(Mutex),
  /** Open file of the epoll set (a reference is held); constant. */
  set: pointer,
  /** First knote; lock. */
  knotes: pointer,
  /** Process that made it: no other may use it, since descriptors mean other files there; constant. */
  pid: u32,
  /** The last identity given to a knote; lock. */
  lastId: u32,
});

/** One event that a kqueue watches for; Kqueue.lock. */
export const Knote = record({
  next: pointer,
  /** What the epoll entry carries; unique within the kqueue. */
  id: u32,
  /** What names it: ident and filter. */
  ident: u64,
  filter: i32,
  /** EV_* as they were given, less the ones that are orders. */
  flags: u32,
  fflags: u32,
  udata: u64,
  /** Open file that the epoll set watches for it (a reference is held), or 0 for a descriptor's own. */
  source: pointer,
  /** 1 while it is enabled. */
  enabled: u32,
});
