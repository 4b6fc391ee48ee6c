import { FrameDescriptor } from '../sync/records/frame.js';
import { quiesceOthers } from '../sync/safepoint.js';
import type { Caller } from './caller.js';
import { clearFrameCode, dropFrameCode } from './frameCode.js';
import { clearCode } from './pageTables.js';

/**
 * Drops what was decoded of a page that is about to be written. The page is not writable, so what is decoded cannot
 * be stale; it is out of the code table, and no thread uses it any more, before the write. The page's lock is held.
 */
export function forgetCode(c: Caller, page: number, descriptor: number, ofObject: boolean): void {
  const { mem, mm, thread } = c;
  if (mem.atomicLoad(descriptor + FrameDescriptor.code) === 0) return;
  clearCode(mem, mm, page);
  quiesceOthers(mem, mm, thread, thread);
  // Other tables may refer to the code of an object's page: there it stays in use, empty.
  if (ofObject) clearFrameCode(mem, descriptor, thread);
  else dropFrameCode(mem, descriptor, thread);
}
