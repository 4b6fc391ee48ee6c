import { type FunctionBuilder, i32, i64, type Label, type Local } from '../wasm/index.js';

/** Entries in the table of a switch for each place that it goes to, at most. */
const SPARSEST_TABLE = 16;

/** A place in the code of a switch, and the label of its block. */
interface Place {
  readonly pc: number;
  readonly label: Label;
}

/** Branches to the label of the one of `places`, in the order of their addresses, that `target` is, or to `other`. */
export function branchTo(
  f: FunctionBuilder,
  target: Local<'i64'>,
  places: readonly Place[],
  other: Label,
): void {
  const lowest = places[0].pc;
  const span = places[places.length - 1].pc - lowest;
  if (span / 2 <= places.length * SPARSEST_TABLE) {
    const distance = i64.sub(target, i64.const(lowest));
    f.brIf(other, i64.gt_u(distance, i64.const(span)), false);
    const table: Label[] = new Array(span / 2 + 1).fill(other);
    for (const { pc, label } of places) table[(pc - lowest) / 2] = label;
    f.brTable(i32.wrap_i64(i64.shr_u(distance, i64.const(1))), table, other);
    return;
  }
  // A table of mostly nothing takes V8 longer to compile than all the rest: the places are halved.
  const middle = places.length >> 1;
  f.if(i64.lt_u(target, i64.const(places[middle].pc)), () =>
    branchTo(f, target, places.slice(0, middle), other),
  );
  branchTo(f, target, places.slice(middle), other);
}
