import { type FunctionRef, i32, type ModuleBuilder } from '../wasm/index.js';
import { MACHINE, Machine } from './records/machine.js';
import { AWAKE, HOSTLESS, Thread } from './records/thread.js';

/**
 * Writes `unpark` (park.ts) into `module`: a function of the thread. `resume` hands a thread that waited without a host to one
 * (hosts.ts), and is imported.
 */
export function writeUnparkCode(module: ModuleBuilder, resume: FunctionRef): FunctionRef {
  const unpark = module.function({ params: ['i32'], results: [] });
  const b = unpark.builder;
  const thread = b.param('i32', 0);
  const asleep = b.local('i32');
  b.drop(i32.atomic_rmw_add(thread, i32.const(1), Thread.parkWord));
  b.set(asleep, i32.atomic_load(thread, Thread.asleep));
  b.if(i32.eq(asleep, i32.const(HOSTLESS)), () => {
    const seen = i32.atomic_rmw_cmpxchg(thread, i32.const(HOSTLESS), i32.const(AWAKE), Thread.asleep);
    b.if(i32.eq(seen, i32.const(HOSTLESS)), () => {
      b.drop(i32.atomic_rmw_sub(i32.const(0), i32.const(1), MACHINE + Machine.threadsHostless));
      b.call(resume, thread);
    });
    b.return();
  });
  b.if(i32.ne(asleep, i32.const(AWAKE)), () =>
    b.drop(i32.atomic_notify(thread, i32.const(-1), Thread.parkWord)),
  );
  return unpark;
}
