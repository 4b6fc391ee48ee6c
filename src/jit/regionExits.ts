import { REGION_DEPTH } from '../interpreter/regionDepth.js';
import { Thread } from '../sync/records/thread.js';
import {
  type FunctionBuilder,
  type FunctionRef,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
} from '../wasm/index.js';
import { LEFT_CONTINUE } from './regionBuilder.js';
import { MOST_IN_BLOCK } from './regionGraph.js';
import { type RegisterSet, type RegisterUse, registersIn } from './registerUse.js';

/** Shift of the distance of an exit's pc from the region's entry in exitAt; below it, instructions done and not counted. */
const DONE_BITS = 10;
/** Most instructions that may wait to be counted when a block begins; a block has at most MOST_IN_BLOCK. */
export const MOST_PENDING = 2 ** DONE_BITS - 1 - MOST_IN_BLOCK;

/** What takes a region's place when it is left; see interpreter/regionTransfers. */
export interface ExitCallees {
  readonly goOn: FunctionRef;
  readonly leave: FunctionRef;
}

/**
 * How a region of the second tier is left: the counted instructions, which registers differ from the Thread record and are stored,
 * and where control goes. There is one end for all exits, which begin with constants:
 *
 *   block exit
 *     block exitThere
 *       block exitAside
 *         (the region's blocks)
 *       end: the interpreter is to take over
 *     end: the pc from exitAt
 *   end
 *   registers back; what takes the region's place sees to pc and instret
 */
export class RegionExits {
  /** Budget less the instructions done; where control flow meets, and before it leaves, it is brought up to date. */
  readonly count: Local<'i32'>;
  private readonly thread: Local<'i32'>;
  private readonly depth: Local<'i32'>;
  private readonly exitPc: Local<'i64'>;
  /** Whether the interpreter is to do the instruction there. */
  private readonly exitsAside: Local<'i32'>;
  private readonly exitAt: Local<'i32'>;
  /** Registers that may differ from the Thread record there, as masks; and those that there are at all exits. */
  private readonly exitX: Local<'i32'>;
  private readonly exitF: Local<'i32'>;
  private readonly exitSets = new Map<string, RegisterSet>();
  private labels: { readonly exit: Label; readonly exitThere: Label; readonly exitAside: Label } | undefined;

  /** For a region whose entry is at `entryPc`; begins to count. `x`, `w` and `fp` are the registers' locals; each integer register is in one of two. */
  constructor(
    private readonly f: FunctionBuilder,
    private readonly entryPc: number,
    private readonly use: RegisterUse,
    private readonly x: readonly (Local<'i64'> | undefined)[],
    private readonly w: readonly (Local<'i32'> | undefined)[],
    private readonly fp: readonly (Local<'f64'> | undefined)[],
    private readonly budget: number,
    private readonly callees: ExitCallees,
  ) {
    this.thread = f.param('i32', 0);
    this.depth = f.param('i32', 1);
    this.count = f.local('i32');
    f.set(this.count, i32.const(budget));
    this.exitPc = f.local('i64');
    this.exitsAside = f.local('i32');
    this.exitAt = f.local('i32');
    this.exitX = f.local('i32');
    this.exitF = f.local('i32');
  }

  /** Begins what may be left. */
  open(): void {
    const { f } = this;
    const exit = f.openBlock();
    const exitThere = f.openBlock();
    this.labels = { exit, exitThere, exitAside: f.openBlock() };
  }

  /** Writes the end. */
  close(): void {
    const { f } = this;
    f.close();
    f.set(this.exitsAside, i32.const(1));
    f.close();
    const distance = i64.extend_i32_s(i32.shr_s(this.exitAt, i32.const(DONE_BITS)));
    f.set(this.exitPc, i64.add(i64.const(this.entryPc), distance));
    f.set(this.count, i32.sub(this.count, i32.and(this.exitAt, i32.const(2 ** DONE_BITS - 1))));
    f.close();
    this.storeDirty();
    f.if(this.exitsAside, () => this.transfer(this.callees.leave, this.exitPc), undefined, false);
    this.transfer(this.callees.goOn, this.exitPc);
  }

  /** What `to` does takes the place of the region; all registers are in the Thread record. */
  transfer(to: FunctionRef, pc: I64): void {
    this.f.returnCall(to, this.thread, this.depth, pc, this.doneSoFar());
  }

  /** Returns to `pc`, all registers being in the Thread record: to the region that called, if there is one, else as `back` does (interpreter/regionTransfers). */
  returnTo(back: FunctionRef, pc: I64): void {
    const { f, thread, depth } = this;
    f.if(
      i32.ne(depth, i32.const(REGION_DEPTH)),
      () => {
        f.store('i64.store', thread, pc, Thread.pc);
        this.storeCount();
        f.return(i32.const(LEFT_CONTINUE));
      },
      undefined,
      true,
    );
    this.transfer(back, pc);
  }

  /** The label that has the interpreter do the instruction at `pc`, where `dirty` may differ and `done` instructions are not counted. */
  aside(dirty: RegisterSet, pc: number, done: number): Label {
    this.noteDirty(dirty);
    this.f.set(this.exitAt, this.exitCode(pc, done));
    return this.labels!.exitAside;
  }

  /** Goes on at `pc`, which is the start of a block, wherever that is; `done` instructions are not counted. */
  goOnAt(dirty: RegisterSet, pc: number, done: number): void {
    if (Math.abs(pc - this.entryPc) >= 2 ** (31 - DONE_BITS)) {
      this.countDone(done);
      this.goOnAtRegister(dirty, i64.const(pc));
      return;
    }
    this.noteDirty(dirty);
    this.f.set(this.exitAt, this.exitCode(pc, done));
    this.f.br(this.labels!.exitThere);
  }

  /** The same for a pc that is computed. */
  goOnAtRegister(dirty: RegisterSet, pc: I64): void {
    this.noteDirty(dirty);
    this.f.set(this.exitPc, pc);
    this.f.br(this.labels!.exit);
  }

  /** Counts `done` instructions. */
  countDone(done: number): void {
    if (done > 0) this.f.set(this.count, i32.sub(this.count, i32.const(done)));
  }

  /** Instructions that Thread.instret is short of. */
  doneSoFar(): I32 {
    return i32.sub(i32.const(this.budget), this.count);
  }

  /** Brings Thread.instret up to date, before the region returns. */
  storeCount(): void {
    const { f, thread } = this;
    const done = i64.extend_i32_s(this.doneSoFar());
    f.store('i64.store', thread, i64.add(i64.load(thread, Thread.instret), done), Thread.instret);
  }

  /** Whether no attention is wanted, and the budget is not used up: attention's bits all are above any budget. */
  mayGoOn(): I32 {
    return i32.lt_s(i32.load(this.thread, Thread.attention), this.count);
  }

  loadRegisters({ x, f }: RegisterSet): void {
    for (const r of registersIn(x)) {
      this.f.set(this.x[r]!, i64.load(this.thread, Thread.x + r * 8));
      if (this.w[r]) this.f.set(this.w[r], i32.const(0));
    }
    for (const r of registersIn(f)) this.f.set(this.fp[r]!, f64.load(this.thread, Thread.f + r * 8));
  }

  /** An integer register, in whichever of its locals it is. */
  private valueOf(register: number): I64 {
    const [x, w] = [this.x[register]!, this.w[register]];
    return w === undefined ? x : i64.or(x, i64.extend_i32_s(w));
  }

  storeRegisters({ x, f }: RegisterSet): void {
    for (const r of registersIn(x)) this.f.store('i64.store', this.thread, this.valueOf(r), Thread.x + r * 8);
    for (const r of registersIn(f)) this.f.store('f64.store', this.thread, this.fp[r]!, Thread.f + r * 8);
  }

  /** Notes for an exit that these registers may differ from the Thread record. */
  private noteDirty(registers: RegisterSet): void {
    const { f } = this;
    this.exitSets.set(`${registers.x},${registers.f}`, registers);
    f.set(this.exitX, i32.const(registers.x));
    if (this.use.written.f !== 0) f.set(this.exitF, i32.const(registers.f));
  }

  /** Writes the registers back that an exit has noted; those that are alike in all exits are asked for together. */
  private storeDirty(): void {
    const { f } = this;
    const sets = [...this.exitSets.values()];
    for (const file of ['x', 'f'] as const) {
      const alike = new Map<string, number>();
      for (const r of registersIn(this.use.written[file])) {
        const column = sets.map((set) => (set[file] >>> r) & 1).join('');
        if (column.includes('1')) alike.set(column, (alike.get(column) ?? 0) | (1 << r));
      }
      const noted = file === 'x' ? this.exitX : this.exitF;
      for (const [column, mask] of alike) {
        const store = (): void => this.storeRegisters(file === 'x' ? { x: mask, f: 0 } : { x: 0, f: mask });
        const bit = 1 << registersIn(mask)[0];
        if (column.includes('0')) f.if(i32.and(noted, i32.const(bit)), store);
        else store();
      }
    }
  }

  private exitCode(pc: number, done: number): I32 {
    return i32.const((pc - this.entryPc) * 2 ** DONE_BITS + done);
  }
}
