import { UserFault } from '../memory/caller.js';
import { compareExchangeU32, loadU32, readI64, readU64 } from '../memory/userAccess.js';
import { Thread } from '../sync/records/thread.js';
import { SyscallError } from './errno.js';
import { futexWake } from './futex.js';
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from './futexPi.js';
import type { ThreadContext } from './threadContext.js';

/** Robust futexes: set_robust_list(2), Documentation/locking/robust-futexes; exit_robust_list of kernel/futex/core.c. */
/** Entries walked at most: the list is the guest's and may be a circle. */
const ROBUST_LIST_LIMIT = 2048;

/** struct robust_list_head: first entry, offset of the futex word from an entry, and the entry being locked. */
const RobustListHead = { list: 0, futexOffset: 8, pending: 16 } as const;

/**
 * The thread ends: every robust mutex that it still holds gets FUTEX_OWNER_DIED, and one waiter is woken. Whatever is
 * wrong with the list ends the walk silently.
 */
export function walkRobustList(t: ThreadContext): void {
  const head = t.mem.getU64(t.thread + Thread.robustList);
  if (head === 0) return;
  try {
    let entry = readU64(t, head + RobustListHead.list);
    const offset = readI64(t, head + RobustListHead.futexOffset);
    const pending = readU64(t, head + RobustListHead.pending);
    for (let walked = 0; clearLowBit(entry) !== head && walked < ROBUST_LIST_LIMIT; walked++) {
      // The next entry is read first: the word's new owner may unlink this one.
      const next = readU64(t, clearLowBit(entry));
      if (clearLowBit(entry) !== clearLowBit(pending)) {
        if (!releaseDead(t, clearLowBit(entry) + offset, entry % 2 !== 0, false)) return;
      }
      entry = next;
    }
    if (pending !== 0) releaseDead(t, clearLowBit(pending) + offset, pending % 2 !== 0, true);
  } catch (error) {
    if (!(error instanceof UserFault || error instanceof SyscallError)) throw error;
  }
}

/** Bit 0 of an entry marks a priority-inheritance futex. */
function clearLowBit(entry: number): number {
  return entry - (entry % 2);
}

/** handle_futex_death: false ends the walk. */
function releaseDead(t: ThreadContext, va: number, pi: boolean, pending: boolean): boolean {
  if (va % 4 !== 0) return false;
  const tid = t.tid;
  for (let word = loadU32(t, va); ; ) {
    const owner = word & FUTEX_TID_MASK;
    // Between the store of 0 and the wake of an unlock, the pending entry may name a word with no owner.
    if (pending && !pi && owner === 0) {
      futexWake(t, va, 1, ~0, true);
      return true;
    }
    if (owner !== tid) return true;
    const seen = compareExchangeU32(t, va, word, ((word & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0);
    if (seen === word) break;
    word = seen;
  }
  // Users of robust mutexes wait by the shared key, whether the mutex is process-shared or not.
  if (!pi) futexWake(t, va, 1, ~0, true);
  return true;
}
