import { engineImports, instantiateInterpreter } from '../interpreter/instantiate.js';
import { allocateBlock } from '../sync/heap.js';
import { EXIT_HOT, EXIT_REGION, Thread, TIER_COMPILING, TIER_INTERPRETER } from '../sync/records/thread.js';
import { HOT_COUNTERS, Translation } from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { requestTranslation, translationOf } from '../sync/translationQueue.js';
import { RegionTable } from './regionTable.js';

/** Places that are remembered. */
const MOST_PLACES = 10_000;

/** How often places were found hot, by one worker. */
class HotPlaces {
  private readonly times = new Map<number, number>();

  /** Notes that the place at `pc` was found hot, and returns how often it was. Programs may share addresses: it is a hint. */
  found(pc: number): number {
    const times = (this.times.get(pc) ?? 0) + 1;
    if (times === 1 && this.times.size >= MOST_PLACES) this.times.clear();
    this.times.set(pc, times);
    return times;
  }
}

/** Runs guest threads: the interpreter, and the translated regions that it enters. */
export interface TranslatingEngine {
  /** As Interpreter.run; hot places and regions that this worker has not met yet are dealt with in here. */
  run(thread: number): number;
  /** Waits by `wait`, in a system call that is made within `run`: regions may be evicted meanwhile. */
  rest(wait: () => void): void;
}

/** What regions call when they are observed; the results have no meaning. */
export interface RegionObservers {
  /** At each entry of region `index`. */
  readonly entered?: ((thread: number, index: number) => number) | undefined;
  /** When one is left for the interpreter: SIDE_EXIT_STALE, or 0 for an instruction that it has to do. */
  readonly left?: ((thread: number, cause: number) => number) | undefined;
}

/**
 * Makes the engine of a worker. `ring` rings the coordinator's doorbell (when the first hot place wants a translator);
 * `owner` is the worker's lock token; `systemCall` is what the interpreter's options say (InstantiateOptions).
 */
export function createEngine(
  mem: SharedMemory,
  interpreter: WebAssembly.Module,
  ring: () => void,
  owner: number,
  { entered, left }: RegionObservers = {},
  systemCall?: (thread: number) => number,
): TranslatingEngine {
  const translation = translationOf(mem);
  const counters = allocateBlock(mem, HOT_COUNTERS * 2, owner);
  const regions = new RegionTable(mem, owner);
  const heat = new HotPlaces();
  const { run, transfers } = instantiateInterpreter(mem, interpreter, {
    regions: regions.functions,
    ...(systemCall === undefined ? {} : { systemCall }),
    hot: (thread, pc) => requestTranslation(mem, thread, pc, heat.found(pc), ring),
  });
  const imports = engineImports(mem, { ...transfers, entered, left });

  const runWithRegions = (thread: number): number => {
    for (;;) {
      const exit = run(thread);
      if (exit === EXIT_HOT) {
        const pc = mem.getU64(thread + Thread.pc);
        requestTranslation(mem, thread, pc, heat.found(pc), ring);
      } else if (exit === EXIT_REGION) {
        mem.setU32(thread + Thread.tier, TIER_COMPILING);
        regions.instantiate(mem.getU32(thread + Thread.exitAddress), imports, transfers.aside);
        mem.setU32(thread + Thread.tier, TIER_INTERPRETER);
      } else return exit;
      regions.follow();
    }
  };

  return {
    run(thread) {
      mem.setU32(thread + Thread.hotCounters, counters);
      mem.setU32(thread + Thread.hotThreshold, mem.atomicLoad(translation + Translation.threshold));
      mem.setU32(thread + Thread.regionMap, regions.map);
      regions.beginRun();
      try {
        return runWithRegions(thread);
      } finally {
        regions.endRun();
      }
    },
    rest(wait) {
      regions.endRun();
      wait();
      regions.beginRun();
    },
  };
}
