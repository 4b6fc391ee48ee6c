import { array, f64, i32, pointer, record, u32, u64 } from '../record.js';

/**
 * One guest thread (Linux: one task). The first part is the hart, which translated and interpreted code address
 * directly; while `mode` is GUEST only the worker that runs the thread may touch it.
 */
export const Thread = record({
  // --- the hart: owned by the running worker ---
  /** x0 … x31, then one slot that swallows writes to x0 (index 32). */
  x: array(u64, 33),
  /** f0 … f31, NaN-boxed. */
  f: array(u64, 32),
  /** The pc; exact whenever the engine has returned. */
  pc: u64,
  /** fcsr split: accrued exceptions (NV 16, DZ 8, OF 4, UF 2, NX 1) and the dynamic rounding mode. */
  fflags: u32,
  frm: u32,
  /** LR's reservation: guest address (all ones when there is none), and the value LR saw. */
  reservationAddress: u64,
  reservationValue: u64,
  /** Retired instructions. */
  instret: u64,

  // --- what the engine needs of the address space; copied from Mm whenever it changes (all threads stopped) ---
  /**
   * Machine addresses of the flat tables; 0 = slow path. readTable and writeTable: one u32 a host page, delta + 1, where
   * machine address = (guest address + delta) modulo 2^32. codeTable: one u32 a 4 KiB page, the CodePage address.
   */
  readTable: u32,
  writeTable: u32,
  codeTable: u32,
  /** log2 of the host page size. */
  hostPageShift: u32,
  /** Guest addresses at or beyond the reach take the slow path. A power of two, in bytes. */
  reach: u64,
  /** The home delta plus one, as the tables hold it: the value the JIT expects to find. */
  homeEntry: u32,

  // --- what the engine leaves behind when it returns ---
  /** Guest address of the access that faulted, or the illegal instruction's word. */
  exitAddress: u64,
  /** 1, 2, 4 or 8: size of the faulting access. */
  exitSize: u32,
  /** Scratch of the engine's slow paths. */
  scratch: array(u64, 4),

  // --- safepoints; see safepoint.ts ---
  /** Attention bits. Atomic. */
  attention: i32,
  /** KERNEL or GUEST. Atomic; written by the thread itself only. */
  mode: i32,
  /** Counts the thread's safepoints; incremented by itself, read by those who wait for quiescence. Atomic. */
  epoch: i32,

  // --- parking; see park.ts ---
  parkWord: i32,

  // --- identity: constant after creation unless said ---
  tid: u32,
  /** Guest record (process). */
  guest: pointer,
  /** Address space, descriptors, cwd/root/umask, signal actions: shared or own as clone's flags said. */
  mm: pointer,
  files: pointer,
  fs: pointer,
  sighand: pointer,
  /** Per-thread signal state (mask, pending, alternate stack): kernel/signals owns the record. */
  signals: pointer,
  /** Next thread of the same Mm; Mm.threadsLock. */
  nextInMm: pointer,
  /** Next thread of the same Guest; Guest.threadsLock. */
  nextInGuest: pointer,
  /** Guest address to clear and futex-wake at exit (set_tid_address, CLONE_CHILD_CLEARTID), or 0. Own thread. */
  clearChildTid: u64,
  /** set_robust_list head (guest address), or 0. Own thread. */
  robustList: u64,
  /** Host (worker) that runs the thread, or 0. */
  host: pointer,
  /** What the host does first: START_*. Atomic: who looks from outside sees START_EXEC until the program is loaded. */
  start: u32,
  /** Exec request for START_EXEC; kernel/ owns it. */
  execRequest: pointer,
  /** Robust-list and syscall bookkeeping of kernel/: number of the system call being made, or −1. */
  syscall: i32,
  /** Absolute wake-up of a restarted sleep, and the guest address of the remaining time; kernel/ owns them. */
  restartDeadline: u64,
  restartArgument: u64,
  /** Bytes 0-15 of comm (PR_SET_NAME). Own thread writes. */
  comm: array(u32, 4),
  /** CLONE_VFORK: the parent thread to release, or 0. */
  vforkParent: pointer,
  /** Free for kernel/: state shown in /proc/PID/stat ('R', 'S', 'Z', …). */
  state: u32,
  /** Free for statistics: system calls made, faults handled. Own thread. */
  syscallCount: u32,
  faultCount: u32,
  /** Bytes read and written by calls, and those calls (/proc/PID/io). Own thread. */
  io: array(u64, 4),
  /** PR_SET_TIMERSLACK, nanoseconds; 0: the default, which is the next, what its creator had (0: the system's). Own thread. */
  timerSlack: u32,
  timerSlackDefault: u32,
  /** Next thread that waits for a host; Machine.hostsLock (sync/hosts.ts). */
  nextWaiting: pointer,

  // --- more of kernel/ ---
  /** The thread's place in futex queues (FutexWaiter); constant. */
  futexWaiter: pointer,
  /** What restart_syscall does: RESTART_NONE or RESTART_SLEEP, and the sleep's clock. Own thread. */
  restartKind: u32,
  restartClock: u32,
  /** CPU time of the worker when it began with this thread, milliseconds, 0 when none has it. Own thread; cpuVersion is odd while it changes. */
  cpuBegan: f64,
  /** Host's id of the worker, for reading its CPU time; 0 when unknown. The same rule. */
  hostTid: u32,
  /** Exit code given to exit(2), as wait4 shows it. Own thread. */
  exitStatus: u32,
  /** Next free Thread record; Machine.guestsLock. Records are never given back to the heap (see kernel/README.md). */
  nextFree: pointer,

  // --- more of the engine ---
  /** Predecoded instructions that straddle two pages, as the thread last met them: STRADDLES entries (interpreter/straddles). */
  straddles: array(u64, 64),
  /** Counters of how often places are jumped to (u16 each, hashed by slot address), or 0 when nothing is translated. */
  hotCounters: pointer,
  /** The count at which a place is hot; 0: never. */
  hotThreshold: u32,
  /** The RegionMap of the worker that runs the thread. */
  regionMap: pointer,

  // --- more of kernel/ ---
  /** CLONE_CHILD_SETTID: where a new process writes its tid before anything else, or 0. */
  setChildTid: u64,
  /** Id of the child that this thread, in vfork, waits for; 0 when it need not wait any more. Atomic. */
  vforkChild: i32,

  /** Instructions done in regions that the one being profiled has called (RegionProfile.executed). */
  calledInstructions: u64,
  /** TIER_*: what the thread is doing, for those who look now and then. Own thread; regions only tell when they are observed. */
  tier: u32,

  // --- kept for schedulingCalls; of another thread under its Guest.threadsLock ---
  /** SCHED_*, with SCHED_RESET_ON_FORK, and the static priority. */
  schedulingPolicy: u32,
  schedulingPriority: u32,
  niceness: i32,
  /** Processors 0 to 63 it may run on; all 0: every one. */
  affinity: array(u32, 2),
  /** ASLEEP or MOVABLE while the thread may be asleep in `park`, HOSTLESS while it waits without a host, else AWAKE. Atomic. */
  asleep: i32,
  /** FUTEXES_*: whether the thread may still own locks that others wait for (kernel/futexPi.ts). Atomic. */
  futexState: i32,
  /** CPU time that it has used in hosts it has left, milliseconds. The same rule as cpuBegan. */
  cpuSpent: f64,

  // --- a system call that the thread has left with its host: kernel/leftCall.ts. Own thread, until it is unparked ---
  /** First of the places in wait queues that it keeps (WaitNode.nextKept), and of the open files (KeptFile), or 0. */
  waitNodes: pointer,
  keptFiles: pointer,
  /** What else the call waits at, and a count that it has raised for that; the call says what they are. */
  waitObject: pointer,
  waitCount: pointer,
  /** First of what it has read of the guest's memory (KeptInput), or 0; kernel/keptInputs.ts. */
  keptInputs: pointer,
  /** When the call was begun (monotonic milliseconds; 0: it has not asked), and how many bytes of it are done. */
  callBegan: f64,
  callProgress: u32,
  /** When it is to be woken (monotonic milliseconds), and its neighbours in the list of such threads; sync/sleepers.ts. */
  wakeTime: f64,
  nextSleeper: pointer,
  previousSleeper: pointer,
  /** Which sleep of the machine the thread's last one is (Machine.sleeps). Own thread. */
  sleep: u32,
  /** 1: its system calls may be made by kernel/hotCalls, since nobody is told of them. Own thread. */
  hotCalls: u32,
  /** Goes up when a worker begins or ends with the thread (kernel/cpuTime.ts). Atomic; own thread. */
  cpuVersion: i32,
  /** The most CPU time that was ever said of it, milliseconds; Guest.threadsLock. */
  cpuSaid: f64,
  /** The SemaphoreUndoList that it has of its own (one reference), or 0: the guest's. Own thread. */
  semaphoreUndos: pointer,
  /** The Cred that the thread has of its own, or 0: the guest's (kernel/credentials.ts). Guest.threadsLock; read by the thread without. */
  cred: pointer,
  /** The ProcessId that pidfds of the thread share (one reference), or 0; Guest.threadsLock. */
  processId: pointer,
});

/** An open file that a thread without a host keeps, a reference each, and the descriptor by which its call knows it. */
export const KeptFile = record({
  next: pointer,
  file: pointer,
  fd: i32,
});

/** What a thread without a host has read for its call; the bytes follow. */
export const KeptInput = record({
  next: pointer,
  length: u32,
});

/** The thread runs; it gives its locks up (exit, exec); it has done so. */
export const FUTEXES_OWNED = 0;
export const FUTEXES_LEAVING = 1;
export const FUTEXES_LEFT = 2;

export const TIER_INTERPRETER = 0;
export const TIER_TRANSLATED = 1;
/** Compiling regions that it has met. */
export const TIER_COMPILING = 2;
/** In a park. */
export const TIER_WAITING = 3;

export const MODE_KERNEL = 0;
export const MODE_GUEST = 1;

/** Attention bits. All are above any budget of instructions: translated code compares the word with what is left of its budget. */
export const ATTENTION_SIGNAL = 1 << 25;
/** Stop at the next safepoint until resumed (fork, exec, reach growth, debugger). */
export const ATTENTION_STOP = 1 << 26;
/** Pass one safepoint and go on (quiescence for munmap, mprotect and frame reclamation). */
export const ATTENTION_QUIESCE = 1 << 27;
/** The thread must exit (exit_group, exec by another thread, machine close). Sticky. */
export const ATTENTION_EXIT = 1 << 28;
/** Leave the compiled function once and come back (so that V8 can tier it up). */
export const ATTENTION_TIER = 1 << 29;

/** Registers are ready. */
export const START_RUN = 0;
/** Load a program. */
export const START_EXEC = 1;
/** Make the system call at the pc again, in which the thread left its host. */
export const START_CALL = 2;
/** Wait on for the child of vfork. */
export const START_VFORK = 3;

/** Thread.asleep; see park.ts. */
export const AWAKE = 0;
export const ASLEEP = 1;
export const HOSTLESS = 2;
/** Asleep, and woken for nothing it gives its host away, if a thread waits for one. */
export const MOVABLE = 3;

/** Why the engine returned. The pc is at the instruction concerned (not past it) unless said. */
export const EXIT_ECALL = 1;
export const EXIT_EBREAK = 2;
/** exitAddress holds the instruction word. */
export const EXIT_ILLEGAL = 3;
/** exitAddress, exitSize: the first byte that could not be accessed. */
export const EXIT_READ_FAULT = 4;
/** Stores and AMOs. */
export const EXIT_WRITE_FAULT = 5;
/** No code at pc's page, or (straddling instruction) at pc + 2's: exitAddress says which. */
export const EXIT_FETCH = 6;
/** A poll saw a nonzero attention word. */
export const EXIT_ATTENTION = 7;
/** FENCE.I: the pc is past it; the kernel must drop stale code. */
export const EXIT_FENCE_I = 8;
/** A misaligned LR, SC or AMO: SIGBUS / BUS_ADRALN. */
export const EXIT_MISALIGNED_ATOMIC = 9;

/** The place at the pc is jumped to often: it is worth translating. */
export const EXIT_HOT = 10;
/** The region whose index is in exitAddress is not in this worker's table yet. */
export const EXIT_REGION = 11;

/** The thread has ended, and its record is another's: kernel/hotCalls has done it. The pc is nobody's. */
export const EXIT_ENDED = 12;
/** The thread waits in its system call without a host, and its record is whoever's has it next. */
export const EXIT_LEFT = 13;

/** `reservationAddress` when there is no reservation. */
export const NO_RESERVATION = 0xffff_ffff_ffff_ffffn;
