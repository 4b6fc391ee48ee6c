import { type I32, type I64, i32, i64, type Label, type Local, select } from '../wasm/index.js';
import type { GuardedGroup, LoopGuard } from './loopGuards.js';
import { entryAt, type RegionFrame, reachesNextPage } from './regionBuilder.js';

/** Branches to `otherwise` unless all that the accesses of the group touch in the guarded copies of a loop is at home. */
export function askFor(frame: RegionFrame, group: GuardedGroup, otherwise: Label): void {
  const { f } = frame;
  const { lowest, highest, single, writes } = group;
  const table = writes ? frame.writeTable : frame.readTable;
  const at = frame.address;
  f.set(at, startOf(frame, group));
  const isHome = (): I32 => i32.eq(entryAt(frame, table, at), i32.const(frame.homeEntry));
  // An access alone that is aligned is in one page.
  const mask = single > 1 ? frame.masks[31 - Math.clz32(single)] : frame.masks[0];
  f.brIf(otherwise, i64.ne(i64.and(at, mask), i64.const(0)), false);
  f.brIf(otherwise, i32.eqz(isHome()), false);
  if (single > 0) return;
  f.if(
    reachesNextPage(frame, at, highest - lowest),
    () => {
      f.set(at, i64.add(at, i64.const(highest - lowest)));
      f.brIf(otherwise, i64.ne(i64.and(at, frame.masks[0]), i64.const(0)), false);
      f.brIf(otherwise, i32.eqz(isHome()), false);
    },
    undefined,
    false,
  );
}

/**
 * Finds out how many times the copies may run before one of the groups that move by constants leaves the page that it begins in now; all have
 * been asked for, so the next run may end in another page.
 */
export function countRuns(frame: RegionFrame, guard: LoopGuard): void {
  const { f, hostPageShift } = frame;
  const size = 2 ** hostPageShift;
  const rooms = new Map<number, Local<'i32'>>();
  for (const group of guard.groups) {
    const { step, lowest, highest } = group;
    if (step === undefined || step === 0) continue;
    const behind = i32.and(i32.wrap_i64(startOf(frame, group)), i32.const(size - 1));
    const room = f.hold(step < 0 ? behind : i32.sub(i32.const(size - (highest - lowest + 1)), behind));
    const other = rooms.get(step);
    if (other === undefined) rooms.set(step, room);
    else {
      setToLess(frame, other, room);
      f.release(room);
    }
  }
  for (const [step, room] of rooms) {
    const runs = i32.add(i32.div_s(room, i32.const(Math.abs(step))), i32.const(1));
    if (guard.runs === undefined) {
      guard.runs = f.local('i32');
      f.set(guard.runs, runs);
    } else {
      f.set(room, runs);
      setToLess(frame, guard.runs, room);
    }
    f.release(room);
  }
}

function setToLess({ f }: RegionFrame, a: Local<'i32'>, b: Local<'i32'>): void {
  f.set(a, select(i32.lt_s(b, a), b, a));
}

/** Notes where the group is, in 32 bits. */
export function beginGroup(frame: RegionFrame, group: GuardedGroup): Local<'i32'> {
  group.place ??= frame.f.local('i32');
  frame.f.set(group.place, i32.wrap_i64(startOf(frame, group)));
  return group.place;
}

/** Guest address of the group's lowest byte at the start of the copies. */
function startOf(frame: RegionFrame, { base, stride, times, lowest }: GuardedGroup): I64 {
  let at: I64 = base === 0 ? i64.const(lowest) : frame.valueOf(base);
  if (base !== 0 && lowest !== 0) at = i64.add(at, i64.const(lowest));
  if (times !== 0) at = i64.add(at, i64.mul(frame.valueOf(stride), i64.const(times)));
  return at;
}
