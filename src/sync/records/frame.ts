import { i32, pointer, record, u32 } from '../record.js';

/** One frame (host page) of the machine's memory: FrameDescriptor[Machine.frameCount] at Machine.frameDescriptors. */
export const FrameDescriptor = record({
  /** Page-table entries and page-cache slots that refer to the frame; 0 = free. Atomic. */
  refs: i32,
  /** CodePage with the frame's predecoded instructions, or 0. Atomic; codeLock of memory/codePages.ts. */
  code: pointer,
  /** Free list link while free; free for memory/ while used. */
  link: u32,
  /** FRAME_* bits. Atomic. */
  flags: i32,
});

/** The frame is a page of a SharedObject; `link` counts the page-table entries that may write to it. */
export const FRAME_OBJECT = 1;
/** A page of a file that holds bytes the host file does not have yet. */
export const FRAME_DIRTY = 2;
/**
 * Code that stores into its own page runs from the frame: it may be written without a fault though it holds predecoded
 * code, which is then as old as the last FENCE.I, as on hardware. Set for good.
 */
export const FRAME_MIXED = 4;
