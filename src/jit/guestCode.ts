import { OP_REGION } from '../interpreter/handlers.js';
import { OPCODE_SHIFT } from '../interpreter/slot.js';
import { CodePage } from '../sync/records/codePage.js';
import { FRAME_OBJECT, FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { PlaceToTranslate } from '../sync/translationQueue.js';
import type { QuickView } from './quickRegion.js';
import type { RegionPage } from './regionEntry.js';
import type { CodeView as RegionView } from './regionGraph.js';

/** What is seen of a guest's code from a place of it. */
export interface CodeView extends Omit<RegionView, 'calledFrom'> {
  /** The pages that were looked at, by number. */
  readonly pages: ReadonlyMap<number, RegionPage>;
}

/**
 * Reads the code of guests, for the translator: address spaces may change or go at any moment, so whatever is found is a guess, but reading
 * does no harm.
 */
export class GuestCode {
  constructor(
    private readonly mem: SharedMemory,
    private readonly hostPageSize: number,
  ) {}

  /**
   * The CodePage that the place's code table has for `address`, or 0. The tables may be gone: what is read is checked. A process that ends
   * before the translator has looked leaves the code of its files to those that come after it: that is found where it was, near the place.
   */
  codePageOf(place: PlaceToTranslate, address: number): number {
    if (!(address >= 0 && address < place.reach)) return 0;
    return this.tabled(place, address) || this.checked(pageNear(place, address));
  }

  /**
   * Whether `codePage` is what the place's code table has for `address`; or it is of a page of an object, near the place, which nothing
   * keeps from being written anyway. `codePage` is in use, and Machine.framesLock held.
   */
  isCodeOfLocked(place: PlaceToTranslate, address: number, codePage: number): boolean {
    const tabled = this.tabled(place, address);
    if (tabled !== 0) return tabled === codePage;
    const { mem, hostPageSize } = this;
    if (pageNear(place, address) !== codePage) return false;
    const frame = Math.floor(
      (mem.getU32(codePage + CodePage.source) - mem.getU32(MACHINE + Machine.framesBase)) / hostPageSize,
    );
    const descriptor = mem.getU32(MACHINE + Machine.frameDescriptors) + frame * FrameDescriptor.SIZE;
    return (mem.atomicLoad(descriptor + FrameDescriptor.flags) & FRAME_OBJECT) !== 0;
  }

  private tabled({ codeTable }: PlaceToTranslate, address: number): number {
    return this.checked(this.mem.getU32(codeTable + Math.floor(address / 4096) * 4));
  }

  private checked(page: number): number {
    return page > MACHINE && page % 8 === 0 && page < this.mem.byteLength - CodePage.SIZE ? page : 0;
  }

  /** The slot of the instruction at `pc` when it has been decoded, or a region begins there; else 0. */
  slotOf(place: PlaceToTranslate, pc: number): number {
    const page = this.codePageOf(place, pc);
    if (page === 0) return 0;
    const slot = page + CodePage.slots + (pc % 4096) * 4;
    return this.mem.getU32(slot) === 0 ? 0 : slot;
  }

  /** The index of the region that the slot leads into, or undefined. */
  regionAt(slot: number): number | undefined {
    const { mem } = this;
    return mem.getU32(slot) >>> OPCODE_SHIFT === OP_REGION ? mem.getU32(slot + 4) : undefined;
  }

  /** The 16-bit parcel at `address`, which is in the page. */
  halfword({ codePage }: RegionPage, address: number): number {
    return this.mem.u16[(this.mem.getU32(codePage + CodePage.source) + (address % 4096)) >>> 1];
  }

  /** The code around a place that is there. */
  viewOf(place: PlaceToTranslate): CodeView {
    const { mem, hostPageSize } = this;
    const { reach, readTable, registers } = place;
    const pages = new Map<number, RegionPage>();
    return {
      pages,
      registers,
      extensions: mem.getU32(this.codePageOf(place, place.pc) + CodePage.extensions),
      fetch: (address) => {
        const page = Math.floor(address / 4096);
        let known = pages.get(page);
        if (known === undefined) {
          const codePage = this.codePageOf(place, address);
          if (codePage === 0) return undefined;
          known = { page, codePage, generation: mem.getU32(codePage + CodePage.generation) };
          pages.set(page, known);
        }
        return this.halfword(known, address);
      },
      load: (address) => {
        if (!(address >= 0 && address < reach) || address % 4 !== 0) return undefined;
        const entry = mem.getU32(readTable + Math.floor(address / hostPageSize) * 4);
        return entry === 0 ? undefined : mem.i32[((address + entry - 1) >>> 0) >>> 2];
      },
      isWarm: (address) => this.slotOf(place, address) !== 0,
    };
  }
}

/** The CodePage that the page of `address` had when the place was found hot, if it is near and had one; else 0. */
function pageNear({ pc, codePages }: PlaceToTranslate, address: number): number {
  return codePages[Math.floor(address / 4096) - Math.floor(pc / 4096) + 1] ?? 0;
}

/** The code around one place after the other, as the first tier looks at it: fast while it stays in a page. */
export class OpenCode implements QuickView {
  /** The pages that were looked at, by number. */
  pages = new Map<number, RegionPage>();
  extensions = 0;
  /** Slots that are to be entrances of regions, soon. */
  readonly taken = new Set<number>();
  private place: PlaceToTranslate | undefined;
  /** The page looked at last, where it begins in memory, and its slots; 0: it is not there. */
  private page = -1;
  private source = 0;
  private slots = 0;

  constructor(
    private readonly mem: SharedMemory,
    private readonly code: GuestCode,
  ) {}

  /** Turns to another place. Says whether that is code which may be translated. */
  lookAt(place: PlaceToTranslate): boolean {
    this.place = place;
    this.pages = new Map();
    this.page = -1;
    if (!this.isOpen(place.pc)) return false;
    this.extensions = this.mem.getU32(this.slots - CodePage.slots + CodePage.extensions);
    return true;
  }

  isOpen(pc: number): boolean {
    const slot = this.slotOf(pc);
    if (slot === 0) return false;
    const low = this.mem.getU32(slot);
    return low !== 0 && low >>> OPCODE_SHIFT !== OP_REGION && !this.taken.has(slot);
  }

  isCold(pc: number): boolean {
    const slot = this.slotOf(pc);
    return slot === 0 || this.mem.getU32(slot) === 0;
  }

  word(pc: number): number {
    const low = this.halfword(pc);
    if (low < 0 || (low & 3) !== 3) return low;
    const high = this.halfword(pc + 2);
    return high < 0 ? high : (low | (high << 16)) >>> 0;
  }

  /** The slot at `pc`; 0 where there is no code. */
  slotOf(pc: number): number {
    const offset = pc & 4095;
    if (pc - offset !== this.page) this.turnTo(pc - offset);
    return this.slots === 0 ? 0 : this.slots + offset * 4;
  }

  private halfword(pc: number): number {
    const offset = pc & 4095;
    if (pc - offset !== this.page) this.turnTo(pc - offset);
    return this.slots === 0 ? -1 : this.mem.u16[(this.source + offset) >>> 1];
  }

  private turnTo(start: number): void {
    const { mem, code, pages } = this;
    const page = start / 4096;
    let known = pages.get(page);
    if (known === undefined) {
      const codePage = code.codePageOf(this.place!, start);
      known = { page, codePage, generation: codePage === 0 ? 0 : mem.getU32(codePage + CodePage.generation) };
      pages.set(page, known);
    }
    const { codePage } = known;
    this.page = start;
    this.slots = codePage === 0 ? 0 : codePage + CodePage.slots;
    this.source = codePage === 0 ? 0 : mem.getU32(codePage + CodePage.source);
  }
}
