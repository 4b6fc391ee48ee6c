import { COORDINATOR } from '../sync/mutex.js';
import { FRAME_MIXED, FrameDescriptor } from '../sync/records/frame.js';
import { Mm } from '../sync/records/mm.js';
import { Thread } from '../sync/records/thread.js';
import { quiesceOthers } from '../sync/safepoint.js';
import type { Caller } from './caller.js';
import { clearFrameCode, dropFrameCode } from './frameCode.js';
import { clearCode } from './pageTables.js';

/**
 * Drops what was decoded of a page that is about to be written. The page is not writable, so what is decoded cannot
 * be stale; it is out of the code table, and no thread uses it any more, before the write. The page's lock is held.
 * Where the instruction that writes stands in the page itself, dropping its code would only lead to a fetch fault that
 * takes the write away again, for ever: such a frame becomes FRAME_MIXED and keeps both.
 */
export function forgetCode(c: Caller, page: number, descriptor: number, ofObject: boolean): void {
  const { mem, mm, thread } = c;
  if (mem.atomicLoad(descriptor + FrameDescriptor.code) === 0) return;
  const flags = descriptor + FrameDescriptor.flags;
  if (runsFrom(c, page)) {
    mem.atomicOr(flags, FRAME_MIXED);
    mem.atomicStore(mm + Mm.mixedFrames, 1);
  }
  if (mem.atomicLoad(flags) & FRAME_MIXED) return;
  clearCode(mem, mm, page);
  quiesceOthers(mem, mm, thread, thread);
  // Other tables may refer to the code of an object's page: there it stays in use, empty.
  if (ofObject) clearFrameCode(mem, descriptor, thread);
  else dropFrameCode(mem, descriptor, thread);
}

/** Whether the calling thread's instruction stands, at least in part, in the page. */
function runsFrom(c: Caller, page: number): boolean {
  const { mem, mm, thread } = c;
  if (thread === COORDINATOR) return false;
  const pc = mem.getU64(thread + Thread.pc);
  const size = 1 << mem.getU32(mm + Mm.hostPageShift);
  return Math.floor(pc / size) === page || Math.floor((pc + 2) / size) === page;
}
