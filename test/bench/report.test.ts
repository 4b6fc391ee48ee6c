import { describe, expect, it } from 'vitest';
import type { Case } from '../../bench/cases.js';
import { plot } from '../../bench/plot.js';
import { geometricMean, line, means, meansLine } from '../../bench/report.js';
import type { Runner } from '../../bench/runners.js';
import { median, type Result } from '../../bench/wholeRuns.js';

const runner = (id: string, kind: Runner['kind']): Runner => ({
  id,
  kind,
  command: id,
  options: [],
  version: '1',
});
const runners = [
  runner('Node 20', 'guesthouse'),
  runner('Node 24', 'guesthouse'),
  runner('qemu 7.2', 'qemu'),
  runner('native', 'native'),
];
const result = (name: string, seconds: Record<string, number>, operations?: number): Result => ({
  case: {
    name,
    part: 'integer',
    source: '',
    args: [],
    measure: 'process',
    ...(operations !== undefined && { operations }),
  } satisfies Case,
  seconds,
  cpu: {},
  all: {},
});
const results = [
  result('one <&>', { 'Node 20': 2, 'Node 24': 1, 'qemu 7.2': 4, native: 0.5 }),
  result('two', { 'Node 20': 1, 'Node 24': 0.5, 'qemu 7.2': 8 }, 1000),
];

describe('the report of the benchmarks', () => {
  it('sets beside them what WebAssembly gives at best, when that has run', () => {
    const bound = result('bound', { 'Node 20': 4, 'qemu 7.2': 8, native: 1, wasm: 2 });
    expect(means([bound], [...runners, runner('wasm', 'wasm')])).toEqual({
      'qemu 7.2 / Node 20': 2,
      'Node 20 / native': 4,
      'qemu 7.2 / wasm': 4,
      'wasm / native': 2,
    });
  });

  it('compares each Guesthouse with qemu and with the host, where both have run', () => {
    expect(means(results, runners)).toEqual({
      'qemu 7.2 / Node 20': 4,
      'Node 20 / native': 4,
      'qemu 7.2 / Node 24': expect.closeTo(8, 10),
      'Node 24 / native': 2,
    });
    expect(line(results[0], runners).split(/ {2,}/)).toEqual([
      'one <&>',
      '2,000.0 ms',
      '1,000.0 ms',
      '4,000.0 ms',
      '500.0 ms',
      '2.00',
      '4.00',
      '4.00',
      '2.00',
    ]);
    expect(line(results[1], runners).split(/ {2,}/)).toEqual([
      'two',
      '1,000/s',
      '2,000/s',
      '125/s',
      '-',
      '8.00',
      '-',
      '16.00',
      '-',
    ]);
    expect(meansLine(results, runners).split(/ {2,}/)).toEqual([
      'geometric mean',
      '4.00',
      '4.00',
      '8.00',
      '2.00',
    ]);
  });

  it('takes the middle', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(geometricMean([1, 4, 16])).toBeCloseTo(4);
  });

  it('draws a bar for each runner but qemu in each case', () => {
    const picture = plot(results, runners, 'a machine')!;
    expect(picture.match(/<rect [^>]*height="9"/g)?.length).toBe(5);
    expect(picture).toContain('one &lt;&amp;&gt;');
    expect(picture).not.toContain('NaN');
    // Well formed: every element that is not closed in itself is closed once.
    expect(picture.match(/<(svg|text)[ >]/g)?.length).toBe(picture.match(/<\/(svg|text)>/g)?.length);
    expect(plot(results, runners.slice(0, 2), '')).toBeUndefined();
  });
});
