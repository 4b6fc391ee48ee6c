import { Mapping } from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import {
  call,
  type FunctionRef,
  type I32,
  i32,
  type Local,
  type ModuleBuilder,
  select,
} from '../../wasm/index.js';

/** The functions of the tree of mappings (mappingTree.ts says what each does). */
export interface TreeCode {
  /** (mm, page) → mapping */
  readonly firstEndingAfter: FunctionRef;
  /** (mm) → mapping */
  readonly last: FunctionRef;
  /** (node, low, high, want) → page or −1 */
  readonly highestGap: FunctionRef;
  readonly lowestGap: FunctionRef;
  /** (mm, node) */
  readonly insert: FunctionRef;
  readonly remove: FunctionRef;
  /** (node) */
  readonly resized: FunctionRef;
}

const zero = i32.const(0);
const none = i32.const(-1);
const load = i32.load;
const min = (a: I32, b: I32): I32 => select(i32.lt_s(a, b), a, b);
const max = (a: I32, b: I32): I32 => select(i32.gt_s(a, b), a, b);

/** Writes the tree's functions into `module`. Page numbers have 24 bits, so signed comparisons do. */
export function writeTreeCode(module: ModuleBuilder): TreeCode {
  const refresh = writeRefresh(module);
  const settle = writeSettle(module, refresh);
  const replaceChild = writeReplaceChild(module);
  const rotateUp = writeRotateUp(module, refresh, replaceChild);
  return {
    firstEndingAfter: writeFirstEndingAfter(module),
    last: writeLast(module),
    highestGap: writeGap(module, true),
    lowestGap: writeGap(module, false),
    insert: writeInsert(module, refresh, rotateUp, settle),
    remove: writeRemove(module, rotateUp, replaceChild, settle),
    resized: settle,
  };
}

/** (node) → whether what the node says of its subtree has changed. */
function writeRefresh(module: ModuleBuilder): FunctionRef {
  const refresh = module.function({ params: ['i32'], results: ['i32'] });
  const b = refresh.builder;
  const node = b.param('i32', 0);
  const start = b.hold(load(node, Mapping.start));
  const end = b.hold(load(node, Mapping.end));
  const first = b.hold(start);
  const last = b.hold(end);
  const gap = b.local('i32');
  const child = b.local('i32');
  const widen = (value: I32): void => b.set(gap, max(gap, value));
  b.set(child, load(node, Mapping.left));
  b.if(child, () => {
    b.set(first, load(child, Mapping.subtreeStart));
    b.set(gap, load(child, Mapping.subtreeGap));
    widen(i32.sub(start, load(child, Mapping.subtreeEnd)));
  });
  b.set(child, load(node, Mapping.right));
  b.if(child, () => {
    b.set(last, load(child, Mapping.subtreeEnd));
    widen(load(child, Mapping.subtreeGap));
    widen(i32.sub(load(child, Mapping.subtreeStart), end));
  });
  const same = (field: number, value: I32): I32 => i32.eq(load(node, field), value);
  b.if(
    i32.and(
      same(Mapping.subtreeStart, first),
      i32.and(same(Mapping.subtreeEnd, last), same(Mapping.subtreeGap, gap)),
    ),
    () => b.return(zero),
  );
  b.store('i32.store', node, first, Mapping.subtreeStart);
  b.store('i32.store', node, last, Mapping.subtreeEnd);
  b.store('i32.store', node, gap, Mapping.subtreeGap);
  b.return(i32.const(1));
  return refresh;
}

/**
 * (node): refreshes the node and its ancestors, up to the first that says what it said before: what those above it say
 * depends on it alone. In a large tree that is after a few of them, and the others' cache lines stay untouched.
 */
function writeSettle(module: ModuleBuilder, refresh: FunctionRef): FunctionRef {
  const settle = module.function({ params: ['i32'], results: [] });
  const b = settle.builder;
  const node = b.param('i32', 0);
  b.loop((again) => {
    b.if(i32.eqz(node), () => b.return());
    b.if(i32.eqz(call(refresh, 'i32', node)), () => b.return());
    b.set(node, load(node, Mapping.parent));
    b.br(again);
  });
  return settle;
}

/** (mm, parent, from, to): `to` takes the place of `from` below `parent`, or at the root. */
function writeReplaceChild(module: ModuleBuilder): FunctionRef {
  const replace = module.function({ params: ['i32', 'i32', 'i32', 'i32'], results: [] });
  const b = replace.builder;
  const [mm, parent, from, to] = [0, 1, 2, 3].map((i) => b.param('i32', i));
  b.if(
    i32.eqz(parent),
    () => b.store('i32.store', mm, to, Mm.mappingsRoot),
    () =>
      b.if(
        i32.eq(load(parent, Mapping.left), from),
        () => b.store('i32.store', parent, to, Mapping.left),
        () => b.store('i32.store', parent, to, Mapping.right),
      ),
  );
  b.if(to, () => b.store('i32.store', to, parent, Mapping.parent));
  return replace;
}

/** (mm, node): lifts the node above its parent. */
function writeRotateUp(module: ModuleBuilder, refresh: FunctionRef, replaceChild: FunctionRef): FunctionRef {
  const rotate = module.function({ params: ['i32', 'i32'], results: [] });
  const b = rotate.builder;
  const mm = b.param('i32', 0);
  const node = b.param('i32', 1);
  const parent = b.hold(load(node, Mapping.parent));
  const grand = b.hold(load(parent, Mapping.parent));
  const inner = b.local('i32');
  const lift = (near: number, far: number): void => {
    b.set(inner, load(node, far));
    b.store('i32.store', parent, inner, near);
    b.if(inner, () => b.store('i32.store', inner, parent, Mapping.parent));
    b.store('i32.store', node, parent, far);
  };
  b.if(
    i32.eq(load(parent, Mapping.left), node),
    () => lift(Mapping.left, Mapping.right),
    () => lift(Mapping.right, Mapping.left),
  );
  b.call(replaceChild, mm, grand, parent, node);
  b.store('i32.store', parent, node, Mapping.parent);
  b.drop(call(refresh, 'i32', parent));
  b.drop(call(refresh, 'i32', node));
  return rotate;
}

/** (mm, node): puts a mapping, whose start and end are set and free, into the tree. */
function writeInsert(
  module: ModuleBuilder,
  refresh: FunctionRef,
  rotateUp: FunctionRef,
  settle: FunctionRef,
): FunctionRef {
  const insert = module.function({ params: ['i32', 'i32'], results: [] });
  const b = insert.builder;
  const mm = b.param('i32', 0);
  const node = b.param('i32', 1);
  const start = b.hold(load(node, Mapping.start));
  const parent = b.local('i32');
  const before = b.local('i32');
  const after = b.local('i32');
  const at = b.hold(load(mm, Mm.mappingsRoot));
  b.block((end) => {
    b.loop((again) => {
      b.brIf(end, i32.eqz(at));
      b.set(parent, at);
      b.if(
        i32.lt_s(start, load(at, Mapping.start)),
        () => {
          b.set(after, at);
          b.set(at, load(at, Mapping.left));
        },
        () => {
          b.set(before, at);
          b.set(at, load(at, Mapping.right));
        },
      );
      b.br(again);
    });
  });
  const priority = b.local('i32');
  writePriority(b.set.bind(b), priority, node);
  b.store('i32.store', node, zero, Mapping.left);
  b.store('i32.store', node, zero, Mapping.right);
  b.store('i32.store', node, parent, Mapping.parent);
  b.store('i32.store', node, before, Mapping.previous);
  b.store('i32.store', node, after, Mapping.next);
  b.store('i32.store', node, priority, Mapping.priority);
  b.if(before, () => b.store('i32.store', before, node, Mapping.next));
  b.if(after, () => b.store('i32.store', after, node, Mapping.previous));
  b.if(
    i32.eqz(parent),
    () => b.store('i32.store', mm, node, Mm.mappingsRoot),
    () =>
      b.if(
        i32.eq(parent, after),
        () => b.store('i32.store', parent, node, Mapping.left),
        () => b.store('i32.store', parent, node, Mapping.right),
      ),
  );
  b.drop(call(refresh, 'i32', node));
  b.block((end) => {
    b.loop((again) => {
      b.brIf(end, i32.eqz(parent));
      b.brIf(end, i32.ge_u(load(parent, Mapping.priority), priority));
      b.call(rotateUp, mm, node);
      b.set(parent, load(node, Mapping.parent));
      b.br(again);
    });
  });
  b.call(settle, parent);
  b.store('i32.store', mm, i32.add(load(mm, Mm.mappingCount), i32.const(1)), Mm.mappingCount);
  return insert;
}

/** A fixed pseudo-random priority from the record's address, so that the tree's shape is reproducible. */
function writePriority(set: (local: Local<'i32'>, value: I32) => void, x: Local<'i32'>, record: I32): void {
  set(x, i32.xor(i32.shr_u(record, i32.const(4)), i32.const(0x9e37_79b9)));
  set(x, i32.mul(i32.xor(x, i32.shr_u(x, i32.const(16))), i32.const(0x85eb_ca6b)));
  set(x, i32.mul(i32.xor(x, i32.shr_u(x, i32.const(13))), i32.const(0xc2b2_ae35)));
  set(x, i32.xor(x, i32.shr_u(x, i32.const(16))));
}

/** (mm, node): takes a mapping out of the tree; the record keeps its fields. */
function writeRemove(
  module: ModuleBuilder,
  rotateUp: FunctionRef,
  replaceChild: FunctionRef,
  settle: FunctionRef,
): FunctionRef {
  const remove = module.function({ params: ['i32', 'i32'], results: [] });
  const b = remove.builder;
  const mm = b.param('i32', 0);
  const node = b.param('i32', 1);
  const left = b.local('i32');
  const right = b.local('i32');
  b.block((end) => {
    b.loop((again) => {
      b.set(left, load(node, Mapping.left));
      b.set(right, load(node, Mapping.right));
      b.brIf(end, i32.or(i32.eqz(left), i32.eqz(right)));
      const higher = i32.gt_u(load(left, Mapping.priority), load(right, Mapping.priority));
      b.call(rotateUp, mm, select(higher, left, right));
      b.br(again);
    });
  });
  const parent = b.hold(load(node, Mapping.parent));
  b.call(replaceChild, mm, parent, node, i32.or(left, right));
  b.call(settle, parent);
  const previous = b.hold(load(node, Mapping.previous));
  const next = b.hold(load(node, Mapping.next));
  b.if(previous, () => b.store('i32.store', previous, next, Mapping.next));
  b.if(next, () => b.store('i32.store', next, previous, Mapping.previous));
  b.store('i32.store', mm, i32.sub(load(mm, Mm.mappingCount), i32.const(1)), Mm.mappingCount);
  return remove;
}

function writeFirstEndingAfter(module: ModuleBuilder): FunctionRef {
  const find = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const b = find.builder;
  const mm = b.param('i32', 0);
  const page = b.param('i32', 1);
  const best = b.local('i32');
  const at = b.hold(load(mm, Mm.mappingsRoot));
  b.block((end) => {
    b.loop((again) => {
      b.brIf(end, i32.eqz(at));
      b.if(
        i32.gt_u(load(at, Mapping.end), page),
        () => {
          b.set(best, at);
          b.brIf(end, i32.le_u(load(at, Mapping.start), page));
          b.set(at, load(at, Mapping.left));
        },
        () => b.set(at, load(at, Mapping.right)),
      );
      b.br(again);
    });
  });
  b.return(best);
  return find;
}

function writeLast(module: ModuleBuilder): FunctionRef {
  const last = module.function({ params: ['i32'], results: ['i32'] });
  const b = last.builder;
  const at = b.hold(load(b.param('i32', 0), Mm.mappingsRoot));
  b.block((end) => {
    b.loop((again) => {
      b.brIf(end, i32.eqz(at));
      b.brIf(end, i32.eqz(load(at, Mapping.right)));
      b.set(at, load(at, Mapping.right));
      b.br(again);
    });
  });
  b.return(at);
  return last;
}

/** (node, low, high, want): the highest or lowest page at which `want` pages are free within [low, high), or −1. */
function writeGap(module: ModuleBuilder, fromTop: boolean): FunctionRef {
  const search = module.function({ params: ['i32', 'i32', 'i32', 'i32'], results: ['i32'] });
  const b = search.builder;
  const [node, low, high, want] = [0, 1, 2, 3].map((i) => b.param('i32', i));
  const found = b.local('i32');
  const start = b.local('i32');
  const end = b.local('i32');
  const lacks = (room: I32): I32 => i32.lt_s(room, want);
  // The second subtree to search is a loop, not a call.
  b.loop((again) => {
    b.if(lacks(i32.sub(high, low)), () => b.return(none));
    b.if(i32.eqz(node), () => b.return(fromTop ? i32.sub(high, want) : low));
    b.if(
      i32.and(
        lacks(load(node, Mapping.subtreeGap)),
        i32.and(
          lacks(i32.sub(high, load(node, Mapping.subtreeEnd))),
          lacks(i32.sub(load(node, Mapping.subtreeStart), low)),
        ),
      ),
      () => b.return(none),
    );
    b.set(start, load(node, Mapping.start));
    b.set(end, load(node, Mapping.end));
    const above = (then: (lower: I32) => void): void => b.if(i32.lt_s(end, high), () => then(max(end, low)));
    const below = (then: (upper: I32) => void): void =>
      b.if(i32.gt_s(start, low), () => then(min(start, high)));
    const call4 = (side: number, from: I32, to: I32): void => {
      b.set(found, call(search, 'i32', load(node, side), from, to, want));
      b.if(i32.ge_s(found, zero), () => b.return(found));
    };
    if (fromTop) {
      above((lower) => call4(Mapping.right, lower, high));
      below((upper) => {
        b.set(high, upper);
        b.set(node, load(node, Mapping.left));
        b.br(again);
      });
    } else {
      below((upper) => call4(Mapping.left, low, upper));
      above((lower) => {
        b.set(low, lower);
        b.set(node, load(node, Mapping.right));
        b.br(again);
      });
    }
  });
  b.return(none);
  return search;
}
