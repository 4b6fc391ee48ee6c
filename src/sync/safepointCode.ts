import { type FunctionRef, i32, i64, type ModuleBuilder } from '../wasm/index.js';
import type { MutexCode } from './mutexCode.js';
import { Mm } from './records/mm.js';
import { ATTENTION_QUIESCE, ATTENTION_STOP, MODE_GUEST, MODE_KERNEL, Thread } from './records/thread.js';

/** Looks at a thread in GUEST mode before sleeping until it leaves. */
const SPINS = 2000;
const PATIENCE = 10_000_000n;

/**
 * Writes quiesceOthers (safepoint.ts) into `module`: a function of the address space and the calling thread. All threads
 * are asked before any is waited for, so that they come to their safepoints at the same time.
 */
export function writeQuiesceCode(module: ModuleBuilder, mutex: MutexCode): FunctionRef {
  const quiesce = module.function({ params: ['i32', 'i32'], results: [] });
  const b = quiesce.builder;
  const mm = b.param('i32', 0);
  const self = b.param('i32', 1);
  const thread = b.local('i32');
  const asked = b.local('i32');
  const spins = b.local('i32');
  const epoch = b.local('i32');
  const lock = i32.add(mm, i32.const(Mm.threadsLock));
  const inGuest = i32.eq(i32.atomic_load(thread, Thread.mode), i32.const(MODE_GUEST));
  const eachThread = (body: () => void): void => {
    b.set(thread, i32.load(mm, Mm.threads));
    b.block((end) => {
      b.loop((again) => {
        b.brIf(end, i32.eqz(thread));
        b.if(i32.ne(thread, self), body);
        b.set(thread, i32.load(thread, Thread.nextInMm));
        b.br(again);
      });
    });
  };
  b.if(i32.le_s(i32.atomic_load(mm, Mm.threadCount), i32.const(1)), () => b.return());
  b.call(mutex.lock, lock, self);
  eachThread(() => {
    b.if(inGuest, () => {
      b.drop(i32.atomic_rmw_or(thread, i32.const(ATTENTION_QUIESCE), Thread.attention));
      b.set(asked, i32.const(1));
    });
  });
  b.if(asked, () => {
    eachThread(() => {
      b.set(spins, i32.const(SPINS));
      b.block((passed) => {
        b.loop((again) => {
          b.set(epoch, i32.atomic_load(thread, Thread.epoch));
          // It takes the bit back as it leaves GUEST mode, and does not stay in it when it finds the bit on entry.
          b.brIf(passed, i32.eqz(inGuest));
          b.brIf(
            passed,
            i32.eqz(i32.and(i32.atomic_load(thread, Thread.attention), i32.const(ATTENTION_QUIESCE))),
          );
          b.set(spins, i32.sub(spins, i32.const(1)));
          b.brIf(again, i32.gt_s(spins, i32.const(0)));
          b.drop(i32.atomic_wait(thread, epoch, i64.const(PATIENCE), Thread.epoch));
          b.br(again);
        });
      });
    });
  });
  b.call(mutex.unlock, lock);
  return quiesce;
}

/** The functions of a module by which a thread changes its mode (safepoint.ts). Parameter: thread. */
export interface ModeCode {
  readonly enterGuest: FunctionRef;
  readonly leaveGuest: FunctionRef;
}

/** Writes enterGuest and leaveGuest (safepoint.ts) into `module`. */
export function writeModeCode(module: ModuleBuilder): ModeCode {
  const asked = i32.const(ATTENTION_STOP | ATTENTION_QUIESCE);
  const leaveGuest = module.function({ params: ['i32'], results: [] });
  {
    const b = leaveGuest.builder;
    const thread = b.param('i32', 0);
    b.store('i32.atomic.store', thread, i32.const(MODE_KERNEL), Thread.mode);
    b.drop(i32.atomic_rmw_add(thread, i32.const(1), Thread.epoch));
    b.if(i32.and(i32.atomic_load(thread, Thread.attention), asked), () => {
      b.drop(i32.atomic_rmw_and(thread, i32.const(~ATTENTION_QUIESCE), Thread.attention));
      b.drop(i32.atomic_notify(thread, i32.const(-1), Thread.epoch));
    });
  }
  const enterGuest = module.function({ params: ['i32'], results: [] });
  {
    const b = enterGuest.builder;
    const thread = b.param('i32', 0);
    const bits = b.local('i32');
    b.loop((again) => {
      b.store('i32.atomic.store', thread, i32.const(MODE_GUEST), Thread.mode);
      b.if(i32.eqz(i32.and(i32.atomic_load(thread, Thread.attention), asked)), () => b.return());
      b.call(leaveGuest, thread);
      b.loop((wait) => {
        b.set(bits, i32.atomic_load(thread, Thread.attention));
        b.brIf(again, i32.eqz(i32.and(bits, i32.const(ATTENTION_STOP))));
        b.drop(i32.atomic_wait(thread, bits, i64.const(-1), Thread.attention));
        b.br(wait);
      });
    });
  }
  return { enterGuest, leaveGuest };
}
