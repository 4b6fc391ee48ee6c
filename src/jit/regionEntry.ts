import { REGION_DEPTH } from '../interpreter/regionDepth.js';
import { Thread, TIER_TRANSLATED } from '../sync/records/thread.js';
import { RegionProfile, SIDE_EXIT_ELSEWHERE, SIDE_EXIT_STALE } from '../sync/records/translation.js';
import { call, type FunctionBuilder, type FunctionRef, type I32, i32, i64 } from '../wasm/index.js';
import { LEFT_ASIDE } from './regionBuilder.js';
import type { Region } from './regionGraph.js';

/** A page of code that a region was made from. */
export interface RegionPage {
  /** Guest address >> 12. */
  readonly page: number;
  readonly codePage: number;
  readonly generation: number;
}

/** What a region notes of itself, where that is wanted. */
export interface RegionObservation {
  /** Address of its RegionProfile, or 0: it does not count what it does. */
  readonly profile: number;
  /**
   * (thread, cause) → i32: is told why control comes back to the interpreter, 0 (SIDE_EXIT_ELSEWHERE) where it is for it to find out
   * from the instruction at the pc; undefined: nobody wants to know. `elsewhere` is the counter of those that only went on elsewhere.
   */
  readonly left: FunctionRef | undefined;
  readonly elsewhere: number;
  /** Its index in the machine, and (thread, index) → i32, called at each entry; undefined: not logged. */
  readonly index: number;
  readonly entered: FunctionRef | undefined;
}

/**
 * Writes the beginning of the function through which a region is entered, (thread, depth) → LEFT_*. Whoever calls it has found its code to be
 * what it was compiled from (RegionMap.epochs), but that may be at other addresses as well: LEFT_ASIDE, then.
 */
export function writeRegionEntry(f: FunctionBuilder, region: Region, observation?: RegionObservation): void {
  const thread = f.param('i32', 0);
  f.if(
    i64.ne(i64.load(thread, Thread.pc), i64.const(region.entry.pc)),
    () => {
      if (observation?.left !== undefined)
        f.drop(call(observation.left, 'i32', thread, i32.const(SIDE_EXIT_STALE)));
      f.return(i32.const(LEFT_ASIDE));
    },
    undefined,
    false,
  );
}

/** Whether the region calls itself: then its body is a function of its own, which need not look at its code again. */
export function callsItself({ entry, blocks }: Region): boolean {
  return blocks.some(({ terminator, instructions }) => {
    if (terminator.kind !== 'call') return false;
    const { pc, decoded } = instructions[instructions.length - 1];
    return decoded.instruction.flow === 'jump' && pc + decoded.immediate === entry.pc;
  });
}

/**
 * Calls the region, as the observation wants: with its entry counted and the instructions that were done in it but not in regions it
 * called, with Thread.tier saying that it runs, and with the cause told for which it is left.
 */
export function writeObservedCall(
  f: FunctionBuilder,
  body: FunctionRef,
  { profile, index, entered, left, elsewhere }: RegionObservation,
): void {
  const thread = f.param('i32', 0);
  const depth = f.param('i32', 1);
  if (left !== undefined) {
    const tier = f.hold(i32.load(thread, Thread.tier));
    f.store('i32.store', thread, i32.const(TIER_TRANSLATED), Thread.tier);
    const reason = f.hold(
      profile === 0 ? call(body, 'i32', thread, depth) : writeCountedCall(f, body, profile, index, entered),
    );
    f.store('i32.store', thread, tier, Thread.tier);
    // Only the region that was entered first is left for the interpreter.
    f.if(i32.eq(depth, i32.const(REGION_DEPTH)), () =>
      f.if(
        reason,
        () => f.drop(call(left, 'i32', thread, i32.const(SIDE_EXIT_ELSEWHERE))),
        () => f.drop(i32.atomic_rmw_add(i32.const(elsewhere | 0), i32.const(1))),
      ),
    );
    f.return(reason);
    return;
  }
  f.return(writeCountedCall(f, body, profile, index, entered));
}

/** Calls the region with its RegionProfile counting; its result, held. */
function writeCountedCall(
  f: FunctionBuilder,
  body: FunctionRef,
  profile: number,
  index: number,
  entered: FunctionRef | undefined,
): I32 {
  const thread = f.param('i32', 0);
  const instret = () => i64.load(thread, Thread.instret);
  const called = () => i64.load(thread, Thread.calledInstructions);
  const at = i32.const(profile | 0);
  f.drop(i64.atomic_rmw_add(at, i64.const(1), RegionProfile.entries));
  if (entered !== undefined) f.drop(call(entered, 'i32', thread, i32.const(index)));
  const outside = f.hold(called());
  const before = f.hold(instret());
  f.store('i64.store', thread, i64.const(0), Thread.calledInstructions);
  const reason = f.hold(call(body, 'i32', thread, f.param('i32', 1)));
  const done = f.hold(i64.sub(instret(), before));
  f.drop(i64.atomic_rmw_add(at, i64.sub(done, called()), RegionProfile.executed));
  f.store('i64.store', thread, i64.add(outside, done), Thread.calledInstructions);
  return reason;
}
