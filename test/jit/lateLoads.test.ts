import { describe, expect, it } from 'vitest';
import { analyse } from '../../src/jit/controlFlow.js';
import { lateLoads } from '../../src/jit/lateLoads.js';
import { formRegion } from '../../src/jit/regionGraph.js';
import { registersIn, registerUse } from '../../src/jit/registerUse.js';
import { BASE, executedCode } from './executedCode.js';

const [A0, A1, A2, A3, S0] = [10, 11, 12, 13, 8];

/** Where each register is loaded in the region at the beginning of the code: at the entry, or the pc of a block; and `missing` by the pc of the block. */
function loadsOf(source: string): {
  early: number[];
  at: Map<number, string>;
  missing: Map<string, number[]>;
} {
  const { labels, view } = executedCode(source);
  const flow = analyse(formRegion(BASE, view)!.entry);
  const { early, at, missing } = lateLoads(flow, registerUse(flow));
  const names = new Map([...labels].map(([name, pc]) => [pc, name]));
  const nameOf = (n: number): string => names.get(flow.order[n].pc) ?? 'none';
  return {
    early: registersIn(early.x),
    at: new Map(at.flatMap(({ x }, n) => registersIn(x).map((r) => [r, nameOf(n)] as const))),
    missing: new Map(missing.map(({ x }, n) => [nameOf(n), registersIn(x)])),
  };
}

describe('a register that is alive at the entry is loaded', () => {
  it('where the only block is that reads it', () => {
    const { early, at } = loadsOf(
      'start:\n beqz a0, one\n two:\n add a0, a1, a2\n ret\n one:\n add a0, a1, a3\n ret',
    );
    expect(early).toEqual([]);
    expect([at.get(A0), at.get(A1), at.get(A2), at.get(A3)]).toEqual(['start', 'start', 'two', 'one']);
  });

  it('before a loop that reads it', () => {
    const { early, at } = loadsOf(
      'start:\n beqz a0, end\n before:\n li a3, 5\n loop:\n add a0, a0, a1\n addi a3, a3, -1\n bnez a3, loop\n end:\n ret',
    );
    expect(early).toEqual([]);
    expect(at.get(A1)).toBe('before');
  });

  it('at the entry when a loop begins there', () => {
    const { early, at } = loadsOf('start:\n add a0, a0, a1\n addi a3, a3, -1\n bnez a3, start\n ret');
    expect(early).toEqual(expect.arrayContaining([A0, A1, A3]));
    expect([A0, A1, A3].some((r) => at.has(r))).toBe(false);
  });

  it('behind a call when it is read there only, and not once more when the call comes back', () => {
    const body = 'addi a1, a1, 1\n'.repeat(200);
    const { at, missing } = loadsOf(
      `start:\n mv s0, ra\n beqz a0, other\n calls:\n jal ra, far\n back:\n beqz a0, end\n other:\n add a0, a0, a2\n end:\n mv ra, s0\n ret\n far:\n ${body} ret`,
    );
    expect(at.get(A2)).toBe('other');
    expect(missing.get('calls')).toContain(A2);
    expect(missing.get('calls')).not.toContain(S0);
    expect(missing.get('other')).not.toContain(A2);
  });
});
