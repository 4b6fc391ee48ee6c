import { Cred } from '../../sync/records/cred.js';
import { Guest, INIT_PID } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Thread } from '../../sync/records/thread.js';
import { type FunctionRef, type I32, i32, i64 } from '../../wasm/index.js';
import * as SYS from '../linux/syscallNumbers.js';
import { type CallModule, DONE, RESULT } from './callFrame.js';

/** Words of Cred.uids and Cred.gids. */
const REAL = 0;
const EFFECTIVE = 4;

/** getpid, gettid, getppid, getuid and the like: numbers of the thread's own records. */
export function writeIdentityCalls(parts: CallModule): readonly (readonly [number, FunctionRef])[] {
  const guest = (field: number) => (thread: I32) => i32.load(i32.load(thread, Thread.guest), field);
  const plain: readonly (readonly [number, (thread: I32) => I32])[] = [
    [SYS.SYS_getpid, guest(Guest.pid)],
    [SYS.SYS_gettid, (thread) => i32.load(thread, Thread.tid)],
  ];
  return [
    ...plain.map(([number, value]) => {
      const made = parts.module.function({ params: ['i32'], results: ['i32'] });
      const b = made.builder;
      const thread = b.param('i32', 0);
      b.store('i64.store', thread, i64.extend_i32_u(value(thread)), RESULT);
      b.return(DONE);
      return [number, made] as const;
    }),
    ...(
      [
        [SYS.SYS_getuid, Cred.uids + REAL],
        [SYS.SYS_geteuid, Cred.uids + EFFECTIVE],
        [SYS.SYS_getgid, Cred.gids + REAL],
        [SYS.SYS_getegid, Cred.gids + EFFECTIVE],
      ] as const
    ).map(([number, field]) => [number, writeId(parts, field)] as const),
    [SYS.SYS_getppid, writeGetppid(parts)] as const,
  ];
}

/** An id of the Cred that the thread acts by (credOf). */
function writeId({ module }: CallModule, field: number): FunctionRef {
  const made = module.function({ params: ['i32'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  const cred = b.local('i32');
  b.set(cred, i32.load(thread, Thread.cred));
  b.if(i32.eqz(cred), () => b.set(cred, i32.add(i32.load(thread, Thread.guest), i32.const(Guest.cred))));
  b.store('i64.store', thread, i64.load32_u(cred, field), RESULT);
  b.return(DONE);
  return made;
}

/** The parent's record is looked at under Machine.guestsLock; 1 is the parent of a guest that the embedder started. */
function writeGetppid({ module, mutex, mode }: CallModule): FunctionRef {
  const made = module.function({ params: ['i32'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  const lock = i32.const(MACHINE + Machine.guestsLock);
  const parent = b.local('i32');
  const pid = b.local('i32');
  b.call(mode.leaveGuest, thread);
  b.call(mutex.lock, lock, thread);
  b.set(parent, i32.load(i32.load(thread, Thread.guest), Guest.parent));
  b.set(pid, i32.const(INIT_PID));
  b.if(parent, () => b.set(pid, i32.load(parent, Guest.pid)));
  b.call(mutex.unlock, lock);
  b.call(mode.enterGuest, thread);
  b.store('i64.store', thread, i64.extend_i32_u(pid), RESULT);
  b.return(DONE);
  return made;
}
