import { array, pointer, record, u32 } from '../record.js';

/**
 * Who a thread acts as (Linux: struct cred). A guest has one, its first thread's; the other threads act by it, too, until one of them all
 * changes its own: see kernel/credentials.ts.
 */
export const Cred = record({
  /** Real, effective, saved and filesystem uid and gid. Written by the thread alone. */
  uids: array(u32, 4),
  gids: array(u32, 4),
  /** Effective, permitted and inheritable capabilities, two words each: kernel/capabilities.ts. Written by the thread alone. */
  capabilities: array(u32, 6),
  /** The bounding and the ambient set, two words each. Written by the thread alone. */
  boundingSet: array(u32, 2),
  ambientSet: array(u32, 2),
  /** SECBIT_* (PR_SET_SECUREBITS, PR_SET_KEEPCAPS). Written by the thread alone. */
  secureBits: u32,
  /** Supplementary groups (setgroups): u32 count, then as many ids; 0: group 0 alone. Under Guest.threadsLock. */
  groups: pointer,
});
