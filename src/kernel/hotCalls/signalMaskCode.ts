import { Guest } from '../../sync/records/guest.js';
import { GuestSignals, PendingSignals, Sighand, ThreadSignals } from '../../sync/records/signals.js';
import { ATTENTION_SIGNAL, Thread } from '../../sync/records/thread.js';
import { call, type FunctionRef, i32, i64, type Local } from '../../wasm/index.js';
import { SIGKILL, SIGSTOP } from '../signals/signalNumbers.js';
import { argument, type CallModule, DONE, LEFT, RESULT, word } from './callFrame.js';

const SIG_UNBLOCK = 1;
const SIG_SETMASK = 2;
const SIGSET_SIZE = 8;
const UNBLOCKABLE = (1n << BigInt(SIGKILL - 1)) | (1n << BigInt(SIGSTOP - 1));

/**
 * rt_sigprocmask(2), while nothing is pending for the thread or its guest and none is stopped: then the change concerns nobody
 * else (setBlocked of signals/pendingSignals.ts does the rest).
 */
export function writeSigprocmask({ module, mutex, mode, places }: CallModule): FunctionRef {
  const made = module.function({ params: ['i32'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  const set = b.local('i64');
  const before = b.local('i64');
  const from = b.local('i32');
  const to = b.local('i32');
  const signals = b.local('i32');
  const all = b.local('i32');
  const lock = b.local('i32');
  const how = word(thread, 0);
  const place = (which: FunctionRef, index: number, local: Local<'i32'>): void => {
    b.if(i32.eqz(i64.eqz(argument(thread, index))), () => {
      b.set(local, call(which, 'i32', thread, argument(thread, index), i32.const(7)));
      b.if(i32.eqz(local), () => b.return(LEFT));
    });
  };
  b.if(i64.ne(argument(thread, 3), i64.const(SIGSET_SIZE)), () => b.return(LEFT));
  place(places.read, 1, from);
  place(places.write, 2, to);
  b.set(signals, i32.load(thread, Thread.signals));
  b.set(before, i64.load(signals, ThreadSignals.blockedLow));
  // Where both are one, the kernel could not make the call again once the old set has been written.
  b.if(i32.eq(to, from), () => b.return(LEFT));
  b.if(from, () => b.if(i32.gt_u(how, i32.const(SIG_SETMASK)), () => b.return(LEFT)));
  // Now, since the page may be gone after the thread has left GUEST mode.
  b.if(to, () => b.store('i64.store', to, before));
  b.if(from, () => {
    b.set(set, i64.load(from));
    b.if(i32.eq(how, i32.const(SIG_UNBLOCK)), () => b.set(set, i64.and(before, i64.xor(set, i64.const(-1)))));
    b.if(i32.eqz(how), () => b.set(set, i64.or(before, set)));
    b.set(set, i64.and(set, i64.const(~UNBLOCKABLE)));
    b.if(i64.ne(set, before), () => {
      b.set(lock, i32.add(i32.load(thread, Thread.sighand), i32.const(Sighand.lock)));
      b.set(all, i32.load(i32.load(thread, Thread.guest), Guest.signals));
      b.call(mode.leaveGuest, thread);
      b.call(mutex.lock, lock, thread);
      const pending = i64.or(
        i64.load(signals, ThreadSignals.pending + PendingSignals.low),
        i64.load(all, GuestSignals.pending + PendingSignals.low),
      );
      const told = i32.and(i32.atomic_load(thread, Thread.attention), i32.const(ATTENTION_SIGNAL));
      const concerned = i32.or(
        i64.ne(pending, i64.const(0)),
        i32.or(told, i32.atomic_load(all, GuestSignals.stopped)),
      );
      b.if(concerned, () => {
        b.call(mutex.unlock, lock);
        b.call(mode.enterGuest, thread);
        b.return(LEFT);
      });
      b.store('i64.store', signals, set, ThreadSignals.blockedLow);
      b.call(mutex.unlock, lock);
      b.call(mode.enterGuest, thread);
    });
  });
  b.store('i64.store', thread, i64.const(0), RESULT);
  b.return(DONE);
  return made;
}
