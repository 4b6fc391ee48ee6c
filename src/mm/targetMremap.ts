import type { Caller } from '../memory/caller.js';
import { tbInvalidatePhysRange } from '../memory/codePages.js';
import { holdEdgeFrames, letEdgeFramesGo } from '../memory/fragments.js';
import {
  EAGAIN,
  EFAULT,
  EINVAL,
  ENOMEM,
  EPERM,
  MIN_PAGE_SIZE,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
} from '../memory/linuxMemory.js';
import { isData, type NewMapping, reserveRecords } from '../memory/mappingRecords.js';
import {
  type AttributeChange,
  changeRange,
  extendMapping,
  isMapped,
  mapRange,
  moveRange,
} from '../memory/mappings.js';
import { mappingAt } from '../memory/mappingTree.js';
import { growReach } from '../memory/pageTables.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_LOCK_ON_FAULT, MAPPING_LOCKED, MAPPING_SHARED, Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { mmapFindVma, NO_PLACE } from './findVma.js';
import { enoughMemory, mayAddMappings, mayExpand, mayLock } from './limits.js';
import { mayShareHostPages, mmapFrag } from './mmapFrag.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, unsigned } from './pageRange.js';
import { populateMapped } from './populate.js';
import { munmapLocked } from './targetMunmap.js';

/**
 * mremap(2): the address or −errno; checks in the order of Linux 6.18. Grows in place when what follows is free, moves otherwise; a range over several
 * mappings is EFAULT (Linux moves such a range since 6.17). MREMAP_FIXED unmaps its target only when nothing else
 * can fail.
 */
export function targetMremap(
  c: Caller,
  oldAddress: number,
  oldSize: number,
  newSize: number,
  flags: number,
  newAddress: number,
): number {
  if (flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP)) return -EINVAL;
  if (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)) return -EINVAL;
  if (flags & MREMAP_DONTUNMAP && (!(flags & MREMAP_MAYMOVE) || oldSize !== newSize)) return -EINVAL;
  if (isUnaligned(c, oldAddress)) return -EINVAL;
  const oldLength = pageAlign(c, oldSize);
  const newLength = pageAlign(c, newSize);
  if (newLength === 0 || newLength > c.mem.getU64(c.mm + Mm.taskSize)) return -EINVAL;
  const { mem, mm } = c;
  const old = unsigned(oldAddress);
  const wanted = unsigned(newAddress);
  if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
    if (isUnaligned(c, newAddress)) return -EINVAL;
    const taskSize = mem.getU64(mm + Mm.taskSize);
    if (wanted > taskSize - newLength) return -EINVAL;
    if (old + oldLength > wanted && wanted + newLength > old) return -EINVAL;
    // Pages move whole: the new place must lie within its host page as the old one does.
    if (flags & MREMAP_FIXED && withinHostPage(c, wanted) !== withinHostPage(c, old)) return -EINVAL;
  }
  if (old >= mem.getU64(mm + Mm.taskSize)) return -EFAULT;
  let result: number;
  let locked = false;
  mmapLock(c);
  try {
    const mapping = mappingAt(mem, mm, old / MIN_PAGE_SIZE);
    if (mapping === 0) return -EFAULT;
    locked = (mem.getU32(mapping + Mapping.flags) & MAPPING_LOCKED) !== 0;
    result =
      flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)
        ? remapTo(c, mapping, old, oldLength, newLength, flags, wanted)
        : remapAnywhere(c, mapping, old, oldLength, newLength, flags);
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    result = -ENOMEM;
  } finally {
    letEdgeFramesGo(c);
    mmapUnlock(c);
  }
  if (result >= 0 && locked && newLength > oldLength)
    populateMapped(c, (result + oldLength) / MIN_PAGE_SIZE, (result + newLength) / MIN_PAGE_SIZE, false);
  return result;
}

/** Whether [old, old+oldLength) of `mapping` may become `newLength` long: 0 or −errno (Linux: vma_to_resize). */
function checkResize(c: Caller, mapping: number, old: number, oldLength: number, newLength: number): number {
  const { mem } = c;
  const flags = mem.getU32(mapping + Mapping.flags);
  if (oldLength === 0 && (flags & MAPPING_SHARED) === 0) return -EINVAL;
  if (oldLength > mem.getU32(mapping + Mapping.end) * MIN_PAGE_SIZE - old) return -EFAULT;
  if (newLength <= oldLength) return 0;
  const more = (newLength - oldLength) / MIN_PAGE_SIZE;
  const data = isData(mem.getU32(mapping + Mapping.prot), flags);
  if (flags & MAPPING_LOCKED && !mayLock(c, more)) return -EAGAIN;
  if (!mayExpand(c, more, data)) return -ENOMEM;
  if (data && !enoughMemory(c, more)) return -ENOMEM;
  return 0;
}

function remapAnywhere(
  c: Caller,
  mapping: number,
  old: number,
  oldLength: number,
  newLength: number,
  flags: number,
): number {
  const { mem, mm } = c;
  const from = old / MIN_PAGE_SIZE;
  if (oldLength >= newLength) {
    if (oldLength > newLength) {
      if (old + oldLength > mem.getU64(mm + Mm.taskSize)) return -EINVAL;
      const end = from + oldLength / MIN_PAGE_SIZE;
      const error = munmapLocked(c, from + newLength / MIN_PAGE_SIZE, end);
      if (error < 0) return error;
    }
    return old;
  }
  const error = checkResize(c, mapping, old, oldLength, newLength);
  if (error < 0) return error;
  const end = mem.getU32(mapping + Mapping.end);
  if (end * MIN_PAGE_SIZE - old === oldLength) {
    const newEnd = (old + newLength) / MIN_PAGE_SIZE;
    const task = mem.getU64(mm + Mm.taskSize) / MIN_PAGE_SIZE;
    const prot = mem.getU32(mapping + Mapping.prot);
    // What lies at the end of the reach rather moves: growing there again and again would double the tables each time.
    const reach = mem.getU64(mm + Mm.reach) / MIN_PAGE_SIZE;
    const stays = newEnd <= reach || end > reach || !(flags & MREMAP_MAYMOVE);
    const room = stays && newEnd <= task && !isMapped(mem, mm, end, newEnd);
    if (room && mayShareHostPages(c, mapping, from, newEnd, prot)) {
      extendMapping(c, mapping, newEnd);
      return old;
    }
  }
  if (!(flags & MREMAP_MAYMOVE)) return -ENOMEM;
  const within = withinHostPage(c, old);
  const target = mmapFindVma(c, 0, newLength + within);
  if (target === NO_PLACE) return -ENOMEM;
  return move(c, mapping, old, oldLength, target + within, newLength, false);
}

function remapTo(
  c: Caller,
  mapping: number,
  old: number,
  oldLength: number,
  newLength: number,
  flags: number,
  wanted: number,
): number {
  const { mem, mm } = c;
  const fixed = (flags & MREMAP_FIXED) !== 0;
  if (oldLength > newLength && old + oldLength > mem.getU64(mm + Mm.taskSize)) return -EINVAL;
  if (!mayAddMappings(c, 5)) return -ENOMEM;
  const moved = Math.min(oldLength, newLength);
  const error = checkResize(c, mapping, old, moved, newLength);
  if (error < 0) return error;
  const pages = moved / MIN_PAGE_SIZE;
  if (flags & MREMAP_DONTUNMAP) {
    const data = isData(mem.getU32(mapping + Mapping.prot), mem.getU32(mapping + Mapping.flags));
    if (!mayExpand(c, pages, data)) return -ENOMEM;
  }
  let target = wanted;
  if (fixed) {
    if (wanted / MIN_PAGE_SIZE < mem.getU32(mm + Mm.mmapMinAddr)) return -EPERM;
    describe(c, mapping, old / MIN_PAGE_SIZE);
    const first = wanted / MIN_PAGE_SIZE;
    if (!mmapFrag(c, first, first + newLength / MIN_PAGE_SIZE, copy)) return -EINVAL;
    // Whatever may be missing is missing now, while nothing has changed.
    if (!reachTo(c, wanted + moved)) return -ENOMEM;
    reserveRecords(c, RECORDS_TO_MOVE);
    const at = wanted / MIN_PAGE_SIZE;
    const to = at + newLength / MIN_PAGE_SIZE;
    const from = old / MIN_PAGE_SIZE;
    const end = from + oldLength / MIN_PAGE_SIZE;
    // The unmapping of both and the move, which may need frames twice for the old place.
    holdEdgeFrames(c, [at, to, from, end, from, from + pages, from, from + pages, at, to]);
    const failed = munmapLocked(c, wanted / MIN_PAGE_SIZE, (wanted + newLength) / MIN_PAGE_SIZE);
    if (failed < 0) return failed;
  } else {
    const within = withinHostPage(c, old);
    target = mmapFindVma(c, wanted, newLength + within);
    if (target === NO_PLACE) return -ENOMEM;
    target += within;
  }
  if (oldLength > newLength) {
    const failed = munmapLocked(c, (old + newLength) / MIN_PAGE_SIZE, (old + oldLength) / MIN_PAGE_SIZE);
    if (failed < 0) return failed;
  }
  // Unmapping may have replaced the record, and with old_size 0 taken it away (Linux answers EFAULT too).
  const now = mappingAt(mem, mm, old / MIN_PAGE_SIZE);
  if (now === 0) return -EFAULT;
  return move(c, now, old, moved, target, newLength, (flags & MREMAP_DONTUNMAP) !== 0);
}

/** Two unmappings and a move cut two mappings each at most; the move wants four records at hand, and unlocking the old place three. */
const RECORDS_TO_MOVE = 11;

/** Sees to it that the page tables cover what lies below `end`. */
function reachTo(c: Caller, end: number): boolean {
  return end <= c.mem.getU64(c.mm + Mm.reach) || growReach(c, end - 1);
}

function withinHostPage(c: Caller, address: number): number {
  return address % (1 << c.mem.getU32(MACHINE + Machine.hostPageShift));
}

const unlocking: AttributeChange = {
  prot: -1,
  setFlags: 0,
  clearFlags: MAPPING_LOCKED | MAPPING_LOCK_ON_FAULT,
};

const copy: NewMapping = { prot: 0, flags: 0, file: 0, object: 0, offset: 0 };

/** Makes `copy` what `mapping` is from page `from` on. */
function describe({ mem }: Caller, mapping: number, from: number): void {
  copy.prot = mem.getU32(mapping + Mapping.prot);
  copy.flags = mem.getU32(mapping + Mapping.flags);
  copy.file = mem.getU32(mapping + Mapping.file);
  copy.object = mem.getU32(mapping + Mapping.object);
  copy.offset = mem.getU32(mapping + Mapping.offset) + (from - mem.getU32(mapping + Mapping.start));
}

function move(
  c: Caller,
  mapping: number,
  old: number,
  oldLength: number,
  target: number,
  newLength: number,
  keepOld: boolean,
): number {
  if (!mayAddMappings(c, 3)) return -ENOMEM;
  const from = old / MIN_PAGE_SIZE;
  const to = target / MIN_PAGE_SIZE;
  const pages = oldLength / MIN_PAGE_SIZE;
  if (pages === 0) {
    // A second mapping of the same shared pages.
    describe(c, mapping, from);
    mapRange(c, to, to + newLength / MIN_PAGE_SIZE, copy);
    return target;
  }
  if (!reachTo(c, target + oldLength)) return -ENOMEM;
  const { mem } = c;
  const unlocks = keepOld && (mem.getU32(mapping + Mapping.flags) & MAPPING_LOCKED) !== 0;
  const [start, end] = [mem.getU32(mapping + Mapping.start), mem.getU32(mapping + Mapping.end)];
  if (unlocks) reserveRecords(c, RECORDS_TO_MOVE);
  tbInvalidatePhysRange(c, old, old + oldLength - 1);
  moveRange(c, from, pages, to, newLength / MIN_PAGE_SIZE, keepOld);
  // All of the old mapping is unlocked, also what has not moved.
  if (unlocks) changeRange(c, start, end, unlocking);
  return target;
}
