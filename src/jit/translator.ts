import { hashMemory } from '../sync/bulkMemory.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { CodePage } from '../sync/records/codePage.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import {
  HOT_COUNTERS,
  LOG_EXEC,
  OBSERVE_EXITS,
  READY,
  READY_QUICK,
  RegionEntry,
  RegionProfile,
  SIDE_EXIT_ELSEWHERE,
  Translation,
} from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import {
  endTranslation,
  type PlaceToTranslate,
  takeRequests,
  translationOf,
} from '../sync/translationQueue.js';
import { CallTargets } from './callTargets.js';
import type { KeptQuickRegion } from './codeImage.js';
import { GuestCode, OpenCode } from './guestCode.js';
import { innerLoop } from './innerLoop.js';
import { JumpProfile, jumpProfileOf } from './jumpProfile.js';
import { MachineHeat } from './machineHeat.js';
import { type QuickBody, quickHead } from './quickCompiler.js';
import { formQuickRegion, QuickRegion } from './quickRegion.js';
import { QuickTemplates } from './quickTemplates.js';
import type { RegionOptions } from './regionCompiler.js';
import type { RegionPage } from './regionEntry.js';
import { formRegion, type Region } from './regionGraph.js';
import {
  compileQuickRegions,
  compileRegions,
  type FormedRegion,
  type ObservedModule,
} from './regionModule.js';
import { type RegionPlace, RegionSpace, regionSlot } from './regionSpace.js';
import { standIns } from './standIns.js';
import type { TemplateTable } from './templateTable.js';
import { translationTime, Worth } from './worth.js';

/**
 * Milliseconds that the translator waits for more requests when there is one: little at first, so that the guest has what it
 * needs soon, then more with every module, for V8 cannot bear many of them.
 */
const GATHER = 2;
const GATHER_A_MODULE = 0.25;
const MOST_GATHERED = 50;
/**
 * Regions in a module, with the callees that are translated along: few in the first ones, which the guest gets soon, then
 * more, for a few large modules are better than many small ones.
 */
const FIRST_IN_MODULE = 4;
const MOST_IN_MODULE = 48;
/**
 * Instructions of the first tier in a module, after which other places wait for the next one: few at first, since what is hottest is to be had soon
 * and the translator's JavaScript is cold, then twice as many each time.
 */
const FIRST_QUICK = 250;
const MOST_QUICK = 4000;
/** Milliseconds that optimising takes at a time, while places that are new may wait. */
const PATCH = 15;
/** Places that wait to be optimised. */
const MOST_DEFERRED = 256;
/** Callees are translated along when they are this close to being hot themselves. */
const CALLEE_SHARE = 8;

/** The places in the order in which they are translated: what was found hot most often comes first, every place once. */
export function hottestFirst(places: readonly PlaceToTranslate[]): PlaceToTranslate[] {
  const hottest = new Map<string, PlaceToTranslate>();
  for (const place of places) {
    const key = `${place.codeTable}:${place.pc}`;
    if (place.times > (hottest.get(key)?.times ?? 0)) hottest.set(key, place);
  }
  return [...hottest.values()].sort((a, b) => b.times - a.times);
}

/** Is told of regions before they can be entered. */
export interface TranslationListener {
  /** Regions number `first` and so on have been compiled into the module `bytes`. */
  translated(first: number, regions: readonly PlacedRegion[], bytes: Uint8Array): void;
}

/** A region that has been formed, and where it is to be entered. */
export interface PlacedRegion extends FormedRegion, RegionPlace {
  readonly place: PlaceToTranslate;
}

/** A region that may be installed: where, and what it was made from. */
interface Installable extends RegionPlace {
  readonly pages: readonly RegionPage[];
  readonly place: PlaceToTranslate;
  /** Whether that is what `halfword` reads. */
  isCode(halfword: (address: number) => number | undefined): boolean;
}

/** Keeps regions of the first tier for later processes. */
export interface RegionKeeper {
  keep(regions: readonly KeptQuickRegion[]): void;
}

/** What the translator has V8 do. */
export interface ModuleCompiler {
  /** Compiles a module of regions, with what they need switched on. */
  compile(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module;
  /** Compiles one with V8's baseline compiler, here and now and for good. */
  compileQuickly(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module;
  /** Has V8's optimising compiler compile an exported function at once. Absent where V8 does that when it likes to. */
  readonly optimize: ((exported: unknown) => void) | undefined;
}

/**
 * The translator: turns hot places into regions, in a worker of its own, while the guest threads go on in the interpreter.
 *
 * It reads code and tables of address spaces that may change or go at any moment. So whatever it finds is a guess: a
 * region checks at each entry that the code pages are those it was made from (same page, same generation), and it is
 * hung into its CodePage only when the code is certain to be what was read: still there, write protected, and the same.
 */
export class Translator {
  private readonly space: RegionSpace;
  private readonly code: GuestCode;
  private readonly templates: QuickTemplates;
  /** Slots of blocks inside of regions, by machine address. */
  private readonly covered = new Set<number>();
  private readonly worth: Worth;
  private readonly calls = new CallTargets();
  /** Where jumps through registers went; once it runs. */
  private profile: JumpProfile | undefined;
  private readonly heat = new MachineHeat();
  /** Modules translated here. */
  private made = 0;
  /** Places that are no regions yet and wait for the next module. */
  private waiting: PlaceToTranslate[] = [];
  /** Places that are hot again and wait for their turn. */
  private readonly deferred: PlaceToTranslate[] = [];
  private readonly tiers: number;

  constructor(
    private readonly mem: SharedMemory,
    private readonly options: RegionOptions,
    private readonly owner: number,
    private readonly compiler: ModuleCompiler,
    private readonly listener?: TranslationListener,
    /** Takes regions of the first tier for later processes. */
    private readonly keeper?: RegionKeeper,
    /** Templates that need not be made. */
    templates?: TemplateTable,
  ) {
    this.space = new RegionSpace(mem, owner);
    this.templates = new QuickTemplates(options.hostPageShift, templates);
    this.code = new GuestCode(mem, 2 ** options.hostPageShift);
    const translation = translationOf(mem);
    this.tiers = mem.getU32(translation + Translation.tiers);
    this.worth = new Worth(
      mem.getU32(translation + Translation.threshold),
      mem.getU32(translation + Translation.share) / 100,
      this.tiers > 1,
    );
  }

  /** Translates until the machine closes, or memory cannot be had: then translation is ended, not the guests. */
  run(): void {
    const { mem, space, owner } = this;
    try {
      this.profile = new JumpProfile(mem, jumpProfileOf(mem, owner));
      for (;;) {
        const modules = Math.min(this.made, space.modules);
        const gather = Math.min(GATHER + modules * GATHER_A_MODULE, MOST_GATHERED);
        const isBusy = this.waiting.length > 0 || this.deferred.length > 0;
        const places = takeRequests(mem, isBusy ? undefined : gather, owner);
        if (places === undefined) return;
        try {
          this.translate(places);
        } catch (error) {
          if (!(error instanceof OutOfKernelMemory) || !space.shrink()) throw error;
        }
      }
    } catch (error) {
      if (!(error instanceof OutOfKernelMemory)) throw error;
    } finally {
      endTranslation(mem);
    }
    // The modules stay alive as long as this worker does: workers may still meet their regions for the first time.
    while (takeRequests(mem, GATHER, owner) !== undefined);
  }

  /**
   * Translates a batch of places: quickly the hottest of those that are no regions yet, into one module, while the others wait for the next,
   * and well some of those that are hot again, into another; the rest of them is deferred, so that new places need not wait.
   */
  translate(requested: readonly PlaceToTranslate[]): void {
    const { code, deferred } = this;
    const places = requested.map((place) => this.heat.add(place));
    if (this.tiers === 1) {
      this.translateWell(places);
      return;
    }
    const open = new OpenCode(this.mem, code);
    const again: PlaceToTranslate[] = [];
    for (const place of places) (open.lookAt(place) ? this.waiting : again).push(place);
    if (this.waiting.length > 0) this.translateQuickly(open);
    this.translateWell([...deferred.splice(0), ...again]);
  }

  /** Translates the hottest places that wait with V8's baseline compiler, as far as they are no regions yet. */
  private translateQuickly(open: OpenCode): void {
    const { mem, space, compiler } = this;
    const places = hottestFirst(this.waiting);
    this.waiting = [];
    const most = Math.min(FIRST_QUICK * 2 ** this.made, MOST_QUICK);
    let size = 0;
    const started = performance.now();
    const formed: (PlacedRegion & { readonly region: QuickRegion })[] = [];
    for (const place of places) {
      if (mem.atomicLoad(MACHINE + Machine.closing) !== 0) break;
      if (!open.lookAt(place)) continue;
      if (size >= most) {
        this.waiting.push(place);
        continue;
      }
      const region = formQuickRegion(place.pc, open, this.templates);
      if (region === undefined) continue;
      size += region.size;
      const { pages } = open;
      const entrances = region.entries.map((pc) => ({
        pc,
        slot: open.slotOf(pc),
        entryPage: pages.get(Math.floor(pc / 4096))!,
      }));
      for (const { slot } of entrances) open.taken.add(slot);
      const slot = open.slotOf(place.pc);
      const others = entrances.filter(({ pc }) => pc !== place.pc);
      formed.push({ ...this.placed(region, pages, place, slot), others });
    }
    if (formed.length === 0) return;
    const first = space.reserve(formed.length);
    if (first === undefined) return;
    const observed = this.observed(first);
    const { bytes, bodies } = compileQuickRegions(formed, this.templates, observed, this.profile);
    const module = compiler.compileQuickly(bytes);
    const heads = formed.map((_, i) => quickHead(first + i, this.profile?.cells ?? 0));
    const hashes =
      this.keeper && observed === undefined ? formed.map(({ pages }) => this.hashesOf(pages)) : [];
    const installed = this.publish(formed, first, bytes, module, heads, READY_QUICK, started);
    const kept = hashes.flatMap((before, i) => {
      const one = formed[i];
      // Code that changes meanwhile is not kept.
      if (!installed[i] || this.hashesOf(one.pages).some((hash, p) => hash !== before[p])) return [];
      return [this.kept(one, before, bodies[i])];
    });
    if (kept.length > 0) this.keeper?.keep(kept);
  }

  /** Hashes of the pages' contents. */
  private hashesOf(pages: readonly RegionPage[]): string[] {
    const { mem } = this;
    return pages.map(({ codePage }) =>
      hashMemory(mem, mem.getU32(codePage + CodePage.source), 4096).toString(16),
    );
  }

  private kept(
    { region, pages, entryPage }: PlacedRegion & { readonly region: QuickRegion },
    hashes: readonly string[],
    { bytes, linksAt, calls }: QuickBody,
  ): KeptQuickRegion {
    return {
      pc: region.pc,
      extensions: this.mem.getU32(entryPage.codePage + CodePage.extensions),
      size: region.size,
      pages: pages.map(({ page }, i) => ({ page, hash: hashes[i] })),
      entries: region.entries,
      body: bytes.toBytes(),
      linksAt,
      calls: calls.map(({ at, helper: { name, params, result, define } }) => ({
        at,
        helper: { name, params, result, defined: define !== undefined },
      })),
    };
  }

  /** Translates places with V8's optimising compiler, as many as do not take long. */
  private translateWell(places: readonly PlaceToTranslate[]): void {
    const { space } = this;
    const started = performance.now();
    const formed = this.formAll(places, Math.min(FIRST_IN_MODULE * (this.made + 1), MOST_IN_MODULE));
    this.profile?.forget(started);
    if (formed.length === 0) return;
    const first = space.reserve(formed.length);
    if (first === undefined) return;
    const observed = this.observed(first);
    const bytes = compileRegions(formed, first, this.options, observed, this.profile);
    const module = this.compile(bytes, formed.length);
    this.publish(formed, first, bytes, module, [], READY, started);
  }

  /** Publishes a module and installs its regions, number `first` and so on; `started` is when that began. Says which could be installed. */
  private publish(
    formed: readonly PlacedRegion[],
    first: number,
    bytes: Uint8Array,
    module: WebAssembly.Module,
    heads: readonly RegionPage[],
    ready: number,
    started: number,
  ): boolean[] {
    const { mem, space } = this;
    this.listener?.translated(first, formed, bytes);
    this.made++;
    const sizes = formed.map(({ region }) => region.size);
    space.publish(formed, bytes, module, heads, ready, sizes);
    const installed = formed.map((one, i) => {
      const { region } = one;
      const isCode: Installable['isCode'] = (halfword) =>
        region instanceof QuickRegion ? region.isCode(halfword) : isRegionOf(region, halfword);
      return this.install({ ...one, isCode }, first + i);
    });
    const translation = translationOf(mem);
    const count = (field: number, by: number): void =>
      mem.setU32(translation + field, mem.getU32(translation + field) + by);
    for (const { region } of formed) count(Translation.instructions, region.size);
    count(Translation.microseconds, Math.round((performance.now() - started) * 1000));
    return installed;
  }

  /** How regions from number `first` on note what they do, if somebody wants to know. */
  private observed(first: number): ObservedModule | undefined {
    const { mem } = this;
    const translation = translationOf(mem);
    const profiles = mem.getU32(translation + Translation.profile);
    const logged = mem.getU32(translation + Translation.logged);
    if (profiles === 0 && logged === 0) return undefined;
    return {
      first,
      profiles: profiles === 0 ? 0 : profiles + first * RegionProfile.SIZE,
      logsEntries: (logged & LOG_EXEC) !== 0,
      tellsExits: (logged & OBSERVE_EXITS) !== 0,
      elsewhere: translation + Translation.sideExits + SIDE_EXIT_ELSEWHERE * 4,
    };
  }

  /** Compiles a module, its functions by V8's optimising compiler where that can be asked for it. */
  private compile(bytes: Uint8Array<ArrayBuffer>, regions: number): WebAssembly.Module {
    const { compile, optimize } = this.compiler;
    const module = compile(bytes);
    if (optimize === undefined) return module;
    const { exports } = new WebAssembly.Instance(module, standIns(module, this.mem.wasm));
    for (let i = 0; i < regions && this.mem.atomicLoad(MACHINE + Machine.closing) === 0; i++) {
      if (exports[`b${i}`] !== undefined) optimize(exports[`b${i}`]);
      optimize(exports[`r${i}`]);
    }
    return module;
  }

  /** Forms the regions of the places and of functions they call, `most` at most and not for long; with two tiers the rest is deferred. */
  private formAll(places: readonly PlaceToTranslate[], most: number): PlacedRegion[] {
    const { mem } = this;
    const formed: PlacedRegion[] = [];
    const slots = new Set<number>();
    let time = 0;
    const pending = hottestFirst(places);
    for (let place = pending.shift(); place !== undefined; place = pending.shift()) {
      if (mem.atomicLoad(MACHINE + Machine.closing) !== 0) break;
      if (formed.length >= most || time > (this.tiers === 1 ? Infinity : PATCH)) {
        if (this.tiers > 1) this.deferred.push(place, ...pending.splice(0, MOST_DEFERRED));
        break;
      }
      const slot = this.slotOf(place, place.pc);
      if (slot === 0 || slots.has(slot)) continue;
      slots.add(slot);
      if (!this.worth.mayBe(slot, place.times, this.quickSize(slot))) continue;
      // A place inside of a region gets one of its own only when it stays hot: most soon are not met alone any more.
      if (this.covered.delete(slot)) continue;
      const one = this.form(place, slot);
      if (one === undefined || !this.worth.is(slot, place.times, one.region)) continue;
      this.worth.chosen(slot, place.times);
      formed.push(one);
      time += translationTime(one.region.size);
      for (const { pc } of one.region.blocks) this.covered.add(this.slotOf(place, pc));
      this.covered.delete(slot);
      for (const pc of one.region.callees) {
        const callee = this.slotOf(place, pc);
        if (
          callee !== 0 &&
          !slots.has(callee) &&
          !this.covered.has(callee) &&
          this.isWarmEnough(callee, place.counters)
        )
          pending.push({ ...place, pc });
      }
    }
    return formed;
  }

  /** Whether jumps to the slot have been counted so often that it will be hot soon, or it has been hot. */
  private isWarmEnough(slot: number, counters: number): boolean {
    const { mem } = this;
    if (this.tiers > 1) return this.code.regionAt(slot) !== undefined;
    const translation = translationOf(mem);
    const counter = counters + ((slot >>> 2) & (HOT_COUNTERS * 2 - 2));
    return mem.u16[counter >>> 1] * CALLEE_SHARE >= mem.getU32(translation + Translation.threshold);
  }

  /** The slot of the instruction at `pc` when it has been decoded, and is no region of the last tier yet; else 0. */
  private slotOf(place: PlaceToTranslate, pc: number): number {
    const slot = this.code.slotOf(place, pc);
    const index = slot === 0 ? undefined : this.code.regionAt(slot);
    return index === undefined || this.isQuick(index) ? slot : 0;
  }

  /** Instructions of the region of the first tier that the slot leads into, or 0. */
  private quickSize(slot: number): number {
    const index = this.code.regionAt(slot);
    return index === undefined || !this.isQuick(index)
      ? 0
      : this.mem.getU32(this.entryOf(index) + RegionEntry.size);
  }

  /** Whether region `index` is of the first of two tiers. */
  private isQuick(index: number): boolean {
    return this.mem.getU32(this.entryOf(index) + RegionEntry.ready) === READY_QUICK;
  }

  private entryOf(index: number): number {
    return this.mem.getU32(translationOf(this.mem) + Translation.regions) + index * RegionEntry.SIZE;
  }

  private form(place: PlaceToTranslate, slot: number): PlacedRegion | undefined {
    const view = this.code.viewOf(place);
    const calledFrom = (at: number, functions: readonly number[]): readonly number[] =>
      this.calls.from(at, functions);
    const seenFrom = (at: number): readonly number[] => this.profile?.follow(at) ?? [];
    const whole = formRegion(place.pc, { ...view, calledFrom, seenFrom });
    return whole && this.placed(innerLoop(whole), view.pages, place, slot);
  }

  private placed<R extends Region>(
    region: R,
    pages: ReadonlyMap<number, RegionPage>,
    place: PlaceToTranslate,
    slot: number,
  ): PlacedRegion & { readonly region: R } {
    const { codeTable, homeEntry, isExact, pc } = place;
    return {
      region,
      pages: [...region.pages].map((page) => pages.get(page)!),
      codeTable,
      homeEntry,
      isExact,
      place,
      entryPage: pages.get(Math.floor(pc / 4096))!,
      slot,
    };
  }

  /** Makes region `index` the way to go at its entry, if its code still is what it was made from; says whether it is. */
  private install(one: Installable, index: number): boolean {
    const { mem, owner } = this;
    lockMutex(mem, MACHINE + Machine.framesLock, owner);
    try {
      if (!one.pages.every((page) => this.space.isInUseLocked(page)) || !this.isUnchangedLocked(one))
        return false;
      Atomics.store(mem.u64, one.slot >>> 3, regionSlot(index));
      for (const { slot } of one.others ?? [])
        if (slot !== 0 && this.code.regionAt(slot) === undefined)
          Atomics.store(mem.u64, slot >>> 3, regionSlot(index));
      return true;
    } finally {
      unlockMutex(mem, MACHINE + Machine.framesLock, owner);
    }
  }

  /**
   * Whether the code is what was read. A page may have been written between the start of its generation and our reading
   * of it; once a code table has it again it is write protected, and what it holds now holds for the generation.
   */
  private isUnchangedLocked({ place, pages, isCode }: Installable): boolean {
    if (!pages.every(({ page, codePage }) => this.code.isCodeOfLocked(place, page * 4096, codePage)))
      return false;
    return isCode(this.reader(pages));
  }

  /** Reads code in these pages. */
  private reader(pages: readonly RegionPage[]): (address: number) => number | undefined {
    const byNumber = new Map(pages.map((page) => [page.page, page]));
    return (address) => {
      const page = byNumber.get(Math.floor(address / 4096));
      return page && this.code.halfword(page, address);
    };
  }
}

/** Whether the region's code is what `halfword` reads. */
function isRegionOf({ blocks }: Region, halfword: (address: number) => number | undefined): boolean {
  return blocks.every(({ instructions }) =>
    instructions.every(
      ({ pc, decoded: { raw, length } }) =>
        halfword(pc) === (raw & 0xffff) && (length === 2 || halfword(pc + 2) === raw >>> 16),
    ),
  );
}
