import { releaseMm, retainMm } from '../../mm/addressSpace.js';
import { withMutex } from '../../sync/mutex.js';
import { Guest } from '../../sync/records/guest.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { threadByTidLocked, visitGuests } from '../guestRecords.js';
import type { ThreadContext } from '../threadContext.js';
import { releaseFiles, retainFiles } from './filesTable.js';
import { releaseFs, retainFs } from './fsRecord.js';

/** What a look at another process holds meanwhile. */

/** The records behind a process; also a Caller for its memory. */
export interface Held {
  readonly mem: SharedMemory;
  readonly thread: number;
  readonly mm: number;
  readonly files: number;
  readonly fs: number;
}

/** Runs `body` with the address space and descriptors of process `pid` held; undefined when it has none any more. */
export function withProcess<T>(t: ThreadContext, pid: number, body: (process: Held) => T): T | undefined {
  if (pid === ownPid(t)) return body(t);
  const { mem, thread } = t;
  const held = withProcessRecord(t, pid, (guest): Held | undefined => {
    for (let o = mem.getU32(guest + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest)) {
      const mm = mem.getU32(o + Thread.mm);
      const files = mem.getU32(o + Thread.files);
      const fs = mem.getU32(o + Thread.fs);
      // A thread that ends has let go of them, and waits for threadsLock before they go.
      if (mm === 0 || files === 0 || fs === 0) continue;
      retainMm(mem, mm);
      retainFiles(mem, files);
      retainFs(mem, fs);
      return { mem, thread, mm, files, fs };
    }
    return undefined;
  });
  if (held === undefined) return undefined;
  try {
    return body(held);
  } finally {
    releaseFs(mem, held.fs, thread);
    releaseFiles(mem, held.files, thread);
    releaseMm(mem, held.mm, thread);
  }
}

/** Runs `body` on the Guest record of `pid` while it cannot go away; undefined when there is none. */
export function withProcessRecord<T>(
  t: ThreadContext,
  pid: number,
  body: (guest: number) => T,
): T | undefined {
  let result: T | undefined;
  visitGuests(t.mem, t.thread, (guest) => {
    if (t.mem.getU32(guest + Guest.pid) !== pid) return false;
    result = withMutex(t.mem, guest + Guest.threadsLock, t.thread, () => body(guest));
    return true;
  });
  return result;
}

export function ownPid(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.pid);
}

/** withProcessRecord for thread `tid` of the process; undefined when there is no such thread any more. */
export function withThreadRecord<T>(
  t: ThreadContext,
  pid: number,
  tid: number,
  body: (thread: number) => T,
): T | undefined {
  return withProcessRecord(t, pid, (guest) => {
    const thread = threadByTidLocked(t.mem, guest, tid);
    return thread === 0 ? undefined : body(thread);
  });
}
