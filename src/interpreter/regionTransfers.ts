import { CodePage } from '../sync/records/codePage.js';
import { Thread } from '../sync/records/thread.js';
import { HOT_COUNTERS, READY } from '../sync/records/translation.js';
import {
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  type ModuleBuilder,
} from '../wasm/index.js';
import { OP_REGION } from './handlers.js';
import { tableOffset } from './memoryHelpers.js';
import { REGION_DEPTH } from './regionDepth.js';
import { OPCODE_SHIFT, SLOT_SCALE_SHIFT } from './slot.js';

/**
 * How translated code goes from one region to another, as functions of the interpreter's module: they look at slots as its
 * dispatch does. All return as regions do, 0 to go on at Thread.pc in the interpreter.
 *
 * `aside(thread, depth)` stands in for a region that V8 has no room for.
 *
 * The others have the parameters (thread, depth, pc, done), where `done` instructions are to be counted; registers are in the Thread record.
 * They are called with the depth of the callee, or replace their caller's frame.
 * `goOn` runs the region at `pc`, if there is one and attention is not wanted.
 * `back` is for a return: its caller goes on if that is a region, else it is a `goOn`.
 * `round` is for a loop that begins at `pc` when it has to look around: its budget is used up, attention is wanted, or `pc` leads elsewhere by now.
 * `leave` has the instruction at `pc` done by the interpreter. `stop` has the interpreter go on at `pc`.
 */
export function defineRegionTransfers(module: ModuleBuilder, regionType: number): void {
  const transfer = { params: ['i32', 'i32', 'i64', 'i32'], results: ['i32'] } as const;
  const region = { params: ['i32', 'i32'], results: ['i32'] } as const;

  const aside = module.function(region);
  aside.builder.return(i32.const(1));
  module.exportFunction('aside', aside);

  const goOn = module.function(transfer);
  arrive(goOn.builder);
  writeGoOn(goOn.builder, regionType);
  module.exportFunction('goOn', goOn);

  const back = module.function(transfer);
  {
    const f = back.builder;
    const [thread, depth, pc, done] = parameters(f);
    f.if(i32.eq(depth, i32.const(REGION_DEPTH)), () => f.returnCall(goOn, thread, depth, pc, done));
    arrive(f);
    f.return(i32.const(0));
  }
  module.exportFunction('back', back);

  const round = module.function(transfer);
  {
    const f = round.builder;
    const [thread, , pc] = parameters(f);
    arrive(f);
    f.if(i32.eqz(i32.load(thread, Thread.attention)), () => addRounds(f, thread, pc));
    f.return(i32.const(0));
  }
  module.exportFunction('round', round);

  const stop = module.function(transfer);
  arrive(stop.builder);
  stop.builder.return(i32.const(0));
  module.exportFunction('stop', stop);

  const leave = module.function(transfer);
  arrive(leave.builder);
  leave.builder.return(i32.const(1));
  module.exportFunction('leave', leave);
}

/** Jumps that a loop stands for whose budget is used up. */
const ROUNDS = 512;

function parameters(f: FunctionBuilder): [Local<'i32'>, Local<'i32'>, Local<'i64'>, Local<'i32'>] {
  return [f.param('i32', 0), f.param('i32', 1), f.param('i64', 2), f.param('i32', 3)];
}

/** Puts the pc and the count of instructions right. */
function arrive(f: FunctionBuilder): void {
  const [thread, , pc, done] = parameters(f);
  f.store('i64.store', thread, pc, Thread.pc);
  const counted = i64.add(i64.load(thread, Thread.instret), i64.extend_i32_u(done));
  f.store('i64.store', thread, counted, Thread.instret);
}

/** Machine address of the slot at `pc`, in a local; returns 0 from the function where there is no code. */
function slotAt(f: FunctionBuilder, thread: I32, pc: I64): Local<'i32'> {
  const page = f.local('i32');
  f.if(i64.ge_u(pc, i64.load(thread, Thread.reach)), () => f.return(i32.const(0)));
  f.set(page, i32.load(i32.add(i32.load(thread, Thread.codeTable), tableOffset(pc, 12))));
  f.if(i32.eqz(page), () => f.return(i32.const(0)));
  const offset = i32.shl(i32.and(i32.wrap_i64(pc), i32.const(0xffe)), i32.const(SLOT_SCALE_SHIFT));
  f.set(page, i32.add(i32.add(page, offset), i32.const(CodePage.slots)));
  return page;
}

/**
 * The region that the slot at `address` leads into; returns 0 from the function where that is none, or one that is not ready. A jump to
 * a region of the first tier is counted; the one that makes it hot is left to the interpreter, too.
 */
function regionAt(f: FunctionBuilder, thread: I32, address: I32): Local<'i32'> {
  const slot = f.hold(i64.load(address));
  f.if(i32.ne(i32.shr_u(i32.wrap_i64(slot), i32.const(OPCODE_SHIFT)), i32.const(OP_REGION)), () =>
    f.return(i32.const(0)),
  );
  const region = f.hold(i32.wrap_i64(i64.shr_u(slot, i64.const(32))));
  const ready = f.hold(i32.load8_u(i32.add(i32.load(thread, Thread.readyRegions), region)));
  f.if(i32.ne(ready, i32.const(READY)), () => {
    f.if(i32.eqz(ready), () => f.return(i32.const(0)));
    const counter = f.hold(counterOf(thread, address));
    const heat = f.hold(i32.add(i32.load16_u(counter), i32.const(1)));
    f.if(i32.eq(heat, i32.load(thread, Thread.hotThreshold)), () => f.return(i32.const(0)));
    f.store('i32.store16', counter, heat);
  });
  return region;
}

/** Machine address of the counter of jumps to the slot at `address`. */
function counterOf(thread: I32, address: I32): I32 {
  const offset = i32.and(i32.shr_u(address, i32.const(2)), i32.const(HOT_COUNTERS * 2 - 2));
  return i32.add(i32.load(thread, Thread.hotCounters), offset);
}

function writeGoOn(f: FunctionBuilder, regionType: number): void {
  const [thread, depth, pc] = parameters(f);
  f.if(i32.or(i32.load(thread, Thread.attention), i32.le_s(depth, i32.const(0))), () =>
    f.return(i32.const(0)),
  );
  const region = regionAt(f, thread, slotAt(f, thread, pc));
  f.returnCallIndirect(regionType, region, thread, depth);
}

/** Counts many jumps to `pc`; the one that makes it hot is left to the interpreter. */
function addRounds(f: FunctionBuilder, thread: I32, pc: I64): void {
  const threshold = f.hold(i32.load(thread, Thread.hotThreshold));
  const counter = f.hold(counterOf(thread, slotAt(f, thread, pc)));
  // How far it is from being hot, modulo 65536.
  const distance = f.hold(
    i32.and(i32.sub(i32.sub(threshold, i32.load16_u(counter)), i32.const(1)), i32.const(0xffff)),
  );
  f.if(
    i32.lt_u(distance, i32.const(ROUNDS)),
    () => f.store('i32.store16', counter, i32.sub(threshold, i32.const(1))),
    () => f.store('i32.store16', counter, i32.add(i32.load16_u(counter), i32.const(ROUNDS))),
  );
}
