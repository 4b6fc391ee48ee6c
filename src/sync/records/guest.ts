import { Mutex } from '../mutex.js';
import { array, embedded, f64, i32, pointer, record, u32, u64 } from '../record.js';
import { WaitQueue } from '../waitQueue.js';
import { Cred } from './cred.js';

/** One guest process (Linux: a thread group). */
export const Guest = record({
  pid: u32,
  /** Parent guest, or 0 for one that the embedder started; Machine.guestsLock. */
  parent: pointer,
  nextGuest: pointer,
  pgid: u32,
  sid: u32,

  threadsLock: embedded(Mutex),
  /** First thread (linked by Thread.nextInGuest), how many are alive; threadsLock. */
  threads: pointer,
  threadCount: i32,
  /** Threads ever started; atomic. */
  threadsStarted: i32,
  threadsPeak: i32,

  /** GUEST_RUNNING, GUEST_EXITING, GUEST_ZOMBIE. Atomic. */
  phase: i32,
  /** wait4's status word, valid from GUEST_EXITING on; threadsLock. */
  exitStatus: u32,
  /** errno and text of an exec that failed before the program ran (for the embedder); pointer to a heap text. */
  execErrno: u32,
  execMessage: pointer,
  execMessageLength: u32,
  /** Crash report for the embedder (heap text), or 0. */
  crashMessage: pointer,
  crashMessageLength: u32,

  /** Process-wide signal state (shared pending, timers): kernel/signals owns the record. */
  signals: pointer,
  /** Timers (setitimer, timer_create): kernel/timers owns the record. */
  timers: pointer,
  /** Waiters in wait4/waitid of this guest. */
  childEvents: embedded(WaitQueue),

  /** Who its first thread acts as, and every thread without a Cred of its own (Thread.cred). */
  cred: embedded(Cred),
  /** /proc/PID/oom_score_adj, which a child has from its parent. Atomic. */
  oomScoreAdj: i32,
  /** struct rlimit[16] as numbers (current, maximum); threadsLock. */
  rlimits: array(u64, 32),
  /** Monotonic start time, microseconds; constant. */
  startTime: u64,
  /** CPU time that workers have used up for it and left it with, and the most that was ever said of it, milliseconds (kernel/cpuTime.ts); threadsLock. */
  cpuTime: f64,
  cpuSaid: f64,
  /** Of children that were waited for, and of theirs, microseconds; Machine.guestsLock. */
  childCpuMicroseconds: u64,
  /** Likewise page faults, and the most bytes one has had resident; Machine.guestsLock. */
  childFaultCount: u64,
  childResidentPeak: u64,
  /** Instructions, system calls and faults of ended threads; threadsLock. */
  instret: u64,
  syscallCount: u64,
  faultCount: u64,
  lockWaits: u64,
  /** Bytes read and written by ended threads, and their calls; threadsLock. */
  io: array(u64, 4),

  /** Index of the embedder's options (strace, uname, …) in the machine's table of guests; constant. */
  optionsText: pointer,
  optionsLength: u32,
  /** Signal actions of the guest's threads; constant until exec. */
  sighand: pointer,
  /** Text lengths are of UTF-8 bytes. Why the guest died: the first thread's fatal signal, or 0. */
  fatalSignal: u32,
  /** Last timer id given out; TimerList.lock. */
  lastTimerId: i32,
  /** The most bytes an address space of the guest has had resident; threadsLock. Noted when the address space goes. */
  residentPeak: u64,
  /** PR_SET_PDEATHSIG and PR_SET_NO_NEW_PRIVS. */
  parentDeathSignal: u32,
  noNewPrivileges: u32,
  /** Threads that have begun to end, of those that threadsStarted counts. Atomic. */
  threadsEnding: i32,

  // --- families: kernel/family.ts, kernel/waitForChild.ts; Machine.guestsLock ---
  /** First child, and the next child of the same parent. */
  children: pointer,
  nextSibling: pointer,
  /** Signal that the parent gets when the guest ends (SIGCHLD after fork; 0: none). */
  exitSignal: u32,
  /** 1: the machine's init is the parent, nobody waits for the guest. (`parent` 0 without it: the embedder waits.) */
  orphan: u32,
  /** The signal that stopped the guest, and 1 once it has gone on, while its parent has not waited for that. */
  stopReport: u32,
  continueReport: u32,
  /** 1 while stopped threads are to report that SIGCONT has come. Atomic. */
  continued: i32,
  /** 1 once the guest has made an execve of its own: setpgid by its parent is refused then. */
  hasExeced: u32,
  /** The thread that waits in execve for the others to end; threadsLock. */
  execThread: pointer,
  /** The ProcessId that pidfds of the guest share (one reference), or 0 as long as there were none; Machine.guestsLock. */
  processId: pointer,
  /** The controlling terminal (Tty, one reference), or 0; Machine.guestsLock, read by the guest itself without it. */
  terminal: pointer,
  /** Thread of the parent that made the guest, or has it since that one's end (__WNOTHREAD); Machine.guestsLock. */
  parentTid: u32,
  /** PR_SET_CHILD_SUBREAPER: 1. */
  subreaper: u32,
  /** Foreground group of the terminal that a session leader has lost; Machine.guestsLock. */
  lostForeground: u32,
  /** FLAVOUR_*: whose system calls it makes; changes in execve, when it has one thread. */
  flavour: u32,
  /** Which spawned guest it descends from: a number that no other such family of the machine has; constant. */
  family: u32,
  /** The GuestTree whose limits hold (one reference), or 0; constant. */
  tree: pointer,
  /** PR_SET_THP_DISABLE. Written by the guest alone. */
  hugePagesDisabled: u32,
  /** What personality(2) was told last. Written by the guest alone. */
  personality: u32,
  /** The SemaphoreUndoList of its threads that have none of their own (one reference), or 0; threadsLock. */
  semaphoreUndos: pointer,
  /** Bytes 0-15 of the name of the thread that was the last; a zombie's. Machine.guestsLock. */
  comm: array(u32, 4),
});

/** Guest.pid of the machine's init (kernel/initProcess.ts). */
export const INIT_PID = 1;

export const GUEST_RUNNING = 0;
export const GUEST_EXITING = 1;
export const GUEST_ZOMBIE = 2;

export const FLAVOUR_LINUX = 0;
export const FLAVOUR_FREEBSD = 1;
