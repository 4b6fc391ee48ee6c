import { FUTEX_PLAIN, FutexBucket, FutexWaiter } from '../../sync/records/futex.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { MAPPING_SHARED } from '../../sync/records/mapping.js';
import {
  ATTENTION_EXIT,
  ATTENTION_SIGNAL,
  EXIT_LEFT,
  START_CALL,
  START_RUN,
  Thread,
} from '../../sync/records/thread.js';
import {
  call,
  type FunctionBuilder,
  type FunctionRef,
  globalGet,
  type I32,
  i32,
  i64,
  type Local,
} from '../../wasm/index.js';
import { EAGAIN, EINVAL } from '../errno.js';
import {
  FUTEX_CLOCK_REALTIME,
  FUTEX_CMD_MASK,
  FUTEX_PRIVATE_FLAG,
  FUTEX_WAIT,
  FUTEX_WAIT_BITSET,
  FUTEX_WAKE,
  FUTEX_WAKE_BITSET,
} from '../linux/futexOperations.js';
import * as SYS from '../linux/syscallNumbers.js';
import { argument, type CallModule, DONE, LEFT, RESULT, word } from './callFrame.js';

/** Threads that one turn of a wake takes off their queue: as many as Thread.scratch has room for. */
const TURN = 8;

/** What the module has of futex(2), by the protocol of kernel/futex.ts and futexQueue.ts. */
export interface FutexCode {
  /** The call: (thread) → DONE, LEFT, or EXIT_LEFT where the thread waits without a host, its record anybody's. */
  readonly futex: FunctionRef;
  /** (thread, address) → 1 and the key of a shared futex set, or 0 where another object is mapped or nothing. GUEST mode. */
  readonly sharedKey: FunctionRef;
  /** (thread, count, bitset) → how many waiters of the key were woken, or −EINVAL, or −1 for a call that is left. KERNEL mode. */
  readonly wake: FunctionRef;
  /** (thread) → 1 when the call that the thread has left with its host was a wait that is over by now: it is done then. */
  readonly finishWait: FunctionRef;
}

/** Writes the functions into `module`. */
export function writeFutexCode(parts: CallModule): FutexCode {
  const { module, mapping, mutex, mode, places, unpark, imports } = parts;
  const space = module.global('i32', 0);
  const low = module.global('i32', 0);
  const high = module.global('i32', 0);
  const bucketGlobal = module.global('i32', 0);
  const key = { space: globalGet('i32', space), low: globalGet('i32', low), high: globalGet('i32', high) };
  const bucketOfKey = globalGet('i32', bucketGlobal);

  /** keyOf's hash. */
  const setKey = (b: FunctionBuilder, at: Local<'i64'>, inSpace: I32): void => {
    b.setGlobal(space, inSpace);
    b.setGlobal(low, i32.wrap_i64(at));
    b.setGlobal(high, i32.wrap_i64(i64.shr_u(at, i64.const(32))));
    const mixed = i32.xor(
      i32.xor(i32.shr_u(key.low, i32.const(2)), i32.mul(key.high, i32.const(0x85ebca6b))),
      key.space,
    );
    const index = i32.shr_u(i32.mul(mixed, i32.const(0x9e3779b1)), i32.const(22));
    const buckets = i32.load(i32.const(0), MACHINE + Machine.futexBuckets);
    b.setGlobal(bucketGlobal, i32.add(buckets, i32.mul(index, i32.const(FutexBucket.SIZE))));
  };

  const sharedKey = module.function({ params: ['i32', 'i64'], results: ['i32'] });
  {
    const b = sharedKey.builder;
    const thread = b.param('i32', 0);
    const at = b.param('i64', 1);
    const mm = b.hold(i32.load(thread, Thread.mm));
    b.if(i64.ge_u(at, i64.load(thread, Thread.reach)), () => b.return(i32.const(0)));
    const page = i32.wrap_i64(i64.shr_u(at, i64.const(12)));
    b.if(i32.eqz(call(mapping.look, 'i32', mm, page)), () => b.return(i32.const(0)));
    b.if(i32.and(mapping.flags, i32.const(MAPPING_SHARED)), () =>
      b.if(mapping.object, () => b.return(i32.const(0))),
    );
    setKey(b, at, i32.add(mm, i32.const(1)));
    b.return(i32.const(1));
  }

  const matches = (w: I32): I32 =>
    i32.and(
      i32.eq(i32.load(w, FutexWaiter.low), key.low),
      i32.and(
        i32.eq(i32.load(w, FutexWaiter.space), key.space),
        i32.eq(i32.load(w, FutexWaiter.high), key.high),
      ),
    );

  const wake = module.function({ params: ['i32', 'i32', 'i32'], results: ['i32'] });
  {
    const b = wake.builder;
    const thread = b.param('i32', 0);
    const count = b.param('i32', 1);
    const bitset = b.param('i32', 2);
    const waiter = b.local('i32');
    const next = b.local('i32');
    const previous = b.local('i32');
    const woken = b.local('i32');
    const turn = b.local('i32');
    const error = b.local('i32');
    const bucket = b.hold(bucketOfKey);
    const lock = i32.add(bucket, i32.const(FutexBucket.lock));
    const slot = i32.add(thread, i32.shl(turn, i32.const(2)));
    b.if(i32.eqz(i32.atomic_load(bucket, FutexBucket.waiters)), () => b.return(i32.const(0)));
    b.loop((again) => {
      b.set(turn, i32.const(0));
      b.call(mutex.lock, lock, thread);
      b.set(waiter, i32.load(bucket, FutexBucket.first));
      b.block((enough) => {
        b.loop((look) => {
          b.brIf(enough, i32.eqz(waiter));
          b.brIf(enough, i32.ge_s(i32.add(woken, turn), count));
          b.brIf(enough, i32.eq(turn, i32.const(TURN)));
          b.set(next, i32.load(waiter, FutexWaiter.next));
          b.if(matches(waiter), () => {
            b.if(i32.ne(i32.load(waiter, FutexWaiter.kind), i32.const(FUTEX_PLAIN)), () => {
              b.set(error, i32.const(1));
              b.br(enough);
            });
            b.if(i32.and(i32.load(waiter, FutexWaiter.bitset), bitset), () => {
              // unlinkLocked and releaseLocked
              b.store('i32.store', slot, i32.load(waiter, FutexWaiter.thread), Thread.scratch);
              b.set(turn, i32.add(turn, i32.const(1)));
              b.set(previous, i32.load(waiter, FutexWaiter.previous));
              b.if(
                next,
                () => b.store('i32.store', next, previous, FutexWaiter.previous),
                () => b.store('i32.store', bucket, previous, FutexBucket.last),
              );
              b.if(
                previous,
                () => b.store('i32.store', previous, next, FutexWaiter.next),
                () => b.store('i32.store', bucket, next, FutexBucket.first),
              );
              b.drop(i32.atomic_rmw_sub(bucket, i32.const(1), FutexBucket.waiters));
              // The last look at the record: its thread may use or free it from here on.
              b.store('i32.atomic.store', waiter, i32.const(0), FutexWaiter.bucket);
            });
          });
          b.set(waiter, next);
          b.br(look);
        });
      });
      b.call(mutex.unlock, lock);
      b.set(woken, i32.add(woken, turn));
      // A turn that is full may have left some: they are looked for again.
      b.set(next, i32.and(i32.eq(turn, i32.const(TURN)), i32.lt_s(woken, count)));
      b.block((none) => {
        b.loop((each) => {
          b.brIf(none, i32.eqz(turn));
          b.set(turn, i32.sub(turn, i32.const(1)));
          b.call(unpark, i32.load(slot, Thread.scratch));
          b.br(each);
        });
      });
      b.if(error, () => {
        b.if(i32.eqz(woken), () => b.return(i32.const(-1)));
        b.return(i32.const(-EINVAL));
      });
      b.brIf(again, next);
    });
    b.return(woken);
  }

  const wait = module.function({ params: ['i32', 'i32', 'i32'], results: ['i32'] });
  {
    const b = wait.builder;
    const thread = b.param('i32', 0);
    const expected = b.param('i32', 1);
    const bitset = b.param('i32', 2);
    const at = b.local('i32');
    const ticket = b.local('i32');
    const previous = b.local('i32');
    const bucket = b.hold(bucketOfKey);
    const waiter = b.hold(i32.load(thread, Thread.futexWaiter));
    const lock = i32.add(bucket, i32.const(FutexBucket.lock));
    const finish = (result: number): void => {
      b.store('i64.store', thread, i64.const(result), RESULT);
      b.return(DONE);
    };
    b.if(i32.load(thread, Thread.schedulingPriority), () => b.return(LEFT));
    // Counted before the word is read: a waker that changed the word before that, and then sees no waiter, is right.
    b.drop(i32.atomic_rmw_add(bucket, i32.const(1), FutexBucket.waiters));
    b.call(mode.leaveGuest, thread);
    b.call(mutex.lock, lock, thread);
    b.call(mode.enterGuest, thread);
    b.set(at, call(places.read, 'i32', thread, argument(thread, 0), i32.const(3)));
    const giveUp = (): void => {
      b.call(mode.leaveGuest, thread);
      b.call(mutex.unlock, lock);
      b.drop(i32.atomic_rmw_sub(bucket, i32.const(1), FutexBucket.waiters));
      b.call(mode.enterGuest, thread);
    };
    b.if(i32.eqz(at), () => {
      giveUp();
      b.return(LEFT);
    });
    b.if(i32.ne(i32.atomic_load(at), expected), () => {
      giveUp();
      finish(-EAGAIN);
    });
    b.call(mode.leaveGuest, thread);
    b.store('i32.store', waiter, key.space, FutexWaiter.space);
    b.store('i32.store', waiter, key.low, FutexWaiter.low);
    b.store('i32.store', waiter, key.high, FutexWaiter.high);
    b.store('i32.store', waiter, bitset, FutexWaiter.bitset);
    b.store('i32.store', waiter, i32.const(FUTEX_PLAIN), FutexWaiter.kind);
    b.store('i32.store', waiter, i32.const(0), FutexWaiter.priority);
    b.set(ticket, i32.atomic_load(thread, Thread.parkWord));
    b.set(previous, i32.load(bucket, FutexBucket.last));
    b.store('i32.store', waiter, i32.const(0), FutexWaiter.next);
    b.store('i32.store', waiter, previous, FutexWaiter.previous);
    b.if(
      previous,
      () => b.store('i32.store', previous, waiter, FutexWaiter.next),
      () => b.store('i32.store', bucket, waiter, FutexBucket.first),
    );
    b.store('i32.store', bucket, waiter, FutexBucket.last);
    b.store('i32.atomic.store', waiter, bucket, FutexWaiter.bucket);
    b.call(mutex.unlock, lock);
    b.store('i32.store', thread, i32.const(SYS.SYS_futex), Thread.syscall);
    const attention = i32.atomic_load(thread, Thread.attention);
    b.loop((again) => {
      b.if(i32.eqz(i32.atomic_load(waiter, FutexWaiter.bucket)), () => {
        b.store('i32.store', thread, i32.const(-1), Thread.syscall);
        b.call(mode.enterGuest, thread);
        finish(0);
      });
      b.if(i32.and(attention, i32.const(ATTENTION_SIGNAL | ATTENTION_EXIT)), () => {
        // The kernel makes the call again, and finds the signal, unless the thread has just been woken.
        b.if(call(imports.withdraw, 'i32', waiter, thread), () => {
          b.call(mode.enterGuest, thread);
          b.return(LEFT);
        });
        b.br(again);
      });
      b.set(previous, i32.atomic_load(i32.const(0), MACHINE + Machine.waitingFirst));
      b.if(i32.eqz(previous), () => b.set(previous, call(imports.park, 'i32', thread, ticket)));
      b.if(previous, () => {
        b.store('i32.atomic.store', thread, i32.const(START_CALL), Thread.start);
        b.call(imports.leave, thread, ticket);
        b.return(i32.const(EXIT_LEFT));
      });
      b.set(ticket, i32.atomic_load(thread, Thread.parkWord));
      b.br(again);
    });
  }

  const futex = module.function({ params: ['i32'], results: ['i32'] });
  {
    const b = futex.builder;
    const thread = b.param('i32', 0);
    const at = b.hold(argument(thread, 0));
    const operation = b.hold(word(thread, 1));
    const bitset = b.local('i32');
    const place = b.local('i32');
    const woken = b.local('i32');
    const command = b.hold(i32.and(operation, i32.const(FUTEX_CMD_MASK)));
    const is = (which: number): I32 => i32.eq(command, i32.const(which));
    const waits = b.hold(i32.or(is(FUTEX_WAIT), is(FUTEX_WAIT_BITSET)));
    const wakes = i32.or(is(FUTEX_WAKE), is(FUTEX_WAKE_BITSET));
    b.if(i32.eqz(i32.or(waits, wakes)), () => b.return(LEFT));
    b.if(i32.and(operation, i32.const(FUTEX_CLOCK_REALTIME)), () =>
      b.if(i32.eqz(is(FUTEX_WAIT_BITSET)), () => b.return(LEFT)),
    );
    b.set(bitset, i32.const(-1));
    b.if(i32.ge_u(command, i32.const(FUTEX_WAIT_BITSET)), () => b.set(bitset, word(thread, 5)));
    b.if(i32.eqz(bitset), () => b.return(LEFT));
    b.if(i32.and(i32.wrap_i64(at), i32.const(3)), () => b.return(LEFT));
    b.if(
      i32.and(operation, i32.const(FUTEX_PRIVATE_FLAG)),
      () => {
        b.if(i64.ge_u(at, i64.load(thread, Thread.reach)), () => b.return(LEFT));
        setKey(b, at, i32.load(thread, Thread.mm));
      },
      () => b.if(i32.eqz(call(sharedKey, 'i32', thread, at)), () => b.return(LEFT)),
    );
    b.if(waits, () => {
      b.if(i32.eqz(i64.eqz(argument(thread, 3))), () => b.return(LEFT));
      b.set(place, call(places.read, 'i32', thread, at, i32.const(3)));
      b.if(i32.eqz(place), () => b.return(LEFT));
      b.if(i32.ne(i32.atomic_load(place), word(thread, 2)), () => {
        b.store('i64.store', thread, i64.const(-EAGAIN), RESULT);
        b.return(DONE);
      });
      b.returnCall(wait, thread, word(thread, 2), bitset);
    });
    b.if(i32.atomic_load(bucketOfKey, FutexBucket.waiters), () => {
      b.call(mode.leaveGuest, thread);
      const most = b.hold(word(thread, 2));
      b.if(i32.lt_s(most, i32.const(1)), () => b.set(most, i32.const(1)));
      b.set(woken, call(wake, 'i32', thread, most, bitset));
      b.call(mode.enterGuest, thread);
      b.if(i32.eq(woken, i32.const(-1)), () => b.return(LEFT));
    });
    b.store('i64.store', thread, i64.extend_i32_s(woken), RESULT);
    b.return(DONE);
  }

  const finishWait = module.function({ params: ['i32'], results: ['i32'] });
  {
    const b = finishWait.builder;
    const thread = b.param('i32', 0);
    const otherwise = (condition: I32): void => b.if(condition, () => b.return(i32.const(0)));
    const command = i32.and(word(thread, 1), i32.const(FUTEX_CMD_MASK));
    otherwise(i64.ne(i64.load(thread, Thread.x + 17 * 8), i64.const(SYS.SYS_futex)));
    otherwise(i32.eqz(i32.or(i32.eqz(command), i32.eq(command, i32.const(FUTEX_WAIT_BITSET)))));
    otherwise(i32.eqz(i64.eqz(argument(thread, 3))));
    otherwise(i32.atomic_load(i32.load(thread, Thread.futexWaiter), FutexWaiter.bucket));
    b.store('i64.store', thread, i64.const(0), RESULT);
    b.store('i64.store', thread, i64.add(i64.load(thread, Thread.pc), i64.const(4)), Thread.pc);
    const calls = i32.add(i32.load(thread, Thread.syscallCount), i32.const(1));
    b.store('i32.store', thread, calls, Thread.syscallCount);
    b.store('i32.store', thread, i32.const(-1), Thread.syscall);
    b.store('i32.atomic.store', thread, i32.const(START_RUN), Thread.start);
    b.return(i32.const(1));
  }
  return { futex, sharedKey, wake, finishWait };
}
