import type { Caller } from '../memory/caller.js';
import { hostScale } from '../memory/hostScale.js';
import { PROT_WRITE } from '../memory/linuxMemory.js';
import type { NewMapping } from '../memory/mappingRecords.js';
import { firstEndingAfter } from '../memory/mappingTree.js';
import { MAPPING_SHARED, Mapping } from '../sync/records/mapping.js';

/**
 * Whether [from, to) (units of 4 KiB), mapped as `what` says, may share the host pages at its ends with what is mapped in
 * the rest of them, and lie in host pages as it lies in its object. Such a page becomes a private copy of what its
 * mappings show (memory/fragments.ts makes it at the first access), which no writable shared mapping may be part of:
 * what is written there would reach nobody. QEMU: mmap_frag, which answers EINVAL for the new mapping only. mmapLock.
 */
export function mmapFrag(c: Caller, from: number, to: number, what: NewMapping): boolean {
  const scale = hostScale(c.mem);
  if (scale === 0) return true;
  const mask = (1 << scale) - 1;
  if (isSharedWritable(what.prot, what.flags) && ((what.offset - from) & mask) !== 0) return false;
  const first = from >>> scale;
  const last = to >>> scale;
  if (from & mask && !fitsInto(c, first << scale, (first + 1) << scale, from, to, what)) return false;
  return !(to & mask) || fitsInto(c, last << scale, (last + 1) << scale, from, to, what);
}

/** The same for a mapping that is there, should it get protection `prot` in [from, to). */
export function mayShareHostPages(
  c: Caller,
  mapping: number,
  from: number,
  to: number,
  prot: number,
): boolean {
  const { mem } = c;
  const start = mem.getU32(mapping + Mapping.start);
  return mmapFrag(c, from, to, {
    prot,
    flags: mem.getU32(mapping + Mapping.flags),
    file: mem.getU32(mapping + Mapping.file),
    object: mem.getU32(mapping + Mapping.object),
    offset: mem.getU32(mapping + Mapping.offset) + (from - start),
  });
}

/** Whether what is mapped in host page [low, high) outside [from, to) goes with `what`. */
function fitsInto(c: Caller, low: number, high: number, from: number, to: number, what: NewMapping): boolean {
  const { mem, mm } = c;
  let mapping = firstEndingAfter(mem, mm, low);
  for (; mapping !== 0; mapping = mem.getU32(mapping + Mapping.next)) {
    const start = mem.getU32(mapping + Mapping.start);
    if (start >= high) break;
    if (start >= from && mem.getU32(mapping + Mapping.end) <= to) continue;
    if (showsTheSame(c, mapping, from, what)) continue;
    const flags = mem.getU32(mapping + Mapping.flags);
    if (
      isSharedWritable(what.prot, what.flags) ||
      isSharedWritable(mem.getU32(mapping + Mapping.prot), flags)
    )
      return false;
  }
  return true;
}

/** Whether `mapping` and `what` at `from` continue each other's host page (memory/fragments.ts: uniform). */
function showsTheSame(c: Caller, mapping: number, from: number, what: NewMapping): boolean {
  const { mem } = c;
  const object = mem.getU32(mapping + Mapping.object);
  const shared = mem.getU32(mapping + Mapping.flags) & MAPPING_SHARED;
  if (object !== what.object || shared !== (what.flags & MAPPING_SHARED)) return false;
  if (object === 0) return shared === 0;
  const displacement = mem.getU32(mapping + Mapping.offset) - mem.getU32(mapping + Mapping.start);
  return displacement === what.offset - from;
}

function isSharedWritable(prot: number, flags: number): boolean {
  return (flags & MAPPING_SHARED) !== 0 && (prot & PROT_WRITE) !== 0;
}
