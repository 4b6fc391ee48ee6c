import { decode, isFullLength } from '../isa/decoder.js';
import type { Decoded } from '../isa/instruction.js';
import { jumpTargets } from './jumpTables.js';

/**
 * Forming a region: the basic blocks that are compiled into one wasm function.
 *
 * A region has one entry. It follows direct branches and jumps from there, and it follows calls: the callee's blocks are
 * copied into the region for each call site (a block is known by its pc and its call stack), so that a return has one
 * place to go to, which is checked. What it does not follow (budget spent, code that is not there, indirect jumps)
 * leaves the region with an exact pc.
 */

/** One instruction at its place. */
export interface RegionInstruction {
  readonly pc: number;
  readonly decoded: Decoded;
}

/** Where control goes at the end of a block. */
export type Terminator =
  /** To `next` always (which may be an exit). */
  | { readonly kind: 'goto'; readonly next: Edge }
  /** The last instruction is a conditional branch. */
  | { readonly kind: 'branch'; readonly taken: Edge; readonly next: Edge }
  /** The last instruction is jalr: goes to `expected` where the target is that, else leaves. */
  | { readonly kind: 'return'; readonly expected: Edge }
  /** The last instruction is a call that is not followed: control comes back to `next` when all goes well. */
  | { readonly kind: 'call'; readonly next: Edge }
  /** jalr to one of a few places that a jump table names; to another place it leaves. */
  | { readonly kind: 'switch'; readonly targets: readonly Edge[] }
  /** jalr to anywhere: leaves. */
  | { readonly kind: 'indirect' }
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
  constructor(
    readonly pc: number,
    /** Return addresses of the calls that the region is inside of, innermost first. */
    readonly calls: CallStack | undefined,
  ) {}
}

/** Calls entered and not yet left: each with its return address. */
export interface CallStack {
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
  /** Instructions of a leaf function that is copied into its callers, at most. */
  readonly inlined: number;
}

export const DEFAULT_LIMITS: RegionLimits = { blocks: 160, instructions: 1000, inlined: 40 };

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
  /** Extensions of the processor, a mask (isa/extensions.ts). */
  readonly extensions: number;
}

/** Code farther from the entry than this is left to other regions: distances inside one are small numbers. */
const FARTHEST = 2 ** 21;

/** Most instructions of a block. */
export const MOST_IN_BLOCK = 400;

const RA = 1;
const T0 = 5;
const isLink = (register: number): boolean => register === RA || register === T0;

/**
 * Forms the region that begins at `entryPc`. Undefined when there is no instruction there that can be compiled.
 */
export function formRegion(entryPc: number, view: CodeView, limits = DEFAULT_LIMITS): Region | undefined {
  const blocks = new Map<string, Block>();
  const pages = new Set<number>();
  const callees = new Set<number>();
  const pending: Block[] = [];
  let size = 0;

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

  /** Whether the function at `pc` calls nothing and is small enough to be copied. */
  const isSmallLeaf = (pc: number): boolean => {
    const seen = new Set<number>();
    const paths = [pc];
    for (let at = paths.pop(); at !== undefined; at = paths.pop()) {
      while (!seen.has(at)) {
        if (seen.size >= limits.inlined || !view.isWarm(at)) return false;
        seen.add(at);
        const decoded = decodeAt(at);
        if (decoded === undefined) return false;
        const { flow } = decoded.instruction;
        if (flow === 'exit') return false;
        if (flow === 'jumpRegister') {
          if (decoded.rd !== 0 || !isLink(decoded.rs1)) return false;
          break;
        }
        if (flow === 'jump' && decoded.rd !== 0) return false;
        if (flow === 'branch' && view.isWarm(at + decoded.immediate)) paths.push(at + decoded.immediate);
        at += flow === 'jump' ? decoded.immediate : decoded.length;
      }
    }
    return true;
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
      pages.add(Math.floor(pc / 4096));
      pages.add(Math.floor((pc + decoded.length - 1) / 4096));
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
        let inside = calls;
        if (decoded.rd !== 0) {
          const depth = (calls?.depth ?? 0) + 1;
          if (blocks.size >= limits.blocks || size >= limits.instructions || !isSmallLeaf(target)) {
            callees.add(target);
            block.terminator = { kind: 'call', next: edge(pc, calls) };
            break;
          }
          inside = { returnPc: pc, outer: calls, depth, key: `<${pc}${calls?.key ?? ''}` };
        }
        block.terminator = { kind: 'goto', next: edge(target, inside) };
      } else if (flow === 'jumpRegister') {
        const returns = decoded.rd === 0 && isLink(decoded.rs1) && decoded.immediate === 0;
        if (returns && calls !== undefined) {
          block.terminator = { kind: 'return', expected: edge(calls.returnPc, calls.outer) };
        } else if (decoded.rd === RA) block.terminator = { kind: 'call', next: edge(pc, calls) };
        else {
          const targets = jumpTargets(block.instructions, view);
          block.terminator =
            targets.length > 1
              ? { kind: 'switch', targets: targets.map((target) => edge(target, calls)) }
              : { kind: 'indirect' };
        }
      } else block.terminator = { kind: 'leave' };
      break;
    }
  }
  return { entry, blocks: [...blocks.values()], size, pages, callees };
}

/** The blocks that `block` may go to, in the order of its terminator. */
export function successors(block: Block): Block[] {
  return edgesOf(block.terminator).flatMap((edge) => (edge.block === undefined ? [] : [edge.block]));
}

function edgesOf(terminator: Terminator): readonly Edge[] {
  switch (terminator.kind) {
    case 'goto':
    case 'call':
      return [terminator.next];
    case 'branch':
      return [terminator.taken, terminator.next];
    case 'return':
      return [terminator.expected];
    case 'switch':
      return terminator.targets;
    case 'indirect':
    case 'leave':
      return [];
  }
}
