import { OP_REGION } from '../../src/interpreter/handlers.js';
import { engineImports, instantiateInterpreter } from '../../src/interpreter/instantiate.js';
import { interpreterBytes } from '../../src/interpreter/interpreter.js';
import { OPCODE_SHIFT } from '../../src/interpreter/slot.js';
import { innerLoop } from '../../src/jit/innerLoop.js';
import { JumpProfile } from '../../src/jit/jumpProfile.js';
import { quickHead } from '../../src/jit/quickCompiler.js';
import { formQuickRegion } from '../../src/jit/quickRegion.js';
import { QuickTemplates } from '../../src/jit/quickTemplates.js';
import type { RegionPage } from '../../src/jit/regionEntry.js';
import { formRegion, type Region } from '../../src/jit/regionGraph.js';
import { compileQuickRegions, compileRegions } from '../../src/jit/regionModule.js';
import { CodePage } from '../../src/sync/records/codePage.js';
import { Mm } from '../../src/sync/records/mm.js';
import { EXIT_HOT, Thread } from '../../src/sync/records/thread.js';
import {
  PageLink,
  READY,
  READY_QUICK,
  RegionEntry,
  RegionMap,
  Translation,
} from '../../src/sync/records/translation.js';
import { BareMachine, type BareOptions } from '../interpreter/bareMachine.js';

const HOT_COUNTERS = 0x38_0000;
const JUMP_CELLS = 0x39_0000;
const REGION_MAP = 0x3b_0000;
const PAGE_LINKS = 0x3e_0000;
const TRANSLATION = 0x1_0000;
const REGION_ENTRIES = 0x2_0000;
const MM = 0x1_8000;

let modules: Map<number, WebAssembly.Module> | undefined;

export interface TranslatedOptions extends BareOptions {
  /** Jumps to a place after which it is translated; default 2. */
  readonly threshold?: number;
  /** Instructions after which a loop in a region leaves it; default 1000. */
  readonly budget?: number;
  /** Whether a place in a small loop of a large region gets that loop alone, as the translator has it; default no. */
  readonly innerLoops?: boolean;
  /** Translates as the first tier does. */
  readonly quick?: boolean;
}

/** A BareMachine that translates hot places at once, each into a module of its own. */
export class TranslatedMachine extends BareMachine {
  readonly regions: Region[] = [];
  /** The modules, as bytes. */
  readonly compiled: Uint8Array[] = [];
  readonly #runOnce: (thread: number) => number;
  readonly #table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
  /** What regions go to one another through. */
  readonly transfers: Readonly<Record<string, WebAssembly.ExportValue>>;
  /** Places in regions of the first tier that were found hot again. */
  readonly hotPlaces: number[] = [];
  /** Whether places are translated as the first tier does it. */
  quick: boolean;
  readonly #budget: number;
  readonly #innerLoops: boolean;
  /** Where its jumps through registers went. */
  readonly jumps: JumpProfile;
  #links = PAGE_LINKS;

  constructor(options: TranslatedOptions = {}) {
    super(options);
    const { mem, thread, hostPageShift } = this;
    this.#budget = options.budget ?? 1000;
    this.jumps = new JumpProfile(mem, JUMP_CELLS);
    this.#innerLoops = options.innerLoops ?? false;
    modules ??= new Map();
    let module = modules.get(hostPageShift);
    if (!module) {
      module = new WebAssembly.Module(interpreterBytes({ hostPageShift }) as Uint8Array<ArrayBuffer>);
      modules.set(hostPageShift, module);
    }
    const { run, transfers } = instantiateInterpreter(mem, module, {
      regions: this.#table,
      hot: (_thread, pc) => void this.hotPlaces.push(pc),
    });
    this.#runOnce = run;
    this.transfers = transfers;
    this.quick = options.quick === true;
    mem.setU32(thread + Thread.hotCounters, HOT_COUNTERS);
    mem.setU32(thread + Thread.hotThreshold, options.threshold ?? 2);
    mem.setU32(thread + Thread.regionMap, REGION_MAP);
    mem.setU32(REGION_MAP + RegionMap.translation, TRANSLATION);
    mem.setU32(TRANSLATION + Translation.regions, REGION_ENTRIES);
    mem.setU32(thread + Thread.mm, MM);
    this.changeEpoch();
  }

  override run(): number {
    for (;;) {
      const exit = this.#runOnce(this.thread);
      if (exit !== EXIT_HOT) return exit;
      const slot = this.codePage(this.pc) + CodePage.slots + (this.pc % 4096) * 4;
      const isRegion = this.mem.getU32(slot) >>> OPCODE_SHIFT === OP_REGION;
      if (this.quick && isRegion) this.hotPlaces.push(this.pc);
      else this.translate(this.pc);
    }
  }

  /** Translates the place at `pc`. Says whether that could be done. */
  translate(pc: number): boolean {
    const { mem } = this;
    const pages = new Map<number, RegionPage>();
    const codePage = (address: number): number => this.codePage(address);
    const slotOf = (address: number): number => codePage(address) + CodePage.slots + (address % 4096) * 4;
    const view = {
      fetch: (address: number): number | undefined => {
        const page = codePage(address);
        if (page === 0) return undefined;
        const generation = mem.getU32(page + CodePage.generation);
        pages.set(address >>> 12, { page: address >>> 12, codePage: page, generation });
        return mem.u16[(mem.getU32(page + CodePage.source) + (address % 4096)) >>> 1];
      },
      isWarm: (address: number) => {
        const page = codePage(address);
        return page !== 0 && mem.getU32(page + CodePage.slots + (address % 4096) * 4) !== 0;
      },
      load: (address: number) => (this.isMapped(address) ? mem.i32[this.place(address) >>> 2] : undefined),
      seenFrom: (address: number) => this.jumps.follow(address),
      extensions: mem.getU32(codePage(pc) + CodePage.extensions),
      registers: Array.from({ length: 32 }, (_, r) => mem.getU64(this.thread + Thread.x + r * 8)),
      word: (address: number): number => {
        const low = view.fetch(address);
        if (low === undefined || (low & 3) !== 3) return low ?? -1;
        const high = view.fetch(address + 2);
        return high === undefined ? -1 : (low | (high << 16)) >>> 0;
      },
      isCold: (address: number) => codePage(address) === 0 || mem.getU32(slotOf(address)) === 0,
      isOpen: (address: number) => {
        const low = codePage(address) === 0 ? 0 : mem.getU32(slotOf(address));
        return low !== 0 && low >>> OPCODE_SHIFT !== OP_REGION;
      },
    };
    const templates = new QuickTemplates(this.hostPageShift);
    const quick = this.quick ? formQuickRegion(pc, view, templates) : undefined;
    const whole = this.quick ? quick : formRegion(pc, view);
    if (whole === undefined) return false;
    const region = this.#innerLoops && !this.quick ? innerLoop(whole) : whole;
    const homeEntry = mem.getU32(this.thread + Thread.homeEntry);
    const formed = {
      region,
      pages: [...region.pages].map((page) => pages.get(page)!),
      codeTable: 0,
      homeEntry,
      isExact: (mem.getU32(this.thread + Thread.fflags) & 1) === 0,
    };
    const options = { hostPageShift: this.hostPageShift, fused: false, budget: this.#budget };
    const bytes =
      quick === undefined
        ? compileRegions([formed], this.regions.length, options, undefined, this.jumps)
        : compileQuickRegions([{ ...formed, region: quick }], templates, undefined, this.jumps).bytes;
    this.compiled.push(bytes);
    const imports = engineImports(mem, this.transfers);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
    const index = this.regions.push(region) - 1;
    const links = this.#link(index, formed.pages);
    if (exports.links instanceof WebAssembly.Global) exports.links.value = links;
    if (index >= this.#table.length) this.#table.grow(64);
    this.#table.set(index, exports.r0);
    mem.u8[REGION_MAP + RegionMap.ready + index] = quick === undefined ? READY : READY_QUICK;
    for (const entry of quick?.entries ?? [pc])
      mem.u64[slotOf(entry) >>> 3] = (BigInt(index) << 32n) | BigInt((OP_REGION << OPCODE_SHIFT) >>> 0);
    return true;
  }

  /** Puts the PageLinks of region `index` into memory, and returns where. */
  #link(index: number, pages: readonly RegionPage[]): number {
    const { mem } = this;
    const links = [quickHead(index, JUMP_CELLS), ...pages];
    const address = this.#links;
    const entry = REGION_ENTRIES + index * RegionEntry.SIZE;
    mem.setU32(entry + RegionEntry.pages, address + PageLink.SIZE);
    mem.setU32(entry + RegionEntry.pageCount, pages.length);
    links.forEach(({ page, codePage, generation }, i) => {
      mem.setU32(address + i * PageLink.SIZE + PageLink.page, page);
      mem.setU32(address + i * PageLink.SIZE + PageLink.codePage, codePage);
      mem.setU32(address + i * PageLink.SIZE + PageLink.generation, generation);
    });
    this.#links += links.length * PageLink.SIZE;
    return address;
  }

  /** Makes the instruction at `pc` look as if it had been executed. */
  warm(pc: number): void {
    this.mem.setU32(this.codePage(pc) + CodePage.slots + (pc % 4096) * 4, 1);
  }

  /** Makes the page at `from` appear at `to` as well, with its CodePage. */
  alias(from: number, to: number): void {
    this.map(to, 0x1000, 'r');
    this.setCodePage(to, this.codePage(from));
  }

  /** What FENCE.I does: forgets all that was decoded and translated of the page at `address`. */
  forgetCode(address: number): void {
    const page = this.codePage(address);
    this.mem.setU32(page + CodePage.generation, this.mem.getU32(page + CodePage.generation) + 1);
    this.mem.zero(page + CodePage.slots, CodePage.end - CodePage.slots + 8);
    this.mem.zero(HOT_COUNTERS, JUMP_CELLS - HOT_COUNTERS);
    this.changeEpoch();
  }

  /** What is done whenever the code table or a CodePage in it has changed. */
  changeEpoch(): void {
    this.mem.u64[(MM + Mm.codeEpoch) >>> 3] += 2n;
  }

  override unmap(address: number, what: 'r' | 'w' | 'x'): void {
    super.unmap(address, what);
    this.changeEpoch();
  }

  override setCodePage(address: number, codePage: number): void {
    super.setCodePage(address, codePage);
    this.changeEpoch();
  }

  /** What every page at its home means to the translated code: pages with this entry are. */
  set homeEntry(entry: number) {
    this.mem.setU32(this.thread + Thread.homeEntry, entry);
  }
}
