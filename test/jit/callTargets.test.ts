import { describe, expect, it } from 'vitest';
import { CallTargets } from '../../src/jit/callTargets.js';
import { formRegion } from '../../src/jit/regionGraph.js';
import { BASE, executedCode } from './executedCode.js';

describe('where a call through a register goes', () => {
  it('is all that was seen there, and only there', () => {
    const calls = new CallTargets();
    expect(calls.from(0x100, [0x1000])).toEqual([0x1000]);
    expect(calls.from(0x100, [0x2000])).toEqual([0x1000, 0x2000]);
    expect(calls.from(0x200, [0x3000])).toEqual([0x3000]);
    expect(calls.from(0x100, [])).toEqual([0x1000, 0x2000]);
  });

  it('is only what it is now where that is always something else', () => {
    const calls = new CallTargets();
    for (let i = 0; i < 4; i++) expect(calls.from(0x100, [0x1000 * i])).toHaveLength(i + 1);
    expect(calls.from(0x100, [0x5000])).toEqual([0x5000]);
  });

  it('is copied into a region, also what it was before', () => {
    const source =
      'start:\n mv a0, a1\n jalr ra, 0(s3)\n j start\n one:\n addi a0, a0, 1\n ret\n two:\n addi a0, a0, 2\n ret';
    const { labels, view } = executedCode(source);
    const calls = new CallTargets();
    const copiesWith = (s3: number): number[] => {
      const registers = Array.from({ length: 32 }, (_, r) => (r === 19 ? s3 : 0));
      const region = formRegion(BASE, {
        ...view,
        calledFrom: (pc, functions) => calls.from(pc, functions),
        registers,
      });
      const { terminator } = region!.entry;
      return terminator.kind === 'call' ? terminator.copies.map(({ pc }) => pc) : [];
    };
    const [one, two] = [labels.get('one')!, labels.get('two')!];
    expect(copiesWith(one)).toEqual([one]);
    expect(copiesWith(two)).toEqual([one, two]);
    // A register that has no code's address in it adds nothing.
    expect(copiesWith(64)).toEqual([one, two]);
  });
});
