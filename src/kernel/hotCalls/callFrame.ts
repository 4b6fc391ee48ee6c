import type { MutexCode } from '../../sync/mutexCode.js';
import { EXIT_ECALL, Thread } from '../../sync/records/thread.js';
import type { ModeCode } from '../../sync/safepointCode.js';
import {
  type FunctionRef,
  type FunctionType,
  type I32,
  type I64,
  i32,
  i64,
  type ModuleBuilder,
} from '../../wasm/index.js';
import type { MappingCode } from './mappingCode.js';

/** What the code of a call is put together of. */
export interface CallModule {
  readonly module: ModuleBuilder;
  readonly mutex: MutexCode;
  readonly mode: ModeCode;
  readonly places: Places;
  readonly mapping: MappingCode;
  readonly unpark: FunctionRef;
  readonly imports: CallImports;
}

/** What is rare, or needs what only JavaScript has, comes from hotCalls.ts, by these names. */
export const IMPORTS = {
  /** monotonicNow */
  now: { params: [], results: ['f64'] },
  /** (thread): resumeThread */
  resume: { params: ['i32'], results: [] },
  /** (thread, ticket): park, in a call that may be left → 1: it had better be left */
  park: { params: ['i32', 'i32'], results: ['i32'] },
  /** (thread, ticket): the thread waits without a host from here on */
  leave: { params: ['i32', 'i32'], results: [] },
  /** (waiter, thread) → whether the waiter was still queued */
  withdraw: { params: ['i32', 'i32'], results: ['i32'] },
  /** (thread, child): startThread */
  start: { params: ['i32', 'i32'], results: [] },
  /** (thread, child): a child that could not join its guest goes again */
  undoClone: { params: ['i32', 'i32'], results: [] },
  prepareToLeave: { params: [], results: [] },
  /** (thread): its CPU time is counted, before it ends */
  endCpuTime: { params: ['i32'], results: [] },
  /** (thread): retargetLocked for a thread that ends */
  retarget: { params: ['i32'], results: [] },
  /** quitGuest of the worker's thread, the last one of its guest */
  quitGuest: { params: [], results: [] },
  /** (thread): its pidfds are hung up, and its own Cred goes */
  leaveRecords: { params: ['i32'], results: [] },
  /** (thread): what is pending for it goes */
  discardSignals: { params: ['i32'], results: [] },
  /** (thread, record): a reference, the last one as it seems */
  releaseFiles: { params: ['i32', 'i32'], results: [] },
  releaseFs: { params: ['i32', 'i32'], results: [] },
  releaseMm: { params: ['i32', 'i32'], results: [] },
  releaseSighand: { params: ['i32', 'i32'], results: [] },
} as const satisfies Record<string, FunctionType>;
export type CallImports = Readonly<Record<keyof typeof IMPORTS, FunctionRef>>;

/**
 * What the function of a call returns: the call is made, or nothing has been done and it is left to the kernel, or another EXIT_*
 * for which the engine is to return.
 */
export const DONE = i32.const(0);
export const LEFT = i32.const(EXIT_ECALL);

const A0 = 10;

/** Argument `index` of the call that `thread` makes. */
export const argument = (thread: I32, index: number): I64 => i64.load(thread, Thread.x + (A0 + index) * 8);
/** The same, where only 32 bits count. */
export const word = (thread: I32, index: number): I32 => i32.load(thread, Thread.x + (A0 + index) * 8);
/** Where the result goes. */
export const RESULT = Thread.x + A0 * 8;

/** Functions that find guest memory: (thread, guest address, alignment − 1) → machine address, or 0 where more is to be done. GUEST mode. */
export interface Places {
  readonly read: FunctionRef;
  readonly write: FunctionRef;
}

/** Writes them into `module`. */
export function writePlaces(module: ModuleBuilder): Places {
  const write = (table: number): FunctionRef => {
    const place = module.function({ params: ['i32', 'i64', 'i32'], results: ['i32'] });
    const b = place.builder;
    const thread = b.param('i32', 0);
    const address = b.param('i64', 1);
    const mask = b.param('i32', 2);
    const entry = b.local('i32');
    b.if(i64.ge_u(address, i64.load(thread, Thread.reach)), () => b.return(i32.const(0)));
    b.if(i32.and(i32.wrap_i64(address), mask), () => b.return(i32.const(0)));
    const page = i32.wrap_i64(i64.shr_u(address, i64.extend_i32_u(i32.load(thread, Thread.hostPageShift))));
    b.set(entry, i32.load(i32.add(i32.load(thread, table), i32.shl(page, i32.const(2)))));
    b.if(i32.eqz(entry), () => b.return(i32.const(0)));
    b.return(i32.add(i32.add(i32.wrap_i64(address), entry), i32.const(-1)));
    return place;
  };
  return { read: write(Thread.readTable), write: write(Thread.writeTable) };
}
