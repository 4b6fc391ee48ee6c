import { expect, test } from 'vitest';
import { Translator } from '../../src/jit/translator.js';
import { frameAddress } from '../../src/memory/frames.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { allocateBlock } from '../../src/sync/heap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { CodePage } from '../../src/sync/records/codePage.js';
import { Thread } from '../../src/sync/records/thread.js';
import { initTranslation, requestTranslation, takeRequests } from '../../src/sync/translationQueue.js';
import { assemble } from '../isa/assembler.js';

const CODE = 0x10_0000;
const REACH = 0x200_0000;
const LOOPS = 90;

test('the hottest places come first, and the others soon: none is forgotten, none translated twice', () => {
  const mem = createMachineMemory({ bytes: 64 * 2 ** 20 });
  initTranslation(mem, { threshold: 1000, patience: 1, tiers: 2, share: 100 }, COORDINATOR);
  const { bytes, labels } = assemble(
    Array.from(
      { length: LOOPS },
      (_, i) => `l${i}:
        add a1, a1, a2
        add a1, a1, a3
        add a1, a1, a4
        add a1, a1, a5
        add a1, a1, a6
        addi a0, a0, -1
        bnez a0, l${i}
        ret`,
    ).join('\n'),
    CODE,
  );
  const source = frameAddress(mem, 5);
  mem.u8.set(bytes, source);
  const codePage = allocateBlock(mem, CodePage.SIZE, COORDINATOR);
  mem.setU32(codePage + CodePage.source, source);
  for (let at = 0; at < bytes.length; at += 2) mem.setU32(codePage + CodePage.slots + at * 4, 1);
  const table = allocateBlock(mem, (REACH / 4096) * 4, COORDINATOR);
  mem.setU32(table + (CODE / 4096) * 4, codePage);
  const thread = allocateBlock(mem, Thread.SIZE, COORDINATOR);
  mem.setU32(thread + Thread.codeTable, table);
  mem.set64(thread + Thread.reach, REACH);
  const loops = Array.from({ length: LOOPS }, (_, i) => labels.get(`l${i}`)!);
  loops.forEach((pc, i) => {
    requestTranslation(mem, thread, pc, i + 1, () => {});
  });

  const modules: number[][] = [];
  const compileQuickly = (module: Uint8Array<ArrayBuffer>): WebAssembly.Module =>
    new WebAssembly.Module(module);
  const translator = new Translator(
    mem,
    { hostPageShift: 12, fused: false, budget: 1000 },
    2,
    { compile: compileQuickly, compileQuickly, optimize: undefined },
    { translated: (_first, regions) => void modules.push(regions.map(({ region }) => region.entry.pc)) },
  );
  translator.translate(takeRequests(mem, undefined, 2)!);
  expect(modules).toHaveLength(1);
  expect(modules[0]).toEqual(loops.slice(-modules[0].length).reverse());
  expect(modules[0].length).toBeLessThan(LOOPS / 2);

  while (modules.flat().length < LOOPS) {
    const before = modules.length;
    translator.translate([]);
    expect(modules).toHaveLength(before + 1);
  }
  translator.translate([]);
  expect(modules.flat().sort((a, b) => a - b)).toEqual(loops);
});
