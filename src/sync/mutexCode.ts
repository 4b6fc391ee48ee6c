import { type FunctionRef, type I32, i32, i64, type ModuleBuilder } from '../wasm/index.js';
import { Mutex } from './mutex.js';

/** The functions of a module that take and give back a Mutex, by the protocol of mutex.ts. Parameters: mutex, owner. */
export interface MutexCode {
  /** Traps when the owner has the mutex already. */
  readonly lock: FunctionRef;
  /** The holder is the caller, and holds it once. */
  readonly unlock: FunctionRef;
}

/**
 * Looks at a held mutex before sleeping: some 6 µs, which is many times what anybody holds one for (munmap, while another
 * thread comes to its safepoint, for a microsecond or two) and a fifth of what it takes to be woken.
 */
const SPINS = 6000;

/** Writes the mutex's functions into `module`. */
export function writeMutexCode(module: ModuleBuilder): MutexCode {
  const contended = module.function({ params: ['i32'], results: [] });
  {
    const b = contended.builder;
    const mutex = b.param('i32', 0);
    const spins = b.local('i32');
    b.set(spins, i32.const(SPINS));
    b.loop((again) => {
      // A plain look first: trying to exchange keeps the cache line from the holder.
      b.if(i32.eqz(i32.atomic_load(mutex, Mutex.state)), () => {
        b.if(i32.eqz(i32.atomic_rmw_cmpxchg(mutex, i32.const(0), i32.const(1), Mutex.state)), () =>
          b.return(),
        );
      });
      b.set(spins, i32.sub(spins, i32.const(1)));
      b.brIf(again, spins);
    });
    b.drop(i32.atomic_rmw_add(mutex, i32.const(1), Mutex.waits));
    b.loop((again) => {
      b.if(i32.atomic_rmw_xchg(mutex, i32.const(2), Mutex.state), () => {
        b.drop(i32.atomic_wait(mutex, i32.const(2), i64.const(-1), Mutex.state));
        b.br(again);
      });
    });
  }
  const lock = module.function({ params: ['i32', 'i32'], results: [] });
  {
    const b = lock.builder;
    const mutex = b.param('i32', 0);
    const owner = b.param('i32', 1);
    b.if(i32.eq(i32.load(mutex, Mutex.owner), owner), () => b.unreachable());
    b.if(i32.atomic_rmw_cmpxchg(mutex, i32.const(0), i32.const(1), Mutex.state), () =>
      b.call(contended, mutex),
    );
    b.store('i32.store', mutex, owner, Mutex.owner);
    b.store('i32.store', mutex, i32.const(1), Mutex.depth);
  }
  const unlock = module.function({ params: ['i32'], results: [] });
  {
    const b = unlock.builder;
    const mutex = b.param('i32', 0);
    b.store('i32.store', mutex, i32.const(0), Mutex.depth);
    b.store('i32.store', mutex, i32.const(0), Mutex.owner);
    b.if(wasContended(mutex), () => b.drop(i32.atomic_notify(mutex, i32.const(1), Mutex.state)));
  }
  return { lock, unlock };
}

/** Frees the state and says whether somebody sleeps. */
function wasContended(mutex: I32): I32 {
  return i32.eq(i32.atomic_rmw_xchg(mutex, i32.const(0), Mutex.state), i32.const(2));
}
