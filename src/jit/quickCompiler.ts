import type { HelperTable } from '../interpreter/helperTable.js';
import { SLOT_SCALE_SHIFT } from '../interpreter/slot.js';
import type { Helper } from '../isa/builder.js';
import { CodePage } from '../sync/records/codePage.js';
import { Thread } from '../sync/records/thread.js';
import { PageLink } from '../sync/records/translation.js';
import type { ByteWriter } from '../wasm/index.js';
import type { AccessGroup } from './accessGroups.js';
import { type JumpProfile, WAY_MASK, WAY_SHIFT } from './jumpProfile.js';
import { QuickAccesses } from './quickAccesses.js';
import { declarations, OP, pcByte, QuickCode, RESULT_I32 } from './quickCode.js';
import { isLeftFor, isLoop, type QuickBlock, type QuickRegion } from './quickRegion.js';
import {
  BUDGET,
  CALL_BYTES,
  DEPTH_BYTES,
  EXIT_BYTES,
  EXIT_DONE_BITS,
  IMMEDIATE_BYTES,
  LEAST_LOCALS,
  LOCALS,
  PC_BYTES,
  type QuickInstruction,
  type QuickTemplate,
  type QuickTemplates,
  REGISTER_BYTES,
} from './quickTemplates.js';
import type { RegionPage } from './regionEntry.js';

/** The functions that regions of the first tier call, by index in their module; see interpreter/regionTransfers. */
export interface QuickCallees {
  /** For calls, and in place of the region. */
  readonly callOn: number;
  readonly goOn: number;
  readonly back: number;
  readonly round: number;
  readonly leave: number;
}

/** Where a region's body calls a helper: the index of the function stands there, in CALL_BYTES. */
export interface HelperCallSite {
  readonly at: number;
  readonly helper: Helper;
}

/** A region's function: local declarations, code, end. */
export interface QuickBody {
  readonly bytes: ByteWriter;
  /** Where the distance of the region's PageLinks from the module's stands, in LINKS_BYTES. */
  readonly linksAt: readonly number[];
  readonly calls: readonly HelperCallSite[];
}

/** Of the distance of a region's PageLinks from those of its module. */
export const LINKS_BYTES = 5;

const RA = 1;

/** The PageLink of a region of the first tier that stands before those of its pages: all that differs between processes is there. */
export function quickHead(index: number, profile: number): RegionPage {
  return { page: 0, codePage: index, generation: profile };
}

/**
 * Writes the body of the wasm function of a region of the first tier: (thread, depth) → LEFT_*. Its PageLinks (quickHead, then its pages') are `linksOffset` bytes behind
 * those of its module, whose address is in the global number `links`.
 *
 *   block stale
 *     is it at the address where it was? else stale
 *     block cold                 where to go on, hardly ever
 *     block aside                the instruction that the interpreter is to do: a number on the stack
 *       loop dispatch            which of the entries?
 *         block … block          one for each block that is branched to
 *         end …                  the blocks in the order of their addresses
 *     leave it to the interpreter
 *   leave what is at the pc to the interpreter
 *
 * It is put together of templates, byte by byte, and V8's baseline compiler makes code of it at once; nothing in it is meant for another compiler.
 */
export function writeQuickRegion(
  region: QuickRegion,
  pages: readonly { readonly page: number }[],
  links: number,
  linksOffset: number,
  callees: QuickCallees,
  helpers: HelperTable,
  templates: QuickTemplates,
  profile?: JumpProfile,
): QuickBody {
  return new QuickWriter(region, pages, links, linksOffset, callees, helpers, templates, profile).write();
}

/** In place of what is left aside: nothing has been done, and where to go on stands in the Thread record. */
const NOWHERE = -1;

class QuickWriter extends QuickCode {
  /** How many were open when these were. */
  private staleLevel = 0;
  private coldLevel = 0;
  private dispatchLevel = 0;
  /** How many were open when the block's own was opened, by the pc it begins at. */
  private readonly labels = new Map<number, number>();
  private readonly blocks = new Map<number, QuickBlock>();
  private readonly calls: HelperCallSite[] = [];
  private readonly linksAt: number[] = [];
  private readonly accesses: QuickAccesses;
  /** Loops, as their first and last blocks. */
  private readonly loops: { readonly first: number; readonly last: number }[] = [];
  /** The place for which the instructions of the block that is being written speak. */
  private from: number;
  /** How many were open when the run of blocks was begun; whether its last block is being written. */
  private runEnd = 0;
  private isLastOfRun = false;

  constructor(
    private readonly region: QuickRegion,
    private readonly pages: readonly { readonly page: number }[],
    private readonly links: number,
    private readonly linksOffset: number,
    private readonly callees: QuickCallees,
    private readonly helpers: HelperTable,
    private readonly templates: QuickTemplates,
    private readonly profile: JumpProfile | undefined,
  ) {
    super(region.pc);
    this.accesses = new QuickAccesses(this, templates.hostPageShift);
    for (const block of region.code) this.blocks.set(block.pc, block);
    this.from = region.pc;
  }

  write(): QuickBody {
    const { out, region, blocks } = this;
    const { code, entries } = region;
    const isEntry = new Set(entries);
    // What is branched to forward, or entered, is behind a label.
    const labelled = new Set(entries);
    let locals = LEAST_LOCALS;
    for (const { pc, instructions, end } of code) {
      for (const { template } of instructions) locals = Math.max(locals, template.locals);
      const last = instructions[instructions.length - 1];
      const { flow, decoded, length } = last;
      if (flow !== 'branch' && (flow !== 'jump' || decoded.rd !== 0)) continue;
      const to = end - length + decoded.immediate;
      if (!blocks.has(to)) continue;
      if (to > end - length) labelled.add(to);
      else if (isEntry.has(to) && region.comesFrom(to, pc)) this.loops.push({ first: to, last: pc });
    }
    // What runs into a block that is not the next one (instructions that overlap) branches to it.
    code.forEach(({ end }, i) => {
      if (code[i + 1]?.pc !== end && blocks.has(end)) labelled.add(end);
    });
    out.bytes(declarations(locals));
    this.staleLevel = this.open;
    this.begin(OP.block);
    this.prologue();
    this.coldLevel = this.open;
    this.begin(OP.block, RESULT_I32);
    this.asideLevel = this.open;
    this.begin(OP.block, RESULT_I32);
    this.dispatchLevel = this.open;
    this.begin(OP.loop);
    for (let n = code.length - 1; n >= 0; n--)
      if (labelled.has(code[n].pc)) {
        this.labels.set(code[n].pc, this.open);
        this.begin(OP.block);
      }
    this.choose(entries);
    // What is first branched to with says where locals are there: in V8's stack frame, but for this one. So are most where others branch.
    this.keep(LOCALS.thread);
    this.i32(NOWHERE);
    this.branchTo(OP.br, this.asideLevel);
    for (let n = 0; n < code.length; ) {
      const end = region.runFrom(n, labelled);
      this.run(code.slice(n, end), code[end]?.pc, isEntry, labelled);
      n = end;
    }
    this.end();
    out.byte(OP.unreachable);
    this.end();
    this.aside();
    this.end();
    this.coldWay();
    this.end();
    this.i32(1);
    out.byte(OP.end);
    return { bytes: out, linksAt: this.linksAt, calls: this.calls };
  }

  /** Goes on at the pc whose lower half is on the stack, all instructions being counted. */
  private coldWay(): void {
    const { out, region } = this;
    this.set(LOCALS.entry);
    this.transferHead();
    this.get(LOCALS.entry);
    out.byte(OP.extendUnsignedI32);
    this.pcConstant(Math.floor(region.pc / 2 ** 32) * 2 ** 32);
    out.byte(OP.addI64);
    this.transferTail(this.callees.goOn, region.pc);
  }

  /** Has the interpreter do the instruction that the number on the stack says. */
  private aside(): void {
    const { out } = this;
    out.byte(OP.tee);
    out.byte(LOCALS.entry);
    this.i32(NOWHERE);
    out.byte(OP.eqI32);
    this.branchTo(OP.brIf, this.staleLevel);
    this.transferHead();
    this.get(LOCALS.entry);
    this.i32(EXIT_DONE_BITS);
    out.byte(OP.shrSignedI32);
    out.byte(OP.extendI32);
    this.pcConstant(this.region.pc);
    out.byte(OP.addI64);
    this.i32(BUDGET);
    this.get(LOCALS.entry);
    this.i32(2 ** EXIT_DONE_BITS - 1);
    out.byte(OP.andI32);
    out.byte(OP.addI32);
    this.get(LOCALS.count);
    out.byte(OP.subI32);
    out.byte(OP.returnCall);
    out.unsigned(this.callees.leave);
  }

  /** Leaves the pc's instruction to the interpreter where the region's code is at another address; then loads what it needs. */
  private prologue(): void {
    const { out } = this;
    // Entries are told from each other by the lower half of the pc.
    this.get(LOCALS.thread);
    this.memory(OP.loadI32, Thread.pc + 4);
    this.i32(Math.floor(this.region.pc / 2 ** 32));
    out.byte(OP.neI32);
    this.branchTo(OP.brIf, this.staleLevel);
    this.get(LOCALS.thread);
    this.memory(OP.loadI32, Thread.pc);
    this.set(LOCALS.entry);
    this.i32(BUDGET);
    this.set(LOCALS.count);
  }

  /** The address of the region's PageLinks. */
  private pageLinks(): void {
    const { out } = this;
    out.byte(OP.getGlobal);
    out.unsigned(this.links);
    out.byte(OP.constI32);
    this.linksAt.push(out.length);
    for (let i = 0; i < LINKS_BYTES; i++) out.byte(0);
    out.patchNumber(out.length - LINKS_BYTES, this.linksOffset, LINKS_BYTES);
    out.byte(OP.addI32);
  }

  /** Loads the CodePage that the region was made from, by its position in `pages`; the address of the PageLinks is on the stack. */
  private codePage(i: number): void {
    this.memory(OP.loadI32, (i + 1) * PageLink.SIZE + PageLink.codePage);
  }
  /** Goes to the entry that LOCALS.entry says, by halving; falls through where that is none. */
  private choose(entries: readonly number[]): void {
    const { out } = this;
    if (entries.length > 3) {
      const middle = entries.length >> 1;
      this.get(LOCALS.entry);
      this.i32(entries[middle] | 0);
      out.byte(OP.ltUnsignedI32);
      this.begin(OP.if);
      this.choose(entries.slice(0, middle));
      this.end();
      this.choose(entries.slice(middle));
      return;
    }
    for (const entry of entries) {
      this.get(LOCALS.entry);
      this.i32(entry | 0);
      out.byte(OP.eqI32);
      this.branchTo(OP.brIf, this.labels.get(entry)!);
    }
  }

  /** Copies the template of the instruction at `pc`, and says which it was. */
  private copy(instruction: QuickInstruction, pc: number): QuickTemplate {
    const { out } = this;
    const { decoded } = instruction;
    const template = this.templates.behind(instruction, this.last);
    const { bytes, patches, calls, keepsResult, accesses, guards } = template;
    if (keepsResult) this.last = decoded.rd;
    else if (accesses) this.last = 0;
    const start = out.length;
    out.bytes(bytes);
    for (const { at, what, base } of patches) {
      if (what === 'pc') for (let i = 0; i < PC_BYTES; i++) out.patch(start + at + i, pcByte(pc, i));
      else if (what === 'exit') out.patchNumber(start + at, this.exitAt(pc), EXIT_BYTES);
      else if (what === 'depth')
        out.patchNumber(start + at, this.open - 1 - this.asideLevel + base, DEPTH_BYTES);
      else if (what === 'immediate') out.patchNumber(start + at, decoded.immediate, IMMEDIATE_BYTES);
      else out.patchNumber(start + at, base + decoded[what] * 8, REGISTER_BYTES);
    }
    for (const { at, helper } of calls) {
      out.patchNumber(start + at, this.helpers.indexOf(helper), CALL_BYTES);
      this.calls.push({ at: start + at, helper });
    }
    this.guardsOf(guards, pc);
    return template;
  }

  /** What all transfers begin with but the pc: (thread, depth). */
  private transferHead(): void {
    this.get(LOCALS.thread);
    this.get(LOCALS.depth);
  }
  /** … and end with: the instructions done, where that is asked for the place they speak for, and the callee, which takes this function's place. */
  private transferTail(callee: number, from?: number): void {
    this.done();
    if (from !== undefined) this.pcConstant(from);
    this.out.byte(OP.returnCall);
    this.out.unsigned(callee);
    this.pending = 0;
  }
  private done(): void {
    this.i32(BUDGET + this.pending);
    this.get(LOCALS.count);
    this.out.byte(OP.subI32);
  }
  private goOnAt(pc: number): void {
    const { region } = this;
    if (region.cold.has(pc) && Math.floor(pc / 2 ** 32) === Math.floor(region.pc / 2 ** 32)) {
      this.countPending();
      this.i32(pc | 0);
      this.branchTo(OP.br, this.coldLevel);
      return;
    }
    this.transferHead();
    this.pcConstant(pc);
    this.transferTail(this.callees.goOn, this.from);
  }

  /** Writes blocks that control only runs through from the first on, or leaves; the block at `next` is written after them. */
  private run(
    blocks: readonly QuickBlock[],
    next: number | undefined,
    isEntry: ReadonlySet<number>,
    labelled: ReadonlySet<number>,
  ): void {
    const [{ pc }] = blocks;
    if (labelled.has(pc)) {
      this.countPending();
      this.end();
      this.labels.delete(pc);
    }
    const starts: number[] = [];
    let start = 0;
    for (const { instructions } of blocks) {
      starts.push(start);
      start += instructions.length;
    }
    const all = blocks.length === 1 ? blocks[0].instructions : blocks.flatMap((block) => block.instructions);
    const groups = this.accesses.groupsOf(all, starts);
    this.last = 0;
    // Where to go on behind the last block when there is no label.
    this.runEnd = this.open;
    const isOpenEnded = next !== undefined && !labelled.has(next);
    if (isOpenEnded) this.begin(OP.block);
    blocks.forEach((block, n) => {
      this.isLastOfRun = n === blocks.length - 1;
      this.block(block, blocks[n + 1]?.pc ?? next, isEntry, groups, starts[n]);
    });
    this.closeGuards();
    if (isOpenEnded) this.end();
    this.accesses.releaseAll();
  }

  /** `groups`: of the accesses of a run of blocks, in which this one begins at `start`. */
  private block(
    block: QuickBlock,
    next: number | undefined,
    isEntry: ReadonlySet<number>,
    groups: readonly (AccessGroup | undefined)[] | undefined,
    start: number,
  ): void {
    const { out, callees } = this;
    const { instructions, end } = block;
    const last = instructions[instructions.length - 1];
    const { flow, decoded } = last;
    const from = end - last.length;
    const target = from + decoded.immediate;
    const goesRound = isLoop(block);
    this.from = this.hotPlaceOf(block.pc);
    if (goesRound) {
      this.countPending();
      this.labels.set(block.pc, this.open);
      this.begin(OP.loop);
    }
    this.keep(LOCALS.thread);
    let isContrary = false;
    let pc = block.pc;
    for (let i = 0; i < instructions.length; i++) {
      const instruction = instructions[i];
      const group = groups?.[start + i];
      if (group !== undefined && this.accesses.access(instruction, group, pc)) {
        this.pending++;
        if (groups!.lastIndexOf(group) === start + i) this.accesses.release(group);
      } else if (instruction.flow === 'branch') {
        // Counted before its condition, so that all ways are alike behind it.
        this.pending++;
        this.countPending();
        isContrary = this.copy(instruction, pc).isContrary;
      } else {
        this.copy(instruction, pc);
        this.pending++;
      }
      pc += instruction.length;
    }
    switch (flow) {
      case 'next':
        this.go(end, next);
        break;
      case 'branch':
        if (target <= from && this.isBackIn(target, isEntry)) {
          if (isContrary) out.byte(OP.eqzI32);
          this.begin(OP.if);
          this.goBack(target);
          this.end();
        } else {
          // Control more often than not goes on here.
          if (!isContrary) out.byte(OP.eqzI32);
          const isInside = target > from && this.blocks.has(target);
          const place = this.from;
          this.guard(() => {
            this.from = place;
            if (isInside) this.branchTo(OP.br, this.labels.get(target)!);
            else this.goOnAt(target);
          });
        }
        this.go(end, next);
        break;
      case 'exit':
        this.pending = 0;
        break;
      default: {
        if (flow === 'jump' && decoded.rd === 0) {
          if (target > from && this.blocks.has(target)) {
            if (target !== next) {
              this.countPending();
              this.branchTo(OP.br, this.labels.get(target)!);
            }
          } else if (this.isBackIn(target, isEntry)) this.goBack(target);
          else this.goOnAt(target);
          break;
        }
        if (decoded.rd !== 0) {
          this.get(LOCALS.thread);
          this.pcConstant(end);
          this.memory(OP.storeI64, Thread.x + decoded.rd * 8);
        }
        const returns = flow === 'jumpRegister' && decoded.rd === 0 && decoded.rs1 === RA;
        if (flow === 'jumpRegister' && !returns) this.noteTarget(from);
        if (isLeftFor(last) && this.blocks.has(end))
          this.call(flow === 'jump' ? target : undefined, end, next);
        else if (flow === 'jump') this.goOnAt(target);
        else {
          this.transferHead();
          this.get(LOCALS.address);
          this.transferTail(returns ? callees.back : callees.goOn, this.from);
        }
      }
    }
    if (goesRound) {
      this.closeGuards();
      this.end();
      this.labels.delete(block.pc);
      if (flow === 'jump') out.byte(0x00);
    }
  }

  /** Where the innermost loop around the block at `pc` begins, which is what is worth more care when the block is hot; the region's place outside of loops. */
  private hotPlaceOf(pc: number): number {
    let place = -1;
    for (const { first, last } of this.loops) if (first <= pc && pc <= last) place = Math.max(place, first);
    return place < 0 ? this.region.pc : place;
  }

  /** Notes where the jump at `from` goes, which is in LOCALS.address. */
  private noteTarget(from: number): void {
    const { out } = this;
    const cells = this.profile?.cellsOf(from);
    if (cells === undefined) return;
    this.get(LOCALS.address);
    out.byte(OP.wrap);
    this.i32(WAY_SHIFT);
    out.byte(OP.shlI32);
    this.i32(WAY_MASK);
    out.byte(OP.andI32);
    this.pageLinks();
    this.memory(OP.loadI32, PageLink.generation);
    out.byte(OP.addI32);
    this.set(LOCALS.entry);
    const noted = (): void => {
      this.get(LOCALS.address);
      out.byte(OP.constI64);
      out.signed64(BigInt(cells.tag));
      out.byte(OP.orI64);
    };
    // Only what is new is written: threads on other processors note their jumps in the same lines of the caches.
    this.get(LOCALS.entry);
    this.memory(OP.loadI64, cells.distance);
    noted();
    out.byte(OP.neI64);
    this.begin(OP.if);
    this.get(LOCALS.entry);
    noted();
    this.memory(OP.storeI64, cells.distance);
    this.end();
  }

  /** Goes on at `pc`, behind the block; falls through to the block that is written next. */
  private go(pc: number, next: number | undefined): void {
    if (!this.blocks.has(pc)) this.goOnAt(pc);
    else if (pc !== next || (this.isLastOfRun && this.isGuarded)) {
      this.countPending();
      this.branchTo(OP.br, this.labels.get(pc) ?? this.runEnd);
    }
  }

  /** Whether a loop of the region begins at `pc`. */
  private isBackIn(pc: number, isEntry: ReadonlySet<number>): boolean {
    return this.blocks.has(pc) && isEntry.has(pc);
  }

  /** Goes back to where a loop begins, unless that leads elsewhere by now, or it is time to look around. */
  private goBack(pc: number): void {
    const { out } = this;
    this.countPending();
    this.pageLinks();
    out.byte(OP.tee);
    out.byte(LOCALS.entry);
    this.codePage(this.pages.findIndex(({ page }) => page === Math.floor(pc / 4096)));
    this.memory(OP.loadI32, CodePage.slots + ((pc % 4096) << SLOT_SCALE_SHIFT) + 4);
    this.get(LOCALS.entry);
    this.memory(OP.loadI32, PageLink.codePage);
    out.byte(OP.eqI32);
    this.get(LOCALS.thread);
    this.memory(OP.loadI32, Thread.attention);
    this.get(LOCALS.count);
    out.byte(OP.ltSignedI32);
    out.byte(OP.andI32);
    this.begin(OP.if);
    const self = this.labels.get(pc);
    if (self !== undefined) this.branchTo(OP.br, self);
    else {
      this.i32(pc | 0);
      this.set(LOCALS.entry);
      this.branchTo(OP.br, this.dispatchLevel);
    }
    this.end();
    this.transferHead();
    this.pcConstant(pc);
    this.transferTail(this.callees.round);
  }

  /** Calls the region at `target`, or at the pc, and goes on behind the call when it comes back there; otherwise leaves as it did. */
  private call(target: number | undefined, end: number, next: number | undefined): void {
    const { out } = this;
    this.countPending();
    this.get(LOCALS.thread);
    this.get(LOCALS.depth);
    this.i32(-1);
    out.byte(OP.addI32);
    if (target === undefined) this.get(LOCALS.address);
    else this.pcConstant(target);
    this.done();
    this.pcConstant(this.from);
    out.byte(OP.call);
    out.unsigned(this.callees.callOn);
    out.byte(OP.tee);
    out.byte(LOCALS.entry);
    this.get(LOCALS.thread);
    this.memory(OP.loadI64, Thread.pc);
    this.pcConstant(end);
    out.byte(OP.neI64);
    out.byte(OP.orI32);
    this.begin(OP.if);
    this.get(LOCALS.entry);
    out.byte(OP.return);
    this.end();
    this.i32(BUDGET);
    this.set(LOCALS.count);
    this.go(end, next);
  }
}
