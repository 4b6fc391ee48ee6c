import type { Decoded } from '../isa/instruction.js';
import type { Local } from '../wasm/index.js';
import { SIZES } from './accessGroups.js';
import { analyse, type ControlFlow } from './controlFlow.js';
import { separateNests, turnLoops } from './loopHeaders.js';
import { Block, type Edge, edgesOf, endOf, mapEdges, type RegionInstruction } from './regionGraph.js';
import { convertShortBranches } from './shortBranches.js';
import { wordsOfLoop } from './wordRegisters.js';

/**
 * Loops in two versions. Most loops go through memory with pointers that advance by a constant, so what their next few rounds
 * will touch is known before they begin. A guard asks once whether all of it is at home; then a copy of the loop runs that
 * asks no more, written several times over, until the guard at its end fails or the loop is left. Where it fails, the loop as it
 * was takes over for a round.
 *
 * What moves by a constant from one run of the copies to the next need not be asked for each time: the first guard counts the runs
 * until one of the pages ends. The pages stay what they are meanwhile: whoever takes one away waits for this thread's poll, and that
 * leaves the loop.
 *
 * What this saves is more than the questions. Where a loop can be left in its middle with exact state, every register
 * that it writes must be kept from round to round, also those that no later instruction reads.
 *
 *   outer: guard ── fails ──────────────▸ the loop as it was ──▸ outer
 *            └ holds ▸ inner: the copies ▸ guard ── fails ──▸ (the same), or outer when runs are counted
 *                                           └ holds ▸ inner
 */

/** Bytes that a loop touches in one run of its copies, at a distance from registers at its start. */
export interface GuardedGroup {
  /** Register that the addresses are relative to, 0 for none; and another of which they are `times` as far away. */
  readonly base: number;
  readonly stride: number;
  readonly times: number;
  lowest: number;
  highest: number;
  writes: boolean;
  /** Where a round of the loop touches it, blocks of the loop as it was. */
  readonly blocks: Set<Block>;
  /** The size of its only access so far, 0 when there are others. */
  single: number;
  /** Bytes that it is farther after a run of the copies; undefined where that is not the same each time. */
  step: number | undefined;
  /** Guest address of the lowest byte at the start of the copies, in 32 bits, once code has been written that finds it. */
  place: Local<'i32'> | undefined;
}

/** What must hold for the copies of a loop to run. */
export interface LoopGuard {
  readonly groups: readonly GuardedGroup[];
  /** What operations that round to nearest even rely on; undefined when there are none, or the others. */
  readonly rounding: SteadyRounding | undefined;
  /** Whether the dynamic rounding mode must be to nearest even for that. */
  readonly dynamic: boolean;
  /** Registers that must hold 32-bit numbers, as a mask: those that do whenever the loop comes round. */
  readonly words: number;
  /** How many more times the copies may run before the groups that move by constants are asked for again, once code has been written that finds it. */
  runs: Local<'i32'> | undefined;
}

/** An access that the guard has asked for. */
export interface GuardedAccess {
  readonly group: GuardedGroup;
  /** Distance from the group's lowest byte. */
  readonly offset: number;
}

/** What operations that round rely on: NX is set and the mode is to nearest even, or only the latter. */
export type SteadyRounding = 'inexact' | 'nearest';

/** What a block of a copy may rely on. */
export interface Steady {
  /** By position in the block. */
  readonly accesses: readonly (GuardedAccess | undefined)[];
  readonly rounding: SteadyRounding | undefined;
  /** Groups whose place is found at the start of the block, which is where the copies begin. */
  readonly begins: readonly GuardedGroup[];
}

/** Instructions that all copies of a loop have at most, how many copies there are at most, and instructions of all copies in a region. */
const IN_COPIES = 96;
const MOST_COPIES = 4;
const IN_REGION = 400;
/** Most groups that a guard asks for. */
const MOST_GROUPS = 12;
/** Most bytes that a group spans: it must not touch more than two pages. */
const LARGEST_SPAN = 2048;

/** Farther than this pages end too soon for runs to be counted. */
const FARTHEST_STEP = 1024;

/** Farther than this nothing is followed; constants may be as large as the address space is. */
const FARTHEST = 2 ** 31;

/** A register as a distance from what registers were at the start of the copies. */
interface Distance {
  readonly base: number;
  readonly stride: number;
  readonly times: number;
  readonly offset: number;
}
type Distances = ReadonlyMap<number, Distance>;

/**
 * The region's blocks from `entry` on, copied, with its innermost loops in two versions where that may pay. `isExact`: whether floating-point
 * results are expected to be exact, so that NX stays clear; then the copies find out whether it is.
 */
export function guardLoops(entry: Block, isExact: boolean): Block {
  const copy = copyOfGraph(entry);
  convertShortBranches(copy);
  let first = turnLoops(separateNests(copy));
  const flow = analyse(first);
  const blocks = [...flow.order];
  let room = IN_REGION;
  flow.order.forEach((header, n) => {
    const members = flow.loopMembers[n];
    if (members === undefined) return;
    const loop = loopAt(flow, n, members);
    if (loop === undefined || loop.size > room) return;
    const copies = Math.max(1, Math.min(MOST_COPIES, Math.floor(Math.min(IN_COPIES, room) / loop.size)));
    const outer = addCopies(loop, copies, blocks, isExact);
    if (outer === undefined) return;
    room -= copies * loop.size;
    if (first === header) first = outer;
  });
  return first;
}

function copyOfGraph(entry: Block): Block {
  const copies = new Map<Block, Block>();
  const copyOf = (block: Block): Block => {
    let copy = copies.get(block);
    if (copy === undefined) {
      copy = new Block(block.pc, block.calls);
      copies.set(block, copy);
      copy.instructions.push(...block.instructions);
      pending.push(block);
    }
    return copy;
  };
  const pending: Block[] = [];
  const first = copyOf(entry);
  for (let block = pending.pop(); block !== undefined; block = pending.pop())
    copyOf(block).terminator = mapEdges(block.terminator, ({ pc, block: to }) => ({
      pc,
      block: to && copyOf(to),
    }));
  return first;
}

interface Loop {
  readonly header: Block;
  /** In reverse postorder, the header first. */
  readonly members: readonly Block[];
  /** Instructions in all. */
  readonly size: number;
}

/** The loop with header number `n`, if it is one that can be copied: an innermost one that calls nothing. */
function loopAt(flow: ControlFlow, n: number, numbers: ReadonlySet<number>): Loop | undefined {
  const sorted = [...numbers].sort((a, b) => a - b);
  if (sorted[0] !== n) return undefined;
  if (sorted.some((m) => m !== n && (flow.isLoopHeader[m] || !flow.dominates(n, m)))) return undefined;
  const goesBack = (from: number, { block: to }: Edge): boolean => {
    const target = to === undefined || to === flow.order[n] ? undefined : flow.number.get(to)!;
    if (target === undefined || !flow.isBackEdge(from, target)) return false;
    // That is how the loop ends when the region begins behind it, in a loop around it.
    return !flow.dominates(target, from) || to!.pc <= endOf(flow.order[from]);
  };
  if (sorted.some((m) => edgesOf(flow.order[m].terminator).some((edge) => goesBack(m, edge))))
    return undefined;
  const members = sorted.map((m) => flow.order[m]);
  const fits = ({ terminator: { kind }, instructions }: Block): boolean =>
    kind !== 'call' && kind !== 'guard' && instructions.every(({ decoded }) => !changesRounding(decoded));
  if (!members.every(fits)) return undefined;
  const header = flow.order[n];
  return {
    header,
    members,
    size: members.reduce((sum, { instructions }) => sum + instructions.length, 0),
  };
}

/** Flags may be set: copies are left where that clears the one that they rely on. */
const changesRounding = ({ instruction: { mnemonic } }: Decoded): boolean =>
  mnemonic.startsWith('csr') && !mnemonic.endsWith(':fflags');

/**
 * Adds copies of a loop and the guards before and behind them, and has what went to the loop go to the guard. The guard before, or
 * undefined when the loop has nothing to ask for.
 */
function addCopies(loop: Loop, copies: number, blocks: Block[], isExact: boolean): Block | undefined {
  for (let fewer = copies; fewer > 0; fewer--) {
    const outer = tryCopies(loop, fewer, blocks, isExact);
    if (outer !== 'too many') return outer;
  }
  return undefined;
}

function tryCopies(
  loop: Loop,
  copies: number,
  blocks: Block[],
  isExact: boolean,
): Block | 'too many' | undefined {
  const { header, members } = loop;
  const bodies = Array.from(
    { length: copies },
    () => new Map(members.map((block) => [block, new Block(block.pc, block.calls)])),
  );
  const again = new Block(header.pc, header.calls);
  bodies.forEach((body, i) => {
    const next = i + 1 < copies ? bodies[i + 1].get(header)! : again;
    for (const [block, copy] of body) {
      copy.instructions.push(...block.instructions);
      copy.terminator = mapEdges(block.terminator, ({ pc, block: to }) => ({
        pc,
        block: to === header ? next : ((to && body.get(to)) ?? to),
      }));
    }
  });
  const guard = guardOf(loop, bodies, isExact);
  if (guard === undefined || guard === 'too many') return guard;
  const outer = new Block(header.pc, header.calls);
  const holds: Edge = { pc: header.pc, block: bodies[0].get(header)! };
  const fails: Edge = { pc: header.pc, block: header };
  const counts = guard.groups.some(({ step }) => step !== undefined);
  for (const block of blocks)
    block.terminator = mapEdges(block.terminator, (edge) =>
      edge.block === header ? { pc: edge.pc, block: outer } : edge,
    );
  outer.terminator = { kind: 'guard', guard, holds, fails, isFirst: true };
  const ends: Edge = { pc: header.pc, block: outer };
  again.terminator = { kind: 'guard', guard, holds, fails: counts ? ends : fails, isFirst: !counts };
  blocks.push(outer, again, ...bodies.flatMap((body) => [...body.values()]));
  return outer;
}

/** Finds out what the copies touch, notes it in their blocks, and says what is to be asked for. */
function guardOf(
  loop: Loop,
  bodies: readonly ReadonlyMap<Block, Block>[],
  isExact: boolean,
): LoopGuard | 'too many' | undefined {
  const written = writtenIn(loop.members);
  const groups = new Map<string, GuardedGroup[]>();
  const found = new Map<Block, ((GuardedAccess & { at: number }) | undefined)[]>();
  let before = new Map<Block, Distances>();
  before.set(loop.header, new Map(Array.from({ length: 31 }, (_, i) => [i + 1, startOf(i + 1)])));
  for (const body of bodies) {
    const next = new Map<Block, Distances>();
    for (const block of loop.members) {
      let distances = new Map(before.get(block));
      const accesses = block.instructions.map((at) => {
        const access = accessAt(at.decoded, distances);
        const known = access && note(groups, block, access.distance, access.size, access.writes);
        distances = after(at, distances, written);
        return known;
      });
      found.set(body.get(block)!, accesses);
      for (const { block: to } of edgesOf(block.terminator)) {
        if (to === undefined || !body.has(to)) continue;
        // The next copy begins with what goes back to the header.
        const states = to === loop.header ? next : before;
        states.set(to, meet(states.get(to), distances));
      }
    }
    before = next;
  }
  const asked = [...groups.values()].flat().filter((group) => isCertain(loop, group.blocks));
  if (asked.length > MOST_GROUPS) return 'too many';
  for (const group of asked) group.step = stepOf(group, before.get(loop.header));
  const instructions = loop.members.flatMap((block) => block.instructions);
  const nearest = instructions.filter((at) => at.decoded.instruction.usesRm && isNearest(at));
  const rounding = nearest.length === 0 ? undefined : isExact ? 'nearest' : 'inexact';
  if (asked.length === 0 && rounding !== 'inexact') return undefined;
  const first = bodies[0].get(loop.header)!;
  for (const [block, accesses] of found)
    block.steady = {
      accesses: accesses.map((access) =>
        access !== undefined && asked.includes(access.group)
          ? { group: access.group, offset: access.at - access.group.lowest }
          : undefined,
      ),
      rounding,
      begins: block === first ? asked : [],
    };
  return {
    groups: asked,
    rounding,
    dynamic: nearest.some(({ decoded }) => decoded.rm === 7),
    words: wordsOfLoop(loop.members) & written & readFirst(loop.members) & ~1,
    runs: undefined,
  };
}

/** Bytes that a group is farther when registers have moved by `distances`; undefined when that is not known, or so far that counting does not pay. */
function stepOf({ base, single }: GuardedGroup, distances: Distances | undefined): number | undefined {
  if (base === 0) return 0;
  const moved = distances?.get(base);
  // Strides are registers that the loop leaves alone.
  if (moved === undefined || moved.base !== base || moved.times !== 0) return undefined;
  if (Math.abs(moved.offset) > FARTHEST_STEP) return undefined;
  // An access alone is in one page for being aligned.
  return single > 1 && moved.offset % single !== 0 ? undefined : moved.offset;
}

/** Whether no round of the loop passes by all of these blocks. */
function isCertain({ header, members }: Loop, blocks: ReadonlySet<Block>): boolean {
  const passed = new Set<Block>();
  for (const block of members) {
    if ((block !== header && !passed.has(block)) || blocks.has(block)) continue;
    for (const { block: to } of edgesOf(block.terminator)) {
      if (to === header) return false;
      if (to !== undefined) passed.add(to);
    }
  }
  return true;
}

/** Whether the instruction rounds to nearest even, or as the dynamic mode says. */
function isNearest({ decoded: { rm } }: RegionInstruction): boolean {
  return rm === 0 || rm === 7;
}

function startOf(register: number): Distance {
  return { base: register, stride: 0, times: 0, offset: 0 };
}

/** The registers that a loop reads before it writes them, as a mask. */
function readFirst(members: readonly Block[]): number {
  const before = new Map<Block, number>([[members[0], 0]]);
  let read = 0;
  for (const block of members) {
    let written = before.get(block)!;
    for (const { decoded, role } of block.instructions) {
      const { instruction, rd, rs1, rs2 } = decoded;
      if (role === 'skipped') read |= (1 << rd) & ~written;
      if (instruction.operands.includes('s')) read |= (1 << rs1) & ~written;
      if (instruction.operands.includes('t')) read |= (1 << rs2) & ~written;
      if (instruction.operands.includes('d')) written |= 1 << rd;
    }
    for (const { block: to } of edgesOf(block.terminator))
      if (to !== undefined) before.set(to, (before.get(to) ?? -1) & written);
  }
  return read;
}

/** The registers written in the blocks, as a mask. */
function writtenIn(blocks: readonly Block[]): number {
  let written = 0;
  for (const { instructions } of blocks)
    for (const { decoded } of instructions)
      if (decoded.instruction.operands.includes('d')) written |= 1 << decoded.rd;
  return written;
}

function meet(a: Distances | undefined, b: Distances): Distances {
  if (a === undefined) return b;
  return new Map([...a].filter(([register, distance]) => isSame(distance, b.get(register))));
}

function isSame(a: Distance, b: Distance | undefined): boolean {
  return (
    b !== undefined &&
    a.base === b.base &&
    a.stride === b.stride &&
    a.times === b.times &&
    a.offset === b.offset
  );
}

const ABSOLUTE: Distance = { base: 0, stride: 0, times: 0, offset: 0 };

/** What is known of registers behind the instruction. */
function after(
  { pc, decoded, role }: RegionInstruction,
  distances: Map<number, Distance>,
  written: number,
): Map<number, Distance> {
  const { instruction, rd, rs1, rs2, immediate } = decoded;
  if (!instruction.operands.includes('d')) return distances;
  const of = (register: number): Distance | undefined =>
    register === 0 ? ABSOLUTE : distances.get(register);
  let result: Distance | undefined;
  switch (instruction.mnemonic) {
    case 'addi':
      result = moved(of(rs1), immediate);
      break;
    case 'lui':
      result = moved(ABSOLUTE, immediate);
      break;
    case 'auipc':
      result = moved(ABSOLUTE, pc + immediate);
      break;
    case 'add':
      result = sum(of(rs1), of(rs2), written, 1) ?? sum(of(rs2), of(rs1), written, 1);
      break;
    case 'sub':
      result = sum(of(rs1), of(rs2), written, -1);
      break;
  }
  if (result === undefined || rd === 0 || role === 'skipped' || Math.abs(result.offset) > FARTHEST)
    distances.delete(rd);
  else distances.set(rd, result);
  return distances;
}

function moved(from: Distance | undefined, by: number): Distance | undefined {
  return from && { ...from, offset: from.offset + by };
}

/** `a` ± `b`, where `b` is a constant or a register that the loop leaves alone. */
function sum(
  a: Distance | undefined,
  b: Distance | undefined,
  written: number,
  sign: 1 | -1,
): Distance | undefined {
  if (a === undefined || b === undefined || b.times !== 0) return undefined;
  if (b.base === 0) return moved(a, sign * b.offset);
  if (b.offset !== 0 || ((written >>> b.base) & 1) !== 0) return undefined;
  if (a.stride !== 0 && a.stride !== b.base) return undefined;
  const times = a.times + sign;
  return { ...a, stride: times === 0 ? 0 : b.base, times };
}

/** The plain access that the instruction makes at a known distance. */
function accessAt(
  { instruction, rs1, immediate }: Decoded,
  distances: Distances,
): { distance: Distance; size: number; writes: boolean } | undefined {
  const size = instruction.memory ? SIZES[instruction.mnemonic] : undefined;
  if (size === undefined) return undefined;
  const distance = moved(rs1 === 0 ? ABSOLUTE : distances.get(rs1), immediate);
  return distance && { distance, size, writes: !instruction.usesRd };
}

/** Adds an access to the group that it is near to, or to a new one. */
function note(
  groups: Map<string, GuardedGroup[]>,
  block: Block,
  { base, stride, times, offset }: Distance,
  size: number,
  writes: boolean,
): GuardedAccess & { at: number } {
  const key = `${base},${stride},${times}`;
  let near = groups.get(key);
  if (near === undefined) {
    near = [];
    groups.set(key, near);
  }
  const last = offset + size - 1;
  let group = near.find(
    ({ lowest, highest }) => Math.max(highest, last) - Math.min(lowest, offset) < LARGEST_SPAN,
  );
  if (group === undefined) {
    group = {
      base,
      stride,
      times,
      lowest: offset,
      highest: last,
      writes,
      blocks: new Set(),
      single: size,
      step: undefined,
      place: undefined,
    };
    near.push(group);
  }
  if (offset !== group.lowest || last !== group.highest) group.single = 0;
  group.lowest = Math.min(group.lowest, offset);
  group.highest = Math.max(group.highest, last);
  group.writes ||= writes;
  group.blocks.add(block);
  return { group, offset: 0, at: offset };
}
