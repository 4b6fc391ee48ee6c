import { describe, expect, it } from 'vitest';
import { decode } from '../../src/isa/decoder.js';
import { accessGroups } from '../../src/jit/accessGroups.js';

const A0 = 10;
const A1 = 11;

const load = (funct3: number) => (rd: number, base: number, offset: number) => ({
  decoded: decode(((offset << 20) | (base << 15) | (funct3 << 12) | (rd << 7) | 0x03) >>> 0, -1)!,
});
const [lb, ld] = [load(0), load(3)];
const sd = (value: number, base: number, offset: number) => ({
  decoded: decode(
    (((offset >> 5) << 25) | (value << 20) | (base << 15) | (3 << 12) | ((offset & 31) << 7) | 0x23) >>> 0,
    -1,
  )!,
});
/** beq zero, zero, …: what ends a block. */
const branch = { decoded: decode(0x0000_0463, -1)! };

/** Which instructions share a translation: the position of the first of each one's group, or −1. */
function firsts(...arguments_: Parameters<typeof accessGroups>): number[] {
  const groups = accessGroups(...arguments_);
  return groups.map((group) => (group === undefined ? -1 : groups.indexOf(group)));
}

describe('accesses off one base, translated once', () => {
  it('go on in a block that control can only come to from the one before', () => {
    expect(firsts([ld(A1, A0, 0), branch, ld(A1, A0, 8)], [0, 2])).toEqual([0, -1, 0]);
    expect(firsts([sd(A1, A0, 0), branch, ld(A1, A0, 8)], [0, 2])).toEqual([0, -1, 0]);
  });

  it('end where the base changes', () => {
    expect(firsts([ld(A1, A0, 0), branch, ld(A0, A0, 8), ld(A1, A0, 16)], [0, 2])).toEqual([0, -1, 0, -1]);
  });

  it('do not ask for a page that can be written because of a store that may not be made', () => {
    const instructions = [ld(A1, A0, 0), branch, sd(A1, A0, 8), ld(A1, A0, 16)];
    expect(firsts(instructions, [0, 2])).toEqual([-1, -1, 2, 2]);
    expect(firsts(instructions)).toEqual([0, -1, 0, 0]);
  });

  it('do not ask for a stricter alignment because of an access that may not be made', () => {
    const instructions = [lb(A1, A0, 0), branch, ld(A1, A0, 8), lb(A1, A0, 1)];
    expect(firsts(instructions, [0, 2])).toEqual([-1, -1, 2, 2]);
    expect(firsts(instructions)).toEqual([0, -1, 0, 0]);
  });
});
