import type { Decoded } from '../isa/instruction.js';
import type { ControlFlow } from './controlFlow.js';
import { type Block, edgesOf, successors } from './regionGraph.js';

/**
 * Which registers a region's blocks use: sets are bit masks, the integer registers in `x` and the floating-point ones in
 * `f`. x0 is in none of them.
 */
export interface RegisterSet {
  readonly x: number;
  readonly f: number;
}

interface BlockUse {
  /** Read before they are written, and written, in the block. */
  readonly read: RegisterSet;
  readonly written: RegisterSet;
  /** Written before the first place where control may leave the region; undefined where there is none. */
  readonly writtenBeforeExit: RegisterSet | undefined;
}

export interface RegisterUse {
  /** Read or written anywhere. */
  readonly used: RegisterSet;
  /** Written anywhere. */
  readonly written: RegisterSet;
  /** By block number: registers whose value at the start of the block matters to the region, which may have to write it back, too. */
  readonly live: readonly RegisterSet[];
  /** By block number: read or written in the block, or written back where it is left. */
  readonly touched: readonly RegisterSet[];
  /** By block number: registers at the start of the block, and at its end, that may differ from the Thread record. */
  readonly dirtyBefore: readonly RegisterSet[];
  readonly dirty: readonly RegisterSet[];
}

export const NONE: RegisterSet = { x: 0, f: 0 };
export const union = (a: RegisterSet, b: RegisterSet): RegisterSet => ({ x: a.x | b.x, f: a.f | b.f });
export const without = (a: RegisterSet, b: RegisterSet): RegisterSet => ({ x: a.x & ~b.x, f: a.f & ~b.f });
export const common = (a: RegisterSet, b: RegisterSet): RegisterSet => ({ x: a.x & b.x, f: a.f & b.f });
const same = (a: RegisterSet, b: RegisterSet): boolean => a.x === b.x && a.f === b.f;

/** The numbers of the registers in a mask. */
export function registersIn(mask: number): number[] {
  const registers: number[] = [];
  for (let register = 0; register < 32; register++) if ((mask >>> register) & 1) registers.push(register);
  return registers;
}

/** Finds out what the blocks of a region do with registers. */
export function registerUse(flow: ControlFlow): RegisterUse {
  const uses = flow.order.map((block, b) => useOf(block, endLeaves(flow, b)));
  const next = flow.order.map((block) => successors(block).map((successor) => flow.number.get(successor)!));
  const written = uses.reduce((all, use) => union(all, use.written), NONE);

  /** Where control goes from a block with the registers in locals: behind a call they are in the Thread record. */
  const follows = (b: number): readonly number[] => {
    const { terminator } = flow.order[b];
    if (terminator.kind !== 'call') return next[b];
    return terminator.copies.flatMap(({ block }) => (block === undefined ? [] : [flow.number.get(block)!]));
  };

  const dirtyBefore = uses.map(() => NONE);
  const dirty = uses.map((use) => use.written);
  for (let changed = true; changed; ) {
    changed = false;
    for (let b = 0; b < uses.length; b++) {
      for (const n of follows(b)) {
        const more = union(dirtyBefore[n], dirty[b]);
        if (same(more, dirtyBefore[n])) continue;
        changed = true;
        dirtyBefore[n] = more;
        dirty[n] = union(dirty[n], more);
      }
    }
  }

  // What differs from the Thread record on one of the ways to an exit is written back there, whichever way it was.
  const read = uses.map((use, b) =>
    use.writtenBeforeExit === undefined
      ? use.read
      : union(use.read, without(dirtyBefore[b], use.writtenBeforeExit)),
  );
  const live = [...read];
  for (let changed = true; changed; ) {
    changed = false;
    for (let b = uses.length - 1; b >= 0; b--) {
      let after = NONE;
      for (const n of follows(b)) after = union(after, live[n]);
      const before = union(read[b], without(after, uses[b].written));
      if (!same(before, live[b])) changed = true;
      live[b] = before;
    }
  }
  const used = uses.reduce((all, use) => union(all, use.read), written);
  const touched = read.map((set, b) => union(set, uses[b].written));
  return { used, written, live, touched, dirtyBefore, dirty };
}

/** What an instruction writes. */
export function writesOf({ instruction, rd }: Decoded): RegisterSet {
  let writes = NONE;
  for (const letter of instruction.operands) {
    if (letter === 'd') writes = union(writes, { x: 1 << rd, f: 0 });
    else if (letter === 'D') writes = union(writes, { x: 0, f: 1 << rd });
  }
  return without(writes, X0);
}

/** What an instruction reads. */
export function readsOf({ instruction, rs1, rs2, rs3 }: Decoded): RegisterSet {
  let reads = NONE;
  for (const letter of instruction.operands) {
    if (letter === 's') reads = union(reads, { x: 1 << rs1, f: 0 });
    else if (letter === 't') reads = union(reads, { x: 1 << rs2, f: 0 });
    else if (letter === 'S') reads = union(reads, { x: 0, f: 1 << rs1 });
    else if (letter === 'T') reads = union(reads, { x: 0, f: 1 << rs2 });
    else if (letter === 'R') reads = union(reads, { x: 0, f: 1 << rs3 });
  }
  return without(reads, X0);
}

/** Operands of what only computes with integer registers, and goes elsewhere. */
const COMPUTES = /^(d,[stja<>uY,]+|d,o\(s\)|s,t,p)$/;

/** Whether the region may be left in the middle of the instruction, for the interpreter to do it. */
export function mayLeave({ instruction }: Decoded): boolean {
  const { flow, memory, operands } = instruction;
  return flow === 'exit' || memory || !COMPUTES.test(operands);
}

/** Whether the region may be left at the end of a block. */
function endLeaves(flow: ControlFlow, b: number): boolean {
  const { terminator } = flow.order[b];
  const { kind } = terminator;
  if (kind !== 'goto' && kind !== 'branch' && kind !== 'guard') return true;
  return edgesOf(terminator).some(
    ({ block }) => block === undefined || flow.isBackEdge(b, flow.number.get(block)!),
  );
}

const X0: RegisterSet = { x: 1, f: 0 };

function useOf(block: Block, endLeaves: boolean): BlockUse {
  let read = NONE;
  let written = NONE;
  let writtenBeforeExit: RegisterSet | undefined;
  for (const { decoded, role } of block.instructions) {
    // Where it is skipped the old value stays.
    const kept = role === 'skipped' ? { x: 1 << decoded.rd, f: 0 } : NONE;
    if (writtenBeforeExit === undefined && mayLeave(decoded)) writtenBeforeExit = written;
    const reads = union(kept, readsOf(decoded));
    read = union(read, without(without(reads, X0), written));
    written = union(written, writesOf(decoded));
  }
  const { terminator } = block;
  if (terminator.kind === 'guard') {
    read = { x: terminator.guard.words, f: 0 };
    for (const { base, stride } of terminator.guard.groups)
      read = union(read, { x: (1 << base) | (1 << stride), f: 0 });
  }
  if (endLeaves) writtenBeforeExit ??= written;
  return { read: without(read, X0), written, writtenBeforeExit };
}
