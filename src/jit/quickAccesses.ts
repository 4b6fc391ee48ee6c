import { Thread } from '../sync/records/thread.js';
import { type AccessGroup, accessGroups } from './accessGroups.js';
import { OP, type QuickCode } from './quickCode.js';
import { LOCALS, MOST_GROUPS, type QuickInstruction } from './quickTemplates.js';

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

/** Writes the accesses of a region of the first tier whose addresses are translated once for several of them. */
export class QuickAccesses {
  /** Where groups of accesses have their place, and the locals that are free for that. */
  readonly #places = new Map<AccessGroup, number>();
  readonly #free = Array.from({ length: MOST_GROUPS }, (_, i) => LOCALS.group + i);

  constructor(
    private readonly code: QuickCode,
    private readonly hostPageShift: number,
  ) {}

  /** Groups of accesses that are translated once, as `accessGroups` finds them; undefined when there are none. */
  groupsOf(
    instructions: readonly QuickInstruction[],
    blocks: readonly number[],
  ): (AccessGroup | undefined)[] | undefined {
    let accesses = 0;
    for (const { template } of instructions) if (template.accesses) accesses++;
    return accesses < 2 ? undefined : accessGroups(instructions, blocks);
  }

  /** Writes an access that is in a group. False when that cannot be done: the instruction's template will do. */
  access({ decoded }: QuickInstruction, group: AccessGroup, pc: number): boolean {
    const { code } = this;
    const { out } = code;
    const { instruction, rd, rs2, immediate } = decoded;
    const plain = PLAIN[instruction.mnemonic];
    if (plain === undefined) return false;
    let place = this.#places.get(group);
    if (place === undefined) {
      place = this.#free.pop();
      if (place === undefined) return false;
      this.#places.set(group, place);
      this.#begin(group, decoded.rs1, place, pc);
    }
    const [opcode, align, registers] = plain;
    const offset = immediate - group.lowest;
    if (instruction.usesRd) {
      if (rd === 0 && registers === Thread.x) return true;
      code.get(LOCALS.thread);
      code.get(place);
      code.memory(opcode, offset, align);
      if (registers === Thread.x) {
        out.byte(OP.tee);
        out.byte(LOCALS.address);
        code.last = rd;
      }
      code.memory(OP.storeI64, registers + rd * 8);
      return true;
    }
    code.get(place);
    if (rs2 === 0 && registers === Thread.x) code.smallI64(0);
    else if (rs2 === code.last && registers === Thread.x) code.get(LOCALS.address);
    else {
      code.get(LOCALS.thread);
      code.memory(OP.loadI64, registers + rs2 * 8);
    }
    code.memory(opcode, offset, align);
    return true;
  }

  /** Nothing of the group comes after this. */
  release(group: AccessGroup): void {
    const place = this.#places.get(group);
    if (place === undefined) return;
    this.#free.push(place);
    this.#places.delete(group);
  }
  /** The last block is over. */
  releaseAll(): void {
    for (const group of [...this.#places.keys()]) this.release(group);
  }

  /** Finds out where the group's lowest byte is, for all of its accesses; leaves where they are not all well and at the same distance. */
  #begin(group: AccessGroup, base: number, place: number, pc: number): void {
    const { code } = this;
    const { out } = code;
    const { lowest, highest, anchor, alignment, writes } = group;
    const table = writes ? Thread.writeTable : Thread.readTable;
    const mayCross = highest - lowest >= alignment;
    if (base === code.last) code.get(LOCALS.address);
    else {
      code.get(LOCALS.thread);
      code.memory(OP.loadI64, Thread.x + base * 8);
    }
    code.last = 0;
    if (lowest !== 0) {
      code.smallI64(lowest);
      out.byte(OP.addI64);
    }
    code.set(LOCALS.address);
    // Within the reach, a power of two, at both ends.
    code.get(LOCALS.address);
    if (mayCross) {
      code.get(LOCALS.address);
      code.smallI64(highest - lowest);
      out.byte(OP.addI64);
      out.byte(OP.orI64);
    }
    code.get(LOCALS.thread);
    code.memory(OP.loadI64, Thread.reach);
    out.byte(OP.geUnsignedI64);
    if (alignment > 1) {
      const rest = (lowest - anchor) & (alignment - 1);
      code.get(LOCALS.address);
      out.byte(OP.wrap);
      if (rest !== 0) {
        code.i32(-rest);
        out.byte(OP.addI32);
      }
      code.i32(alignment - 1);
      out.byte(OP.andI32);
      out.byte(OP.orI32);
    }
    out.byte(OP.eqzI32);
    code.guardAt(pc);
    this.#entryOf(table, 0);
    code.set(LOCALS.entry);
    code.get(LOCALS.entry);
    code.guardAt(pc);
    if (mayCross) {
      this.#entryOf(table, highest - lowest);
      code.get(LOCALS.entry);
      out.byte(OP.eqI32);
      code.guardAt(pc);
    }
    code.get(LOCALS.address);
    out.byte(OP.wrap);
    code.get(LOCALS.entry);
    out.byte(OP.addI32);
    code.i32(-1);
    out.byte(OP.addI32);
    code.set(place);
  }

  /** Loads the entry of a table of the Thread record's for the address plus `offset`, which is within the reach. */
  #entryOf(table: number, offset: number): void {
    const { code } = this;
    const { out } = code;
    code.get(LOCALS.address);
    if (offset !== 0) {
      code.smallI64(offset);
      out.byte(OP.addI64);
    }
    code.smallI64(this.hostPageShift - 2);
    out.byte(OP.shrUnsignedI64);
    out.byte(OP.wrap);
    code.i32(-4);
    out.byte(OP.andI32);
    code.get(LOCALS.thread);
    code.memory(OP.loadI32, table);
    out.byte(OP.addI32);
    code.memory(OP.loadI32, 0);
  }
}
