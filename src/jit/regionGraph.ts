import { decode, isFullLength } from '../isa/decoder.js';
import type { Decoded } from '../isa/instruction.js';
import { calledFunctions, jumpTargets } from './jumpTables.js';
import type { LoopGuard, Steady } from './loopGuards.js';

/**
 * Forming a region: the basic blocks that are compiled into one wasm function.
 *
 * A region has one entry. It follows direct branches and jumps from there, and it follows calls of small functions: the
 * callee's blocks are copied into the region for each call site (a block is known by its pc and its call stack), so that a
 * return has one place to go to, which is checked. What it does not follow (budget spent, code that is not there, indirect jumps)
 * leaves the region with an exact pc.
 */

/** One instruction at its place. */
export interface RegionInstruction {
  readonly pc: number;
  readonly decoded: Decoded;
  /** In a block that is to be written (shortBranches.ts): a branch over those behind it that are skipped where it is taken. */
  readonly role?: 'skips' | 'skipped';
}

/** Where control goes at the end of a block. */
export type Terminator =
  /** To `next` always (which may be an exit). */
  | { readonly kind: 'goto'; readonly next: Edge }
  /** The last instruction is a conditional branch. */
  | { readonly kind: 'branch'; readonly taken: Edge; readonly next: Edge }
  /** The last instruction is jalr: goes to `expected` where the target is that, else leaves. */
  | { readonly kind: 'return'; readonly expected: Edge }
  /**
   * The last instruction is a call: of a copy where the target is one of `copies`, otherwise of another region. Control comes
   * back to `next` when all goes well. Or it is the jump through a register with which a copied function ends: what that goes to comes back to the copy's caller.
   */
  | { readonly kind: 'call'; readonly next: Edge; readonly copies: readonly Edge[] }
  /** jalr to one of a few places that a jump table names, or where it went lately; to another place it leaves. */
  | { readonly kind: 'switch'; readonly targets: readonly Edge[] }
  /** jalr to anywhere: leaves. */
  | { readonly kind: 'indirect' }
  /**
   * To `holds` where what the guard asks for is so, else to `fails`; there is no instruction. `isFirst`: all is asked for; otherwise what
   * cannot have changed since that was done is not.
   */
  | {
      readonly kind: 'guard';
      readonly guard: LoopGuard;
      readonly holds: Edge;
      readonly fails: Edge;
      readonly isFirst: boolean;
    }
  /** The last instruction leaves by itself (ecall, ebreak, fence.i, illegal). */
  | { readonly kind: 'leave' };

/** An edge of the graph: to a block of the region, or out of it to `pc`. */
export interface Edge {
  readonly pc: number;
  readonly block: Block | undefined;
}

export class Block {
  readonly instructions: RegionInstruction[] = [];
  terminator: Terminator = { kind: 'leave' };
  /** In a guarded copy of a loop: what needs no question any more. */
  steady: Steady | undefined;
  constructor(
    readonly pc: number,
    /** Return addresses of the calls that the region is inside of, innermost first. */
    readonly calls: CallStack | undefined,
  ) {}
}

/** Calls entered and not yet left: each with its return address. */
export interface CallStack {
  readonly callee: number;
  readonly returnPc: number;
  readonly outer: CallStack | undefined;
  readonly depth: number;
  readonly key: string;
}

export interface Region {
  readonly entry: Block;
  readonly blocks: readonly Block[];
  /** Instructions in all. */
  readonly size: number;
  /** Pages (guest address >> 12) that its code stands in. */
  readonly pages: ReadonlySet<number>;
  /** Functions that it calls directly and that are not copied into it. */
  readonly callees: ReadonlySet<number>;
}

export interface RegionLimits {
  readonly blocks: number;
  readonly instructions: number;
  /** Instructions of a function that is copied into its callers, at most. */
  readonly inlined: number;
  /** Instructions of all functions that are copied into a region, at most. */
  readonly copies: number;
  /** Calls inside of each other that are followed, at most. */
  readonly depth: number;
  /** Places that were executed to which a switch may go if it is not the only one in its region. */
  readonly targets: number;
}

export const DEFAULT_LIMITS: RegionLimits = {
  blocks: 160,
  instructions: 1000,
  inlined: 60,
  copies: 400,
  depth: 4,
  targets: 16,
};

/** Of regions in which nothing is done twice: more of them would be translated than is ever done at a time. */
const LIMITS_WITHOUT_LOOPS: RegionLimits = { ...DEFAULT_LIMITS, blocks: 60, instructions: 250, copies: 100 };

/** What forming a region needs to know of the guest's memory. */
export interface CodeView {
  /** The 16-bit parcel at `pc` of executable memory, or undefined when it is not there. */
  fetch(pc: number): number | undefined;
  /** Whether the instruction at `pc` has been decoded: what has not has never been executed, and is left out. */
  isWarm(pc: number): boolean;
  /** The 32-bit word at a guest address, or undefined when it is not there. */
  load(address: number): number | undefined;
  /** The integer registers of the thread that found the place hot. */
  readonly registers: readonly number[];
  /** Notes what the call through a register at `pc` goes to now; what it is known to have gone to, that included. Absent: nothing else is known. */
  readonly calledFrom?: (pc: number, functions: readonly number[]) => readonly number[];
  /** Where the jump or call through a register at `pc` was seen to go lately, as far as these are few. Absent: nobody looked. */
  readonly seenFrom?: (pc: number) => readonly number[];
  /** Extensions of the processor, a mask (isa/extensions.ts). */
  readonly extensions: number;
}

/** Code farther from the entry than this is left to other regions: distances inside one are small numbers. */
const FARTHEST = 2 ** 21;

/** Instructions of a recursive function that is copied into itself twice, at most. */
const SHORT_FUNCTION = 24;

/** Most instructions of a block. */
export const MOST_IN_BLOCK = 400;

const RA = 1;
const T0 = 5;
const T1 = 6;
const isLink = (register: number): boolean => register === RA || register === T0;

/**
 * Forms the region that begins at `entryPc`. Undefined when there is no instruction there that can be compiled.
 *
 * An interpreter in the guest often has, at the end of each instruction's code, a switch to all the others. What comes after
 * such a switch is nearly always something else than what is translated with it, so that large switches are left to the
 * regions of their targets, unless there is only one.
 */
export function formRegion(entryPc: number, view: CodeView, limits = DEFAULT_LIMITS): Region | undefined {
  const form = (limits: RegionLimits): Region | undefined =>
    formWith(entryPc, view, limits, 1) ?? formWith(entryPc, view, limits, 0);
  const region = form(limits);
  if (limits !== DEFAULT_LIMITS || region === undefined || region.size <= LIMITS_WITHOUT_LOOPS.instructions)
    return region;
  return hasLoop(region.entry) ? region : form(LIMITS_WITHOUT_LOOPS);
}

/** Whether control can come back to a block that is not in the copy of a function. */
function hasLoop(entry: Block): boolean {
  const done = new Set<Block>();
  const path = new Set<Block>([entry]);
  const stack = [{ block: entry, next: successors(entry) }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const block = top.next.pop();
    if (block === undefined) {
      path.delete(top.block);
      done.add(top.block);
      stack.pop();
    } else if (path.has(block)) {
      if (block.calls === undefined) return true;
    } else if (!done.has(block)) {
      path.add(block);
      stack.push({ block, next: successors(block) });
    }
  }
  return false;
}

/** Forms a region; undefined when it has more large switches than `largest`, which are left out when that is 0. */
function formWith(entryPc: number, view: CodeView, limits: RegionLimits, largest: 0 | 1): Region | undefined {
  const large = new Set<number>();
  const blocks = new Map<string, Block>();
  const callees = new Set<number>();
  const pending: Block[] = [];
  let size = 0;
  let copies = 0;

  const decodeAt = (pc: number): Decoded | undefined => {
    const low = view.fetch(pc);
    if (low === undefined) return undefined;
    if (!isFullLength(low)) return decode(low, view.extensions);
    const high = view.fetch(pc + 2);
    return high === undefined ? undefined : decode(low | (high << 16), view.extensions);
  };

  const keyOf = (pc: number, calls: CallStack | undefined): string => `${pc}${calls?.key ?? ''}`;

  /** The edge to `pc`: to a block that is or will be in the region while the budget lasts. */
  const edge = (pc: number, calls: CallStack | undefined): Edge => {
    const key = keyOf(pc, calls);
    let block = blocks.get(key);
    if (block === undefined && blocks.size < limits.blocks && size < limits.instructions) {
      if (Math.abs(pc - entryPc) >= FARTHEST) return { pc, block: undefined };
      if ((pc !== entryPc && !view.isWarm(pc)) || decodeAt(pc)?.instruction.semantics === undefined)
        return { pc, block: undefined };
      block = new Block(pc, calls);
      blocks.set(key, block);
      pending.push(block);
    }
    return { pc, block };
  };

  /** Instructions of the function at `pc`, as far as they have been executed; undefined when they are too many to be copied, or it never returns. */
  const sizeOfFunction = (pc: number): number | undefined => {
    const seen = new Set<number>();
    let returns = false;
    const paths = [pc];
    for (let at = paths.pop(); at !== undefined; at = paths.pop()) {
      while (!seen.has(at)) {
        if (seen.size >= limits.inlined) return undefined;
        if (!view.isWarm(at)) break;
        seen.add(at);
        const decoded = decodeAt(at);
        if (decoded === undefined) return undefined;
        const { flow } = decoded.instruction;
        if (flow === 'exit') return undefined;
        const links = decoded.rd !== 0;
        if (flow === 'jumpRegister' && (!links || decoded.rd === T1)) {
          returns = true;
          break;
        }
        if (flow === 'branch' && view.isWarm(at + decoded.immediate)) paths.push(at + decoded.immediate);
        at += flow === 'jump' && !links ? decoded.immediate : decoded.length;
      }
    }
    return returns ? seen.size : undefined;
  };

  /** Whether a call of `pc` is followed: its copy is counted then. One that is being followed already is copied once more, a short one twice. */
  const follows = (pc: number, calls: CallStack | undefined): boolean => {
    if (blocks.size >= limits.blocks || size >= limits.instructions) return false;
    if ((calls?.depth ?? 0) >= limits.depth) return false;
    let copied = pc === entryPc ? 1 : 0;
    for (let call = calls; call !== undefined; call = call.outer) if (call.callee === pc) copied++;
    const instructions = sizeOfFunction(pc);
    if (instructions === undefined || copies + instructions > limits.copies) return false;
    if (copied > (instructions <= SHORT_FUNCTION ? 2 : 1)) return false;
    copies += instructions;
    return true;
  };

  /** Whether something has been executed at `pc`, which may be any number. */
  const isCode = (pc: number): boolean => Math.abs(pc - entryPc) < FARTHEST && view.isWarm(pc);

  /** The edge into a copy of the function at `pc`, called with `returnPc` in ra. */
  const copyOf = (pc: number, returnPc: number, outer: CallStack | undefined): Edge => {
    const key = `<${returnPc}:${pc}${outer?.key ?? ''}`;
    return edge(pc, { callee: pc, returnPc, outer, depth: (outer?.depth ?? 0) + 1, key });
  };

  const entry = edge(entryPc, undefined).block;
  if (entry === undefined) return undefined;

  // Leaders known so far are not looked for beforehand: a block that runs into another one's start ends there.
  for (let block = pending.shift(); block !== undefined; block = pending.shift()) {
    const calls = block.calls;
    let pc = block.pc;
    for (;;) {
      if (block.instructions.length > 0 && blocks.has(keyOf(pc, calls))) {
        block.terminator = { kind: 'goto', next: edge(pc, calls) };
        break;
      }
      const decoded = decodeAt(pc);
      if (decoded?.instruction.semantics === undefined || block.instructions.length >= MOST_IN_BLOCK) {
        block.terminator = { kind: 'goto', next: { pc, block: undefined } };
        break;
      }
      const at = pc;
      block.instructions.push({ pc, decoded });
      size++;
      pc += decoded.length;
      const { flow } = decoded.instruction;
      if (flow === 'next') continue;
      if (flow === 'branch') {
        const taken = edge(at + decoded.immediate, calls);
        block.terminator = { kind: 'branch', taken, next: edge(pc, calls) };
      } else if (flow === 'jump') {
        const target = at + decoded.immediate;
        if (decoded.rd === 0) block.terminator = { kind: 'goto', next: edge(target, calls) };
        else if (follows(target, calls)) block.terminator = { kind: 'goto', next: copyOf(target, pc, calls) };
        else if (decoded.rd === T0)
          // What is called with the alternate link register, and is no small helper: a function's beginning looks whether there is stack enough, and
          // starts over when it has got more (Go). That loop hardly ever comes round.
          block.terminator = { kind: 'goto', next: { pc: target, block: undefined } };
        else {
          callees.add(target);
          block.terminator = { kind: 'call', next: edge(pc, calls), copies: [] };
        }
      } else if (flow === 'jumpRegister') {
        const returns = decoded.rd === 0 && isLink(decoded.rs1) && decoded.immediate === 0;
        const seen = returns ? [] : (view.seenFrom?.(at).filter(isCode) ?? []);
        if (returns) {
          block.terminator =
            calls === undefined
              ? { kind: 'indirect' }
              : { kind: 'return', expected: edge(calls.returnPc, calls.outer) };
        } else if (decoded.rd === RA) {
          const named = calledFunctions(block.instructions, view, (to) => to % 2 === 0 && isCode(to));
          // A table of functions names all; what was seen lately may be a part.
          const now = named.length > 1 || seen.length === 0 ? named : seen;
          const functions = view.calledFrom?.(at, now).filter(isCode) ?? now;
          const copies = functions.filter((to) => follows(to, calls)).map((to) => copyOf(to, pc, calls));
          block.terminator = { kind: 'call', next: edge(pc, calls), copies };
        } else if (calls !== undefined) {
          const copies = seen.filter((to) => follows(to, calls)).map((to) => edge(to, calls));
          block.terminator = { kind: 'call', next: edge(calls.returnPc, calls.outer), copies };
        } else {
          const named = jumpTargets(block.instructions, view);
          // A table that is small enough names all; what was seen may be a part.
          const isSmall = named.length > 1 && named.filter(isCode).length <= limits.targets;
          const targets = isSmall || seen.length === 0 ? named : seen;
          if (targets.filter(isCode).length > limits.targets) large.add(at);
          if (largest > 0 && large.size > largest) return undefined;
          block.terminator =
            targets.length > (targets === seen ? 0 : 1) && (largest > 0 || !large.has(at))
              ? { kind: 'switch', targets: targets.map((target) => edge(target, calls)) }
              : { kind: 'indirect' };
        }
      } else block.terminator = { kind: 'leave' };
      break;
    }
  }
  // Where others begin in the middle of a block it ends, so that what several ways lead to is there once: otherwise a
  // loop is entered at two places by what runs into it, and cannot be written as a loop.
  const made = [...blocks.values()];
  for (const block of made) {
    const { calls, instructions } = block;
    const at = instructions.findIndex(({ pc }, i) => i > 0 && blocks.has(keyOf(pc, calls)));
    if (at < 0) continue;
    block.terminator = { kind: 'goto', next: edge(instructions[at].pc, calls) };
    instructions.length = at;
  }
  const total = made.reduce((sum, { instructions }) => sum + instructions.length, 0);
  return { entry, blocks: made, size: total, pages: pagesOf(made), callees };
}

/** The blocks that `block` may go to, in the order of its terminator. */
export function successors(block: Block): Block[] {
  return edgesOf(block.terminator).flatMap((edge) => (edge.block === undefined ? [] : [edge.block]));
}

/** Address of a block's last instruction. */
export function endOf({ pc, instructions }: Block): number {
  return instructions.at(-1)?.pc ?? pc;
}

/** The edges out of a block, in the order of its terminator. */
export function edgesOf(terminator: Terminator): readonly Edge[] {
  switch (terminator.kind) {
    case 'goto':
      return [terminator.next];
    case 'call':
      return [terminator.next, ...terminator.copies];
    case 'branch':
      return [terminator.taken, terminator.next];
    case 'return':
      return [terminator.expected];
    case 'switch':
      return terminator.targets;
    case 'guard':
      return [terminator.holds, terminator.fails];
    case 'indirect':
    case 'leave':
      return [];
  }
}

/** The terminator with other edges. */
export function mapEdges(terminator: Terminator, map: (edge: Edge) => Edge): Terminator {
  switch (terminator.kind) {
    case 'goto':
      return { ...terminator, next: map(terminator.next) };
    case 'call':
      return { ...terminator, next: map(terminator.next), copies: terminator.copies.map(map) };
    case 'branch':
      return { ...terminator, taken: map(terminator.taken), next: map(terminator.next) };
    case 'return':
      return { ...terminator, expected: map(terminator.expected) };
    case 'switch':
      return { ...terminator, targets: terminator.targets.map(map) };
    case 'guard':
      return { ...terminator, holds: map(terminator.holds), fails: map(terminator.fails) };
    case 'indirect':
    case 'leave':
      return terminator;
  }
}

/** The pages (guest address >> 12) that the blocks' code stands in. */
export function pagesOf(blocks: readonly Block[]): Set<number> {
  const pages = new Set<number>();
  for (const { instructions } of blocks)
    for (const { pc, decoded } of instructions) {
      pages.add(Math.floor(pc / 4096));
      pages.add(Math.floor((pc + decoded.length - 1) / 4096));
    }
  return pages;
}
