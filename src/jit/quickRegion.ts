import type { QuickInstruction, QuickTemplates } from './quickTemplates.js';
import { Block, type Region } from './regionGraph.js';

/** A block of a region of the first tier: its instructions, from `pc` on, one after the other. */
export interface QuickBlock {
  readonly pc: number;
  readonly instructions: QuickInstruction[];
  /** Behind its last instruction. */
  end: number;
}

/**
 * A region of the first tier: the code around a place, as it stands. It follows branches and direct jumps but no calls, and copies
 * nothing; it may be entered where control is likely to come to from outside.
 */
export class QuickRegion implements Region {
  readonly callees: ReadonlySet<number> = new Set();
  readonly size: number;

  constructor(
    readonly pc: number,
    /** Where it may be entered: its first place, where loops begin, and behind calls; ascending. */
    readonly entries: readonly number[],
    /** Its blocks in the order of their addresses. */
    readonly code: readonly QuickBlock[],
    readonly pages: ReadonlySet<number>,
    /** Places outside to which control hardly ever goes. */
    readonly cold: ReadonlySet<number>,
  ) {
    this.size = code.reduce((sum, { instructions }) => sum + instructions.length, 0);
  }

  /** For those who want to know what it was made from; without the ways from block to block. */
  get blocks(): readonly Block[] {
    return this.code.map(({ pc, instructions }) => {
      const block = new Block(pc, undefined);
      let at = pc;
      for (const { decoded, length } of instructions) {
        block.instructions.push({ pc: at, decoded });
        at += length;
      }
      return block;
    });
  }
  get entry(): Block {
    return this.blocks.find(({ pc }) => pc === this.pc)!;
  }

  /**
   * Whether control comes from the block at `first` to that at `last` through blocks between them. Where it does not, a branch from there back to
   * `first` makes no loop: Go's compiler puts the end of a function before the loop that leads to it.
   */
  comesFrom(first: number, last: number): boolean {
    const { code } = this;
    const reached = new Set<number>([first]);
    // Control mostly runs forward; what it comes to by going back is found in another round.
    for (let before = 0; before !== reached.size && !reached.has(last); ) {
      before = reached.size;
      for (const { pc, instructions, end } of code) {
        if (pc < first || pc >= last || !reached.has(pc)) continue;
        const instruction = instructions[instructions.length - 1];
        const { flow, decoded, length } = instruction;
        if (flow === 'branch' || (flow === 'jump' && decoded.rd === 0))
          reached.add(end - length + decoded.immediate);
        if (flow === 'next' || flow === 'branch' || isLeftFor(instruction)) reached.add(end);
      }
    }
    return reached.has(last);
  }

  /** The number behind that of the last block to which control comes through all the others from block `n` on, and from nowhere else. */
  runFrom(n: number, labelled: ReadonlySet<number>): number {
    const { code } = this;
    for (let end = n + 1; ; end++) {
      const before = code[end - 1];
      const block = code[end];
      const { flow } = before.instructions[before.instructions.length - 1];
      const runsOn = block?.pc === before.end && (flow === 'next' || flow === 'branch');
      if (!runsOn || labelled.has(block.pc) || isLoop(before) || isLoop(block)) return end;
    }
  }

  /** Whether its code is what `halfword` reads. */
  isCode(halfword: (address: number) => number | undefined): boolean {
    for (const { pc, instructions } of this.code) {
      let at = pc;
      for (const { decoded, length } of instructions) {
        if (halfword(at) !== (decoded.raw & 0xffff)) return false;
        if (length === 4 && halfword(at + 2) !== decoded.raw >>> 16) return false;
        at += length;
      }
    }
    return true;
  }
}

/** What forming one needs to know of the guest's memory. */
export interface QuickView {
  /** The instruction at `pc` of executable memory, 16 or 32 bits, or −1 when it is not there. */
  word(pc: number): number;
  /** Whether the instruction at `pc` has been executed, as far as is known, and no region begins there, which would be entered instead. */
  isOpen(pc: number): boolean;
  /** Whether nothing has been executed at `pc`, as far as is known. */
  isCold(pc: number): boolean;
  /** Extensions of the processor, a mask (isa/extensions.ts). */
  readonly extensions: number;
}

/** Instructions of a region, and how far they are from its first place, at most. */
const MOST_INSTRUCTIONS = 400;
const FARTHEST = 8192;

const RA = 1;
const T0 = 5;

/** Whether the block is a loop by itself. */
export function isLoop({ pc, instructions, end }: QuickBlock): boolean {
  const { flow, decoded, length } = instructions[instructions.length - 1];
  const direct = flow === 'branch' || (flow === 'jump' && decoded.rd === 0);
  return direct && end - length + decoded.immediate === pc;
}

/** Whether control comes back behind the instruction, from elsewhere: calls and system calls. */
export function isLeftFor({ flow, decoded }: QuickInstruction): boolean {
  return flow === 'exit' || ((flow === 'jump' || flow === 'jumpRegister') && decoded.rd === RA);
}

/** Forms the region around `entryPc`; undefined when the instruction there cannot be translated. */
export function formQuickRegion(
  entryPc: number,
  view: QuickView,
  templates: QuickTemplates,
): QuickRegion | undefined {
  const found = new Map<number, QuickInstruction>();
  const leaders = new Set<number>([entryPc]);
  const entries = new Set<number>([entryPc]);
  const pending = [entryPc];
  const cold = new Set<number>();
  const { extensions } = view;

  const follow = (pc: number): void => {
    if (leaders.has(pc)) return;
    if (view.isCold(pc)) cold.add(pc);
    if (Math.abs(pc - entryPc) > FARTHEST || !view.isOpen(pc)) return;
    leaders.add(pc);
    pending.push(pc);
  };

  for (let i = 0; i < pending.length; i++) {
    const start = pending[i];
    for (let pc = start; !found.has(pc); ) {
      if (found.size >= MOST_INSTRUCTIONS || (pc !== start && !view.isOpen(pc))) break;
      const word = view.word(pc);
      const instruction = word < 0 ? undefined : templates.of(word, extensions);
      if (instruction === undefined) break;
      found.set(pc, instruction);
      const from = pc;
      pc += instruction.length;
      const { flow, decoded } = instruction;
      if (flow === 'next') {
        // Runs into what is known already: a block begins there.
        if (found.has(pc)) leaders.add(pc);
        continue;
      }
      if (flow === 'branch') {
        const to = from + decoded.immediate;
        follow(to);
        follow(pc);
        if (to <= from) entries.add(to);
      } else if (flow === 'jump' && decoded.rd === 0) {
        const to = from + decoded.immediate;
        follow(to);
        if (to <= from) entries.add(to);
      } else if (isLeftFor(instruction)) {
        follow(pc);
        entries.add(pc);
      } else if (flow === 'jump' && decoded.rd === T0) {
        // The alternate link register: helpers of prologues, such as what gives a goroutine more stack.
        cold.add(from + decoded.immediate);
      }
      break;
    }
  }
  if (!found.has(entryPc)) return undefined;

  const starts = [...leaders].filter((pc) => found.has(pc)).sort((a, b) => a - b);
  const isStart = new Set(starts);
  const pages = new Set<number>();
  const blocks = starts.map((start): QuickBlock => {
    const block: QuickBlock = { pc: start, instructions: [], end: start };
    for (;;) {
      const instruction = found.get(block.end);
      if (instruction === undefined || (block.end !== start && isStart.has(block.end))) break;
      block.instructions.push(instruction);
      block.end += instruction.length;
      if (instruction.flow !== 'next') break;
    }
    pages.add(Math.floor(start / 4096));
    pages.add(Math.floor((block.end - 1) / 4096));
    return block;
  });
  const enterable = [...entries].filter((pc) => isStart.has(pc)).sort((a, b) => a - b);
  return new QuickRegion(entryPc, enterable, blocks, pages, cold);
}
