import { Mutex } from '../mutex.js';
import { array, embedded, i32, pointer, record, u8, u32, u64 } from '../record.js';

/** Most regions a machine translates. */
export const MOST_REGIONS = 16384;
/** Requests that may wait for the translator; more are dropped (the place becomes hot again). */
export const MOST_REQUESTS = 1024;
/** Jumps to a place, once it was found hot, until it is found hot again (modulo 65536, where the threshold is larger). */
export const HOT_AGAIN = 20_000;
/** Instructions of a region of the first tier that count as much as a jump. */
export const QUICK_INSTRUCTIONS = 16;
/** Counters of jumps, u16 each, hashed by slot address; every worker has its own, so that they stay in its core's cache. */
export const HOT_COUNTERS = 32768;

/** What a worker's map of regions holds for one that can be entered there; for one of the first tier jumps to it are counted. */
export const READY = 1;
export const READY_QUICK = 2;

/** State of translation, at Machine.translation. */
export const Translation = record({
  /** Jumps to a place after which it is translated; 0: never, or no more. Atomic. */
  threshold: u32,
  /** RegionEntry[MOST_REGIONS]. */
  regions: pointer,
  /** Entries that have been in use: all below this. Atomic; written by the translator only. */
  regionCount: i32,
  /** Rounds of eviction so far: engines that see it change give up what is gone. Atomic; written by the translator only. */
  evictions: i32,

  lock: embedded(Mutex),
  /** The workers' engines, a list by Engine.next that only grows; lock. */
  engines: pointer,
  /** TranslationRequest[MOST_REQUESTS], and how many were ever written and read; lock. */
  requests: pointer,
  written: u32,
  read: u32,
  /** 1 once the translator was asked for; lock. */
  wanted: u32,
  /** Counts requests; the translator waits on it. Atomic. */
  arrived: i32,

  // --- statistics; written by the translator only ---
  /** Regions and modules translated, and those of the regions that were given up for others. */
  translated: u32,
  modules: u32,
  evicted: u32,
  /** Bytes of the modules there are. */
  moduleBytes: u32,
  microseconds: u32,
  /** Instructions in all regions, copies counted. */
  instructions: u32,
  /** Times that places must have been found hot before the translator is started. Constant. */
  patience: u32,
  /** Times that places were found hot. Atomic. */
  found: i32,
  /** Bytes of the kernel's memory that modules and the workers' maps of regions take. Atomic. */
  heapBytes: i32,
  /** Bytes of modules that are kept. Constant. */
  mostBytes: u32,
  /** TranslationPolicy.share. Constant. */
  share: u32,
  /** TranslationPolicy.tiers. Constant. */
  tiers: u32,
  /** LOG_* bits. Constant. */
  logged: u32,
  /** RegionProfile[MOST_REGIONS], or 0 when nobody wants to know what each region does. Constant. */
  profile: pointer,
  /** How often regions were left for the interpreter, by cause (SIDE_EXIT_*); counted with OBSERVE_EXITS, SIDE_EXIT_STALE always. Atomic. */
  sideExits: array(u32, 8),

  /** Where jumps through registers note where they go (jit/jumpProfile), or 0. Atomic. */
  jumpProfile: pointer,

  // --- images of earlier processes: KeptImage ---
  /** Indexes from here on are those of KeptImages; `lock`. */
  indexEnd: u32,
  /** The translator uses or has used indexes below; `lock`. */
  indexesTaken: u32,
  /** The KeptImage loaded last, atomic; written by the coordinator only. */
  images: pointer,
  /** Regions of the images; written by the coordinator only. */
  kept: u32,
  /** Held by whoever changes flags of V8, or makes or takes code that V8 takes only under the flags that it was made with. */
  flagsLock: embedded(Mutex),
});

/** Why a region was left: control went where there is no region, or a loop was to end (budget, attention). */
export const SIDE_EXIT_ELSEWHERE = 0;
/** The interpreter had to do one instruction: a system call, an access without a page, a misaligned one, … */
export const SIDE_EXIT_SYSTEM_CALL = 1;
export const SIDE_EXIT_PAGE = 2;
export const SIDE_EXIT_MISALIGNED = 3;
export const SIDE_EXIT_FLOAT = 4;
export const SIDE_EXIT_OTHER = 5;
/** The code is not any more what the region was made from: it was not entered. */
export const SIDE_EXIT_STALE = 6;

/** Print the guest code of regions, their modules, and each entry of a region. */
export const LOG_IN_ASM = 1;
export const LOG_OUT_WASM = 2;
export const LOG_EXEC = 4;
/** Not a log: count side exits, and tell that a region runs (Thread.tier). */
export const OBSERVE_EXITS = 8;

/** What a region stands for and has done, where that is wanted. Counts are atomic; the rest is constant once published. */
export const RegionProfile = record({
  entries: u64,
  /** Instructions done in the region itself, not in regions that it calls. */
  executed: u64,
  /** Guest addresses: its entry, its lowest instruction and the end of its highest. */
  pc: u64,
  lowest: u64,
  end: u64,
  /** Instructions that were translated, copies counted. */
  instructions: u32,
  /** Symbol of the entry and the file it is from: Text, or 0. */
  name: pointer,
});

/** A place that has become hot, and what the translator needs to know of the thread that found it. */
export const TranslationRequest = record({
  pc: u64,
  codeTable: pointer,
  readTable: pointer,
  reach: u64,
  /** How often the finding worker has found it hot. */
  times: u32,
  /** The finding worker's jump counters. */
  counters: pointer,
  /** The integer registers: good guesses for the tables of switches. */
  x: array(u64, 32),
  homeEntry: u32,
  mm: pointer,
  /** The CodePages of the page before the pc's, of that and of the one after it; 0: it has none. */
  codePages: array(pointer, 3),
  /** Its floating-point exception flags. */
  fflags: u32,
});

/**
 * One published region. Constant from before its index is in a slot until every engine has followed the round in which it was
 * evicted, so whoever has read the index while running may read this.
 */
export const RegionEntry = record({
  /** Tells the regions that have had this index in turn from each other; 0: none has it now. Atomic. */
  version: u32,
  /** Bytes of the module that has it, and their number. */
  module: pointer,
  length: u32,
  /** Index of the module's first region, and how many it has. */
  first: u32,
  count: u32,
  /** READY_QUICK for a region of the first of two tiers, else READY. */
  ready: u32,
  /** PageLink[] of the module's regions, one after the other. */
  links: pointer,
  /** Those of the region's pages, and their number. */
  pages: pointer,
  pageCount: u32,
  /** Instructions. */
  size: u32,
  /** The KeptImage that it is from, or 0. */
  image: pointer,
});

/** A page of code that a region was made from. */
export const PageLink = record({
  /** Guest address >> 12. */
  page: u32,
  /** The CodePage; 1, which is none, when the region cannot be used. */
  codePage: u32,
  generation: u32,
});

/** What a worker knows of the regions. The worker alone writes it, and reads it, while it runs guest code. */
export const RegionMap = record({
  /** The machine's Translation. Constant. */
  translation: pointer,
  /**
   * For each region the code epoch (sync/codeEpoch) in which it may be entered: all its pages have been looked at in that, and the worker has it in
   * its table. One that is READY_QUICK has 1 added to it. 0: nothing is known.
   */
  epochs: array(u64, MOST_REGIONS),
  /** READY or READY_QUICK for a region that the worker has in its table, else 0. */
  ready: array(u8, MOST_REGIONS),
});

/** The engine of a worker. */
export const Engine = record({
  /** 1 while it runs guest code and may be inside of regions. Atomic; written by its worker. */
  running: i32,
  /** Translation.evictions, of which it has given up everything. Atomic; written by its worker. */
  followed: i32,
  /** Next in Translation.engines. Constant. */
  next: pointer,
});
