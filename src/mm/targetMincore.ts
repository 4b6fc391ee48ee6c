import type { Caller } from '../memory/caller.js';
import { hostScale } from '../memory/hostScale.js';
import { EFAULT, EINVAL, ENOMEM, MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { mappingAt } from '../memory/mappingTree.js';
import { lockPage, pageEntry, unlockPage } from '../memory/pageTables.js';
import { objectFrame } from '../memory/sharedObject.js';
import { copyOut } from '../memory/userAccess.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, targetPageSize, unsigned } from './pageRange.js';

/** Bytes of the answer made at a time. */
const BATCH = 4096;

/** mincore(2): one byte a target page to `vec`, 1 when (some of) the page is in memory. 0 or −errno; a wild `vec` throws UserFault. */
export function targetMincore(c: Caller, start: number, length: number, vec: number): number {
  const { mem, mm } = c;
  if (isUnaligned(c, start)) return -EINVAL;
  const from = unsigned(start);
  const size = length === 0 ? 0 : pageAlign(c, length) || Infinity;
  if (from + size > mem.getU64(mm + Mm.taskSize)) return -ENOMEM;
  if (vec < 0) return -EFAULT;
  const first = from / MIN_PAGE_SIZE;
  const pages = size / targetPageSize(c);
  const units = targetPageSize(c) / MIN_PAGE_SIZE;
  for (let done = 0; done < pages; ) {
    const answer = new Uint8Array(Math.min(BATCH, pages - done));
    mmapLock(c);
    let filled = 0;
    try {
      while (filled < answer.length) {
        const mapping = mappingAt(mem, mm, first + (done + filled) * units);
        if (mapping === 0) break;
        const end = mem.getU32(mapping + Mapping.end);
        for (; filled < answer.length; filled++) {
          const at = first + (done + filled) * units;
          if (at >= end) break;
          answer[filled] = isResident(c, mapping, at, units) ? 1 : 0;
        }
      }
    } finally {
      mmapUnlock(c);
    }
    copyOut(c, vec + done, filled === answer.length ? answer : answer.subarray(0, filled));
    if (filled < answer.length) return -ENOMEM;
    done += filled;
  }
  return 0;
}

/** Whether a host page of the target page of `units` at `first` is in memory. */
function isResident(c: Caller, mapping: number, first: number, units: number): boolean {
  const step = 1 << hostScale(c.mem);
  for (let at = first; at < first + units; at += step)
    if (isHostPageResident(c, mapping, at, step)) return true;
  return false;
}

function isHostPageResident(c: Caller, mapping: number, unit: number, step: number): boolean {
  const { mem, mm, thread } = c;
  const page = Math.floor(unit / step);
  lockPage(mem, mm, page, thread);
  const entry = pageEntry(mem, mm, page);
  unlockPage(mem, mm, page, thread);
  if (entry !== 0) return true;
  const object = mem.getU32(mapping + Mapping.object);
  if (object === 0) return false;
  const index = mem.getU32(mapping + Mapping.offset) + (unit - mem.getU32(mapping + Mapping.start));
  lockMutex(mem, object + SharedObject.lock, thread);
  const frame = objectFrame(mem, object, Math.floor(index / step));
  unlockMutex(mem, object + SharedObject.lock, thread);
  return frame >= 0;
}
