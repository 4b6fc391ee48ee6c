import { expect, test } from 'vitest';
import { RegionSpace } from '../../src/jit/regionSpace.js';
import { RegionTable } from '../../src/jit/regionTable.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { PageLink, READY, RegionEntry, RegionMap, Translation } from '../../src/sync/records/translation.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';
import { initTranslation, translationOf } from '../../src/sync/translationQueue.js';
import { i32, ModuleBuilder } from '../../src/wasm/index.js';

const PAGES = [
  { page: 16, codePage: 0x5000, generation: 3 },
  { page: 17, codePage: 0x9000, generation: 4 },
];

/** A machine in which region 0 is published. */
function publish(): { mem: SharedMemory; space: RegionSpace; bytes: Uint8Array<ArrayBuffer> } {
  const mem = createMachineMemory({ bytes: 64 * 1024 * 1024 });
  initTranslation(mem, { threshold: 1000, patience: 1, tiers: 2, share: 0 }, COORDINATOR);
  const builder = new ModuleBuilder();
  const region = builder.function({ params: ['i32', 'i32'], results: ['i32'] });
  region.builder.return(i32.const(0));
  builder.exportFunction('r0', region);
  const bytes = builder.toBytes() as Uint8Array<ArrayBuffer>;
  const space = new RegionSpace(mem, COORDINATOR);
  expect(space.reserve(1)).toBe(0);
  space.publish([{ slot: 0, entryPage: PAGES[0], pages: PAGES }], bytes, new WebAssembly.Module(bytes));
  return { mem, space, bytes };
}

test('the pages of a region are published with it', () => {
  const { mem } = publish();
  const entry = mem.getU32(translationOf(mem) + Translation.regions);
  const links = mem.getU32(entry + RegionEntry.pages);
  expect(mem.getU32(entry + RegionEntry.pageCount)).toBe(2);
  PAGES.forEach(({ page, codePage, generation }, i) => {
    const link = links + i * PageLink.SIZE;
    expect(mem.getU32(link + PageLink.page)).toBe(page);
    expect(mem.getU32(link + PageLink.codePage)).toBe(codePage);
    expect(mem.getU32(link + PageLink.generation)).toBe(generation);
  });
});

test('what a worker has found of the code of a region is forgotten with the region, and when code of frames was cleared', () => {
  const { mem, space, bytes } = publish();
  const table = new RegionTable(mem, COORDINATOR);
  const epoch = (table.map + RegionMap.epochs) >>> 3;
  const ready = table.map + RegionMap.ready;
  const nothing = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.r0;
  table.beginRun();
  table.instantiate(0, {}, nothing);
  expect([mem.u8[ready], mem.u64[epoch]]).toEqual([READY, 0n]);

  mem.u64[epoch] = 10n;
  table.endRun();
  table.beginRun();
  expect([mem.u8[ready], mem.u64[epoch]]).toEqual([READY, 10n]);

  table.endRun();
  mem.atomicAdd(MACHINE + Machine.codeClears, 1);
  table.beginRun();
  expect([mem.u8[ready], mem.u64[epoch]]).toEqual([READY, 0n]);

  // It is evicted; its index is used again once this worker has followed.
  mem.u64[epoch] = 10n;
  expect(space.shrink()).toBe(true);
  table.follow();
  expect([mem.u8[ready], mem.u64[epoch]]).toEqual([0, 0n]);
  table.instantiate(0, {}, nothing);
  expect([mem.u8[ready], mem.u64[epoch]]).toEqual([0, 0n]);
});
