import { engineImports, instantiateInterpreter } from '../interpreter/instantiate.js';
import { allocateBlock, blockFootprint } from '../sync/heap.js';
import { EXIT_HOT, EXIT_REGION, Thread, TIER_COMPILING, TIER_INTERPRETER } from '../sync/records/thread.js';
import { HOT_COUNTERS, MOST_REGIONS, RegionEntry, Translation } from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { endTranslation, requestTranslation, translationOf } from '../sync/translationQueue.js';

/** Places that are found hot so often may soon be done with. */
const PASSING = 2;
/** Entries by which the table of regions grows. */
const TABLE_STEP = 256;

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
 * `owner` is the worker's lock token.
 */
export function createEngine(
  mem: SharedMemory,
  interpreter: WebAssembly.Module,
  ring: () => void,
  owner: number,
  { entered, left }: RegionObservers = {},
): TranslatingEngine {
  const translation = translationOf(mem);
  const counters = allocateBlock(mem, HOT_COUNTERS * 2, owner);
  const patience = mem.getU32(translation + Translation.patience);
  // A byte a region: 1 when this worker's table has it. Read by the interpreter.
  const ready = allocateBlock(mem, MOST_REGIONS, owner);
  mem.atomicAdd(translation + Translation.heapBytes, blockFootprint(mem, ready));
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
  const { run, enter, aside } = instantiateInterpreter(mem, interpreter, { regions: table });
  const imports = engineImports(mem, { enter, entered, left });

  /** Puts the regions of the module that region `index` is in into this worker's table. */
  const instantiateRegions = (index: number): void => {
    const entry = mem.getU32(translation + Translation.regions) + index * RegionEntry.SIZE;
    const address = mem.getU32(entry + RegionEntry.module);
    const first = mem.getU32(entry + RegionEntry.first);
    const count = mem.getU32(entry + RegionEntry.count);
    let regions: WebAssembly.Exports = {};
    try {
      const bytes = mem.u8.slice(address, address + mem.getU32(entry + RegionEntry.length));
      regions = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports;
    } catch (error) {
      // V8 has no room for more code: the regions are left at once, and what they stand for is interpreted.
      if (!(error instanceof WebAssembly.CompileError || error instanceof RangeError)) throw error;
      endTranslation(mem);
    }
    if (first + count > table.length) table.grow(first + count + TABLE_STEP - table.length);
    for (let i = 0; i < count; i++) {
      table.set(first + i, regions[`r${i}`] ?? aside);
      mem.u8[ready + first + i] = 1;
    }
  };

  const heat = new HotPlaces();
  return {
    run(thread) {
      mem.setU32(thread + Thread.hotCounters, counters);
      mem.setU32(thread + Thread.hotThreshold, mem.atomicLoad(translation + Translation.threshold));
      mem.setU32(thread + Thread.readyRegions, ready);
      for (;;) {
        const exit = run(thread);
        if (exit === EXIT_HOT) {
          const times = heat.found(mem.getU64(thread + Thread.pc));
          const wanted =
            times > PASSING
              ? mem.atomicAdd(translation + Translation.found, 1)
              : mem.atomicLoad(translation + Translation.found);
          if (wanted >= patience) requestTranslation(mem, thread, times, ring);
        } else if (exit === EXIT_REGION) {
          mem.setU32(thread + Thread.tier, TIER_COMPILING);
          instantiateRegions(mem.getU32(thread + Thread.exitAddress));
          mem.setU32(thread + Thread.tier, TIER_INTERPRETER);
        } else return exit;
      }
    },
  };
}
