import { LOCK_BUCKETS, LockHistogram } from '../../sync/lockHistogram.js';
import type { MutexCode } from '../../sync/mutexCode.js';
import { Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import {
  call,
  type F64,
  type FunctionBuilder,
  type FunctionRef,
  f64,
  type I32,
  i32,
  type ModuleBuilder,
  select,
} from '../../wasm/index.js';
import { machine, one } from './pageCode.js';

/** The mmap mutex, measured where the machine wants it. */
export interface MapLockCode {
  /** (mm, thread); the thread does not hold it. */
  readonly lockMap: FunctionRef;
  /** (mm); the caller holds it once. */
  readonly unlockMap: FunctionRef;
}

/** Writes the functions into `module`; `now` is an imported clock in milliseconds. */
export function writeMapLockCode(module: ModuleBuilder, mutex: MutexCode, now: FunctionRef): MapLockCode {
  const time = (): F64 => call(now, 'f64');
  const histogram = machine(Machine.lockHistogram);
  const lockMap = module.function({ params: ['i32', 'i32'], results: [] });
  {
    const b = lockMap.builder;
    const mm = b.param('i32', 0);
    const lock = i32.add(mm, i32.const(Mm.mmapLock));
    b.if(i32.eqz(histogram), () => {
      b.call(mutex.lock, lock, b.param('i32', 1));
      b.return();
    });
    const from = b.hold(time());
    b.call(mutex.lock, lock, b.param('i32', 1));
    const since = b.hold(time());
    b.store('f64.store', mm, since, Mm.mmapLockedAt);
    writeCount(b, i32.add(histogram, i32.const(LockHistogram.waits)), f64.sub(since, from));
  }
  const unlockMap = module.function({ params: ['i32'], results: [] });
  {
    const b = unlockMap.builder;
    const mm = b.param('i32', 0);
    b.if(histogram, () => {
      const held = f64.sub(time(), f64.load(mm, Mm.mmapLockedAt));
      writeCount(b, i32.add(histogram, i32.const(LockHistogram.holds)), held);
    });
    b.call(mutex.unlock, i32.add(mm, i32.const(Mm.mmapLock)));
  }
  return { lockMap, unlockMap };
}

function writeCount(b: FunctionBuilder, counts: I32, milliseconds: F64): void {
  const nanoseconds = i32.trunc_sat_f64_u(f64.mul(milliseconds, f64.const(1e6)));
  const bits = b.hold(i32.sub(i32.const(32), i32.clz(nanoseconds)));
  const most = i32.const(LOCK_BUCKETS - 1);
  const bucket = select(i32.gt_u(bits, most), most, bits);
  b.drop(i32.atomic_rmw_add(i32.add(counts, i32.shl(bucket, i32.const(2))), one));
}
