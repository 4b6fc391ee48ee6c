import type { Helper, Semantics } from '../isa/builder.js';
import { fusedSemantics } from '../isa/floatingPoint.js';
import { softwareMultiplyAdd } from '../isa/floatingPointFused.js';
import { CodePage } from '../sync/records/codePage.js';
import {
  EXIT_ATTENTION,
  EXIT_FETCH,
  EXIT_HOT,
  EXIT_ILLEGAL,
  EXIT_REGION,
  Thread,
} from '../sync/records/thread.js';
import { HOT_AGAIN } from '../sync/records/translation.js';
import {
  call,
  callIndirect,
  type FunctionRef,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  ModuleBuilder,
} from '../wasm/index.js';
import { ExactBuilder } from './exactBuilder.js';
import { EXIT_BUDGET } from './exitBudget.js';
import { countedInstructions, currentPc, FastBuilder, ONE, type RunFrame } from './fastBuilder.js';
import {
  HANDLERS,
  type Handler,
  OP_CONTINUE,
  OP_DECODE,
  OP_ILLEGAL,
  OP_REGION,
  OP_STRADDLE,
  OPCODES,
} from './handlers.js';
import { HelperTable } from './helperTable.js';
import type { Frame } from './interpreterBuilder.js';
import { defineMemoryHelpers, type MemoryHelpers, tableOffset } from './memoryHelpers.js';
import { definePredecoder, type Predecoder } from './predecoder.js';
import { REGION_DEPTH } from './regionDepth.js';
import { defineRegionTransfers, regionState, STATE_STALE, STATE_UNKNOWN } from './regionTransfers.js';
import { OPCODE_SHIFT, RD_SHIFT, SLOT_SCALE_SHIFT } from './slot.js';
import { STRADDLE_VALID, STRADDLES, Straddle } from './straddles.js';

export interface GeneratorOptions {
  /** log2 of the machine's host page size. */
  readonly hostPageShift: number;
  /** Use wasm's relaxed multiply-add, which the caller has found to be fused here (isa/floatingPointProbe). */
  readonly fused: boolean;
}

/**
 * Generates the interpreter: a module that exports `run(thread, budget) → EXIT_*` (and, for tests, the predecoder) and imports the machine's memory,
 * `engine` and `helpers`.
 */
export function generateInterpreter(options: GeneratorOptions): Uint8Array {
  // Imports come first in a module, but which helpers are imported is known only when everything has been written once.
  const imported = new Map<string, Helper>();
  for (;;) {
    const module = new ModuleBuilder();
    const helpers = writeModule(module, options, imported.values());
    if (helpers.missing.size === 0) return module.toBytes();
    for (const [name, helper] of helpers.missing) imported.set(name, helper);
  }
}

function writeModule(
  module: ModuleBuilder,
  options: GeneratorOptions,
  imported: Iterable<Helper>,
): HelperTable {
  module.importMemory({ module: 'engine', name: 'memory', minimum: 1, maximum: 65536, shared: true });
  const importedTime = module.importFunction('engine', 'time', { params: [], results: ['f64'] });
  const systemCall = module.importFunction('engine', 'systemCall', { params: ['i32'], results: ['i32'] });
  const hot = module.importFunction('engine', 'hot', { params: ['i32', 'f64'], results: [] });
  const helpers = new HelperTable(module, imported);
  const time = module.function({ params: [], results: ['i64'] });
  time.builder.return(i64.trunc_f64_u(call(importedTime, 'f64')));
  const memory = defineMemoryHelpers(module, options.hostPageShift);
  const predecoder = definePredecoder(module);

  const run = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const exact = module.function({ params: ['i32', 'i64', 'i64'], results: ['i32'] });
  const rare = module.function({ params: ['i32', 'i64', 'i64'], results: ['i32'] });
  module.exportFunction('run', run);
  module.exportFunction('predecodeRun', predecoder.run);
  module.exportFunction('predecodeInstruction', predecoder.instruction);
  module.importTable('engine', 'regions');
  const regionType = module.typeIndex({ params: ['i32', 'i32'], results: ['i32'] });
  const settle = defineRegionTransfers(module, regionType, hot);
  const givesUp = writeRun(run, exact, options, predecoder, time, systemCall, helpers, regionType, settle);
  writeExact(exact, givesUp, options, time, helpers, memory, rare);
  writeExact(rare, RARE_OPCODES, options, time, helpers, memory);
  // For the first tier of translated code, which multiplies and adds as machines do whose WebAssembly has nothing for that.
  helpers.indexOf(softwareMultiplyAdd);
  helpers.exportDefined();
  return helpers;
}

/**
 * The run function. Its shape:
 *
 *   block leaving
 *     loop far                 target: look the code page up
 *       loop again             state: a slot
 *         block givingUp
 *           loop dispatch      load slot, br_table to its handler
 *             handlers         → dispatch, far, givingUp, leaving
 *         exact(slot)          → again, leaving (rare instructions come here at once)
 *   store pc and instret, return reason
 *
 * Returns the opcodes whose handlers may give up.
 */
function writeRun(
  { builder: f }: { builder: ReturnType<ModuleBuilder['function']>['builder'] },
  exact: FunctionRef,
  { hostPageShift, fused }: GeneratorOptions,
  predecoder: Predecoder,
  time: FunctionRef,
  systemCall: FunctionRef,
  helpers: HelperTable,
  regionType: number,
  settle: FunctionRef,
): Set<number> {
  const thread = f.param('i32', 0);
  const budget = f.param('i32', 1);
  const state = f.local('i64');
  const start = f.local('i64');
  const slot = f.local('i64');
  const low = f.local('i32');
  const pcDelta = f.local('i64');
  const target = f.local('i64');
  const page = f.local('i32');
  const reason = f.local('i32');
  const readTable = f.local('i32');
  const writeTable = f.local('i32');
  const address = f.local('i64');
  const entry = f.local('i32');
  const masks = [1, 2, 4, 8].map(() => f.local('i64'));
  /** What may have changed while the thread was not in GUEST mode. */
  const loadTables = (): void => {
    f.set(readTable, i32.load(thread, Thread.readTable));
    f.set(writeTable, i32.load(thread, Thread.writeTable));
    masks.forEach((mask, log) => {
      const beyond = i64.sub(i64.const(0), i64.load(thread, Thread.reach));
      f.set(mask, i64.or(beyond, i64.const((1 << log) - 1)));
    });
  };
  loadTables();

  // Counting upwards from 2^31 − budget makes `state` negative when the budget is used up.
  f.set(start, i64.extend_i32_u(i32.sub(i32.const(0x8000_0000), budget)));
  f.set(state, i64.shl(start, i64.const(32)));
  f.set(target, i64.and(i64.load(thread, Thread.pc), i64.const(-2)));

  const leaving = f.openBlock();
  const far = f.openLoop();

  const leave = (why: number): void => {
    f.set(reason, i32.const(why));
    f.br(leaving);
  };
  const pollWord = () =>
    i32.or(i32.load(thread, Thread.attention), i32.wrap_i64(i64.shr_u(state, i64.const(63))));
  const hotCounters = f.hold(i32.load(thread, Thread.hotCounters));
  const counter = f.local('i32');
  const heat = f.local('i32');
  /** Counts a jump to the slot in `state`; leaves when the place has become hot. */
  const countJump = (): void => {
    f.set(
      counter,
      i32.add(hotCounters, i32.and(i32.shr_u(i32.wrap_i64(state), i32.const(2)), i32.const(0xfffe))),
    );
    f.set(heat, i32.add(i32.load16_u(counter), i32.const(1)));
    f.store('i32.store16', counter, heat);
    f.if(i32.eq(heat, i32.load(thread, Thread.hotThreshold)), () => {
      f.store('i32.store16', counter, i32.sub(heat, i32.const(HOT_AGAIN)));
      f.set(target, currentPc({ state, pcDelta }));
      leave(EXIT_HOT);
    });
  };
  const leaveAtPoll = (): void => {
    f.set(reason, i32.const(EXIT_BUDGET));
    f.if(i32.load(thread, Thread.attention), () => f.set(reason, i32.const(EXIT_ATTENTION)));
    f.br(leaving);
  };

  // --- far: `target` is the guest address to go on at ---
  f.if(pollWord(), leaveAtPoll);
  f.set(page, i32.const(0));
  f.if(i64.lt_u(target, i64.load(thread, Thread.reach)), () =>
    f.set(page, i32.load(i32.add(i32.load(thread, Thread.codeTable), tableOffset(target, 12)))),
  );
  f.if(i32.eqz(page), () => {
    f.store('i64.store', thread, target, Thread.exitAddress);
    leave(EXIT_FETCH);
  });
  const slotOffset = i64.shl(i64.and(target, i64.const(0xffe)), i64.const(SLOT_SCALE_SHIFT));
  const slotAddress = f.hold(i64.add(i64.extend_i32_u(i32.add(page, i32.const(CodePage.slots))), slotOffset));
  f.set(state, i64.or(i64.and(state, i64.const(-ONE)), slotAddress));
  f.set(pcDelta, i64.sub(target, i64.shr_u(slotAddress, i64.const(SLOT_SCALE_SHIFT))));
  countJump();

  const again = f.openLoop();
  const givingUp = f.openBlock();
  const dispatch = f.openLoop();

  // --- handlers ---
  const run: RunFrame = {
    f,
    thread,
    slot,
    low,
    useHelper: helpers.use,
    time,
    state,
    start,
    pcDelta,
    readTable,
    writeTable,
    masks,
    target,
    address,
    entry,
    hostPageShift,
    dispatch: () => f.br(dispatch),
    goFar: () => f.br(far),
    poll: () => {
      f.if(pollWord(), () => {
        f.set(target, currentPc(run));
        leaveAtPoll();
      });
      countJump();
    },
    leave,
    systemCall: () => {
      f.store('i64.store', thread, currentPc(run), Thread.pc);
      f.store('i64.store', thread, countedInstructions(run), Thread.instret);
      f.set(start, i64.shr_u(state, i64.const(32)));
      f.set(reason, call(systemCall, 'i32', thread));
      // The thread may be another worker's by now: its record is not looked at any more.
      f.if(reason, () => f.return(reason));
      // It may have left GUEST mode meanwhile: the tables and the page of code are looked up again.
      loadTables();
      f.set(target, i64.add(i64.load(thread, Thread.pc), i64.const(ECALL_BYTES)));
      f.br(far);
    },
    giveUpIf: (condition) => f.brIf(givingUp, condition),
  };
  const labels: Label[] = new Array(OPCODES);
  for (let opcode = OPCODES - 1; opcode >= 0; opcode--)
    labels[opcode] = RARE_OPCODES.has(opcode) ? givingUp : f.openBlock();
  f.set(slot, i64.load(i32.wrap_i64(state)));
  f.set(low, i32.wrap_i64(slot));
  f.brTable(i32.shr_u(low, i32.const(OPCODE_SHIFT)), labels, labels[OP_DECODE]);

  const slotAt = () => i32.wrap_i64(state);
  const special: Record<number, () => void> = {
    [OP_DECODE]: () => {
      const index = i32.shr_u(i32.sub(slotAt(), i32.add(page, i32.const(CodePage.slots))), i32.const(3));
      f.call(predecoder.run, page, index);
      run.dispatch();
    },
    [OP_CONTINUE]: () => {
      f.set(target, currentPc(run));
      run.goFar();
    },
    [OP_STRADDLE]: () => writeStraddle(run, page, predecoder),
    [OP_REGION]: () => writeRegionCall(run, regionType, predecoder, settle),
    [OP_ILLEGAL]: () => {
      const length = i32.and(i32.shr_u(low, i32.const(RD_SHIFT + 3)), i32.const(63));
      f.store('i64.store', thread, i64.shr_u(slot, i64.const(32)), Thread.exitAddress);
      f.store('i32.store', thread, length, Thread.exitSize);
      f.set(target, currentPc(run));
      leave(EXIT_ILLEGAL);
    },
  };
  const givesUp = new Set<number>();
  for (let opcode = 0; opcode < OPCODES; opcode++) {
    if (RARE_OPCODES.has(opcode)) continue;
    f.close();
    if (opcode in special) {
      special[opcode]();
      continue;
    }
    const handler = HANDLERS[opcode - HANDLERS[0].opcode];
    const builder = new FastBuilder(run, handler);
    semanticsOf(handler, fused)(builder);
    builder.finish();
    if (builder.givesUp) givesUp.add(opcode);
  }
  f.close(); // dispatch; control never falls out of it

  f.close(); // givingUp
  const advance = f.hold(call(exact, 'i32', thread, slot, currentPc(run)));
  f.if(i32.gt_s(advance, i32.const(0)), () => {
    f.set(state, i64.add(i64.add(state, i64.const(ONE)), i64.extend_i32_u(advance)));
    f.br(again);
  });
  f.set(reason, i32.sub(i32.const(0), advance));
  f.set(target, currentPc(run));
  f.br(leaving);
  f.close(); // again
  f.close(); // far
  f.close(); // leaving
  f.store('i64.store', thread, target, Thread.pc);
  f.store('i64.store', thread, countedInstructions(run), Thread.instret);
  f.return(reason);
  return givesUp;
}

/** An ecall is no compressed instruction. */
const ECALL_BYTES = 4;

/** Opcodes that the run function has no handler for: the exact tier does them at once. */
const RARE_OPCODES = new Set(
  HANDLERS.filter(({ instruction }) => instruction.rare).map(({ opcode }) => opcode),
);

/**
 * The handler of OP_REGION: calls the region. It says whether to go on at Thread.pc as always, or to do the instruction
 * there without entering a region: then that is decoded aside, like one that straddles pages.
 */
function writeRegionCall(
  run: RunFrame,
  regionType: number,
  predecoder: Predecoder,
  settle: FunctionRef,
): void {
  const { f, thread, slot, target } = run;
  const region = f.hold(i32.wrap_i64(i64.shr_u(slot, i64.const(32))));
  const state = regionState(f, thread, region, settle);
  f.if(i32.eq(state, i32.const(STATE_UNKNOWN)), () => {
    f.store('i64.store', thread, i64.extend_i32_u(region), Thread.exitAddress);
    f.set(target, currentPc(run));
    run.leave(EXIT_REGION);
  });
  f.store('i64.store', thread, currentPc(run), Thread.pc);
  const reason = f.local('i32');
  f.set(reason, i32.const(1));
  f.if(i32.ne(state, i32.const(STATE_STALE)), () =>
    f.set(reason, callIndirect(regionType, 'i32', region, thread, i32.const(REGION_DEPTH))),
  );
  f.set(target, i64.load(thread, Thread.pc));
  f.if(i32.eqz(reason), () => run.goFar());
  const page = f.local('i32');
  f.set(page, i32.load(i32.add(i32.load(thread, Thread.codeTable), tableOffset(target, 12))));
  f.if(i32.eqz(page), () => run.goFar());
  const at = f.hold(
    i32.add(i32.load(page, CodePage.source), i32.and(i32.wrap_i64(target), i32.const(0xffe))),
  );
  const word = f.hold(i32.load16_u(at));
  f.if(i32.eq(i32.and(word, i32.const(3)), i32.const(3)), () => {
    const next = f.hold(i64.add(target, i64.const(2)));
    f.if(i64.eqz(i64.and(next, i64.const(0xfff))), () => {
      f.set(page, i32.load(i32.add(i32.load(thread, Thread.codeTable), tableOffset(next, 12))));
      f.if(i32.eqz(page), () => {
        f.store('i64.store', thread, next, Thread.exitAddress);
        run.leave(EXIT_FETCH);
      });
      f.set(at, i32.sub(i32.load(page, CodePage.source), i32.const(2)));
    });
    f.set(word, i32.or(word, i32.shl(i32.load16_u(at, 2), i32.const(16))));
    f.release(next);
  });
  const index = i32.and(
    i32.xor(i32.shr_u(word, i32.const(7)), i32.shr_u(word, i32.const(15))),
    i32.const(STRADDLES - 1),
  );
  runAside(run, page, target, word, index, predecoder);
  for (const local of [region, state, reason, page, at, word]) f.release(local);
}

/** The handler of OP_STRADDLE; see straddles.ts. */
function writeStraddle(run: RunFrame, page: RunFrame['entry'], predecoder: Predecoder): void {
  const { f, thread, target } = run;
  const pc = f.hold(currentPc(run));
  const next = f.hold(i64.add(pc, i64.const(2)));
  const nextPage = f.local('i32');
  f.set(nextPage, i32.const(0));
  f.if(i64.lt_u(next, i64.load(thread, Thread.reach)), () =>
    f.set(nextPage, i32.load(i32.add(i32.load(thread, Thread.codeTable), tableOffset(next, 12)))),
  );
  f.if(i32.eqz(nextPage), () => {
    f.store('i64.store', thread, next, Thread.exitAddress);
    f.set(target, pc);
    run.leave(EXIT_FETCH);
  });
  const first = i32.load16_u(i32.load(page, CodePage.source), 4094);
  const second = i32.load16_u(i32.load(nextPage, CodePage.source));
  const word = f.hold(i32.or(first, i32.shl(second, i32.const(16))));
  const index = i32.and(i32.wrap_i64(i64.shr_u(pc, i64.const(12))), i32.const(STRADDLES - 1));
  runAside(run, page, pc, word, index, predecoder);
  for (const local of [pc, next, nextPage, word]) f.release(local);
}

/** Dispatches the instruction `word`, which stands at `pc` in `page`, from entry `index` of Thread.straddles. */
function runAside(run: RunFrame, page: I32, pc: I64, word: I32, index: I32, predecoder: Predecoder): void {
  const { f, thread, state, pcDelta } = run;
  const straddle = f.hold(
    i32.add(i32.add(thread, i32.const(Thread.straddles)), i32.mul(index, i32.const(Straddle.SIZE))),
  );
  const extensions = f.hold(i32.load(page, CodePage.extensions));
  const key = i64.extend_i32_u(i32.or(extensions, i32.const(STRADDLE_VALID)));
  const known = i64.or(i64.extend_i32_u(word), i64.shl(key, i64.const(32)));
  f.if(i64.ne(i64.load(straddle, Straddle.word), known), () => {
    const decoded = call(predecoder.instruction, 'i64', word, i32.const(-1), extensions);
    f.store('i64.store', straddle, decoded, Straddle.slot);
    const goOn = i64.const((OP_CONTINUE << OPCODE_SHIFT) >>> 0);
    f.store('i64.store', straddle, goOn, Straddle.end2);
    f.store('i64.store', straddle, goOn, Straddle.end4);
    f.store('i64.store', straddle, known, Straddle.word);
  });
  const slotAddress = f.hold(i64.extend_i32_u(i32.add(straddle, i32.const(Straddle.slot))));
  f.set(state, i64.or(i64.and(state, i64.const(-ONE)), slotAddress));
  f.set(pcDelta, i64.sub(pc, i64.shr_u(slotAddress, i64.const(SLOT_SCALE_SHIFT))));
  for (const local of [straddle, slotAddress, extensions]) f.release(local);
  run.dispatch();
}

/** The exact tier's function, over the opcodes in `opcodes`; others are done by the function `others`. */
function writeExact(
  { builder: f }: { builder: ReturnType<ModuleBuilder['function']>['builder'] },
  opcodes: Set<number>,
  { fused }: GeneratorOptions,
  time: FunctionRef,
  helpers: HelperTable,
  memory: MemoryHelpers,
  others?: FunctionRef,
): void {
  const thread = f.param('i32', 0);
  const slot = f.param('i64', 1);
  const pc = f.param('i64', 2);
  const low = f.hold(i32.wrap_i64(slot));
  const frame: Frame = { f, thread, slot, low, useHelper: helpers.use, time };

  const order = [...opcodes];
  const otherwise = f.openBlock();
  const blocks = order.map(() => f.openBlock()).reverse();
  const labels: Label[] = new Array(OPCODES).fill(otherwise);
  order.forEach((opcode, i) => {
    labels[opcode] = blocks[i];
  });
  f.brTable(i32.shr_u(low, i32.const(OPCODE_SHIFT)), labels, otherwise);
  for (const opcode of order) {
    f.close();
    const handler = HANDLERS[opcode - HANDLERS[0].opcode];
    const builder = new ExactBuilder(frame, handler, pc, memory);
    semanticsOf(handler, fused)(builder);
    builder.finish();
    if (!builder.ended) f.return(i32.const(handler.length * 4));
  }
  f.close();
  if (others === undefined) f.unreachable();
  else f.return(call(others, 'i32', thread, slot, pc));
}

function semanticsOf({ instruction }: Handler, fused: boolean): Semantics {
  const semantics = (fused ? fusedSemantics[instruction.mnemonic] : undefined) ?? instruction.semantics;
  if (!semantics) throw new Error(`${instruction.mnemonic} has no semantics`);
  return semantics;
}
