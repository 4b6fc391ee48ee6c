import { pointer, record, u32, u64 } from '../record.js';

/**
 * Translated code of earlier processes, in a block of the machine's memory as it stands in its file (jit/codeImage.ts makes it): a module
 * of regions of the first tier, and in which pages of guest code they are entered. `…At` are distances from the image's beginning.
 * All of it is constant once the image is in the list, but for the PageLinks.
 */
export const KeptImage = record({
  /** Tells these files from others. */
  magic: u32,
  /** Bytes of the image. */
  length: u32,
  /** hashMemory of all that is behind this record. */
  hash: u64,
  /** Regions; KeptPages; and KeptPage distances, one a bucket: 2^n of them, for the last n bits of page numbers. */
  regions: u32,
  pages: u32,
  buckets: u32,
  bucketsAt: u32,
  /** The module. */
  moduleAt: u32,
  moduleLength: u32,
  /** PageLinks: for each region one with its index, and one a page. */
  linksAt: u32,
  links: u32,
  /** KeptRegions. */
  regionsAt: u32,
  /** What else is known of the regions: text. */
  descriptionAt: u32,
  descriptionLength: u32,

  // --- filled in by the process that loads it ---
  /** The image loaded before this one. */
  next: pointer,
  /** Index of its first region. */
  first: u32,
  /** Low word of the slots that lead into regions. */
  slot: u32,
});

/** A page of guest code that regions of an image are made from. */
export const KeptPage = record({
  /** hashMemory of its 4 KiB. */
  hash: u64,
  /** Guest address >> 12; CodePage.extensions. */
  page: u32,
  extensions: u32,
  /** KeptEntries, and the distances (u32) of the PageLinks that stand for the page; both distances are from the image's beginning. */
  entriesAt: u32,
  entries: u32,
  linksAt: u32,
  links: u32,
  /** Distance of the next page in the bucket, or 0. */
  next: u32,
});

/** A region of an image. */
export const KeptRegion = record({
  /** Distance of its PageLinks. */
  linksAt: u32,
  /** Its instructions, and its pages. */
  size: u32,
  pages: u32,
});

/** Where a region is entered. */
export const KeptEntry = record({
  /** Distance of the slot from its CodePage. */
  slot: u32,
  /** Number of the region in the image. */
  region: u32,
});
