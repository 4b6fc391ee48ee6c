import { MACHINE, Machine } from '../../sync/records/machine.js';
import { call, type FunctionRef, f64, i32, i64 } from '../../wasm/index.js';
import { CLOCK_MONOTONIC, CLOCK_REALTIME } from '../clock.js';
import { argument, type CallModule, DONE, LEFT, RESULT, word } from './callFrame.js';

/** clock_gettime(2) of CLOCK_REALTIME and CLOCK_MONOTONIC, as structsTime.ts writes it. */
export function writeClockGettime({ module, imports, places }: CallModule): FunctionRef {
  const made = module.function({ params: ['i32'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  const at = b.local('i32');
  const time = b.local('f64');
  const seconds = b.local('f64');
  const clock = word(thread, 0);
  b.if(i32.gt_u(clock, i32.const(CLOCK_MONOTONIC)), () => b.return(LEFT));
  // On one page: aligned as the structure is large.
  b.set(at, call(places.write, 'i32', thread, argument(thread, 1), i32.const(15)));
  b.if(i32.eqz(at), () => b.return(LEFT));
  b.set(time, call(imports.now, 'f64'));
  b.if(i32.eq(clock, i32.const(CLOCK_REALTIME)), () => {
    const offset = f64.convert_i64_u(i64.load(i32.const(0), MACHINE + Machine.realtimeOffset));
    b.set(time, f64.add(time, f64.div(offset, f64.const(1000))));
  });
  b.set(seconds, f64.floor(f64.div(time, f64.const(1000))));
  b.store('i64.store', at, i64.trunc_f64_u(seconds));
  // A rounding up to the next second would show nanoseconds as 1e9.
  const rest = f64.mul(f64.sub(time, f64.mul(seconds, f64.const(1000))), f64.const(1e6));
  b.store('i64.store', at, i64.trunc_f64_u(f64.min(f64.const(999_999_999), rest)), 8);
  b.store('i64.store', thread, i64.const(0), RESULT);
  b.return(DONE);
  return made;
}
