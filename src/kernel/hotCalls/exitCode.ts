import { Files, Fs } from '../../sync/records/files.js';
import { Guest } from '../../sync/records/guest.js';
import { GuestTree } from '../../sync/records/guestTree.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import { GuestSignals, PendingSignals, Sighand, ThreadSignals } from '../../sync/records/signals.js';
import {
  ATTENTION_EXIT,
  ATTENTION_SIGNAL,
  EXIT_ENDED,
  FUTEXES_LEAVING,
  FUTEXES_LEFT,
  Thread,
} from '../../sync/records/thread.js';
import { call, type FunctionRef, type I32, type I64, i32, i64 } from '../../wasm/index.js';
import { type CallModule, LEFT, word } from './callFrame.js';
import type { FutexCode } from './futexCode.js';

/**
 * exit(2) of a thread that is neither the first of its guest nor the last one, holds no robust or PI lock and has no children to
 * pass on: `endThread` of kernel/exit.ts, step by step. (thread) → LEFT, or EXIT_ENDED: the record is anybody's.
 */
export function writeExit(parts: CallModule, futex: FutexCode): FunctionRef {
  const { module, mutex, mode, places, unpark, imports } = parts;
  const made = module.function({ params: ['i32'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  const guest = b.hold(i32.load(thread, Thread.guest));
  const mm = b.hold(i32.load(thread, Thread.mm));
  const head = b.hold(i64.load(thread, Thread.robustList));
  const tidWord = b.hold(i64.load(thread, Thread.clearChildTid));
  const at = b.local('i32');
  const ending = b.local('i32');
  const other = b.local('i32');
  const leftIf = (condition: I32): void => b.if(condition, () => b.return(LEFT));
  const add = (field: number, amount: I64): void =>
    b.store('i64.store', guest, i64.add(i64.load(guest, field), amount), field);

  leftIf(i32.eq(i32.load(thread, Thread.tid), i32.load(guest, Guest.pid)));
  leftIf(i32.or(i32.load(thread, Thread.vforkParent), i32.load(guest, Guest.children)));
  leftIf(i32.load(thread, Thread.semaphoreUndos));
  leftIf(i32.and(i32.atomic_load(thread, Thread.attention), i32.const(ATTENTION_SIGNAL | ATTENTION_EXIT)));
  // walkRobustList: an empty list, with nothing being locked.
  b.if(i32.eqz(i64.eqz(head)), () => {
    b.set(at, call(places.read, 'i32', thread, head, i32.const(7)));
    leftIf(i32.eqz(at));
    leftIf(i64.ne(i64.load(at), head));
    b.set(at, call(places.read, 'i32', thread, i64.add(head, i64.const(16)), i32.const(7)));
    leftIf(i32.eqz(at));
    leftIf(i64.ne(i64.load(at), i64.const(0)));
  });
  // clearChildTid's key, and its place.
  leftIf(i64.eqz(tidWord));
  b.set(at, call(places.write, 'i32', thread, tidWord, i32.const(3)));
  leftIf(i32.eqz(at));
  leftIf(i32.eqz(call(futex.sharedKey, 'i32', thread, tidWord)));
  // leaveLocks: from here on nobody queues behind the thread.
  b.store('i32.atomic.store', thread, i32.const(FUTEXES_LEAVING), Thread.futexState);
  leftIf(i32.atomic_load(i32.const(0), MACHINE + Machine.lockWaiters));
  // The last one of the guest has more to do.
  b.loop((again) => {
    b.set(ending, i32.atomic_load(guest, Guest.threadsEnding));
    leftIf(i32.ge_s(i32.add(ending, i32.const(1)), i32.atomic_load(guest, Guest.threadsStarted)));
    const next = i32.add(ending, i32.const(1));
    b.brIf(again, i32.ne(i32.atomic_rmw_cmpxchg(guest, ending, next, Guest.threadsEnding), ending));
  });

  // From here on it is done.
  const calls = i32.add(i32.load(thread, Thread.syscallCount), i32.const(1));
  b.store('i32.store', thread, calls, Thread.syscallCount);
  b.store('i64.store', thread, i64.const(0), Thread.clearChildTid);
  const status = i32.shl(i32.and(word(thread, 0), i32.const(0xff)), i32.const(8));
  b.store('i32.store', thread, status, Thread.exitStatus);
  b.store('i32.atomic.store', at, i32.const(0));
  b.call(mode.leaveGuest, thread);
  b.call(imports.prepareToLeave);
  b.store('i32.atomic.store', thread, i32.const(FUTEXES_LEFT), Thread.futexState);
  b.drop(call(futex.wake, 'i32', thread, i32.const(1), i32.const(-1)));

  // removeThread
  const threadsLock = i32.add(mm, i32.const(Mm.threadsLock));
  b.call(mutex.lock, threadsLock, thread);
  const unlink = (list: I32, next: number): void => {
    b.set(other, list);
    b.loop((again) => {
      const after = i32.load(other);
      b.if(i32.ne(after, thread), () => {
        b.set(other, i32.add(after, i32.const(next)));
        b.br(again);
      });
    });
    b.store('i32.store', other, i32.load(thread, next));
  };
  unlink(i32.add(mm, i32.const(Mm.threads)), Thread.nextInMm);
  b.drop(i32.atomic_rmw_sub(mm, i32.const(1), Mm.threadCount));
  b.store('i32.store', thread, i32.const(0), Thread.mm);
  b.call(mutex.unlock, threadsLock);

  const files = b.hold(i32.load(thread, Thread.files));
  const fs = b.hold(i32.load(thread, Thread.fs));
  b.store('i32.store', thread, i32.const(0), Thread.files);
  b.store('i32.store', thread, i32.const(0), Thread.fs);
  /** The last reference is the kernel's to give up, which counts it itself. */
  const release = (record: I32, refs: number, last: FunctionRef): void => {
    const count = b.local('i32');
    b.set(count, i32.atomic_load(record, refs));
    b.block((done) => {
      b.loop((again) => {
        b.if(i32.eq(count, i32.const(1)), () => {
          b.call(last, thread, record);
          b.br(done);
        });
        const now = b.hold(i32.atomic_rmw_cmpxchg(record, count, i32.sub(count, i32.const(1)), refs));
        b.brIf(done, i32.eq(now, count));
        b.set(count, now);
        b.release(now);
        b.br(again);
      });
    });
    b.release(count);
  };
  release(files, Files.refs, imports.releaseFiles);
  release(fs, Fs.refs, imports.releaseFs);
  release(mm, Mm.refs, imports.releaseMm);

  b.call(imports.endCpuTime, thread);
  b.set(other, i32.load(guest, Guest.tree));
  b.if(other, () => b.drop(i32.atomic_rmw_sub(other, i32.const(1), GuestTree.threads)));

  const guestLock = i32.add(guest, i32.const(Guest.threadsLock));
  b.call(mutex.lock, guestLock, thread);
  const count = i32.load(guest, Guest.threadCount);
  // Others that began to end later may have come here before.
  b.if(i32.eq(count, i32.const(1)), () => {
    b.call(mutex.unlock, guestLock);
    b.call(imports.quitGuest);
    b.return(i32.const(EXIT_ENDED));
  });
  unlink(i32.add(guest, i32.const(Guest.threads)), Thread.nextInGuest);
  b.store('i32.store', guest, i32.sub(count, i32.const(1)), Guest.threadCount);
  b.set(other, i32.load(guest, Guest.execThread));
  b.if(other, () => b.call(unpark, other));
  const shared = i64.load(i32.load(guest, Guest.signals), GuestSignals.pending + PendingSignals.low);
  b.if(i64.ne(shared, i64.const(0)), () => b.call(imports.retarget, thread));
  add(Guest.instret, i64.load(thread, Thread.instret));
  add(Guest.syscallCount, i64.load32_u(thread, Thread.syscallCount));
  for (const which of [0, 8, 16, 24]) add(Guest.io + which, i64.load(thread, Thread.io + which));
  add(Guest.faultCount, i64.load32_u(thread, Thread.faultCount));
  b.call(mutex.unlock, guestLock);

  const own = i32.or(i32.load(thread, Thread.processId), i32.load(thread, Thread.cred));
  b.if(own, () => b.call(imports.leaveRecords, thread));
  release(i32.load(thread, Thread.sighand), Sighand.refs, imports.releaseSighand);
  const pending = i32.load(i32.load(thread, Thread.signals), ThreadSignals.pending + PendingSignals.first);
  b.if(pending, () => b.call(imports.discardSignals, thread));
  // freeThread: nothing may follow.
  const guestsLock = i32.const(MACHINE + Machine.guestsLock);
  b.call(mutex.lock, guestsLock, thread);
  const free = i32.load(i32.const(0), MACHINE + Machine.freeThreads);
  b.store('i32.store', thread, free, Thread.nextFree);
  b.store('i32.store', i32.const(0), thread, MACHINE + Machine.freeThreads);
  b.call(mutex.unlock, guestsLock);
  b.return(i32.const(EXIT_ENDED));
  return made;
}
