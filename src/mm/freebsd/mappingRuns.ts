import type { Caller } from '../../memory/caller.js';
import { firstEndingAfter } from '../../memory/mappingTree.js';
import { Mapping } from '../../sync/records/mapping.js';

/**
 * Calls `visit(mapping, from, to)` for each mapping in [first, end), cut to the range, in order. `visit` may change that
 * mapping, so each step looks the next one up anew; holes are passed over. It stops at a result other than 0, which is
 * returned. mmapLock.
 */
export function forEachMapping(
  c: Caller,
  first: number,
  end: number,
  visit: (mapping: number, from: number, to: number) => number,
): number {
  const { mem, mm } = c;
  for (let at = first; at < end; ) {
    const mapping = firstEndingAfter(mem, mm, at);
    if (mapping === 0) return 0;
    const from = Math.max(at, mem.getU32(mapping + Mapping.start));
    if (from >= end) return 0;
    const to = Math.min(end, mem.getU32(mapping + Mapping.end));
    const result = visit(mapping, from, to);
    if (result !== 0) return result;
    at = to;
  }
  return 0;
}

/** Whether [first, end), which is not empty, is mapped without a hole. mmapLock. */
export function isMappedThroughout(c: Caller, first: number, end: number): boolean {
  let at = first;
  forEachMapping(c, first, end, (_mapping, from, to) => {
    if (from > at) return 1;
    at = to;
    return 0;
  });
  return at === end;
}
