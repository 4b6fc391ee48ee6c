import { expect, it } from 'vitest';
import { MachineHeat } from '../../src/jit/machineHeat.js';
import type { PlaceToTranslate } from '../../src/sync/translationQueue.js';

/** A place that the worker with these counters has found hot so many times. */
function found(counters: number, times: number, pc = 0x10000): PlaceToTranslate {
  return {
    pc,
    codeTable: 64,
    readTable: 0,
    reach: 2 ** 28,
    homeEntry: 0,
    codePages: [0, 0, 0],
    mm: 0,
    isExact: false,
    times,
    counters,
    registers: [],
  };
}

it('a place is as hot as all workers together have found it', () => {
  const heat = new MachineHeat();
  expect(heat.add(found(1, 1)).times).toBe(1);
  expect(heat.add(found(1, 4)).times).toBe(4);
  expect(heat.add(found(2, 1)).times).toBe(4);
  expect(heat.add(found(2, 3)).times).toBe(6);
  // A request that comes late.
  expect(heat.add(found(1, 2)).times).toBe(6);
  expect(heat.add(found(3, 2)).times).toBe(7);
  expect(heat.add(found(3, 2, 0x20000)).times).toBe(2);
});
