import { OP_REGION } from '../interpreter/handlers.js';
import { OPCODE_SHIFT } from '../interpreter/slot.js';
import { allocateBlock, blockFootprint, freeBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex, withMutex } from '../sync/mutex.js';
import { CodePage } from '../sync/records/codePage.js';
import { FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Engine, PageLink, READY, RegionEntry, Translation } from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { translationOf } from '../sync/translationQueue.js';
import type { RegionPage } from './regionEntry.js';

/** Modules that are kept: V8 cannot bear many of them. */
const MOST_MODULES = 2000;
/** The share of what is kept that is left when something has to go: rounds of eviction are to be rare. */
const KEPT = 3 / 4;

/** A place where a region is entered: the slot, and the CodePage that it is in. The slot is 0 when it is not entered from outside. */
export interface RegionEntrance {
  readonly slot: number;
  readonly entryPage: RegionPage;
}

/** Where a region is entered. */
export interface RegionPlace extends RegionEntrance {
  /** Other places where it is, too. */
  readonly others?: readonly RegionEntrance[];
  /** The pages that it was made from. */
  readonly pages: readonly RegionPage[];
}

interface PublishedModule {
  readonly first: number;
  readonly places: readonly RegionPlace[];
  readonly address: number;
  readonly length: number;
  /** Keeps V8's code alive: the workers' compilation of the same bytes then costs next to nothing. */
  readonly module: WebAssembly.Module;
  /** The round in which it was evicted. */
  round: number;
}

/** The slot that leads into a region. */
export function regionSlot(index: number): bigint {
  return (BigInt(index) << 32n) | BigInt((OP_REGION << OPCODE_SHIFT) >>> 0);
}

/**
 * The regions that the machine keeps: their indexes and the memory of their modules, which are bounded. What is oldest is evicted
 * when there is no room: its slots are emptied (what is still hot will be found again), then every engine has to have run out of
 * regions and given the evicted ones up, and only then indexes and memory are used again. The translator does not wait for
 * that: as long as it is so, nothing more is translated.
 */
export class RegionSpace {
  /** In the order of their publication, which is that of their indexes, modulo MOST_REGIONS. */
  private readonly kept: PublishedModule[] = [];
  private readonly evicted: PublishedModule[] = [];
  private next = 0;
  private version = 0;
  /** Bytes of all modules, evicted ones too until they are gone. */
  private bytes = 0;

  /** `owner` is the translator's lock token. */
  constructor(
    private readonly mem: SharedMemory,
    private readonly owner: number,
  ) {}

  /** Modules that are kept. */
  get modules(): number {
    return this.kept.length;
  }

  /** The first of `count` indexes in a row, or undefined as long as those that could be had may still be in use. */
  reserve(count: number): number | undefined {
    const most = this.mem.getU32(translationOf(this.mem) + Translation.mostBytes);
    this.reclaim();
    this.wrap(count);
    const full = () => this.bytes >= most || this.kept.length >= MOST_MODULES;
    if (full() || this.overlaps(this.kept, count)) {
      const keptBytes = () => this.kept.reduce((sum, { length }) => sum + length, 0);
      const keptRegions = () => this.kept.reduce((sum, { places }) => sum + places.length, 0);
      this.evict(
        () =>
          keptBytes() > most * KEPT ||
          this.kept.length > MOST_MODULES * KEPT ||
          keptRegions() > this.mem.getU32(translationOf(this.mem) + Translation.indexEnd) * KEPT ||
          this.overlaps(this.kept, count),
      );
      this.reclaim();
    }
    return full() || this.overlaps(this.evicted, count) ? undefined : this.next;
  }

  /** Starts again at the first index when there are no `count` more. */
  private wrap(count: number): void {
    const { mem, owner } = this;
    const translation = translationOf(mem);
    withMutex(mem, translation + Translation.lock, owner, () => {
      if (this.next + count > mem.getU32(translation + Translation.indexEnd)) this.next = 0;
      const taken = translation + Translation.indexesTaken;
      mem.setU32(taken, Math.max(mem.getU32(taken), this.next + count));
    });
  }

  /** Evicts part of what is kept, for want of memory. Says whether there was anything. */
  shrink(): boolean {
    const before = this.kept.length;
    this.evict(() => this.kept.length > before * KEPT);
    this.reclaim();
    return before > 0;
  }

  /**
   * Publishes a module of the regions at `places`, with the indexes that were just reserved. `heads`: PageLinks that are to stand before those of each
   * region's pages, or none; `ready`: READY or READY_QUICK; `sizes`: their instructions. Throws OutOfKernelMemory.
   */
  publish(
    places: readonly RegionPlace[],
    bytes: Uint8Array,
    module: WebAssembly.Module,
    heads: readonly RegionPage[] = [],
    ready = READY,
    sizes: readonly number[] = [],
  ): void {
    const { mem, owner, next: first } = this;
    const translation = translationOf(mem);
    const linksAt = Math.ceil(bytes.length / 8) * 8;
    const count = places.reduce((sum, { pages }) => sum + pages.length, heads.length);
    const address = allocateBlock(mem, linksAt + count * PageLink.SIZE, owner);
    mem.atomicAdd(translation + Translation.heapBytes, blockFootprint(mem, address));
    mem.u8.set(bytes, address);
    let link = address + linksAt;
    const write = ({ page, codePage, generation }: RegionPage): void => {
      mem.setU32(link + PageLink.page, page);
      mem.setU32(link + PageLink.codePage, codePage);
      mem.setU32(link + PageLink.generation, generation);
      link += PageLink.SIZE;
    };
    this.version++;
    for (let i = first; i < first + places.length; i++) {
      const entry = this.entry(i);
      const { pages } = places[i - first];
      heads.slice(i - first, i - first + 1).forEach(write);
      mem.setU32(entry + RegionEntry.pages, link);
      mem.setU32(entry + RegionEntry.pageCount, pages.length);
      pages.forEach(write);
      mem.setU32(entry + RegionEntry.module, address);
      mem.setU32(entry + RegionEntry.length, bytes.length);
      mem.setU32(entry + RegionEntry.first, first);
      mem.setU32(entry + RegionEntry.count, places.length);
      mem.setU32(entry + RegionEntry.ready, ready);
      mem.setU32(entry + RegionEntry.size, sizes[i - first] ?? 0);
      mem.setU32(entry + RegionEntry.links, address + linksAt);
      mem.atomicStore(entry + RegionEntry.version, this.version);
    }
    this.kept.push({ first, places, address, length: bytes.length, module, round: 0 });
    this.next += places.length;
    this.bytes += bytes.length;
    const used = Math.max(mem.atomicLoad(translation + Translation.regionCount), this.next);
    mem.atomicStore(translation + Translation.regionCount, used);
    this.count(Translation.translated, places.length);
    this.count(Translation.modules, 1);
    this.count(Translation.moduleBytes, bytes.length);
  }

  /** Whether the CodePage still is one, of the same generation. CodePages come and go under Machine.framesLock. */
  isInUseLocked({ codePage, generation }: RegionPage): boolean {
    const { mem } = this;
    const source = mem.getU32(codePage + CodePage.source);
    const frame =
      (source - mem.getU32(MACHINE + Machine.framesBase)) / 2 ** mem.getU32(MACHINE + Machine.hostPageShift);
    if (!(frame >= 0 && frame < mem.getU32(MACHINE + Machine.frameCount))) return false;
    const descriptor =
      mem.getU32(MACHINE + Machine.frameDescriptors) + Math.floor(frame) * FrameDescriptor.SIZE;
    let page = mem.getU32(descriptor + FrameDescriptor.code);
    while (page !== 0 && page !== codePage) page = mem.getU32(page + CodePage.next);
    return page !== 0 && mem.getU32(page + CodePage.generation) === generation;
  }

  /** Evicts the oldest module as long as `wanted` says so, all of them in one round. */
  private evict(wanted: () => boolean): void {
    const { mem, owner, kept } = this;
    const evictions = translationOf(mem) + Translation.evictions;
    const round = (mem.atomicLoad(evictions) + 1) | 0;
    let some = false;
    while (kept.length > 0 && wanted()) {
      const module = kept.shift()!;
      module.round = round;
      lockMutex(mem, MACHINE + Machine.framesLock, owner);
      module.places.forEach((place, i) => {
        mem.atomicStore(this.entry(module.first + i) + RegionEntry.version, 0);
        for (const entrance of [place, ...(place.others ?? [])])
          this.uninstallLocked(entrance, module.first + i);
      });
      unlockMutex(mem, MACHINE + Machine.framesLock, owner);
      this.evicted.push(module);
      this.count(Translation.evicted, module.places.length);
      some = true;
    }
    if (some) mem.atomicStore(evictions, round);
  }

  /** Empties a slot of region `index`, if that still leads there. */
  private uninstallLocked({ slot, entryPage }: RegionEntrance, index: number): void {
    const { mem } = this;
    if (slot !== 0 && this.isInUseLocked(entryPage))
      Atomics.compareExchange(mem.u64, slot >>> 3, regionSlot(index), 0n);
  }

  /** Frees the evicted modules that no engine can be using any more. */
  private reclaim(): void {
    const { mem, owner, evicted } = this;
    if (evicted.length === 0) return;
    const translation = translationOf(mem);
    const engines = withMutex(mem, translation + Translation.lock, owner, () => {
      const all: number[] = [];
      for (let e = mem.getU32(translation + Translation.engines); e !== 0; e = mem.getU32(e + Engine.next))
        all.push(e);
      return all;
    });
    const busy = engines.filter((engine) => mem.atomicLoad(engine + Engine.running) !== 0);
    const followed = (round: number): boolean =>
      busy.every((engine) => ((mem.atomicLoad(engine + Engine.followed) - round) | 0) >= 0);
    while (evicted.length > 0 && followed(evicted[0].round)) {
      const { address, length } = evicted.shift()!;
      mem.atomicAdd(translation + Translation.heapBytes, -blockFootprint(mem, address));
      freeBlock(mem, address, owner);
      this.bytes -= length;
      this.count(Translation.moduleBytes, -length);
    }
  }

  private overlaps(modules: readonly PublishedModule[], count: number): boolean {
    const { next } = this;
    return modules.some(({ first, places }) => first < next + count && next < first + places.length);
  }

  private count(field: number, by: number): void {
    const at = translationOf(this.mem) + field;
    this.mem.setU32(at, this.mem.getU32(at) + by);
  }

  private entry(index: number): number {
    return this.mem.getU32(translationOf(this.mem) + Translation.regions) + index * RegionEntry.SIZE;
  }
}
