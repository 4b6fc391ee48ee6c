import { type I64, i64 } from '../wasm/index.js';
import type { Builder, Semantics } from './builder.js';
import { CACHE_BLOCK } from './extensions.js';

/**
 * Zicbom and Zicboz (CMO specification) and Zawrs. There is no cache to see: managing a block only checks that it may be
 * accessed, and waiting for a reservation to be lost returns at once, as it always may. (Zicbop's prefetches are hints,
 * encoded as ori to x0.)
 */

const block = (b: Builder): I64 => i64.and(b.x('rs1'), i64.const(-CACHE_BLOCK));

const manage: Semantics = (b) => {
  b.load('u8', block(b));
};

const zero: Semantics = (b) => {
  const start = b.hold(block(b));
  // The block is aligned, hence within a page: when the first store succeeds, all do.
  for (let offset = 0; offset < CACHE_BLOCK; offset += 8)
    b.store(64, i64.add(start, i64.const(offset)), i64.const(0));
};

const wait: Semantics = () => {};

export const cacheBlockSemantics: Readonly<Record<string, Semantics>> = {
  'cbo.inval': manage,
  'cbo.clean': manage,
  'cbo.flush': manage,
  'cbo.zero': zero,
  'wrs.nto': wait,
  'wrs.sto': wait,
};
