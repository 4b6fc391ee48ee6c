import { Thread } from '../sync/records/thread.js';
import {
  call,
  type FunctionBuilder,
  type FunctionRef,
  type I32,
  type I64,
  i32,
  i64,
  type ModuleBuilder,
} from '../wasm/index.js';

/** The slow paths of guest memory, as functions of the interpreter's module. */
export interface MemoryHelpers {
  /**
   * (thread, address, size) → machine address to load `size` bytes from: the place itself, or Thread.scratch with a copy
   * when the access crosses two host pages. 0 when it faults: then exitAddress and exitSize are set.
   */
  readonly loadAddress: FunctionRef;
  /**
   * (thread, address, size, value) → 1 when the low `size` bytes of `value` are stored, 0 when it faults (then nothing
   * is, and exitAddress and exitSize are set).
   */
  readonly store: FunctionRef;
  /** (thread, address, size) → machine address for an aligned atomic access that needs to write, or 0 as above. */
  readonly writeAddress: FunctionRef;
}

/** Adds the helpers to `module` for host pages of 2^`hostPageShift` bytes. */
export function defineMemoryHelpers(module: ModuleBuilder, hostPageShift: number): MemoryHelpers {
  const pageMask = (1 << hostPageShift) - 1;

  // (thread, address, table) → machine address or 0
  const translate = module.function({ params: ['i32', 'i64', 'i32'], results: ['i32'] });
  {
    const f = translate.builder;
    const thread = f.param('i32', 0);
    const address = f.param('i64', 1);
    const table = f.param('i32', 2);
    const entry = f.local('i32');
    f.if(i64.ge_u(address, i64.load(thread, Thread.reach)), () => f.return(i32.const(0)));
    f.set(entry, i32.load(i32.add(table, tableOffset(address, hostPageShift))));
    f.if(i32.eqz(entry), () => f.return(i32.const(0)));
    f.return(i32.sub(i32.add(i32.wrap_i64(address), entry), i32.const(1)));
  }

  const fault = (f: FunctionBuilder, thread: I32, address: I64, size: I32): void => {
    f.store('i64.store', thread, address, Thread.exitAddress);
    f.store('i32.store', thread, size, Thread.exitSize);
    f.return(i32.const(0));
  };

  /** Bytes of [address, address + size) that are in the first host page; `size` when all of it is. */
  const firstPart = (f: FunctionBuilder, address: I64, size: I32) => {
    const room = f.hold(
      i32.sub(i32.const(pageMask + 1), i32.and(i32.wrap_i64(address), i32.const(pageMask))),
    );
    f.if(i32.gt_u(room, size), () => f.set(room, size));
    return room;
  };

  const loadAddress = module.function({ params: ['i32', 'i64', 'i32'], results: ['i32'] });
  {
    const f = loadAddress.builder;
    const thread = f.param('i32', 0);
    const address = f.param('i64', 1);
    const size = f.param('i32', 2);
    const table = f.hold(i32.load(thread, Thread.readTable));
    const first = firstPart(f, address, size);
    const from = f.hold(call(translate, 'i32', thread, address, table));
    f.if(i32.eqz(from), () => fault(f, thread, address, size));
    f.if(i32.eq(first, size), () => f.return(from));
    const secondAddress = f.hold(i64.add(address, i64.extend_i32_u(first)));
    const second = f.hold(call(translate, 'i32', thread, secondAddress, table));
    f.if(i32.eqz(second), () => fault(f, thread, secondAddress, size));
    const index = f.local('i32');
    f.loop((again) => {
      f.store(
        'i32.store8',
        i32.add(thread, index),
        i32.load8_u(bytePlace(f, from, second, first, index)),
        Thread.scratch,
      );
      f.set(index, i32.add(index, i32.const(1)));
      f.brIf(again, i32.lt_u(index, size));
    });
    f.return(i32.add(thread, i32.const(Thread.scratch)));
  }

  const store = module.function({ params: ['i32', 'i64', 'i32', 'i64'], results: ['i32'] });
  {
    const f = store.builder;
    const thread = f.param('i32', 0);
    const address = f.param('i64', 1);
    const size = f.param('i32', 2);
    const value = f.param('i64', 3);
    const table = f.hold(i32.load(thread, Thread.writeTable));
    const first = firstPart(f, address, size);
    const to = f.hold(call(translate, 'i32', thread, address, table));
    f.if(i32.eqz(to), () => fault(f, thread, address, size));
    f.if(i32.eq(first, size), () => {
      // In one page: one store, so that an aligned one stays whole.
      f.if(i32.eq(size, i32.const(8)), () => f.store('i64.store', to, value));
      f.if(i32.eq(size, i32.const(4)), () => f.store('i64.store32', to, value));
      f.if(i32.eq(size, i32.const(2)), () => f.store('i64.store16', to, value));
      f.if(i32.eq(size, i32.const(1)), () => f.store('i64.store8', to, value));
      f.return(i32.const(1));
    });
    const secondAddress = f.hold(i64.add(address, i64.extend_i32_u(first)));
    const second = f.hold(call(translate, 'i32', thread, secondAddress, table));
    f.if(i32.eqz(second), () => fault(f, thread, secondAddress, size));
    const index = f.local('i32');
    f.loop((again) => {
      f.store('i64.store8', bytePlace(f, to, second, first, index), value);
      f.set(value, i64.shr_u(value, i64.const(8)));
      f.set(index, i32.add(index, i32.const(1)));
      f.brIf(again, i32.lt_u(index, size));
    });
    f.return(i32.const(1));
  }

  const writeAddress = module.function({ params: ['i32', 'i64', 'i32'], results: ['i32'] });
  {
    const f = writeAddress.builder;
    const thread = f.param('i32', 0);
    const address = f.param('i64', 1);
    const size = f.param('i32', 2);
    const to = f.hold(call(translate, 'i32', thread, address, i32.load(thread, Thread.writeTable)));
    f.if(i32.eqz(to), () => fault(f, thread, address, size));
    f.return(to);
  }

  return { loadAddress, store, writeAddress };
}

/** Byte offset of `address`'s entry in a flat table. The address is within reach. */
export function tableOffset(address: I64, hostPageShift: number): I32 {
  return i32.and(i32.wrap_i64(i64.shr_u(address, i64.const(hostPageShift - 2))), i32.const(-4));
}

/** Machine address of byte `index` of an access of which `first` bytes are at `a` and the others at `b`. */
function bytePlace(f: FunctionBuilder, a: I32, b: I32, first: I32, index: I32): I32 {
  const place = f.local('i32');
  f.if(
    i32.lt_u(index, first),
    () => f.set(place, i32.add(a, index)),
    () => f.set(place, i32.add(b, i32.sub(index, first))),
  );
  f.release(place);
  return place;
}
