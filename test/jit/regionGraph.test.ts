import { describe, expect, it } from 'vitest';
import { type Block, formRegion, type Region } from '../../src/jit/regionGraph.js';
import { assemble } from '../isa/assembler.js';

const BASE = 0x10000;
const TABLE = 0x20000;

/** The region at `entry` of code that has all been executed, with a table of the distances of `cases` from TABLE at TABLE. */
function regionAt(source: string, entry: string, cases: readonly string[] = []): Region {
  const { bytes, labels } = assemble(source, BASE);
  const code = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const inside = (pc: number): boolean => pc >= BASE && pc + 2 <= BASE + bytes.byteLength;
  const region = formRegion(labels.get(entry)!, {
    fetch: (pc) => (inside(pc) ? code.getUint16(pc - BASE, true) : undefined),
    isWarm: inside,
    load: (address) => {
      const label = cases[(address - TABLE) / 4];
      return label === undefined ? undefined : labels.get(label)! - TABLE;
    },
    registers: Array.from({ length: 32 }, () => TABLE),
    extensions: -1,
  });
  return region!;
}

const kinds = ({ blocks }: Region): string[] => blocks.map(({ terminator }: Block) => terminator.kind);

/** The switch of an interpreter: goes to the place that the table has at a2. */
const dispatch = 'slli a3, a2, 2\n add a3, a4, a3\n lw a3, 0(a3)\n add a3, a3, a4\n jalr zero, 0(a3)\n';
const cases = Array.from({ length: 40 }, (_, i) => `case${i}`);

describe('a region', () => {
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
