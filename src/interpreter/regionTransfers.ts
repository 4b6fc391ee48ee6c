import { CodePage } from '../sync/records/codePage.js';
import { Thread } from '../sync/records/thread.js';
import { HOT_AGAIN, HOT_COUNTERS, QUICK_INSTRUCTIONS, READY } from '../sync/records/translation.js';
import {
  call,
  type FunctionBuilder,
  type FunctionRef,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  type ModuleBuilder,
  select,
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
 *
 * Regions of the first tier use `goOnFrom`, `backFrom` and `stopFrom`, with one more parameter, `from`: the place that the instructions speak for, which
 * becomes hot by them. `hot(thread, pc)` is called when it has.
 */
export function defineRegionTransfers(module: ModuleBuilder, regionType: number, hot: FunctionRef): void {
  const transfer = { params: ['i32', 'i32', 'i64', 'i32'], results: ['i32'] } as const;
  const transferFrom = { params: [...transfer.params, 'i64'], results: ['i32'] } as const;
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

  const warm = writeWarm(module, hot);
  const goOnFrom = module.function(transferFrom);
  arrive(goOnFrom.builder, warm);
  writeGoOn(goOnFrom.builder, regionType);
  module.exportFunction('goOnFrom', goOnFrom);

  const backFrom = module.function(transferFrom);
  {
    const f = backFrom.builder;
    const [thread, depth, pc, done] = parameters(f);
    const from = f.param('i64', 4);
    f.if(i32.eq(depth, i32.const(REGION_DEPTH)), () => f.returnCall(goOnFrom, thread, depth, pc, done, from));
    arrive(f, warm);
    f.return(i32.const(0));
  }
  module.exportFunction('backFrom', backFrom);

  const round = module.function(transfer);
  {
    const f = round.builder;
    const [thread, depth, pc] = parameters(f);
    arrive(f);
    f.if(i32.load(thread, Thread.attention), () => f.return(i32.const(0)));
    const slot = f.hold(slotAt(f, thread, pc));
    // Where it leads elsewhere, that mostly is a region of the second tier: no reason to leave those that have called this one.
    const { region, ready } = regionIn(f, thread, slot);
    f.if(i32.eq(ready, i32.const(READY)), () => f.returnCallIndirect(regionType, region, thread, depth));
    addRounds(f, thread, slot);
    f.return(i32.const(0));
  }
  module.exportFunction('round', round);

  const stop = module.function(transfer);
  arrive(stop.builder);
  stop.builder.return(i32.const(0));
  module.exportFunction('stop', stop);

  const stopFrom = module.function(transferFrom);
  arrive(stopFrom.builder, warm);
  stopFrom.builder.return(i32.const(0));
  module.exportFunction('stopFrom', stopFrom);

  const leave = module.function(transfer);
  arrive(leave.builder);
  leave.builder.return(i32.const(1));
  module.exportFunction('leave', leave);
}

/** Jumps that a loop stands for whose budget is used up: one for QUICK_INSTRUCTIONS of them. */
const ROUNDS = 512;
/** Instructions of a region of the first tier are looked at once in so many, a power of two, and stand for so many jumps then. */
const SAMPLE_SHIFT = 6;
const SAMPLE = 2 ** SAMPLE_SHIFT / QUICK_INSTRUCTIONS;

function parameters(f: FunctionBuilder): [Local<'i32'>, Local<'i32'>, Local<'i64'>, Local<'i32'>] {
  return [f.param('i32', 0), f.param('i32', 1), f.param('i64', 2), f.param('i32', 3)];
}

/** Puts the pc and the count of instructions right. With `warm` the instructions speak for the place of the last parameter. */
function arrive(f: FunctionBuilder, warm?: FunctionRef): void {
  const [thread, , pc, done] = parameters(f);
  f.store('i64.store', thread, pc, Thread.pc);
  const before = f.hold(i64.load(thread, Thread.instret));
  const after = f.hold(i64.add(before, i64.extend_i32_u(done)));
  f.store('i64.store', thread, after, Thread.instret);
  if (warm === undefined) return;
  const samples = (count: I64): I32 => i32.wrap_i64(i64.shr_u(count, i64.const(SAMPLE_SHIFT)));
  const crossed = f.hold(i32.sub(samples(after), samples(before)));
  f.if(crossed, () => f.drop(call(warm, 'i32', thread, f.param('i64', 4), crossed)));
}

/**
 * (thread, pc, samples): counts what the samples stand for at `pc`, and says so when that makes it hot. How often a region is entered says
 * little of it: most instructions may be those of its loops.
 */
function writeWarm(module: ModuleBuilder, hot: FunctionRef): FunctionRef {
  const warm = module.function({ params: ['i32', 'i64', 'i32'], results: ['i32'] });
  const f = warm.builder;
  const thread = f.param('i32', 0);
  const pc = f.param('i64', 1);
  const jumps = f.hold(i32.mul(f.param('i32', 2), i32.const(SAMPLE)));
  const counter = f.hold(counterOf(thread, slotAt(f, thread, pc)));
  const heat = f.hold(i32.load16_u(counter));
  const distance = distanceFromHot(f, thread, heat);
  f.if(
    i32.lt_u(distance, jumps),
    () => {
      f.store('i32.store16', counter, i32.sub(i32.add(heat, jumps), i32.const(HOT_AGAIN)));
      f.call(hot, thread, f64.convert_i64_u(pc));
    },
    () => f.store('i32.store16', counter, i32.add(heat, jumps)),
  );
  f.return(i32.const(0));
  return warm;
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

/** The region that the slot at `address` leads into, and what of it is ready; returns 0 from the function where that is none. */
function regionIn(
  f: FunctionBuilder,
  thread: I32,
  address: I32,
): { region: Local<'i32'>; ready: Local<'i32'> } {
  const slot = f.hold(i64.load(address));
  f.if(i32.ne(i32.shr_u(i32.wrap_i64(slot), i32.const(OPCODE_SHIFT)), i32.const(OP_REGION)), () =>
    f.return(i32.const(0)),
  );
  const region = f.hold(i32.wrap_i64(i64.shr_u(slot, i64.const(32))));
  const ready = f.hold(i32.load8_u(i32.add(i32.load(thread, Thread.readyRegions), region)));
  return { region, ready };
}

/**
 * The region that the slot at `address` leads into; returns 0 from the function where that is none, or one that is not ready. A jump to
 * a region of the first tier is counted; the one that makes it hot is left to the interpreter, too.
 */
function regionAt(f: FunctionBuilder, thread: I32, address: I32): Local<'i32'> {
  const { region, ready } = regionIn(f, thread, address);
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

/** Counts many jumps to the slot; the one that makes it hot is left to the interpreter. */
function addRounds(f: FunctionBuilder, thread: I32, slot: I32): void {
  const counter = f.hold(counterOf(thread, slot));
  const heat = f.hold(i32.load16_u(counter));
  const distance = distanceFromHot(f, thread, heat);
  f.store(
    'i32.store16',
    counter,
    i32.add(heat, select(i32.lt_u(distance, i32.const(ROUNDS)), distance, i32.const(ROUNDS))),
  );
}

/** How many jumps may still be counted before the one that makes a place hot. Counters are of 16 bits. */
function distanceFromHot(f: FunctionBuilder, thread: I32, heat: I32): Local<'i32'> {
  const threshold = i32.load(thread, Thread.hotThreshold);
  return f.hold(i32.and(i32.sub(i32.sub(threshold, heat), i32.const(1)), i32.const(0xffff)));
}
