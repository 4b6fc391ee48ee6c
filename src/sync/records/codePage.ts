import { array, pointer, record, u32, u64 } from '../record.js';

/** Halfwords of a target page: one slot each. */
export const CODE_SLOTS = 2048;

/**
 * Predecoded instructions of one 4 KiB page of code, shared by every thread and guest that executes it on the same processor. A slot is one
 * u64 (see interpreter/README.md), 0 = not decoded yet; it is written and read whole, so no reader sees half a slot.
 */
export const CodePage = record({
  /** Machine address of the 4 KiB of code. Constant while the page is in use. */
  source: u32,
  /** Next in a list of code pages; memory/codePages.ts. */
  next: pointer,
  /** Increments at each invalidation. */
  generation: u32,
  /** Extensions of the processor that it was decoded for, a mask (isa/extensions.ts). Constant while the page is in use. */
  extensions: u32,
  slots: array(u64, CODE_SLOTS),
  /** One more slot after the last: "continue on the next page". */
  end: u64,
});
