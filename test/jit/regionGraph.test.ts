import { describe, expect, it } from 'vitest';
import { innerLoop } from '../../src/jit/innerLoop.js';
import { type Block, formRegion, type Region } from '../../src/jit/regionGraph.js';
import { assemble } from '../isa/assembler.js';
import { BASE, executedCode } from './executedCode.js';

const TABLE = 0x20000;

/**
 * The region at `entry` of code that has all been executed, with a table of the distances of `cases` from TABLE at TABLE; jumps through registers
 * were seen to go to `seen`.
 */
function regionAt(
  source: string,
  entry: string,
  cases: readonly string[] = [],
  seen: readonly string[] = [],
): Region {
  const { labels, view } = executedCode(source);
  const region = formRegion(labels.get(entry)!, {
    ...view,
    load: (address) => {
      const label = cases[(address - TABLE) / 4];
      return label === undefined ? undefined : labels.get(label)! - TABLE;
    },
    registers: Array.from({ length: 32 }, () => TABLE),
    seenFrom: () => seen.map((label) => labels.get(label)!),
  });
  return region!;
}

const kinds = ({ blocks }: Region): string[] => blocks.map(({ terminator }: Block) => terminator.kind);

/** The switch of an interpreter: goes to the place that the table has at a2. */
const dispatch = 'slli a3, a2, 2\n add a3, a4, a3\n lw a3, 0(a3)\n add a3, a3, a4\n jalr zero, 0(a3)\n';
const cases = Array.from({ length: 40 }, (_, i) => `case${i}`);

describe('a region', () => {
  it.each([
    ['a short one twice', 4, 7],
    ['another one once', 30, 3],
  ])('has a recursive function copied into itself, %s', (_what, nops, copies) => {
    const source = `start:\n beqz a0, end\n ${'addi a1, a1, 1\n'.repeat(nops)} jal ra, start\n jal ra, start\n end:\n ret`;
    const entries = regionAt(source, 'start').blocks.filter(({ pc }) => pc === BASE);
    expect(entries).toHaveLength(copies);
  });

  it('has the cases of a large switch when it is the only one', () => {
    const source = `loop:\n ${dispatch}${cases.map((label) => `${label}:\n addi a1, a1, 1\n j loop\n`).join('')}`;
    const region = regionAt(source, 'loop', cases);
    expect(kinds(region)).toContain('switch');
    expect(region.blocks.length).toBeGreaterThan(cases.length);
  });

  it('ends at the large switches of an interpreter that has one after each instruction', () => {
    const source = cases.map((label) => `${label}:\n addi a1, a1, 1\n ${dispatch}`).join('');
    const region = regionAt(source, 'case3', cases);
    expect(kinds(region)).toEqual(['indirect']);
    expect(region.size).toBe(6);
  });

  it.each([
    ['all cases of a small switch, though few were seen lately', 5, 5],
    ['the cases of a large switch that were seen lately', 40, 2],
  ])('has %s', (_what, count, taken) => {
    const labels = cases.slice(0, count);
    const source = labels.map((label) => `${label}:\n addi a1, a1, 1\n ${dispatch}`).join('');
    const { blocks } = regionAt(source, 'case0', labels, ['case1', 'case2']);
    const { terminator } = blocks[0];
    expect(terminator.kind === 'switch' && terminator.targets).toHaveLength(taken);
  });

  /** Branches forward, each over ten instructions. */
  const forward = Array.from(
    { length: 40 },
    (_, i) => `beqz a1, f${i}\n ${'nop\n'.repeat(10)}f${i}:\n nop\n`,
  );

  it('is the smaller when it has no loop', () => {
    const straight = regionAt(`start:\n ${forward.join('')} ret`, 'start');
    const loop = regionAt(`start:\n ${forward.join('')} j start`, 'start');
    expect(loop.size).toBeGreaterThan(300);
    expect(straight.size).toBeLessThan(300);
  });
});

describe('what is called', () => {
  const much = 'nop\n'.repeat(60);

  it('is not gone back to the beginning of a function from, when it gives it more stack', () => {
    const source = `start:\n ld t1, 16(s11)\n bltu t1, sp, body\n sd a0, 8(sp)\n jal t0, more\n ld a0, 8(sp)\n j start\n body:\n ${much} ret\n more:\n ${much} ${much} jalr zero, 0(t0)`;
    const region = regionAt(source, 'start');
    const { labels } = assemble(source, BASE);
    expect(region.size).toBe(4 + 60 + 1);
    expect(innerLoop(region).size).toBe(region.size);
    expect(region.blocks.map(({ pc }) => pc)).not.toContain(labels.get('start')! + 16);
  });

  it('is copied when it is called with the alternate link register and small', () => {
    const region = regionAt('start:\n jal t0, save\n ret\n save:\n sd s0, 0(sp)\n jalr zero, 0(t0)', 'start');
    expect(region.size).toBe(4);
  });

  it('is not copied when it never returns', () => {
    const region = regionAt('start:\n jal ra, never\n ret\n never:\n addi a0, a0, 1\n j never', 'start');
    expect(region.size).toBe(2);
  });
});

describe('blocks', () => {
  it('end where others begin, so that a loop that is run into is entered at one place', () => {
    const source = `start:\n addi a4, zero, 16\n loop:\n andi a5, a0, 1\n srli a0, a0, 1\n beqz a5, over\n ld a1, 0(a2)\n over:\n addi a4, a4, -1\n bnez a4, loop\n j start`;
    const { labels } = assemble(source, BASE);
    const { blocks, size } = regionAt(source, 'start');
    expect(size).toBe(8);
    expect(blocks.map(({ pc }) => pc)).toContain(labels.get('loop'));
    const starts = blocks.flatMap(({ instructions }) => instructions.map(({ pc }) => pc));
    expect(new Set(starts).size).toBe(starts.length);
  });
});

describe('the innermost loop around a hot place', () => {
  const much = 'nop\n'.repeat(60);
  const inner = 'inner:\n lw a1, 0(a0)\n middle:\n addi a0, a0, 4\n jal ra, far\n bne a0, a2, inner\n';
  const nest = `start:\n ${much} outer:\n addi a3, a3, 1\n ${inner} after:\n bne a3, a4, outer\n ${much} j start\n far:\n ${much} ${much} ret`;
  const starts = ({ blocks, entry }: Region): number[] => blocks.map(({ pc }) => pc - entry.pc);

  it('is a region of its own when the function is much larger', () => {
    const region = innerLoop(regionAt(nest, 'inner'));
    expect(region.size).toBe(4);
    expect(starts(region)).toEqual([0, 12]);
  });

  it('is found from its middle, too', () => {
    const region = innerLoop(regionAt(nest, 'middle'));
    expect(region.size).toBe(4);
    expect(starts(region).sort((a, b) => a - b)).toEqual([-4, 0, 8]);
  });

  it('is the one outside where the place is behind the inner one', () => {
    const region = innerLoop(regionAt(nest, 'after'));
    expect(region.size).toBe(6);
  });

  it('does not have what comes before, where it is entered at its end', () => {
    const source = `start:\n ${much} j test\n body:\n addi a0, a0, 4\n test:\n bne a0, a2, body\n ${much} j start`;
    expect(innerLoop(regionAt(source, 'body')).size).toBe(2);
  });

  it('calls what it calls, and nothing else', () => {
    const source = `start:\n jal ra, one\n ${much} loop:\n jal ra, two\n j loop\n one:\n ${much} ret\n two:\n ${much} ret`;
    const whole = regionAt(source, 'start');
    const { labels } = assemble(source, BASE);
    expect([...whole.callees]).toContain(labels.get('one'));
    expect([...innerLoop(regionAt(source, 'loop')).callees]).toEqual([labels.get('two')]);
  });

  it('stands in the pages of its code only', () => {
    const source = `start:\n ${'nop\n'.repeat(300)} j far\n ${'nop\n'.repeat(2000)} far:\n addi a1, a1, -1\n bne a1, a2, far\n j start`;
    const whole = regionAt(source, 'far');
    const before = new Set(whole.pages);
    expect(before.size).toBeGreaterThan(1);
    expect(innerLoop(whole).pages.size).toBe(1);
  });

  it('is not taken out where it is most of the region, or there is none', () => {
    const whole = regionAt(`start:\n ${much} loop:\n ${much} ${much} bne a0, a1, loop\n j start`, 'loop');
    expect(innerLoop(whole) === whole).toBe(true);
    const straight = regionAt(`start:\n ${much} loop:\n bne a0, a1, loop\n ret`, 'start');
    expect(innerLoop(straight) === straight).toBe(true);
  });
});
