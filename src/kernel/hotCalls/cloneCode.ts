import { Cred } from '../../sync/records/cred.js';
import { Files, Fs } from '../../sync/records/files.js';
import { FutexWaiter } from '../../sync/records/futex.js';
import { GUEST_RUNNING, Guest } from '../../sync/records/guest.js';
import { GuestTree } from '../../sync/records/guestTree.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import { Sighand, ThreadSignals } from '../../sync/records/signals.js';
import { ATTENTION_STOP, Thread } from '../../sync/records/thread.js';
import { call, type FunctionRef, type I32, i32, i64 } from '../../wasm/index.js';
import {
  CLONE_CHILD_CLEARTID,
  CLONE_DETACHED,
  CLONE_FILES,
  CLONE_FS,
  CLONE_PARENT_SETTID,
  CLONE_SETTLS,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_THREAD,
  CLONE_VM,
  SCHED_RESET_ON_FORK,
} from '../clone.js';
import { RLIM_INFINITY, RLIMIT_NPROC } from '../guestRecords.js';
import { argument, type CallModule, DONE, LEFT, RESULT, word } from './callFrame.js';

/** What the C libraries ask for when they make a thread (musl says CLONE_DETACHED, too, which means nothing). */
const THREAD_FLAGS =
  CLONE_VM |
  CLONE_FS |
  CLONE_FILES |
  CLONE_SIGHAND |
  CLONE_THREAD |
  CLONE_SYSVSEM |
  CLONE_SETTLS |
  CLONE_PARENT_SETTID |
  CLONE_CHILD_CLEARTID;

const SP = 2;
const TP = 4;
const NO_RESERVATION_WORD = -1;

/** The calls that make a thread: clone and clone3. */
export interface CloneCode {
  readonly clone: FunctionRef;
  readonly clone3: FunctionRef;
}

/**
 * Writes startNewThread (kernel/clone.ts) into the module, for threads as the C libraries make them, and while a Thread record is
 * free, ids have not wrapped and no limit is met.
 */
export function writeCloneCode(parts: CallModule): CloneCode {
  const { module, places } = parts;
  const start = writeStart(parts);
  const clone = module.function({ params: ['i32'], results: ['i32'] });
  {
    const b = clone.builder;
    const thread = b.param('i32', 0);
    b.if(i32.ne(i32.and(word(thread, 0), i32.const(~CLONE_DETACHED)), i32.const(THREAD_FLAGS)), () =>
      b.return(LEFT),
    );
    const [stack, parentTid, tls, childTid] = [1, 2, 3, 4].map((index) => argument(thread, index));
    b.returnCall(start, thread, stack, tls, parentTid, childTid);
  }
  const clone3 = module.function({ params: ['i32'], results: ['i32'] });
  {
    const b = clone3.builder;
    const thread = b.param('i32', 0);
    const size = argument(thread, 1);
    const pointer = b.hold(argument(thread, 0));
    const at = b.local('i32');
    // struct clone_args with set_tid, set_tid_size and cgroup, within a page.
    b.if(i64.ne(size, i64.const(88)), () => b.return(LEFT));
    const within = i64.and(pointer, i64.const(4095));
    b.if(i64.gt_u(within, i64.const(4096 - 88)), () => b.return(LEFT));
    b.set(at, call(places.read, 'i32', thread, pointer, i32.const(7)));
    b.if(i32.eqz(at), () => b.return(LEFT));
    b.if(i64.ne(i64.load(at), i64.const(THREAD_FLAGS)), () => b.return(LEFT));
    const others = [32, 64, 72, 80].map((offset) => i64.load(at, offset)).reduce((a, c) => i64.or(a, c));
    b.if(i64.ne(others, i64.const(0)), () => b.return(LEFT));
    b.if(i64.eqz(i64.load(at, 40)), () => b.return(LEFT));
    b.if(i64.eqz(i64.load(at, 48)), () => b.return(LEFT));
    const stack = i64.add(i64.load(at, 40), i64.load(at, 48));
    b.returnCall(start, thread, stack, i64.load(at, 56), i64.load(at, 24), i64.load(at, 16));
  }
  return { clone, clone3 };
}

/** (thread, stack, tls, parentTid, childTid) → DONE or LEFT. */
function writeStart({ module, mutex, mode, places, imports }: CallModule): FunctionRef {
  const made = module.function({ params: ['i32', 'i64', 'i64', 'i64', 'i64'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  const [stack, tls, parentTid, childTid] = [1, 2, 3, 4].map((n) => b.param('i64', n));
  const guest = b.hold(i32.load(thread, Thread.guest));
  const mm = b.hold(i32.load(thread, Thread.mm));
  const tree = b.hold(i32.load(guest, Guest.tree));
  const child = b.local('i32');
  const tid = b.local('i32');
  const at = b.local('i32');
  const count = b.local('i32');
  const waiter = b.local('i32');
  const signals = b.local('i32');
  const machine = (field: number): I32 => i32.load(i32.const(0), MACHINE + field);
  const setMachine = (field: number, value: I32): void =>
    b.store('i32.store', i32.const(0), value, MACHINE + field);
  const leftIf = (condition: I32): void => b.if(condition, () => b.return(LEFT));

  // Addresses and limits as the kernel sees them need its arithmetic when they are out of the ordinary.
  for (const address of [stack, tls, childTid]) leftIf(i64.ge_u(address, i64.load(mm, Mm.taskSize)));
  leftIf(i64.eqz(stack));
  // A Cred of its own would have to be copied, a list of semaphores to undo be counted.
  leftIf(i32.or(i32.load(thread, Thread.cred), i32.load(thread, Thread.semaphoreUndos)));
  leftIf(i32.eqz(call(places.write, 'i32', thread, parentTid, i32.const(3))));
  leftIf(i32.and(i32.load(thread, Thread.schedulingPolicy), i32.const(SCHED_RESET_ON_FORK)));
  leftIf(i32.or(i32.load(thread, Thread.timerSlack), i32.load(thread, Thread.timerSlackDefault)));
  b.if(i32.load(guest, Guest.cred + Cred.uids), () =>
    leftIf(i64.ne(i64.load(guest, Guest.rlimits + RLIMIT_NPROC * 16), i64.const(BigInt(RLIM_INFINITY)))),
  );
  const heap = i32.sub(machine(Machine.heapEnd), machine(Machine.heapBegin));
  const spare = i64.sub(i64.extend_i32_u(heap), i64.load(i32.const(0), MACHINE + Machine.heapUsed));
  leftIf(i64.le_s(spare, i64.extend_i32_u(i32.shr_u(heap, i32.const(4)))));

  b.call(mode.leaveGuest, thread);
  b.block((failed) => {
    // countThread
    b.if(tree, () => {
      b.set(count, i32.atomic_rmw_add(tree, i32.const(1), GuestTree.threads));
      b.if(i32.ge_s(count, i32.load(tree, GuestTree.maxThreads)), () => {
        b.drop(i32.atomic_rmw_sub(tree, i32.const(1), GuestTree.threads));
        b.br(failed);
      });
    });
    const uncount = (): void =>
      b.if(tree, () => b.drop(i32.atomic_rmw_sub(tree, i32.const(1), GuestTree.threads)));
    // reserveHost
    const hostsLock = i32.const(MACHINE + Machine.hostsLock);
    b.call(mutex.lock, hostsLock, thread);
    b.set(count, machine(Machine.hostsCommitted));
    b.if(i32.ge_s(count, machine(Machine.hostLimit)), () => {
      b.call(mutex.unlock, hostsLock);
      uncount();
      b.br(failed);
    });
    setMachine(Machine.hostsCommitted, i32.add(count, i32.const(1)));
    b.call(mutex.unlock, hostsLock);
    // allocateTid, allocateThread
    const guestsLock = i32.const(MACHINE + Machine.guestsLock);
    b.call(mutex.lock, guestsLock, thread);
    b.set(child, machine(Machine.freeThreads));
    b.set(tid, i32.add(machine(Machine.lastTid), i32.const(1)));
    const plain = i32.and(i32.eqz(machine(Machine.tidsWrapped)), i32.lt_u(tid, machine(Machine.maxTids)));
    b.if(i32.eqz(i32.and(i32.ne(child, i32.const(0)), plain)), () => {
      b.call(mutex.unlock, guestsLock);
      b.call(mutex.lock, hostsLock, thread);
      setMachine(Machine.hostsCommitted, i32.sub(machine(Machine.hostsCommitted), i32.const(1)));
      b.call(mutex.unlock, hostsLock);
      uncount();
      b.br(failed);
    });
    setMachine(Machine.freeThreads, i32.load(child, Thread.nextFree));
    setMachine(Machine.lastTid, tid);
    b.call(mutex.unlock, guestsLock);

    // The record, as allocateThread makes it new
    b.set(waiter, i32.load(child, Thread.futexWaiter));
    b.set(signals, i32.load(child, Thread.signals));
    b.set(count, i32.atomic_load(child, Thread.parkWord));
    b.set(at, i32.atomic_load(child, Thread.epoch));
    b.memoryFill(child, i32.const(0), i32.const(Thread.SIZE));
    b.memoryFill(signals, i32.const(0), i32.const(ThreadSignals.SIZE));
    b.store('i32.atomic.store', child, count, Thread.parkWord);
    b.store('i32.atomic.store', child, at, Thread.epoch);
    b.store('i32.store', child, waiter, Thread.futexWaiter);
    b.store('i32.atomic.store', waiter, i32.const(0), FutexWaiter.bucket);
    b.store('i32.store', child, signals, Thread.signals);
    b.store('i32.store', child, i32.const(-1), Thread.syscall);
    b.store('i32.store', child, i32.const('R'.charCodeAt(0)), Thread.state);
    b.store('i32.store', child, tid, Thread.tid);
    // prepareThread
    const bytes = Thread.fflags + 8 - Thread.x;
    b.memoryCopy(i32.add(child, i32.const(Thread.x)), i32.add(thread, i32.const(Thread.x)), i32.const(bytes));
    b.store('i64.store', child, i64.add(i64.load(thread, Thread.pc), i64.const(4)), Thread.pc);
    b.store('i64.store', child, i64.const(0), RESULT);
    b.store('i64.store', child, stack, Thread.x + SP * 8);
    b.store('i64.store', child, tls, Thread.x + TP * 8);
    b.store('i64.store', child, i64.const(NO_RESERVATION_WORD), Thread.reservationAddress);
    b.store('i64.store', child, childTid, Thread.clearChildTid);
    b.store('i32.store', child, i32.const(1), Thread.hotCalls);
    for (const field of [Thread.comm, Thread.comm + 4, Thread.comm + 8, Thread.comm + 12, Thread.affinity])
      b.store('i32.store', child, i32.load(thread, field), field);
    for (const field of [
      Thread.affinity + 4,
      Thread.schedulingPolicy,
      Thread.schedulingPriority,
      Thread.niceness,
      Thread.files,
      Thread.fs,
      Thread.sighand,
    ])
      b.store('i32.store', child, i32.load(thread, field), field);
    const blocked = i64.load(i32.load(thread, Thread.signals), ThreadSignals.blockedLow);
    b.store('i64.store', signals, blocked, ThreadSignals.blockedLow);
    b.drop(i32.atomic_rmw_add(i32.load(thread, Thread.files), i32.const(1), Files.refs));
    b.drop(i32.atomic_rmw_add(i32.load(thread, Thread.fs), i32.const(1), Fs.refs));
    b.drop(i32.atomic_rmw_add(i32.load(thread, Thread.sighand), i32.const(1), Sighand.refs));
    b.drop(i32.atomic_rmw_add(mm, i32.const(1), Mm.refs));
    // The page was there; should it have gone since, the kernel would not tell either (put_user in kernel_clone).
    b.call(mode.enterGuest, thread);
    b.set(at, call(places.write, 'i32', thread, parentTid, i32.const(3)));
    b.if(at, () => b.store('i32.atomic.store', at, tid));
    b.call(mode.leaveGuest, thread);

    // addThread, with loadTables
    const threadsLock = i32.add(mm, i32.const(Mm.threadsLock));
    b.call(mutex.lock, threadsLock, thread);
    b.store('i32.store', child, mm, Thread.mm);
    b.store('i32.store', child, i32.load(mm, Mm.threads), Thread.nextInMm);
    b.store('i32.store', mm, child, Mm.threads);
    b.drop(i32.atomic_rmw_add(mm, i32.const(1), Mm.threadCount));
    b.if(i32.load(mm, Mm.stopped), () =>
      b.drop(i32.atomic_rmw_or(child, i32.const(ATTENTION_STOP), Thread.attention)),
    );
    for (const [to, from] of [
      [Thread.readTable, Mm.readTable],
      [Thread.writeTable, Mm.writeTable],
      [Thread.codeTable, Mm.codeTable],
      [Thread.hostPageShift, Mm.hostPageShift],
    ])
      b.store('i32.store', child, i32.load(mm, from), to);
    b.store('i64.store', child, i64.load(mm, Mm.reach), Thread.reach);
    b.store('i32.store', child, i32.add(i32.load(mm, Mm.homeDelta), i32.const(1)), Thread.homeEntry);
    b.call(mutex.unlock, threadsLock);

    // joinGuest
    const guestLock = i32.add(guest, i32.const(Guest.threadsLock));
    b.call(mutex.lock, guestLock, thread);
    const ending = i32.or(
      i32.ne(i32.atomic_load(guest, Guest.phase), i32.const(GUEST_RUNNING)),
      i32.or(i32.load(guest, Guest.execThread), i32.load(thread, Thread.cred)),
    );
    b.if(ending, () => {
      b.call(mutex.unlock, guestLock);
      b.call(imports.undoClone, thread, child);
      b.br(failed);
    });
    b.store('i32.store', child, guest, Thread.guest);
    b.store('i32.store', child, i32.load(guest, Guest.threads), Thread.nextInGuest);
    b.store('i32.store', guest, child, Guest.threads);
    b.set(count, i32.add(i32.load(guest, Guest.threadCount), i32.const(1)));
    b.store('i32.store', guest, count, Guest.threadCount);
    b.drop(i32.atomic_rmw_add(guest, i32.const(1), Guest.threadsStarted));
    b.if(i32.gt_s(count, i32.load(guest, Guest.threadsPeak)), () =>
      b.store('i32.store', guest, count, Guest.threadsPeak),
    );
    b.call(mutex.unlock, guestLock);
    b.store('i64.store', thread, i64.extend_i32_u(tid), RESULT);
    b.call(imports.start, thread, child);
    b.call(mode.enterGuest, thread);
    b.return(DONE);
  });
  b.call(mode.enterGuest, thread);
  b.return(LEFT);
  return made;
}
