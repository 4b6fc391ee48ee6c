import { describe, expect, it } from 'vitest';
import { translationTime, Worth } from '../../src/jit/worth.js';

const THRESHOLD = 20_000;
/** What a place that was found hot once has cost, in milliseconds. */
const ONCE = THRESHOLD * 25e-6;

describe('a place is worth translating', () => {
  it('once it has cost as much as its translation will', () => {
    const worth = new Worth(THRESHOLD, 1);
    const needed = Math.ceil(translationTime(100) / ONCE);
    expect(needed).toBeGreaterThan(2);
    expect(worth.is(8, needed - 1, 100)).toBe(false);
    expect(worth.is(8, needed, 100)).toBe(true);
  });

  it('only after that is its region formed again', () => {
    const worth = new Worth(THRESHOLD, 1);
    expect(worth.mayBe(8, 1)).toBe(true);
    worth.is(8, 1, 200);
    expect(worth.mayBe(8, 2)).toBe(false);
    expect(worth.mayBe(16, 2)).toBe(true);
    expect(worth.mayBe(8, Math.ceil(translationTime(200) / ONCE))).toBe(true);
  });

  it('at once when the options ask for translation', () => {
    const worth = new Worth(THRESHOLD, 0);
    expect(worth.is(8, 1, 10_000)).toBe(true);
  });

  it('later the larger its region is, and more than in proportion', () => {
    expect(translationTime(400)).toBeGreaterThan(4 * translationTime(100));
  });

  it('ever later when it is rewritten again and again, even if the options ask for translation', () => {
    const worth = new Worth(THRESHOLD, 0);
    const waits: number[] = [];
    let times = 0;
    for (let i = 0; i < 12; i++) {
      const before = times;
      do times++;
      while (!worth.is(8, times, 50));
      worth.chosen(8, times);
      waits.push(times - before);
    }
    expect(waits).toEqual([1, 1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
  });
});
