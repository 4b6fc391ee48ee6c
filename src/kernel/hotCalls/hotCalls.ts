import { releaseMm } from '../../mm/addressSpace.js';
import { uncountThread } from '../../sync/guestTree.js';
import { prepareToLeave, resumeThread, startThread, takeAhead, unreserveHost } from '../../sync/hosts.js';
import { monotonicNow, park, parkWithoutHost, takesShortTurns } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { ThreadSignals } from '../../sync/records/signals.js';
import { Thread } from '../../sync/records/thread.js';
import { removeThread } from '../../sync/safepoint.js';
import { endCpuTime } from '../cpuTime.js';
import { freeCred } from '../credentials.js';
import { noteAddressSpace, quitGuest } from '../exit.js';
import { releaseFiles } from '../files/filesTable.js';
import { releaseFs } from '../files/fsRecord.js';
import { leaveProcessId } from '../files/pidFd.js';
import { withdraw } from '../futexQueue.js';
import { discardSignals, retargetLocked } from '../signals/pendingSignals.js';
import type { ThreadContext } from '../threadContext.js';
import { freeThread, releaseSighand } from '../threadRecords.js';
import type { IMPORTS } from './callFrame.js';
import { hotCallsBytes } from './hotCallsBytes.js';

/** The functions of the module. */
export interface HotCalls {
  /**
   * Makes the system call of the Thread record, which is in GUEST mode with its pc at the ecall: 0 when it is done, its result in the
   * registers; EXIT_ECALL when it is left to the kernel, nothing done; EXIT_ENDED or EXIT_LEFT, out of GUEST mode.
   */
  systemCall(thread: number): number;
  /** Ends the wait of a thread that has left its host in futex(2): 1 when it was woken and goes on behind the call, 0: not done. */
  finishWait(thread: number): number;
}

/** Makes the module of the worker whose threads `t` is bound to. `rest` is called with what waits. */
export function createHotCalls(t: ThreadContext, rest: (wait: () => void) => void): HotCalls {
  const { mem } = t;
  const imports: Record<keyof typeof IMPORTS, (a: number, b: number) => unknown> = {
    now: monotonicNow,
    resume: (thread) => resumeThread(mem, thread),
    park(thread, ticket) {
      if (takesShortTurns()) return 1;
      rest(() => park(mem, thread, ticket, Infinity, true, true));
      return 0;
    },
    leave(thread, ticket) {
      mem.f64[(thread + Thread.callBegan) >>> 3] = 0;
      mem.setU32(thread + Thread.callProgress, 0);
      prepareToLeave();
      takeAhead(mem, thread);
      endCpuTime(mem, thread);
      parkWithoutHost(mem, thread, ticket);
    },
    withdraw: (waiter, thread) => (withdraw(mem, waiter, thread) ? 1 : 0),
    start: (thread, child) => startThread(mem, child, thread, t.ring),
    undoClone(thread, child) {
      removeThread(mem, child, thread);
      releaseMm(mem, mem.getU32(thread + Thread.mm), thread);
      releaseSighand(mem, mem.getU32(child + Thread.sighand), thread);
      releaseFiles(mem, mem.getU32(child + Thread.files), thread);
      releaseFs(mem, mem.getU32(child + Thread.fs), thread);
      unreserveHost(mem, thread);
      uncountThread(mem, mem.getU32(mem.getU32(thread + Thread.guest) + Guest.tree));
      freeThread(mem, child, thread);
    },
    prepareToLeave,
    endCpuTime: (thread) => endCpuTime(mem, thread),
    retarget: (thread) => retargetLocked(mem, mem.getU32(thread + Thread.guest), thread, thread),
    discardSignals: (thread) =>
      discardSignals(mem, mem.getU32(thread + Thread.signals) + ThreadSignals.pending, thread),
    releaseFiles: (thread, files) => releaseFiles(mem, files, thread),
    releaseFs: (thread, fs) => releaseFs(mem, fs, thread),
    releaseMm(thread, mm) {
      noteAddressSpace(t);
      releaseMm(mem, mm, thread);
    },
    quitGuest: () => quitGuest(t),
    leaveRecords(thread) {
      leaveProcessId(mem, thread + Thread.processId, thread);
      freeCred(mem, thread, thread);
    },
    releaseSighand: (thread, sighand) => releaseSighand(mem, sighand, thread),
  };
  const module = new WebAssembly.Module(hotCallsBytes() as Uint8Array<ArrayBuffer>);
  const { exports } = new WebAssembly.Instance(module, { m: { m: mem.wasm, ...imports } });
  return exports as unknown as HotCalls;
}
