import { CodePage } from '../sync/records/codePage.js';
import { Mm } from '../sync/records/mm.js';
import { Thread } from '../sync/records/thread.js';
import {
  HOT_AGAIN,
  HOT_COUNTERS,
  PageLink,
  QUICK_INSTRUCTIONS,
  READY,
  RegionEntry,
  RegionMap,
  SIDE_EXIT_STALE,
  Translation,
} from '../sync/records/translation.js';
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
 *
 * Returns what regionState needs.
 */
export function defineRegionTransfers(
  module: ModuleBuilder,
  regionType: number,
  hot: FunctionRef,
): FunctionRef {
  const transfer = { params: ['i32', 'i32', 'i64', 'i32'], results: ['i32'] } as const;
  const transferFrom = { params: [...transfer.params, 'i64'], results: ['i32'] } as const;
  const region = { params: ['i32', 'i32'], results: ['i32'] } as const;

  const aside = module.function(region);
  aside.builder.return(i32.const(1));
  module.exportFunction('aside', aside);

  const settle = writeSettle(module);
  const goOn = module.function(transfer);
  const settled = writeSettled(module, settle, goOn);
  arrive(goOn.builder);
  writeGoOn(goOn.builder, regionType, settled);
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
  const warmed = module.function(transferFrom);
  {
    const f = warmed.builder;
    const [thread, depth, pc, samples] = parameters(f);
    f.drop(call(warm, 'i32', thread, f.param('i64', 4), samples));
    f.returnCall(goOn, thread, depth, pc, i32.const(0));
  }
  const goOnFrom = module.function(transferFrom);
  {
    const f = goOnFrom.builder;
    const [thread, depth, pc] = parameters(f);
    arrive(f, (samples) => f.returnCall(warmed, thread, depth, pc, samples, f.param('i64', 4)));
    writeGoOn(f, regionType, settled);
  }
  module.exportFunction('goOnFrom', goOnFrom);

  const backFrom = module.function(transferFrom);
  {
    const f = backFrom.builder;
    const [thread, depth, pc, done] = parameters(f);
    const from = f.param('i64', 4);
    f.if(i32.eq(depth, i32.const(REGION_DEPTH)), () => f.returnCall(goOnFrom, thread, depth, pc, done, from));
    arrive(f, (samples) => f.returnCall(warm, thread, from, samples));
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
    const region = regionIn(f, slot);
    const state = regionState(f, thread, region, settle);
    f.if(i32.eq(state, i32.const(STATE_READY)), () =>
      f.returnCallIndirect(regionType, region, thread, depth),
    );
    addRounds(f, thread, slot);
    f.return(i32.const(0));
  }
  module.exportFunction('round', round);

  const stop = module.function(transfer);
  arrive(stop.builder);
  stop.builder.return(i32.const(0));
  module.exportFunction('stop', stop);

  const stopFrom = module.function(transferFrom);
  {
    const f = stopFrom.builder;
    const [thread] = parameters(f);
    arrive(f, (samples) => f.returnCall(warm, thread, f.param('i64', 4), samples));
    f.return(i32.const(0));
  }
  module.exportFunction('stopFrom', stopFrom);

  const leave = module.function(transfer);
  arrive(leave.builder);
  leave.builder.return(i32.const(1));
  module.exportFunction('leave', leave);
  return settle;
}

/** What regionState says of a region: it may be entered; jumps to it are counted; its code is not what it was made from; the worker has not got it. */
const STATE_READY = 0;
const STATE_QUICK = 1;
export const STATE_STALE = 2;
export const STATE_UNKNOWN = 3;

/**
 * STATE_READY or STATE_QUICK where the worker has found region `region` good in the epoch that the thread's code has now, as it
 * nearly always has; anything else where that is not known.
 */
function knownState(thread: I32, region: I32): I64 {
  const known = i64.load(
    i32.add(i32.load(thread, Thread.regionMap), i32.shl(region, i32.const(3))),
    RegionMap.epochs,
  );
  return i64.xor(known, i64.load(i32.load(thread, Thread.mm), Mm.codeEpoch));
}

/** STATE_* of region `region` for `thread`, in a local; what is not known the function `settle` finds out. */
export function regionState(f: FunctionBuilder, thread: I32, region: I32, settle: FunctionRef): Local<'i32'> {
  const difference = f.hold(knownState(thread, region));
  const state = f.local('i32');
  f.set(state, i32.wrap_i64(difference));
  f.if(
    i64.gt_u(difference, i64.const(STATE_QUICK)),
    () => f.set(state, call(settle, 'i32', thread, region)),
    undefined,
    false,
  );
  f.release(difference);
  return state;
}

/**
 * (thread, region) → STATE_*: looks whether the thread's code table has the pages that the region was made from, with the generations they had, and
 * notes in which epoch it has.
 */
function writeSettle(module: ModuleBuilder): FunctionRef {
  const settle = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const f = settle.builder;
  const thread = f.param('i32', 0);
  const region = f.param('i32', 1);
  const map = f.hold(i32.load(thread, Thread.regionMap));
  const ready = f.hold(i32.load8_u(i32.add(map, region), RegionMap.ready));
  f.if(i32.eqz(ready), () => f.return(i32.const(STATE_UNKNOWN)));
  const translation = f.hold(i32.load(map, RegionMap.translation));
  const entry = f.hold(
    i32.add(i32.load(translation, Translation.regions), i32.mul(region, i32.const(RegionEntry.SIZE))),
  );
  const link = f.hold(i32.load(entry, RegionEntry.pages));
  const end = f.hold(
    i32.add(link, i32.mul(i32.load(entry, RegionEntry.pageCount), i32.const(PageLink.SIZE))),
  );
  // First the epoch, then the pages: who changes them does it the other way round.
  const epoch = f.hold(i64.atomic_load(i32.load(thread, Thread.mm), Mm.codeEpoch));
  const codeTable = f.hold(i32.load(thread, Thread.codeTable));
  const page = f.local('i32');
  const codePage = f.local('i32');
  f.block((stale) => {
    f.block((good) => {
      f.loop((next) => {
        f.brIf(good, i32.ge_u(link, end));
        f.set(page, i32.load(link, PageLink.page));
        const address = i64.shl(i64.extend_i32_u(page), i64.const(12));
        f.brIf(stale, i64.ge_u(address, i64.load(thread, Thread.reach)));
        f.set(codePage, i32.load(link, PageLink.codePage));
        const entered = i32.load(i32.add(codeTable, i32.shl(page, i32.const(2))));
        f.brIf(stale, i32.ne(entered, codePage));
        f.brIf(stale, i32.ne(i32.load(codePage, CodePage.generation), i32.load(link, PageLink.generation)));
        f.set(link, i32.add(link, i32.const(PageLink.SIZE)));
        f.br(next);
      });
    });
    const state = i32.sub(ready, i32.const(READY));
    const known = i32.add(map, i32.shl(region, i32.const(3)));
    f.store('i64.store', known, i64.or(epoch, i64.extend_i32_u(state)), RegionMap.epochs);
    f.return(state);
  });
  f.drop(i32.atomic_rmw_add(translation, i32.const(1), Translation.sideExits + SIDE_EXIT_STALE * 4));
  f.return(i32.const(STATE_STALE));
  return settle;
}

/** Jumps that a loop stands for whose budget is used up: one for QUICK_INSTRUCTIONS of them. */
const ROUNDS = 512;
/** Instructions of a region of the first tier are looked at once in so many, a power of two, and stand for so many jumps then. */
const SAMPLE_SHIFT = 6;
const SAMPLE = 2 ** SAMPLE_SHIFT / QUICK_INSTRUCTIONS;

function parameters(f: FunctionBuilder): [Local<'i32'>, Local<'i32'>, Local<'i64'>, Local<'i32'>] {
  return [f.param('i32', 0), f.param('i32', 1), f.param('i64', 2), f.param('i32', 3)];
}

/**
 * Puts the pc and the count of instructions right. `sample` writes what is to be done with samples of the instructions, now and then. It ends the
 * function by a call in its place, as do all rare ways here: V8 would store and load what lives across other calls on all ways.
 */
function arrive(f: FunctionBuilder, sample?: (samples: I32) => void): void {
  const [thread, , pc, done] = parameters(f);
  f.store('i64.store', thread, pc, Thread.pc);
  const before = f.hold(i64.load(thread, Thread.instret));
  const after = f.hold(i64.add(before, i64.extend_i32_u(done)));
  f.store('i64.store', thread, after, Thread.instret);
  if (sample === undefined) return;
  const samples = (count: I64): I32 => i32.wrap_i64(i64.shr_u(count, i64.const(SAMPLE_SHIFT)));
  const crossed = f.hold(i32.sub(samples(after), samples(before)));
  f.if(crossed, () => sample(crossed), undefined, false);
}

/**
 * (thread, pc, samples) → 0: counts what the samples stand for at `pc`, and says so when that makes it hot. How often a region is entered says
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

/** (thread, depth, pc, region): goes on as `goOn` does, to the region at `pc`, once its state is known. */
function writeSettled(module: ModuleBuilder, settle: FunctionRef, goOn: FunctionRef): FunctionRef {
  const settled = module.function({ params: ['i32', 'i32', 'i64', 'i32'], results: ['i32'] });
  const f = settled.builder;
  const [thread, depth, pc] = parameters(f);
  const state = f.hold(call(settle, 'i32', thread, f.param('i32', 3)));
  f.if(i32.gt_u(state, i32.const(STATE_QUICK)), () => f.return(i32.eq(state, i32.const(STATE_STALE))));
  f.returnCall(goOn, thread, depth, pc, i32.const(0));
  return settled;
}

/** The region that the slot at `address` leads into; returns 0 from the function where that is none. */
function regionIn(f: FunctionBuilder, address: I32): Local<'i32'> {
  const slot = f.hold(i64.load(address));
  f.if(i32.ne(i32.shr_u(i32.wrap_i64(slot), i32.const(OPCODE_SHIFT)), i32.const(OP_REGION)), () =>
    f.return(i32.const(0)),
  );
  return f.hold(i32.wrap_i64(i64.shr_u(slot, i64.const(32))));
}

/**
 * The region that the slot at `address` leads into; leaves the function where that is none, and by `settled` where its state is not known. A jump to
 * a region of the first tier is counted; the one that makes it hot is left to the interpreter, too.
 */
function regionAt(f: FunctionBuilder, address: I32, settled: FunctionRef): Local<'i32'> {
  const [thread, depth, pc] = parameters(f);
  const region = regionIn(f, address);
  const state = f.hold(knownState(thread, region));
  f.if(i64.ne(state, i64.const(STATE_READY)), () => {
    f.if(
      i64.gt_u(state, i64.const(STATE_QUICK)),
      () => f.returnCall(settled, thread, depth, pc, region),
      undefined,
      false,
    );
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

function writeGoOn(f: FunctionBuilder, regionType: number, settled: FunctionRef): void {
  const [thread, depth, pc] = parameters(f);
  f.if(i32.or(i32.load(thread, Thread.attention), i32.le_s(depth, i32.const(0))), () =>
    f.return(i32.const(0)),
  );
  const region = regionAt(f, slotAt(f, thread, pc), settled);
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
