import type { HelperCalls } from '../isa/builder.js';
import { fusedSemantics } from '../isa/floatingPoint.js';
import { Mm } from '../sync/records/mm.js';
import { Thread } from '../sync/records/thread.js';
import { RegionMap } from '../sync/records/translation.js';
import {
  call,
  type FunctionBuilder,
  type FunctionRef,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
} from '../wasm/index.js';
import { accessGroups, accessOf } from './accessGroups.js';
import { analyse, type ControlFlow } from './controlFlow.js';
import { type FloatKinds, floatRegisters, kindsAfter } from './floatRegisters.js';
import { askFor, beginGroup, countRuns } from './guardCode.js';
import { type JumpCells, WAY_MASK, WAY_SHIFT } from './jumpProfile.js';
import { type LateLoads, lateLoads } from './lateLoads.js';
import { guardLoops } from './loopGuards.js';
import { RegionBuilder, type RegionFrame } from './regionBuilder.js';
import { type ExitCallees, MOST_PENDING, RegionExits } from './regionExits.js';
import { type Block, type Edge, type Region, successors, type Terminator } from './regionGraph.js';
import {
  common,
  mayLeave,
  NONE,
  type RegisterSet,
  type RegisterUse,
  readsOf,
  registersIn,
  registerUse,
  union,
  without,
  writesOf,
} from './registerUse.js';

import { alwaysDone } from './shortBranches.js';
import { endSkipped, keepSkipped, type SkippedCode, skippedBehind } from './skippedCode.js';
import { branchTo } from './switchCode.js';
import { isWord, wordRegisters, wordsAfter, wordsAnywhere } from './wordRegisters.js';

export interface RegionOptions {
  readonly hostPageShift: number;
  readonly fused: boolean;
  /** Instructions after which a loop leaves and comes back, so that V8 can put better code in place. */
  readonly budget: number;
}

/** Another region of the same module: its entry, and its index in the machine. */
export interface KnownRegion {
  readonly entry: FunctionRef;
  readonly index: number;
}

/** What the functions of a module call. */
export interface RegionCallees extends ExitCallees {
  /** The region's own function, for calls of itself: its pages have been checked already. */
  readonly self: FunctionRef;
  /** What calls other regions; and what takes the region's place when it returns. See interpreter/regionTransfers. */
  readonly callOn: FunctionRef;
  readonly back: FunctionRef;
  /** Where a jump at `pc` that goes to an unknown place notes which that is; absent: nobody wants to know. */
  readonly cellsOf?: ((pc: number) => JumpCells) | undefined;
  /** The region of this module that begins at `pc`, if there is one. */
  regionAt(pc: number): KnownRegion | undefined;
  readonly useHelper: HelperCalls;
}

/** What is expected of the threads that run a region. */
export interface Expectations {
  /** Thread.homeEntry. */
  readonly homeEntry: number;
  /** That NX is clear: its results have been exact so far. */
  readonly isExact: boolean;
}

/**
 * Writes the wasm function of a region: (thread, depth) → LEFT_*.
 *
 *   registers into locals
 *   the blocks, structured by the dominator tree, inside of what its exits lead to (regionExits.ts)
 */
export function writeRegion(
  f: FunctionBuilder,
  region: Region,
  expected: Expectations,
  callees: RegionCallees,
  options: RegionOptions,
): void {
  new RegionWriter(f, region, expected, callees, options).write();
}

/** Instructions that a loop of one block has when it has been repeated, at most; and how often it is written at most. */
const REPEATED = 80;
const MOST_REPEATS = 3;
const RA = 1;

/** How many more times a block is written when it is a loop by itself. */
function repeatsOf(block: Block, { isLoopHeader }: ControlFlow, n: number): number {
  const { terminator, instructions } = block;
  if (!isLoopHeader[n] || terminator.kind !== 'branch') return 0;
  if (terminator.taken.block !== block && terminator.next.block !== block) return 0;
  return Math.max(0, Math.min(MOST_REPEATS, Math.floor(REPEATED / instructions.length) - 1));
}

class RegionWriter {
  private readonly thread: Local<'i32'>;
  private readonly depth: Local<'i32'>;
  private readonly x: (Local<'i64'> | undefined)[] = new Array(32).fill(undefined);
  private readonly w: (Local<'i32'> | undefined)[] = new Array(32).fill(undefined);
  private readonly fp: (Local<'f64'> | undefined)[] = new Array(32).fill(undefined);
  private readonly flow: ControlFlow;
  private readonly use: RegisterUse;
  /** By block number: registers that hold 32-bit numbers. */
  private readonly words: readonly number[];
  private readonly floats: readonly FloatKinds[];
  private readonly frame: RegionFrame;
  /** By block number: instructions done before it that are not counted yet. */
  private readonly pending: number[];
  /** By block number: how many more times the block is written, where it is a loop by itself. */
  private readonly repeats: number[];
  /** By block number: whether it is written behind a label. */
  private readonly isMerge: readonly boolean[];
  /** Registers that may differ from the Thread record at the instruction that is being written; undefined: it is not expected to leave the region. */
  private atInstruction: RegisterSet | undefined;
  /** Registers that hold 32-bit numbers where code is being written; that is where they are in `w`, the others are in `x`. */
  private wordsNow = 0;
  private readonly exits: RegionExits;
  private readonly loads: LateLoads;
  /** By block number: where a forward branch to the block goes, and a backward one. */
  private readonly labels: (Label | undefined)[];
  private readonly loops: (Label | undefined)[];

  constructor(
    private readonly f: FunctionBuilder,
    private readonly region: Region,
    { homeEntry, isExact }: Expectations,
    private readonly callees: RegionCallees,
    private readonly options: RegionOptions,
  ) {
    this.thread = f.param('i32', 0);
    this.depth = f.param('i32', 1);
    this.flow = analyse(guardLoops(region.entry, isExact));
    this.use = registerUse(this.flow);
    this.words = wordRegisters(this.flow);
    this.floats = floatRegisters(this.flow);
    const { thread, use } = this;
    for (const r of registersIn(use.used.x)) this.x[r] = f.local('i64');
    for (const r of registersIn(use.used.x & wordsAnywhere(this.flow, this.words)))
      this.w[r] = f.local('i32');
    for (const r of registersIn(use.used.f)) this.fp[r] = f.local('f64');
    this.exits = new RegionExits(
      f,
      this.region.entry.pc,
      use,
      this.x,
      this.w,
      this.fp,
      options.budget,
      callees,
    );
    this.loads = lateLoads(this.flow, use);
    this.exits.loadRegisters(this.loads.early);
    const accesses = region.blocks
      .flatMap((block) => block.instructions)
      .flatMap(({ decoded }) => accessOf(decoded) ?? []);
    /** What only accesses need is not loaded where there are none. */
    const forAccesses = (needed: boolean, field: number): Local<'i32'> =>
      needed ? f.hold(i32.load(thread, field)) : f.local('i32');
    const inexact = f.local('i32');
    const inexactNearest = f.local('i32');
    const rounds = region.blocks.some((block) =>
      block.instructions.some(({ decoded }) => decoded.instruction.usesRm),
    );
    const setInexact = (fflags: I32): void => {
      if (!rounds) return;
      f.set(inexact, i32.and(fflags, i32.const(1)));
      f.set(inexactNearest, i32.and(inexact, i32.eqz(i32.load(thread, Thread.frm))));
    };
    const loadInexact = (): void => setInexact(i32.load(thread, Thread.fflags));
    loadInexact();
    this.frame = {
      f,
      thread,
      x: this.x,
      w: this.w,
      fp: this.fp,
      readTable: forAccesses(
        accesses.some(({ reads }) => reads),
        Thread.readTable,
      ),
      writeTable: forAccesses(
        accesses.some(({ writes }) => writes),
        Thread.writeTable,
      ),
      // Without a home any other entry will do, but not 0: that is an absent page's.
      homeEntry: homeEntry === 0 ? 1 : homeEntry,
      masks: accesses.length > 0 ? this.masks(new Set(accesses.map(({ size }) => size))) : [],
      inexact,
      inexactNearest,
      address: f.local('i64'),
      entry: f.local('i32'),
      hostPageShift: options.hostPageShift,
      useHelper: callees.useHelper,
      asideAt: (pc, done) => {
        if (this.atInstruction === undefined) throw new Error('an instruction that leaves the region');
        return this.exits.aside(this.atInstruction, pc, done);
      },
      placeOf: (group) => group.place!,
      valueOf: (register) =>
        isWord(this.wordsNow, register) ? i64.extend_i32_s(this.w[register]!) : this.x[register]!,
      expectsInexact: !isExact,
      loadInexact,
      setInexact,
    };
    this.exits.open();
    this.labels = this.flow.order.map(() => undefined);
    this.loops = this.flow.order.map(() => undefined);
    this.pending = this.flow.order.map(() => 0);
    this.repeats = this.flow.order.map((block, n) => repeatsOf(block, this.flow, n));
    // What such a loop goes on to is written once.
    this.isMerge = this.flow.order.map(
      (block, n) =>
        this.flow.isMerge[n] ||
        this.flow.order.some((from, m) => m !== n && this.repeats[m] > 0 && successors(from).includes(block)),
    );
  }

  write(): void {
    this.tree(0);
    this.exits.close();
  }

  /** The masks for the sizes of access there are. */
  private masks(sizes: ReadonlySet<number>): Local<'i64'>[] {
    const { f, thread } = this;
    const beyond = f.hold(i64.sub(i64.const(0), i64.load(thread, Thread.reach)));
    return [1, 2, 4, 8].map((bytes) =>
      bytes > 1 && sizes.has(bytes) ? f.hold(i64.or(beyond, i64.const(bytes - 1))) : beyond,
    );
  }

  // --- control flow ---

  /** Writes block `n` and all that it dominates. */
  private tree(n: number): void {
    const { f, flow } = this;
    const merges = flow.children[n].filter((child) => this.isMerge[child]);
    if (flow.isLoopHeader[n]) this.loops[n] = f.openLoop();
    for (let i = merges.length - 1; i >= 0; i--) this.labels[merges[i]] = f.openBlock();
    this.block(n);
    for (const merge of merges) {
      f.close();
      this.tree(merge);
    }
    if (flow.isLoopHeader[n]) {
      f.close();
      this.loops[n] = undefined;
    }
  }

  /** Goes along an edge at the end of block `from`; `done` instructions are not counted. */
  private go(from: number, edge: Edge, done: number): void {
    const { wordsNow } = this;
    this.goAlong(from, edge, done);
    // What is written next is another way to leave the same block.
    this.wordsNow = wordsNow;
  }

  private goAlong(from: number, edge: Edge, done: number): void {
    const { f, flow } = this;
    if (edge.block === undefined) {
      this.exits.goOnAt(this.use.dirty[from], edge.pc, done);
      return;
    }
    const to = flow.number.get(edge.block)!;
    this.extendFor(to);
    if (flow.isBackEdge(from, to)) {
      if (to === from && this.repeats[to] > 0 && done <= MOST_PENDING) {
        this.repeat(to, done);
        return;
      }
      // Where there is no loop open, control flow is irreducible: a second way into it. A region of its own takes over.
      const loop = this.loops[to];
      if (loop === undefined) this.exits.goOnAt(this.use.dirty[from], edge.pc, done);
      else {
        this.exits.countDone(done);
        f.brIf(loop, this.exits.mayGoOn(), true);
        this.exits.goOnAt(this.use.dirty[from], edge.pc, 0);
      }
    } else if (this.isMerge[to]) {
      this.exits.countDone(done);
      f.br(this.labels[to]!);
    } else {
      const counts = flow.isLoopHeader[to] || done > MOST_PENDING;
      if (counts) this.exits.countDone(done);
      this.pending[to] = counts ? 0 : done;
      this.tree(to);
    }
  }

  /** Extends the 32-bit numbers that block `to` does not know to be some. */
  private extendFor(to: number): void {
    const { f } = this;
    for (const r of registersIn(this.wordsNow & ~this.words[to] & this.use.used.x)) {
      if (this.w[r] === undefined) continue;
      f.set(this.x[r]!, i64.extend_i32_s(this.w[r]));
      f.set(this.w[r], i32.const(0));
    }
  }

  /** Says that a register is in one of its locals: the other one is 0. */
  private clearOther(r: number, isInWord: boolean): void {
    if (isInWord) this.f.set(this.x[r]!, i64.const(0));
    else this.f.set(this.w[r]!, i32.const(0));
  }

  /** Writes a block that is a loop by itself once more: its iterations share a poll. */
  private repeat(n: number, done: number): void {
    const before = this.pending[n];
    this.pending[n] = done;
    this.repeats[n]--;
    this.block(n);
    this.repeats[n]++;
    this.pending[n] = before;
  }

  private block(n: number): void {
    const { f, options } = this;
    const block = this.flow.order[n];
    const { instructions } = block;
    const total = instructions.length;
    const pending = this.pending[n];
    const { steady } = block;
    const groups = accessGroups(instructions).map((group, i) => (steady?.accesses[i] ? undefined : group));
    let words = this.words[n];
    let floats = this.floats[n];
    this.wordsNow = words;
    // Where control flow meets nothing need be kept of what was in the other local on one of the ways.
    if (this.isMerge[n] || this.flow.isLoopHeader[n])
      for (const r of registersIn(this.use.written.x))
        if (this.w[r] !== undefined) this.clearOther(r, isWord(words, r));
    // What one instruction reads is loaded right before it. Where more is done at once than one instruction, all are loaded first.
    let unloaded = this.loads.at[n];
    if (steady !== undefined || instructions.length === 0 || instructions.some(({ role }) => role)) {
      this.exits.loadRegisters(unloaded);
      unloaded = NONE;
    }
    if (steady !== undefined) for (const group of steady.begins) beginGroup(this.frame, group);
    let ended = false;
    let done = pending;
    let skipped: SkippedCode | undefined;
    let dirty = this.use.dirtyBefore[n];
    instructions.forEach((at, i) => {
      const { instruction } = at.decoded;
      const needed =
        i === total - 1 ? unloaded : common(unloaded, union(readsOf(at.decoded), writesOf(at.decoded)));
      this.exits.loadRegisters(needed);
      unloaded = without(unloaded, needed);
      this.atInstruction = mayLeave(at.decoded) ? dirty : undefined;
      dirty = union(dirty, writesOf(at.decoded));
      // What control goes to next is written inside of its last instruction.
      if (i === total - 1 && groups[i] === undefined)
        for (const group of new Set(groups)) if (group?.place) f.release(group.place);
      const fused = options.fused ? fusedSemantics[instruction.mnemonic] : undefined;
      const builder = new RegionBuilder(
        this.frame,
        at,
        done,
        groups[i],
        steady?.accesses[i],
        steady?.rounding,
        words,
        floats,
        {
          branch: (condition) => {
            this.wordsNow = wordsAfter(at, words);
            if (at.role === 'skips')
              skipped = keepSkipped(this.frame, this.exits.count, skippedBehind(instructions, i), condition);
            else this.branch(n, block, condition);
          },
          jump: () => {
            this.wordsNow = wordsAfter(at, words);
            this.jump(n, block);
          },
          jumpTo: (target) => {
            this.wordsNow = wordsAfter(at, words);
            this.jumpTo(n, block, target);
          },
        },
      );
      (fused ?? instruction.semantics)!(builder);
      builder.finish();
      words = wordsAfter(at, words);
      this.wordsNow = words;
      if (at.role !== 'skipped') done++;
      else if (instructions[i + 1]?.role !== 'skipped') endSkipped(this.frame, skipped!, words);
      floats = kindsAfter(at.decoded, floats);
      ended = builder.ended;
    });
    if (ended) return;
    if (block.terminator.kind === 'guard') {
      this.guard(n, block.terminator);
      return;
    }
    if (block.terminator.kind !== 'goto') throw new Error('a block has no end');
    this.go(n, block.terminator.next, done);
  }

  /** Goes to where the copies of a loop begin, if all that they touch is at home; else to the loop as it was. */
  private guard(n: number, { guard, holds, fails, isFirst }: Terminator & { kind: 'guard' }): void {
    const { f, frame } = this;
    const otherwise = f.openBlock();
    if (isFirst) {
      for (const group of guard.groups) askFor(frame, group, otherwise);
      countRuns(frame, guard);
      if (guard.rounding === 'inexact')
        f.brIf(otherwise, i32.eqz(guard.dynamic ? frame.inexactNearest : frame.inexact), false);
      else if (guard.rounding === 'nearest' && guard.dynamic)
        f.brIf(otherwise, i32.load(this.thread, Thread.frm), false);
    } else {
      const { runs } = guard;
      if (runs !== undefined) {
        f.set(runs, i32.sub(runs, i32.const(1)));
        f.brIf(otherwise, i32.le_s(runs, i32.const(0)), false);
      }
      for (const group of guard.groups) if (group.step === undefined) askFor(frame, group, otherwise);
    }
    const asked = registersIn(guard.words & ~this.words[n]);
    for (const r of asked) f.brIf(otherwise, i64.ne(this.x[r]!, i64.extend32_s(this.x[r]!)), false);
    for (const r of asked) {
      f.set(this.w[r]!, i32.wrap_i64(this.x[r]!));
      this.clearOther(r, true);
    }
    this.wordsNow = this.words[n] | guard.words;
    this.go(n, holds, this.pending[n]);
    f.close();
    this.wordsNow = this.words[n];
    this.go(n, fails, this.pending[n]);
  }

  /** Instructions that are not counted at the end of block `n`. */
  private doneAtEnd(n: number): number {
    return this.pending[n] + alwaysDone(this.flow.order[n]);
  }

  private branch(n: number, { terminator }: Block, condition: I32): void {
    if (terminator.kind !== 'branch') throw new Error('a branch inside a block');
    const { taken, next } = terminator;
    const likely = this.isRare(n, taken) ? false : this.isRare(n, next) ? true : undefined;
    this.f.if(condition, () => this.go(n, taken, this.doneAtEnd(n)), undefined, likely);
    this.go(n, next, this.doneAtEnd(n));
  }

  /** What leaves the region has hardly ever been gone to, and loops go round more often than not. */
  private isRare(n: number, { block }: Edge): boolean {
    return block === undefined || this.flow.leavesLoops(n, this.flow.number.get(block)!);
  }

  private jump(n: number, { terminator, instructions }: Block): void {
    if (terminator.kind === 'goto') {
      this.go(n, terminator.next, this.doneAtEnd(n));
      return;
    }
    if (terminator.kind !== 'call') throw new Error('a jump inside a block');
    const { pc, decoded } = instructions[instructions.length - 1];
    const target = pc + decoded.immediate;
    if (target === this.region.entry.pc)
      this.call(n, i64.const(target), { entry: this.callees.self }, terminator.next);
    else this.call(n, i64.const(target), this.callees.regionAt(target), terminator.next);
  }

  private jumpTo(n: number, { terminator, instructions }: Block, target: Local<'i64'>): void {
    const { pc, decoded } = instructions[instructions.length - 1];
    if (terminator.kind === 'call') {
      this.switchTo(n, target, terminator.copies);
      this.noteTarget(pc, target);
      this.call(n, target, undefined, terminator.next);
      return;
    }
    if (terminator.kind === 'return') {
      const { expected } = terminator;
      this.f.if(
        i64.eq(target, i64.const(expected.pc)),
        () => this.go(n, expected, this.doneAtEnd(n)),
        undefined,
        true,
      );
    } else if (terminator.kind === 'switch') this.switchTo(n, target, terminator.targets);
    this.exits.countDone(this.doneAtEnd(n));
    const returns = decoded.rd === 0 && decoded.rs1 === RA;
    if (!returns) this.noteTarget(pc, target);
    if (terminator.kind !== 'indirect') {
      this.exits.goOnAtRegister(this.use.dirty[n], target);
      return;
    }
    // That is where the region mostly ends.
    this.exits.storeRegisters(this.use.dirty[n]);
    if (returns) this.exits.returnTo(this.callees.back, target);
    else this.exits.transfer(this.callees.goOn, target);
  }

  /** Notes where the jump at `pc` goes now. */
  private noteTarget(pc: number, target: Local<'i64'>): void {
    const cells = this.callees.cellsOf?.(pc);
    if (cells === undefined) return;
    const { f } = this;
    const way = f.hold(i32.and(i32.shl(i32.wrap_i64(target), i32.const(WAY_SHIFT)), i32.const(WAY_MASK)));
    const noted = f.hold(i64.or(target, i64.const(cells.tag)));
    // Only what is new is written: threads on other processors note their jumps in the same lines of the caches.
    const isNew = i64.ne(i64.load(way, cells.address), noted);
    f.if(isNew, () => f.store('i64.store', way, noted, cells.address), undefined, false);
    f.release(way);
    f.release(noted);
  }

  /**
   * Calls the region at `target`, which is `callee` where that is known (without an index: this one), and goes on along `next` when it comes back
   * there; otherwise leaves as it did.
   */
  private call(
    n: number,
    target: I64,
    callee: (Pick<KnownRegion, 'entry'> & Partial<KnownRegion>) | undefined,
    next: Edge,
  ): void {
    const { f, thread, depth, use } = this;
    this.exits.countDone(this.doneAtEnd(n));
    if (next.block === undefined) {
      this.exits.goOnAtRegister(this.use.dirty[n], target);
      return;
    }
    if (callee !== undefined)
      f.if(
        i32.or(i32.eqz(depth), i32.eqz(this.exits.mayGoOn())),
        () => this.exits.goOnAtRegister(this.use.dirty[n], target),
        undefined,
        false,
      );
    this.exits.storeRegisters(use.dirty[n]);
    const deeper = i32.sub(depth, i32.const(1));
    let reason: Local<'i32'>;
    if (callee === undefined) {
      reason = f.hold(call(this.callees.callOn, 'i32', thread, deeper, target, this.exits.doneSoFar()));
      f.set(this.exits.count, i32.const(this.options.budget));
    } else {
      const { entry, index } = callee;
      reason = f.local('i32');
      const callDirectly = (): void => {
        f.store('i64.store', thread, target, Thread.pc);
        f.set(reason, call(entry, 'i32', thread, deeper));
      };
      if (index === undefined) callDirectly();
      else
        f.if(
          this.isGood(index),
          callDirectly,
          () => f.set(reason, call(this.callees.callOn, 'i32', thread, deeper, target, i32.const(0))),
          true,
        );
    }
    f.if(
      i32.or(reason, i64.ne(i64.load(thread, Thread.pc), i64.const(next.pc))),
      () => {
        if (callee !== undefined) this.exits.storeCount();
        f.return(reason);
      },
      undefined,
      false,
    );
    f.release(reason);
    const alive = use.live[this.flow.number.get(next.block)!];
    this.exits.loadRegisters(without(alive, this.loads.missing[n]));
    this.wordsNow = 0;
    this.frame.loadInexact();
    this.go(n, next, 0);
  }

  /** Whether region `index` of the second tier is known to be made from what the thread's code is now: see regionState in interpreter/regionTransfers. */
  private isGood(index: number): I32 {
    const { thread } = this;
    return i64.eq(
      i64.load(i32.load(thread, Thread.regionMap), RegionMap.epochs + index * 8),
      i64.load(i32.load(thread, Thread.mm), Mm.codeEpoch),
    );
  }

  /** Goes to the one of `targets` that `target` is; falls through when it is another place. */
  private switchTo(n: number, target: Local<'i64'>, targets: readonly Edge[]): void {
    const { f } = this;
    const inside = targets.filter((edge) => edge.block !== undefined);
    if (inside.length === 0) return;
    if (inside.length === 1) {
      const [edge] = inside;
      f.if(i64.eq(target, i64.const(edge.pc)), () => this.go(n, edge, this.doneAtEnd(n)), undefined, true);
      return;
    }
    const other = f.openBlock();
    const places = inside.map(({ pc }) => ({ pc, label: f.openBlock() })).sort((a, b) => a.pc - b.pc);
    branchTo(f, target, places, other);
    for (let i = inside.length - 1; i >= 0; i--) {
      f.close();
      this.go(n, inside[i], this.doneAtEnd(n));
    }
    f.close();
  }
}
