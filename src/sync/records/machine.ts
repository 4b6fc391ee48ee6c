import { Mutex } from '../mutex.js';
import { array, embedded, f64, i32, pointer, record, u32, u64 } from '../record.js';

/** Where the Machine record stands in the machine's memory. Page 0 is never used, so that address 0 means "none". */
export const MACHINE = 4096;

/** How many size classes the heap of kernel records has. */
export const HEAP_CLASSES = 32;

/** How many files keep their pages after their last mapping has gone: memory/keptFiles.ts. */
export const KEPT_FILES = 32;

/** State of the whole machine, at address MACHINE. */
export const Machine = record({
  /** Bytes of memory; log2 of host page size; constant. */
  memoryBytes: u64,
  hostPageShift: u32,

  // --- heap of kernel records: heap.ts ---
  heapLock: embedded(Mutex),
  /** Next unused byte and end of the kernel area; heapLock. */
  heapNext: u32,
  heapEnd: u32,
  /** Free blocks by size class, and free large blocks; heapLock. */
  heapFree: array(pointer, HEAP_CLASSES),
  heapFreeLarge: pointer,
  /** Bytes handed out, for the auditor; heapLock. */
  heapUsed: u64,

  // --- frames: memory/frames.ts ---
  /** Frame descriptors (FrameDescriptor[frameCount]); constant. */
  frameDescriptors: pointer,
  /** Address of frame 0, and how many there are; constant. */
  framesBase: u32,
  frameCount: u32,
  framesLock: embedded(Mutex),
  /** Free for memory/frames: bump index, free list, counts; framesLock or atomic as memory/frames.ts says. */
  framesNext: u32,
  framesFree: i32,
  framesUsed: i32,
  extentTable: pointer,

  // --- file pages: memory/ ---
  filePagesLock: embedded(Mutex),
  filePages: pointer,

  // --- guests and threads: kernel/ ---
  guestsLock: embedded(Mutex),
  /** All guests, linked by Guest.nextGuest; guestsLock. */
  guests: pointer,
  /** How many those are, without the machine's init; guestsLock. */
  guestCount: i32,
  /** Last process/thread id given out; guestsLock. */
  lastTid: u32,
  /** Last Guest.family given out. Atomic. */
  lastFamily: i32,
  maxTids: u32,

  // --- thread hosts: machine/ ---
  hostsLock: embedded(Mutex),
  /** Parked hosts, linked by Host.nextIdle; hostsLock. */
  idleHosts: pointer,
  idleHostCount: i32,
  /** Waiters for a host; incremented whenever one parks. Atomic; Atomics.wait target. */
  hostsArrived: i32,

  // --- requests to the coordinator: ring.ts ---
  requests: pointer,

  // --- futexes: kernel/futex.ts ---
  futexBuckets: pointer,
  futexBucketCount: u32,

  /** Set once when the machine closes: hosts leave their loops. Atomic. */
  closing: i32,
  /** Realtime minus monotonic clock at creation, microseconds; constant. */
  realtimeOffset: u64,
  /** Boot time in monotonic milliseconds; constant. */
  bootTime: u64,
  /** Seed of every pseudo-random choice of the machine (0: none, use the host's entropy); constant. */
  seed: u64,
  /** Options of kernel/ and observe/ that every worker needs: address and length of a JSON text; constant. */
  optionsText: pointer,
  optionsLength: u32,

  // --- more of the thread hosts: sync/hosts.ts; hostsLock ---
  /** Hosts that exist or have been asked for, and how many there may be. */
  hostCount: i32,
  hostLimit: i32,
  /** Threads that have a host or a promise of one. */
  hostsCommitted: i32,
  /** Threads that wait for a host, linked by Thread.nextWaiting: first and last. */
  waitingFirst: pointer,
  waitingLast: pointer,
  /** Hosts kept parked ahead of need; grows with the number of threads. */
  spareHosts: i32,

  // --- more of kernel/ ---
  /** TimerList; constant. */
  timers: pointer,
  /** Thread records that are free, linked by Thread.nextFree; guestsLock. */
  freeThreads: pointer,
  /** Processors a guest is told of; constant. */
  cpuCount: u32,
  /** 1 once ids have wrapped at maxTids; guestsLock. */
  tidsWrapped: u32,
  /** 1 while the coordinator's doorbell has been rung and not yet answered. Atomic. */
  doorbell: i32,
  /** FilesGlobal of kernel/files; heapLock while it is made. */
  filesGlobal: pointer,
  /** Translation record; constant. */
  translation: pointer,
  /** Last generation given to a CodePage; framesLock. */
  codeGeneration: u32,
  /** IpcTable of System V segments; 0 until a guest needs it. Atomic. */
  sysvShm: pointer,
  /** First byte of the kernel area; constant. */
  heapBegin: u32,
  /** HostFiles that were executed last (each a reference), and which goes next; filePagesLock. */
  keptFiles: array(pointer, KEPT_FILES),
  keptNext: u32,
  /** Host descriptor that logs (-d, --strace) go to, or 0: standard error. Constant once guests run. */
  logFd: i32,
  /** LockHistogram of the mmap mutexes, or 0; constant. */
  lockHistogram: pointer,
  /** Threads asleep in `park` on their hosts. Atomic. */
  threadsAsleep: i32,
  /** Threads that wait for a lock with an owner (kernel/futexPi.ts), counted before they are queued. Atomic. */
  lockWaiters: i32,
  /** Sockets record of kernel/sockets; 0 until a guest needs it. Atomic. */
  sockets: pointer,
  /** NETWORK_*: what of the host's network guests reach; constant once guests run. */
  network: u32,
  /** IpcTables of semaphore sets and message queues, and MqTable: 0 until a guest needs them. Atomic. */
  sysvSemaphores: pointer,
  sysvMessages: pointer,
  posixMessages: pointer,
  /** InotifyTable; 0 until a guest needs it. Atomic. */
  inotify: pointer,
  /** Uts; constant. */
  uts: pointer,
  /** Idle hosts that look into the queue from time to time without being told (one at most); hostsLock. */
  watchingHosts: i32,
  /** How often somebody has relied on that; hostsLock, read without. */
  watchesUsed: u32,
  /** How many threads have been taken out of the queue. Atomic. */
  threadsTaken: i32,
  /** The thread that started the one that was put into the queue last; 0: none did, or it was there before. hostsLock, read without. */
  starter: pointer,

  // --- threads without a host that are to be woken at a time: sync/sleepers.ts; sleepersLock ---
  sleepersLock: embedded(Mutex),
  sleepers: pointer,
  /** The earliest time that the coordinator knows of (monotonic milliseconds). */
  sleepersAnnounced: f64,

  // --- more of the thread hosts: sync/hosts.ts ---
  /** All hosts, linked by Host.nextHost; hostsLock. */
  hosts: pointer,
  /** As many hosts are started ahead of need; constant. */
  hostsAhead: i32,
  /** 1 while the coordinator looks now and then whether the queue moves; hostsLock. */
  queueWatched: i32,
  /** Counts the sleeps in `park`. Atomic. */
  sleeps: i32,
  /** Threads that wait without a host. Atomic. */
  threadsHostless: i32,
  /** Counts renames and new symbolic links by guests (kernel/files/knownPrograms.ts). Atomic. */
  nameChanges: i32,
  /** How often the code of frames was emptied that stay in code tables (memory/frameCode): engines look at all pages again when they begin to run. Atomic. */
  codeClears: i32,
  /** Last code epoch given to an address space (sync/codeEpoch). Atomic. */
  codeEpochs: u64,
});

/** A network of the machine's own: loopback only, no host. */
export const NETWORK_NONE = 0;
/** The host's loopback, too. */
export const NETWORK_LOOPBACK = 1;
/** The host's network. */
export const NETWORK_HOST = 2;

/** A thread host: one worker of the pool. */
export const Host = record({
  /** Thread handed over, 0 while idle. Atomic; the host waits on it. */
  thread: i32,
  /** Index of the worker; constant. */
  index: u32,
  /** Next idle host, and next of all; Machine.hostsLock. */
  nextIdle: pointer,
  nextHost: pointer,
  /** The host's id of the worker's thread; 0: unknown. Constant once it runs threads. */
  hostTid: u32,
  /**
   * The guest that the worker's CPU time counts for, and what it had used up when it began with that one (milliseconds; 0: it counts for none).
   * Set by the worker alone, to 0 under Guest.threadsLock (kernel/cpuTime.ts).
   */
  cpuGuest: pointer,
  cpuBase: f64,
});
