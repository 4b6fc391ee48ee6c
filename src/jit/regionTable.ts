import { allocateBlock, blockFootprint } from '../sync/heap.js';
import { withMutex } from '../sync/mutex.js';
import { KeptImage } from '../sync/records/keptCode.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import {
  Engine,
  MOST_REGIONS,
  READY_QUICK,
  RegionEntry,
  RegionMap,
  Translation,
} from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { endTranslation, translationOf } from '../sync/translationQueue.js';

/** Entries by which the table of regions grows. */
const TABLE_STEP = 256;

/**
 * The regions that a worker can enter: its table of functions, by region index. It fills as the worker meets regions, and gives
 * up those that were evicted before the worker runs guest code again.
 */
export class RegionTable {
  readonly functions = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
  /** Address of the worker's RegionMap. */
  readonly map: number;
  /** Machine.codeClears, when `map` was last known to hold what is true. */
  private clears: number;
  private readonly engine: number;
  /** RegionEntry.version of what is in the table. */
  private readonly versions = new Map<number, number>();

  /** `owner` is the worker's lock token. */
  constructor(
    private readonly mem: SharedMemory,
    owner: number,
  ) {
    const translation = translationOf(mem);
    this.map = allocateBlock(mem, RegionMap.SIZE, owner);
    mem.setU32(this.map + RegionMap.translation, translation);
    this.clears = mem.atomicLoad(MACHINE + Machine.codeClears);
    mem.atomicAdd(translation + Translation.heapBytes, blockFootprint(mem, this.map));
    this.engine = allocateBlock(mem, Engine.SIZE, owner);
    mem.setI32(this.engine + Engine.followed, mem.atomicLoad(translation + Translation.evictions));
    withMutex(mem, translation + Translation.lock, owner, () => {
      mem.setU32(this.engine + Engine.next, mem.getU32(translation + Translation.engines));
      mem.setU32(translation + Translation.engines, this.engine);
    });
  }

  /** From here on regions may be entered. */
  beginRun(): void {
    // First this, then the look at the evictions: the translator does it the other way round.
    Atomics.store(this.mem.i32, (this.engine + Engine.running) >>> 2, 1);
    this.follow();
    const clears = this.mem.atomicLoad(MACHINE + Machine.codeClears);
    if (clears === this.clears) return;
    this.clears = clears;
    this.forget(0, MOST_REGIONS);
  }

  /** From here on no region is entered, and none is being run. */
  endRun(): void {
    Atomics.store(this.mem.i32, (this.engine + Engine.running) >>> 2, 0);
  }

  /** Gives up what was evicted. No region is being run. */
  follow(): void {
    const { mem, engine } = this;
    const round = mem.atomicLoad(translationOf(mem) + Translation.evictions);
    if (round === mem.getI32(engine + Engine.followed)) return;
    for (const [index, version] of this.versions) {
      if (mem.atomicLoad(this.entry(index) + RegionEntry.version) === version) continue;
      this.setReady(index, 1, 0);
      this.functions.set(index, null);
      this.versions.delete(index);
    }
    mem.atomicStore(engine + Engine.followed, round);
  }

  /**
   * Puts the regions of the module that has region `index` into the table, unless it has been evicted since its index was read.
   * `otherwise` stands in for regions that V8 has no room for.
   */
  instantiate(index: number, imports: WebAssembly.Imports, otherwise: WebAssembly.ExportValue): void {
    const { mem, functions } = this;
    const entry = this.entry(index);
    if (mem.atomicLoad(entry + RegionEntry.version) === 0) return;
    const image = mem.getU32(entry + RegionEntry.image);
    if (image !== 0) {
      this.instantiateImage(image, imports, otherwise);
      return;
    }
    const address = mem.getU32(entry + RegionEntry.module);
    const first = mem.getU32(entry + RegionEntry.first);
    const count = mem.getU32(entry + RegionEntry.count);
    let regions: WebAssembly.Exports = {};
    try {
      const bytes = mem.u8.slice(address, address + mem.getU32(entry + RegionEntry.length));
      regions = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports;
      if (regions.links instanceof WebAssembly.Global)
        regions.links.value = mem.getU32(entry + RegionEntry.links);
    } catch (error) {
      if (!(error instanceof WebAssembly.CompileError || error instanceof RangeError)) throw error;
      endTranslation(mem);
    }
    if (first + count > functions.length) functions.grow(first + count + TABLE_STEP - functions.length);
    for (let i = first; i < first + count; i++) {
      functions.set(i, regions[`r${i - first}`] ?? otherwise);
      // Evicted meanwhile: the round that says so is still to be followed.
      this.versions.set(i, mem.atomicLoad(this.entry(i) + RegionEntry.version) || -1);
      this.setReady(i, 1, mem.getU32(this.entry(i) + RegionEntry.ready));
    }
  }

  /** Puts all regions of a KeptImage into the table, which its module does itself. They are never evicted. */
  private instantiateImage(
    image: number,
    imports: WebAssembly.Imports,
    otherwise: WebAssembly.ExportValue,
  ): void {
    const { mem, functions } = this;
    const first = mem.getU32(image + KeptImage.first);
    const count = mem.getU32(image + KeptImage.regions);
    if (first + count > functions.length) functions.grow(first + count - functions.length);
    const address = image + mem.getU32(image + KeptImage.moduleAt);
    const bytes = mem.u8.slice(address, address + mem.getU32(image + KeptImage.moduleLength));
    const engine = {
      ...imports.engine,
      regions: functions,
      first: new WebAssembly.Global({ value: 'i32' }, first),
      links: new WebAssembly.Global({ value: 'i32' }, image),
    };
    try {
      new WebAssembly.Instance(new WebAssembly.Module(bytes), { ...imports, engine });
    } catch (error) {
      if (!(error instanceof WebAssembly.CompileError || error instanceof RangeError)) throw error;
      endTranslation(mem);
      for (let i = first; i < first + count; i++) functions.set(i, otherwise);
    }
    this.setReady(first, count, READY_QUICK);
  }

  /** Notes what of `count` regions from `first` on is in the table, READY*; their code is to be looked at. */
  private setReady(first: number, count: number, ready: number): void {
    const start = this.map + RegionMap.ready + first;
    this.mem.u8.fill(ready, start, start + count);
    this.forget(first, count);
  }

  /** Has the code of `count` regions from `first` on looked at before they are entered again. */
  private forget(first: number, count: number): void {
    this.mem.zero(this.map + RegionMap.epochs + first * 8, count * 8);
  }

  private entry(index: number): number {
    return this.mem.getU32(translationOf(this.mem) + Translation.regions) + index * RegionEntry.SIZE;
  }
}
