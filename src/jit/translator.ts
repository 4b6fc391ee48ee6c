import { OP_REGION } from '../interpreter/handlers.js';
import { OPCODE_SHIFT } from '../interpreter/slot.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { CodePage } from '../sync/records/codePage.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import {
  HOT_COUNTERS,
  LOG_EXEC,
  OBSERVE_EXITS,
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
import { innerLoop } from './innerLoop.js';
import { isCodeOf, type KeptModule, type KeptRegion, keptModule, type ModuleStore } from './keptModules.js';
import type { RegionOptions, RegionPage } from './regionCompiler.js';
import { formRegion, type Region } from './regionGraph.js';
import { compileRegions, type FormedRegion, type ObservedModule } from './regionModule.js';
import { type RegionPlace, RegionSpace, regionSlot } from './regionSpace.js';
import { Worth } from './worth.js';

/**
 * Milliseconds that the translator waits for more requests when there is one: little at first, so that the guest has what it
 * needs soon, then more with every module, for V8 cannot bear many of them.
 */
const GATHER = 2;
const GATHER_A_MODULE = 1;
/**
 * Regions in a module, with the callees that are translated along: few in the first ones, which the guest gets soon, then
 * more, for a few large modules are better than many small ones.
 */
const FIRST_IN_MODULE = 4;
const MOST_IN_MODULE = 48;
/** Callees are translated along when they are this close to being hot themselves. */
const CALLEE_SHARE = 8;
/** Times that regions are taken out of the store for a slot: code there that changes all the time is left to the interpreter. */
const MOST_RESTORED = 4;

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
export interface PlacedRegion extends FormedRegion {
  readonly place: PlaceToTranslate;
  /** The CodePage of its entry, and the slot there. */
  readonly entryPage: RegionPage;
  readonly slot: number;
}

/** A region that may be installed: where, and what it was made from. */
interface Installable extends RegionPlace {
  readonly pages: readonly RegionPage[];
  readonly place: PlaceToTranslate;
  /** Whether that is what `halfword` reads. */
  isCode(halfword: (address: number) => number | undefined): boolean;
}

/** What the translator has V8 do. */
export interface ModuleCompiler {
  /** Compiles a module of regions, with what they need switched on. */
  compile(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module;
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
  /** Slots of blocks inside of regions, by machine address. */
  private readonly covered = new Set<number>();
  private readonly worth: Worth;
  private readonly calls = new CallTargets();
  /** Modules translated here. */
  private made = 0;
  /** How often regions were taken out of the store for a slot. */
  private readonly restored = new Map<number, number>();

  constructor(
    private readonly mem: SharedMemory,
    private readonly options: RegionOptions,
    private readonly owner: number,
    private readonly compiler: ModuleCompiler,
    private readonly listener?: TranslationListener,
    /** Modules of earlier processes, and for later ones. */
    private readonly store?: ModuleStore,
  ) {
    this.space = new RegionSpace(mem, owner);
    const translation = translationOf(mem);
    this.worth = new Worth(
      mem.getU32(translation + Translation.threshold),
      mem.getU32(translation + Translation.share) / 100,
    );
  }

  /** Translates until the machine closes, or memory cannot be had: then translation is ended, not the guests. */
  run(): void {
    const { mem, space } = this;
    try {
      for (;;) {
        // Modules from the store have cost nothing.
        const modules = Math.min(this.made, space.modules);
        const places = takeRequests(mem, GATHER + modules * GATHER_A_MODULE, this.owner);
        if (places.length === 0) return;
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
    while (takeRequests(mem, GATHER, this.owner).length > 0);
  }

  /** Translates a batch of places, as far as there are no regions in store for them, into one module and publishes it. */
  translate(wanted: readonly PlaceToTranslate[]): void {
    const { mem, space, store } = this;
    const places = store === undefined ? wanted : this.restoreAll(wanted, store);
    const started = performance.now();
    const translation = translationOf(mem);
    const formed = this.formAll(places, Math.min(FIRST_IN_MODULE * (this.made + 1), MOST_IN_MODULE));
    if (formed.length === 0) return;
    const first = space.reserve(formed.length);
    if (first === undefined) return;
    const observed = this.observed(first);
    const kept = store !== undefined && observed === undefined ? this.toKeep(formed) : undefined;
    const bytes = compileRegions(formed, this.options, observed, kept !== undefined);
    const module = this.compile(bytes, formed.length);
    this.listener?.translated(first, formed, bytes);
    this.made++;
    space.publish(formed, bytes, module, kept === undefined ? [] : formed.flatMap(({ pages }) => pages));
    formed.forEach((one, i) => {
      this.install({ ...one, isCode: (halfword) => isRegionOf(one.region, halfword) }, first + i);
    });
    if (kept !== undefined && mem.atomicLoad(MACHINE + Machine.closing) === 0)
      store?.keep(kept, bytes, module);
    const count = (field: number, by: number): void =>
      mem.setU32(translation + field, mem.getU32(translation + field) + by);
    for (const { region } of formed) count(Translation.instructions, region.size);
    count(Translation.microseconds, Math.round((performance.now() - started) * 1000));
  }

  /** What satisfies the module's imports as long as nothing of it is run. */
  private standIns(module: WebAssembly.Module): WebAssembly.Imports {
    const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
    for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
      imports[from] ??= {};
      imports[from][name] = kind === 'memory' ? this.mem.wasm : () => 0;
    }
    return imports;
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
    const { exports } = new WebAssembly.Instance(module, this.standIns(module));
    for (let i = 0; i < regions && this.mem.atomicLoad(MACHINE + Machine.closing) === 0; i++) {
      optimize(exports[`b${i}`]);
      optimize(exports[`r${i}`]);
    }
    return module;
  }

  /** Forms the regions of the places and of functions they call, `most` at most. */
  private formAll(places: readonly PlaceToTranslate[], most: number): PlacedRegion[] {
    const { mem } = this;
    const formed: PlacedRegion[] = [];
    const slots = new Set<number>();
    const pending = hottestFirst(places);
    for (let place = pending.shift(); place !== undefined; place = pending.shift()) {
      if (formed.length >= most || mem.atomicLoad(MACHINE + Machine.closing) !== 0) break;
      const slot = this.slotOf(place, place.pc);
      if (slot === 0 || slots.has(slot)) continue;
      slots.add(slot);
      if (!this.worth.mayBe(slot, place.times)) continue;
      // A place inside of a region gets one of its own only when it stays hot: most soon are not met alone any more.
      if (this.covered.delete(slot)) continue;
      const one = this.form(place, slot);
      if (one === undefined || !this.worth.is(slot, place.times, one.region)) continue;
      this.worth.chosen(slot, place.times);
      formed.push(one);
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

  /** Whether jumps to the slot have been counted so often that it will be hot soon. */
  private isWarmEnough(slot: number, counters: number): boolean {
    const { mem } = this;
    const translation = translationOf(mem);
    const counter = counters + ((slot >>> 2) & (HOT_COUNTERS * 2 - 2));
    return mem.u16[counter >>> 1] * CALLEE_SHARE >= mem.getU32(translation + Translation.threshold);
  }

  /** The CodePage that the place's code table has for `address`, or 0. The tables may be gone: what is read is checked. */
  private codePageOf({ codeTable, reach }: PlaceToTranslate, address: number): number {
    if (!(address >= 0 && address < reach)) return 0;
    const { mem } = this;
    const page = mem.getU32(codeTable + Math.floor(address / 4096) * 4);
    return page > MACHINE && page % 8 === 0 && page < mem.byteLength - CodePage.SIZE ? page : 0;
  }

  /** The slot of the instruction at `pc` when it has been decoded, and is no region yet; else 0. */
  private slotOf(place: PlaceToTranslate, pc: number): number {
    const page = this.codePageOf(place, pc);
    if (page === 0) return 0;
    const slot = page + CodePage.slots + (pc % 4096) * 4;
    const low = this.mem.getU32(slot);
    return low === 0 || low >>> OPCODE_SHIFT === OP_REGION ? 0 : slot;
  }

  private form(place: PlaceToTranslate, slot: number): PlacedRegion | undefined {
    const { mem } = this;
    const { pc, codeTable, readTable, reach, homeEntry, registers } = place;
    const hostPage = 2 ** this.options.hostPageShift;
    const pages = new Map<number, RegionPage>();
    const fetch = (address: number): number | undefined => {
      const page = Math.floor(address / 4096);
      let known = pages.get(page);
      if (known === undefined) {
        const codePage = this.codePageOf(place, address);
        if (codePage === 0) return undefined;
        known = { page, codePage, generation: mem.getU32(codePage + CodePage.generation) };
        pages.set(page, known);
      }
      return this.halfword(known, address);
    };
    const load = (address: number): number | undefined => {
      if (!(address >= 0 && address < reach) || address % 4 !== 0) return undefined;
      const entry = mem.getU32(readTable + Math.floor(address / hostPage) * 4);
      return entry === 0 ? undefined : mem.i32[((address + entry - 1) >>> 0) >>> 2];
    };
    const isWarm = (address: number): boolean => {
      const page = this.codePageOf(place, address);
      return page !== 0 && mem.getU32(page + CodePage.slots + (address % 4096) * 4) !== 0;
    };
    const extensions = mem.getU32(this.codePageOf(place, pc) + CodePage.extensions);
    const calledFrom = (at: number, functions: readonly number[]): readonly number[] =>
      this.calls.from(at, functions);
    const whole = formRegion(pc, { fetch, isWarm, load, registers, calledFrom, extensions });
    if (whole === undefined) return undefined;
    const region = innerLoop(whole);
    return {
      region,
      pages: [...region.pages].map((page) => pages.get(page)!),
      codeTable,
      homeEntry,
      place,
      entryPage: pages.get(Math.floor(pc / 4096))!,
      slot,
    };
  }

  private halfword({ codePage }: RegionPage, address: number): number {
    return this.mem.u16[(this.mem.getU32(codePage + CodePage.source) + (address % 4096)) >>> 1];
  }

  /** Makes region `index` the way to go at its entry, if its code still is what it was made from. */
  private install(one: Installable, index: number): void {
    const { mem, owner } = this;
    lockMutex(mem, MACHINE + Machine.framesLock, owner);
    try {
      if (!one.pages.every((page) => this.space.isInUseLocked(page)) || !this.isUnchanged(one)) return;
      Atomics.store(mem.u64, one.slot >>> 3, regionSlot(index));
    } finally {
      unlockMutex(mem, MACHINE + Machine.framesLock, owner);
    }
  }

  /**
   * Whether the code is what was read. A page may have been written between the start of its generation and our reading
   * of it; once a code table has it again it is write protected, and what it holds now holds for the generation.
   */
  private isUnchanged({ place, pages, isCode }: Installable): boolean {
    if (!pages.every(({ page, codePage }) => this.codePageOf(place, page * 4096) === codePage)) return false;
    return isCode(this.reader(pages));
  }

  /** Reads code in these pages. */
  private reader(pages: readonly RegionPage[]): (address: number) => number | undefined {
    const byNumber = new Map(pages.map((page) => [page.page, page]));
    return (address) => {
      const page = byNumber.get(Math.floor(address / 4096));
      return page && this.halfword(page, address);
    };
  }

  /** What is kept of the regions when they may be of use to another process: they all are of one program. */
  private toKeep(formed: readonly PlacedRegion[]): KeptModule | undefined {
    const [{ codeTable, homeEntry, entryPage }] = formed;
    const extensions = (page: RegionPage): number => this.mem.getU32(page.codePage + CodePage.extensions);
    const alike = formed.every(
      (one) =>
        one.codeTable === codeTable &&
        one.homeEntry === homeEntry &&
        extensions(one.entryPage) === extensions(entryPage),
    );
    return alike ? keptModule(formed, extensions(entryPage)) : undefined;
  }

  /** Installs what the store has for the places. Returns those that are to be translated, were they found hot by others. */
  private restoreAll(places: readonly PlaceToTranslate[], store: ModuleStore): PlaceToTranslate[] {
    // The threshold is low for the store's sake: nobody says yet that a place found hot once is worth a translation.
    const patient = this.mem.getU32(translationOf(this.mem) + Translation.share) > 0;
    return hottestFirst(places).filter(
      (place) => !this.restore(place, store) && (place.times > 1 || !patient),
    );
  }

  /** Installs the regions of a module in store that has one for the place. Says whether the place is done with. */
  private restore(place: PlaceToTranslate, store: ModuleStore): boolean {
    const slot = this.slotOf(place, place.pc);
    if (slot === 0) return true;
    const times = this.restored.get(slot) ?? 0;
    if (times >= MOST_RESTORED) return false;
    for (const kept of store.modulesAt(place.pc)) {
      if (kept.homeEntry !== place.homeEntry) continue;
      const regions = kept.regions.map((region) => this.placeKept(region, place));
      if (!regions.some((region) => region?.slot === slot)) continue;
      const loaded = store.load(kept);
      if (loaded === undefined) continue;
      const first = this.space.reserve(regions.length);
      if (first === undefined) return true;
      const links = regions.flatMap((region, i) => region?.pages ?? kept.regions[i].pages.map(noPage));
      const places = regions.map((region) => region ?? { slot: 0, entryPage: noPage(0) });
      this.space.publish(places, loaded.bytes, loaded.module, links);
      regions.forEach((region, i) => {
        if (region === undefined || region.slot === 0) return;
        this.restored.set(region.slot, (this.restored.get(region.slot) ?? 0) + 1);
        this.install(region, first + i);
        for (const pc of kept.regions[i].blocks) this.covered.add(this.slotOf(place, pc));
      });
      return true;
    }
    return false;
  }

  /** Where a region in store belongs in the memory of the place's thread; undefined when its code is not there. */
  private placeKept(region: KeptRegion, place: PlaceToTranslate): Installable | undefined {
    const { mem } = this;
    const pages: RegionPage[] = [];
    for (const page of region.pages) {
      const codePage = this.codePageOf(place, page * 4096);
      if (codePage === 0 || mem.getU32(codePage + CodePage.extensions) !== region.extensions)
        return undefined;
      pages.push({ page, codePage, generation: mem.getU32(codePage + CodePage.generation) });
    }
    const entryPage = pages.find(({ page }) => page === Math.floor(region.pc / 4096));
    const isCode: Installable['isCode'] = (halfword) => isCodeOf(region, halfword);
    if (entryPage === undefined || !isCode(this.reader(pages))) return undefined;
    return { pages, place, entryPage, slot: this.slotOf(place, region.pc), isCode };
  }
}

/** A page that no thread has. */
const noPage = (page: number): RegionPage => ({ page, codePage: 1, generation: 0 });

/** Whether the region's code is what `halfword` reads. */
function isRegionOf({ blocks }: Region, halfword: (address: number) => number | undefined): boolean {
  return blocks.every(({ instructions }) =>
    instructions.every(
      ({ pc, decoded: { raw, length } }) =>
        halfword(pc) === (raw & 0xffff) && (length === 2 || halfword(pc + 2) === raw >>> 16),
    ),
  );
}
