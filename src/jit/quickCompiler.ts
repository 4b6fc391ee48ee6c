import type { HelperTable } from '../interpreter/helperTable.js';
import { SLOT_SCALE_SHIFT } from '../interpreter/slot.js';
import { CodePage } from '../sync/records/codePage.js';
import { Thread } from '../sync/records/thread.js';
import { ByteWriter, type ValueType } from '../wasm/index.js';
import { VALUE_TYPE_CODE } from '../wasm/types.js';
import { type AccessGroup, accessGroups } from './accessGroups.js';
import { isLeftFor, type QuickBlock, type QuickRegion } from './quickRegion.js';
import {
  BUDGET,
  CALL_BYTES,
  DONE_BYTES,
  IMMEDIATE_BYTES,
  LOCALS,
  localsOf,
  MOST_GROUPS,
  PC_BYTES,
  type QuickInstruction,
  REGISTER_BYTES,
} from './quickTemplates.js';
import type { RegionPage } from './regionCompiler.js';

/** The functions that regions of the first tier call, by index in their module; see interpreter/regionTransfers. */
export interface QuickCallees {
  /** For calls, and in place of the region. */
  readonly callOn: number;
  readonly goOn: number;
  readonly back: number;
  readonly round: number;
  readonly leave: number;
}

/** What is written of WebAssembly here: its opcodes. */
const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  returnCall: 0x12,
  get: 0x20,
  set: 0x21,
  tee: 0x22,
  loadI32: 0x28,
  loadI64: 0x29,
  storeI64: 0x37,
  constI32: 0x41,
  constI64: 0x42,
  eqzI32: 0x45,
  eqI32: 0x46,
  ltSignedI32: 0x48,
  eqI64: 0x51,
  neI32: 0x47,
  neI64: 0x52,
  ltUnsignedI64: 0x54,
  addI32: 0x6a,
  subI32: 0x6b,
  andI32: 0x71,
  orI32: 0x72,
  wrap: 0xa7,
  addI64: 0x7c,
  subI64: 0x7d,
  andI64: 0x83,
  orI64: 0x84,
  shrUnsignedI64: 0x88,
} as const;
const VOID = 0x40;

const RA = 1;

/** Loads and stores that are one of WebAssembly's: that, the log2 of its size, and which registers it loads or stores. */
const PLAIN: Readonly<Record<string, readonly [opcode: number, align: number, registers: number]>> = {
  lb: [0x30, 0, Thread.x],
  lbu: [0x31, 0, Thread.x],
  lh: [0x32, 1, Thread.x],
  lhu: [0x33, 1, Thread.x],
  lw: [0x34, 2, Thread.x],
  lwu: [0x35, 2, Thread.x],
  ld: [OP.loadI64, 3, Thread.x],
  fld: [OP.loadI64, 3, Thread.f],
  sb: [0x3c, 0, Thread.x],
  sh: [0x3d, 1, Thread.x],
  sw: [0x3e, 2, Thread.x],
  sd: [OP.storeI64, 3, Thread.x],
  fsd: [OP.storeI64, 3, Thread.f],
};

/**
 * Writes the body of the wasm function of a region of the first tier, number `index`: (thread, depth) → LEFT_*.
 *
 *   is the code what it was? else aside
 *   loop dispatch              the pc is one of those where it may be entered
 *     block … block            one for each block that is branched to
 *       which of the entries?
 *     end …                    the blocks in the order of their addresses
 *
 * It is put together of templates, byte by byte, and V8's baseline compiler makes code of it at once; nothing in it is meant for another compiler.
 */
export function writeQuickRegion(
  region: QuickRegion,
  pages: readonly RegionPage[],
  index: number,
  callees: QuickCallees,
  helpers: HelperTable,
  hostPageShift: number,
): ByteWriter {
  return new QuickWriter(region, pages, index, callees, helpers, hostPageShift).write();
}

/** Local declarations without and with those for long instructions. */
const DECLARATIONS = [false, true].map((more) => declare(localsOf(more)));

function declare(types: readonly ValueType[]): Uint8Array {
  const out = new ByteWriter(64);
  out.unsigned(types.length);
  for (const type of types) {
    out.unsigned(1);
    out.byte(VALUE_TYPE_CODE[type]);
  }
  return out.toBytes();
}

class QuickWriter {
  private readonly out = new ByteWriter(4096);
  /** Blocks and loops that are open. */
  private open = 0;
  /** How many were open when the block's own was opened, by the pc it begins at. */
  private readonly labels = new Map<number, number>();
  private readonly blocks = new Map<number, QuickBlock>();
  /** Instructions that are not counted yet. */
  private pending = 0;
  /** Where groups of accesses have their place, and the locals that are free for that. */
  private readonly places = new Map<AccessGroup, number>();
  private readonly free = Array.from({ length: MOST_GROUPS }, (_, i) => LOCALS.group + i);

  constructor(
    private readonly region: QuickRegion,
    private readonly pages: readonly RegionPage[],
    private readonly index: number,
    private readonly callees: QuickCallees,
    private readonly helpers: HelperTable,
    private readonly hostPageShift: number,
  ) {
    for (const block of region.code) this.blocks.set(block.pc, block);
  }

  write(): ByteWriter {
    const { out, region, blocks } = this;
    const { code, entries } = region;
    const isEntry = new Set(entries);
    // What is branched to forward, or entered, is behind a label.
    const labelled = new Set(entries);
    let accesses = false;
    let more = false;
    for (const { instructions, end } of code) {
      for (const { template } of instructions) {
        accesses ||= template.accesses;
        more ||= template.more;
      }
      const last = instructions[instructions.length - 1];
      const { flow, decoded, length } = last;
      if (flow !== 'branch' && (flow !== 'jump' || decoded.rd !== 0)) continue;
      const to = end - length + decoded.immediate;
      if (to > end - length && blocks.has(to)) labelled.add(to);
    }
    // What runs into a block that is not the next one (instructions that overlap) branches to it.
    code.forEach(({ end }, i) => {
      if (code[i + 1]?.pc !== end && blocks.has(end)) labelled.add(end);
    });
    out.bytes(DECLARATIONS[more ? 1 : 0]);
    this.prologue(accesses);
    this.begin(OP.loop);
    for (let n = code.length - 1; n >= 0; n--)
      if (labelled.has(code[n].pc)) {
        this.labels.set(code[n].pc, this.open);
        this.begin(OP.block);
      }
    this.choose(entries);
    code.forEach((block, n) => {
      if (labelled.has(block.pc)) {
        this.countPending();
        this.end();
        this.labels.delete(block.pc);
      }
      this.block(block, code[n + 1]?.pc, isEntry);
    });
    this.end();
    out.byte(0x00);
    out.byte(OP.end);
    return out;
  }

  // --- what is written again and again ---

  private begin(how: number): void {
    this.out.byte(how);
    this.out.byte(VOID);
    this.open++;
  }
  private end(): void {
    this.out.byte(OP.end);
    this.open--;
  }
  private get(local: number): void {
    this.out.byte(OP.get);
    this.out.byte(local);
  }
  private set(local: number): void {
    this.out.byte(OP.set);
    this.out.byte(local);
  }
  private i32(value: number): void {
    this.out.byte(OP.constI32);
    this.out.signed32(value);
  }
  private pcConstant(pc: number): void {
    const { out } = this;
    out.byte(OP.constI64);
    for (let i = 0; i < PC_BYTES; i++) out.byte(pcByte(pc, i));
  }
  private memory(opcode: number, offset: number, align = opcode === OP.loadI32 ? 2 : 3): void {
    this.out.byte(opcode);
    this.out.byte(align);
    this.out.unsigned(offset);
  }

  // --- the parts of a region ---

  /** Leaves the pc's instruction to the interpreter unless the thread's code is what the region was made from; then loads what it needs. */
  private prologue(accesses: boolean): void {
    const { out, hostPageShift } = this;
    this.get(LOCALS.thread);
    this.memory(OP.loadI32, Thread.codeTable);
    this.set(LOCALS.entry);
    this.pages.forEach(({ page, codePage, generation }, i) => {
      this.get(LOCALS.entry);
      this.memory(OP.loadI32, page * 4);
      this.i32(codePage | 0);
      out.byte(OP.eqI32);
      if (i > 0) out.byte(OP.andI32);
      this.i32(codePage | 0);
      this.memory(OP.loadI32, CodePage.generation);
      this.i32(generation | 0);
      out.byte(OP.eqI32);
      out.byte(OP.andI32);
    });
    out.byte(OP.eqzI32);
    this.begin(OP.if);
    this.i32(1);
    out.byte(OP.return);
    this.end();
    this.get(LOCALS.thread);
    this.memory(OP.loadI64, Thread.pc);
    this.set(LOCALS.pc);
    this.i32(BUDGET);
    out.byte(OP.tee);
    out.byte(LOCALS.base);
    this.set(LOCALS.count);
    if (!accesses) return;
    this.get(LOCALS.thread);
    this.memory(OP.loadI32, Thread.readTable);
    this.set(LOCALS.readTable);
    this.get(LOCALS.thread);
    this.memory(OP.loadI32, Thread.writeTable);
    this.set(LOCALS.writeTable);
    this.smallI64(0);
    this.get(LOCALS.thread);
    this.memory(OP.loadI64, Thread.reach);
    out.byte(OP.subI64);
    this.set(LOCALS.beyond);
    this.get(LOCALS.thread);
    this.memory(OP.loadI64, Thread.reach);
    this.smallI64(hostPageShift - 2);
    out.byte(OP.shrUnsignedI64);
    out.byte(OP.wrap);
    this.i32(4);
    out.byte(OP.subI32);
    this.set(LOCALS.tableMask);
  }
  private smallI64(value: number): void {
    this.out.byte(OP.constI64);
    this.out.signed32(value);
  }

  /** Goes to the entry that the pc is, by halving. */
  private choose(entries: readonly number[]): void {
    const { out } = this;
    if (entries.length > 3) {
      const middle = entries.length >> 1;
      this.get(LOCALS.pc);
      this.pcConstant(entries[middle]);
      out.byte(OP.ltUnsignedI64);
      this.begin(OP.if);
      this.choose(entries.slice(0, middle));
      this.end();
      this.choose(entries.slice(middle));
      return;
    }
    for (const entry of entries) {
      this.get(LOCALS.pc);
      this.pcConstant(entry);
      out.byte(OP.eqI64);
      this.branchTo(OP.brIf, this.labels.get(entry)!);
    }
    this.i32(1);
    out.byte(OP.return);
  }

  private branchTo(how: number, level: number): void {
    this.out.byte(how);
    this.out.unsigned(this.open - 1 - level);
  }

  private countPending(): void {
    if (this.pending > 0) {
      this.get(LOCALS.count);
      this.i32(this.pending);
      this.out.byte(OP.subI32);
      this.set(LOCALS.count);
    }
    this.pending = 0;
  }

  /** Copies the template of the instruction at `pc`. */
  private copy({ decoded, template }: QuickInstruction, pc: number): void {
    const { out } = this;
    const { bytes, patches, calls } = template;
    const start = out.length;
    out.bytes(bytes);
    for (const { at, what, base } of patches) {
      if (what === 'pc') for (let i = 0; i < PC_BYTES; i++) out.patch(start + at + i, pcByte(pc, i));
      else if (what === 'done') out.patchNumber(start + at, this.pending, DONE_BYTES);
      else if (what === 'immediate') out.patchNumber(start + at, decoded.immediate, IMMEDIATE_BYTES);
      else out.patchNumber(start + at, base + decoded[what] * 8, REGISTER_BYTES);
    }
    for (const { at, helper } of calls) out.patchNumber(start + at, this.helpers.indexOf(helper), CALL_BYTES);
  }

  /** What all transfers begin with but the pc: (thread, depth). */
  private transferHead(): void {
    this.get(LOCALS.thread);
    this.get(LOCALS.depth);
  }
  /** … and end with: the instructions done, and the callee, which takes this function's place. */
  private transferTail(callee: number): void {
    this.done();
    this.out.byte(OP.returnCall);
    this.out.unsigned(callee);
    this.pending = 0;
  }
  private done(): void {
    this.get(LOCALS.base);
    if (this.pending > 0) {
      this.i32(this.pending);
      this.out.byte(OP.addI32);
    }
    this.get(LOCALS.count);
    this.out.byte(OP.subI32);
  }
  private goOnAt(pc: number): void {
    this.transferHead();
    this.pcConstant(pc);
    this.transferTail(this.callees.goOn);
  }

  private block(block: QuickBlock, next: number | undefined, isEntry: ReadonlySet<number>): void {
    const { out, callees } = this;
    const { instructions, end } = block;
    const last = instructions[instructions.length - 1];
    const { flow, decoded } = last;
    const from = end - last.length;
    const direct = flow === 'branch' || (flow === 'jump' && decoded.rd === 0);
    const target = from + decoded.immediate;
    const isLoop = direct && target === block.pc;
    if (isLoop) {
      this.countPending();
      this.labels.set(block.pc, this.open);
      this.begin(OP.loop);
    }
    let pc = block.pc;
    const groups = this.groupsOf(instructions);
    for (let i = 0; i < instructions.length; i++) {
      const instruction = instructions[i];
      const group = groups?.[i];
      if (group !== undefined && this.access(instruction, group, pc)) {
        this.pending++;
        if (groups!.lastIndexOf(group) === i) this.release(group);
      } else if (instruction.flow === 'branch') {
        // Counted before its condition, so that all ways are alike behind it.
        this.pending++;
        this.countPending();
        this.copy(instruction, pc);
      } else {
        this.copy(instruction, pc);
        this.pending++;
      }
      pc += instruction.length;
    }
    for (const group of [...this.places.keys()]) this.release(group);
    switch (flow) {
      case 'next':
        this.go(end, next);
        break;
      case 'branch':
        if (target > from && this.blocks.has(target)) this.branchTo(OP.brIf, this.labels.get(target)!);
        else {
          this.begin(OP.if);
          this.goBackOrOut(target, isEntry);
          this.end();
        }
        this.go(end, next);
        break;
      case 'exit':
        this.pending = 0;
        break;
      default:
        if (flow === 'jump' && decoded.rd === 0) {
          if (target > from && this.blocks.has(target)) {
            if (target !== next) {
              this.countPending();
              this.branchTo(OP.br, this.labels.get(target)!);
            }
          } else this.goBackOrOut(target, isEntry);
          break;
        }
        if (decoded.rd !== 0) {
          this.get(LOCALS.thread);
          this.pcConstant(end);
          this.memory(OP.storeI64, Thread.x + decoded.rd * 8);
        }
        if (isLeftFor(last) && this.blocks.has(end))
          this.call(flow === 'jump' ? target : undefined, end, next);
        else {
          this.transferHead();
          if (flow === 'jump') this.pcConstant(target);
          else this.get(LOCALS.pc);
          const returns = flow === 'jumpRegister' && decoded.rd === 0 && decoded.rs1 === RA;
          this.transferTail(returns ? callees.back : callees.goOn);
        }
    }
    if (isLoop) {
      this.end();
      this.labels.delete(block.pc);
      if (flow === 'jump') out.byte(0x00);
    }
  }

  /** Groups of accesses in a block that are translated once, by the position of their members; undefined when there are none. */
  private groupsOf(instructions: readonly QuickInstruction[]): (AccessGroup | undefined)[] | undefined {
    let accesses = 0;
    for (const { template } of instructions) if (template.accesses) accesses++;
    return accesses < 2 ? undefined : accessGroups(instructions);
  }

  /** Writes an access that is in a group. False when that cannot be done: the instruction's template will do. */
  private access({ decoded }: QuickInstruction, group: AccessGroup, pc: number): boolean {
    const { instruction, rd, rs2, immediate } = decoded;
    const plain = PLAIN[instruction.mnemonic];
    if (plain === undefined) return false;
    let place = this.places.get(group);
    if (place === undefined) {
      place = this.free.pop();
      if (place === undefined) return false;
      this.places.set(group, place);
      this.beginGroup(group, decoded.rs1, place, pc);
    }
    const [opcode, align, registers] = plain;
    const offset = immediate - group.lowest;
    if (instruction.usesRd) {
      if (rd === 0 && registers === Thread.x) return true;
      this.get(LOCALS.thread);
      this.get(place);
      this.memory(opcode, offset, align);
      this.memory(OP.storeI64, registers + rd * 8);
      return true;
    }
    this.get(place);
    if (rs2 === 0 && registers === Thread.x) this.smallI64(0);
    else {
      this.get(LOCALS.thread);
      this.memory(OP.loadI64, registers + rs2 * 8);
    }
    this.memory(opcode, offset, align);
    return true;
  }

  private release(group: AccessGroup): void {
    this.free.push(this.places.get(group)!);
    this.places.delete(group);
  }

  /** Finds out where the group's lowest byte is, for all of its accesses; leaves where they are not all well and at the same distance. */
  private beginGroup(group: AccessGroup, base: number, place: number, pc: number): void {
    const { out } = this;
    const { lowest, highest, anchor, alignment, writes } = group;
    const table = writes ? LOCALS.writeTable : LOCALS.readTable;
    const mayCross = highest - lowest >= alignment;
    this.get(LOCALS.thread);
    this.memory(OP.loadI64, Thread.x + base * 8);
    if (lowest !== 0) {
      this.smallI64(lowest);
      out.byte(OP.addI64);
    }
    this.set(LOCALS.address);
    this.entryOf(table, 0);
    out.byte(OP.tee);
    out.byte(LOCALS.entry);
    out.byte(OP.eqzI32);
    // Within the reach, at both ends.
    this.get(LOCALS.address);
    if (mayCross) {
      this.get(LOCALS.address);
      this.smallI64(highest - lowest);
      out.byte(OP.addI64);
      out.byte(OP.orI64);
    }
    this.get(LOCALS.beyond);
    out.byte(OP.andI64);
    this.smallI64(0);
    out.byte(OP.neI64);
    out.byte(OP.orI32);
    if (alignment > 1) {
      this.get(LOCALS.address);
      out.byte(OP.wrap);
      this.i32(alignment - 1);
      out.byte(OP.andI32);
      this.i32((lowest - anchor) & (alignment - 1));
      out.byte(OP.neI32);
      out.byte(OP.orI32);
    }
    if (mayCross) {
      this.entryOf(table, highest - lowest);
      this.get(LOCALS.entry);
      out.byte(OP.neI32);
      out.byte(OP.orI32);
    }
    this.begin(OP.if);
    this.transferHead();
    this.pcConstant(pc);
    this.done();
    out.byte(OP.returnCall);
    out.unsigned(this.callees.leave);
    this.end();
    this.get(LOCALS.address);
    out.byte(OP.wrap);
    this.get(LOCALS.entry);
    out.byte(OP.addI32);
    this.i32(-1);
    out.byte(OP.addI32);
    this.set(place);
  }

  /** Loads the table's entry for the address plus `offset`. */
  private entryOf(table: number, offset: number): void {
    const { out } = this;
    this.get(table);
    this.get(LOCALS.address);
    if (offset !== 0) {
      this.smallI64(offset);
      out.byte(OP.addI64);
    }
    this.smallI64(this.hostPageShift - 2);
    out.byte(OP.shrUnsignedI64);
    out.byte(OP.wrap);
    this.get(LOCALS.tableMask);
    out.byte(OP.andI32);
    out.byte(OP.addI32);
    this.memory(OP.loadI32, 0);
  }

  /** Goes on at `pc`, behind the block; falls through to the block that is written next. */
  private go(pc: number, next: number | undefined): void {
    if (!this.blocks.has(pc)) this.goOnAt(pc);
    else if (pc !== next) {
      this.countPending();
      this.branchTo(OP.br, this.labels.get(pc)!);
    }
  }

  /** Goes back to where a loop begins, unless that leads elsewhere by now, or it is time to look around; or out of the region. */
  private goBackOrOut(pc: number, isEntry: ReadonlySet<number>): void {
    const { out } = this;
    if (!this.blocks.has(pc) || !isEntry.has(pc)) {
      this.goOnAt(pc);
      return;
    }
    this.countPending();
    const { codePage } = this.pages.find(({ page }) => page === Math.floor(pc / 4096))!;
    const slot = codePage + CodePage.slots + ((pc % 4096) << SLOT_SCALE_SHIFT);
    this.i32(slot | 0);
    this.memory(OP.loadI32, 4);
    this.i32(this.index);
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
      this.pcConstant(pc);
      this.set(LOCALS.pc);
      this.branchTo(OP.br, 0);
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
    this.i32(1);
    out.byte(OP.subI32);
    if (target === undefined) this.get(LOCALS.pc);
    else this.pcConstant(target);
    this.done();
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
    this.get(LOCALS.count);
    this.set(LOCALS.base);
    this.go(end, next);
  }
}

/** Byte `i` of the signed LEB128 of a pc, in PC_BYTES bytes. */
function pcByte(pc: number, i: number): number {
  const bits = i < 4 ? (pc >>> (7 * i)) & 0x7f : Math.floor(pc / 2 ** (7 * i)) & 0x7f;
  return i < PC_BYTES - 1 ? bits | 0x80 : bits;
}
