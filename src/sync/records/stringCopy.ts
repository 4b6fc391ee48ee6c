import { record, u32, u64 } from '../record.js';

/** A copy of an array of strings out of guest memory that is being made (memory/userStrings.ts); its maker's alone. */
export const StringCopy = record({
  /** Guest address of the next pointer of the array; 8-byte aligned. */
  pointers: u64,
  /** Guest address of the next byte of the string that is begun, or 0. */
  string: u64,
  /** Machine address of where the next byte goes, and of the end of the room there. */
  to: u32,
  end: u32,
  /** Strings begun so far. */
  count: u32,
});

/** Why copyStrings has stopped. */
export const COPY_DONE = 0;
/** There is no more room. */
export const COPY_FULL = 1;
/** The page of StringCopy.string, or that of StringCopy.pointers, cannot be read without a fault. */
export const COPY_NEEDS_STRING = 2;
export const COPY_NEEDS_POINTER = 3;
