import { Mutex } from '../mutex.js';
import { array, embedded, f64, i32, pointer, record, u32, u64 } from '../record.js';

/** How many locks the page tables of an address space are divided among. */
export const PAGE_TABLE_LOCKS = 64;

/**
 * One address space. Guest page numbers ("vpn") count units of 4 KiB, the smallest target page.
 * Lock order: mmapLock → stopLock → threadsLock; mmapLock → pageTableLocks → machine locks. See mm/README.md.
 */
export const Mm = record({
  /** The mmap mutex (recursive). */
  mmapLock: embedded(Mutex),
  /** How many threads/guests refer to the address space. Atomic. */
  refs: i32,

  // --- threads: safepoint.ts ---
  stopLock: embedded(Mutex),
  threadsLock: embedded(Mutex),
  /** First thread (linked by Thread.nextInMm); threadsLock. */
  threads: pointer,
  /** Written under threadsLock; read atomically. */
  threadCount: i32,
  /** 1 while a stopper has the others stopped: new threads start stopped; threadsLock. */
  stopped: u32,

  // --- page tables; the addresses change only with all threads stopped ---
  /** Master table: one u32 a host page: frame index and PTE flags; the page's page-table lock. */
  pageTable: u32,
  /** Derived tables that the engine reads without a lock; written under the page's page-table lock. */
  readTable: u32,
  writeTable: u32,
  codeTable: u32,
  hostPageShift: u32,
  /** Bytes the tables cover, a power of two. */
  reach: u64,
  /** Home delta (machine address = guest address + homeDelta modulo 2^32), and the home window it maps to. */
  homeDelta: i32,
  homeWindow: u32,
  homeWindowBytes: u64,
  /** One spin lock per slice of the tables (vpn >> 9 modulo PAGE_TABLE_LOCKS). */
  pageTableLocks: array({ size: Mutex.SIZE, align: 8 }, PAGE_TABLE_LOCKS),

  // --- mappings: memory/mappings.ts ---
  /** Even when the mapping list is stable; readers without mmapLock re-check it. Atomic; written under mmapLock. */
  mappingsSequence: i32,
  /** Root of the tree of Mapping records; mmapLock (readers: sequence). */
  mappingsRoot: pointer,
  mappingCount: u32,
  /** Target pages mapped in all, and by kind, for limits and /proc; mmapLock. */
  mappedPages: u32,
  dataPages: u32,
  lockedPages: u32,
  /** Pages resident. Atomic. */
  residentPages: i32,
  residentPeak: i32,

  // --- frames granted by the coordinator: memory/frames.ts ---
  /** Frames the guest may still take from what it was granted; atomic. */
  frameBudget: i32,
  /** Frames it holds; atomic. */
  framesHeld: i32,
  /** Its limit in frames; constant. */
  frameLimit: i32,
  /** The GuestTree whose frames these are (one reference), or 0 when it has no limit of memory; constant once guests run. */
  memoryTree: pointer,
  frameState: array(u32, 7),

  // --- layout: mm/ and loader/ ---
  /** End of guest addresses (TASK_SIZE, --reserved-va) in bytes; constant after exec. */
  taskSize: u64,
  /** Where PLACE_QEMU looks next, the lowest place of mappings (units of 4 KiB), and PLACE_*; mmapLock. */
  mmapNextStart: u32,
  mmapMinAddr: u32,
  placement: u32,
  startBrk: u64,
  brk: u64,
  startCode: u64,
  endCode: u64,
  startData: u64,
  endData: u64,
  startStack: u64,
  argStart: u64,
  argEnd: u64,
  envStart: u64,
  envEnd: u64,
  /** Guest address of the page with the signal trampoline; constant after exec. */
  vdso: u64,
  /** Path of the executable (kernel/ path record), for /proc/self/exe. */
  exe: pointer,
  /** The HostFile of the program (a reference, and an execution of memory/writeClaims.ts), or 0. Own threads. */
  exeFile: pointer,
  /** RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK as mm checks them (bytes; 2^53 = unlimited); mmapLock. */
  limitAs: u64,
  limitData: u64,
  limitStack: u64,
  limitMemlock: u64,
  /** auxv as given to the program, for /proc/self/auxv. */
  auxv: pointer,
  auxvLength: u32,
  /** Membarrier registrations, dumpable flag and other prctl state of the address space. */
  membarrierFlags: u32,
  dumpable: u32,

  // --- added by memory/ ---
  /** Present entries in each run of 512 page-table entries (u32 each); the run's page-table lock. */
  sliceCounts: pointer,
  /** Retired Mapping records for reuse, and how many; mmapLock. */
  spareMappings: pointer,
  spareMappingCount: u32,
  /** Slot of the home window in Machine.extentTable, plus one; constant. */
  homeSlot: u32,
  /** MCL_FUTURE and MCL_ONFAULT as mlockall left them; mmapLock. */
  lockFuture: u32,
  /** Most mappings allowed (vm.max_map_count); constant. */
  maxMappings: u32,
  /** 1 once a frame of the address space became FRAME_MIXED: FENCE.I looks for such frames then. Atomic. */
  mixedFrames: i32,
  /** State of the random placement's sequence; where bottom-up placement begins, target pages; mmapLock. */
  placementState: u32,
  unmappedBase: u32,
  /** The most that mappedPages has been, as far as it has sunk since; mmapLock. */
  mappedPeak: u32,
  /**
   * Where the first stack ends, and the lowest page it may grow to: nothing is placed between (units of 4 KiB; 0: no such
   * stack). Constant after exec.
   */
  stackTop: u32,
  stackFloor: u32,
  /** The guest's page size as a power of two: 12, 14 or 16; constant. Records count units of 4 KiB all the same. */
  targetPageShift: u32,
  /** FreeBSD: the hard RLIMIT_DATA in bytes: mappings without a hint lie beyond the data and this; mmapLock. */
  limitDataMax: u64,
  /** 1 once minherit has asked for something that fork does not do anyway; mmapLock. */
  inheritance: u32,
  /** Extensions of the processor, a mask (isa/extensions.ts); constant. */
  extensions: u32,
  /** When the mmap mutex was taken, milliseconds, where it is measured (Machine.lockHistogram); mmapLock. */
  mmapLockedAt: f64,
  /** The newest KeptImage that was looked at for all pages; atomic. */
  keptImage: pointer,
  /** Changes when an entry of the code table is emptied or replaced, or its CodePage changes: sync/codeEpoch. Atomic; even, and never 0 while there are threads. */
  codeEpoch: u64,
});
