import { describe, expect, it } from 'vitest';
import { Block, type Region, type RegionInstruction } from '../../src/jit/regionGraph.js';
import { hottestFirst } from '../../src/jit/translator.js';
import { jumpTime, translationTime, Worth } from '../../src/jit/worth.js';
import { HOT_AGAIN, QUICK_INSTRUCTIONS } from '../../src/sync/records/translation.js';
import type { PlaceToTranslate } from '../../src/sync/translationQueue.js';

const THRESHOLD = 20_000;

/** A block of so many instructions. */
function block(instructions: number): Block {
  const made = new Block(0, undefined);
  made.instructions.push(...new Array<RegionInstruction>(instructions));
  return made;
}

/** The region of these blocks, each of which goes to the next; the last one to the one of number `back`, if given. */
function regionOf(blocks: readonly Block[], back?: number): Region {
  blocks.forEach((block, i) => {
    const next = i + 1 < blocks.length ? blocks[i + 1] : back === undefined ? undefined : blocks[back];
    block.terminator = { kind: 'goto', next: { pc: 0, block: next } };
  });
  const size = blocks.reduce((sum, { instructions }) => sum + instructions.length, 0);
  return { entry: blocks[0], blocks, size, pages: new Set(), callees: new Set() };
}

/** A loop of so many instructions, and what it has cost when it was found hot once, in milliseconds. */
const loop = (instructions: number): Region => regionOf([block(instructions)], 0);
const once = (region: Region): number => THRESHOLD * jumpTime(region);

describe('a place is worth translating', () => {
  it('once it has cost as much as its translation will', () => {
    const worth = new Worth(THRESHOLD, 1);
    const needed = Math.ceil(translationTime(100) / once(loop(100)));
    expect(needed).toBeGreaterThan(1);
    expect(worth.is(8, needed - 1, loop(100))).toBe(false);
    expect(worth.is(8, needed, loop(100))).toBe(true);
  });

  it('only after that is its region formed again', () => {
    const worth = new Worth(THRESHOLD, 4);
    expect(worth.mayBe(8, 1)).toBe(true);
    worth.is(8, 1, loop(200));
    expect(worth.mayBe(8, 2)).toBe(false);
    expect(worth.mayBe(16, 2)).toBe(true);
    expect(worth.mayBe(8, Math.ceil((4 * translationTime(200)) / once(loop(200))))).toBe(true);
  });

  it('at once when the options ask for translation', () => {
    const worth = new Worth(THRESHOLD, 0);
    expect(worth.is(8, 1, loop(10_000))).toBe(true);
  });

  it('later the larger its region is, and more than in proportion', () => {
    expect(translationTime(400)).toBeGreaterThan(4 * translationTime(100));
  });

  it('the sooner the longer a round of its loop takes, whatever else its region has', () => {
    const long = block(90);
    const short = block(10);
    const inner = regionOf([short, block(100), long], 0);
    short.terminator = { kind: 'branch', taken: { pc: 0, block: short }, next: { pc: 0, block: long } };
    expect(jumpTime(inner)).toBeCloseTo(jumpTime(loop(10)), 12);
    expect(jumpTime(loop(200))).toBeCloseTo(20 * jumpTime(loop(10)), 12);
    const worth = new Worth(THRESHOLD, 1);
    const times = Math.ceil(translationTime(200) / once(loop(200)));
    expect(worth.is(8, times, loop(200))).toBe(true);
    expect(worth.is(16, times, inner)).toBe(false);
  });

  it('the later the more of its region may be left out', () => {
    const straight = regionOf([block(100), block(100)]);
    const first = block(4);
    const early = regionOf([first, block(196)]);
    first.terminator = {
      kind: 'branch',
      taken: { pc: 0, block: undefined },
      next: { pc: 0, block: early.blocks[1] },
    };
    expect(jumpTime(straight)).toBeCloseTo(jumpTime(loop(200)), 12);
    expect(jumpTime(early)).toBeLessThan(jumpTime(straight) / 4);
    expect(jumpTime(early)).toBeGreaterThan(jumpTime(loop(8)));
  });

  it('in two tiers for the instructions that it has done in the first, whatever its loops look like', () => {
    const worth = new Worth(THRESHOLD, 1, true);
    const saved = (times: number): number => times * HOT_AGAIN * QUICK_INSTRUCTIONS * 1.5e-6;
    for (const region of [loop(200), loop(10), regionOf([block(100), block(100)])]) {
      const times = Math.ceil(translationTime(region.size) / saved(1));
      expect(worth.is(8, times + 1, region)).toBe(true);
      expect(worth.is(8, times - 1, region)).toBe(false);
      expect(worth.mayBe(16, times + 1, region.size)).toBe(true);
      expect(worth.mayBe(16, times - 1, region.size)).toBe(false);
    }
  });

  it('ever later when it is rewritten again and again, even if the options ask for translation', () => {
    const worth = new Worth(THRESHOLD, 0);
    const waits: number[] = [];
    let times = 0;
    for (let i = 0; i < 12; i++) {
      const before = times;
      do times++;
      while (!worth.is(8, times, loop(50)));
      worth.chosen(8, times);
      waits.push(times - before);
    }
    expect(waits).toEqual([1, 1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
  });
});

describe('the order of translation', () => {
  it('is that of heat, and every place comes once, as it was found last', () => {
    const place = (pc: number, times: number) => ({ pc, times, codeTable: 8 }) as PlaceToTranslate;
    const places = [place(0x1000, 1), place(0x2000, 7), place(0x1000, 2), place(0x3000, 4), place(0x1000, 5)];
    expect(hottestFirst(places).map(({ pc, times }) => [pc, times])).toEqual([
      [0x2000, 7],
      [0x1000, 5],
      [0x3000, 4],
    ]);
  });
});
