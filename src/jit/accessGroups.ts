import type { Decoded } from '../isa/instruction.js';
import type { Local } from '../wasm/index.js';
import type { RegionInstruction } from './regionGraph.js';

/**
 * Accesses of one block off one unchanged base register. Their addresses are translated once, by the first of them, for all:
 * functions save and restore registers and reach their variables in long runs of such accesses.
 */
export interface AccessGroup {
  /** Offset of the lowest byte, and of the highest, from the base register. */
  lowest: number;
  highest: number;
  /** Base + anchor is a multiple of `alignment` when all accesses are aligned. */
  anchor: number;
  alignment: number;
  /** Whether one of them is a store: then all need a page that can be written. */
  writes: boolean;
  members: number;
  /** The number of the block with its first access. */
  readonly block: number;
  /** Machine address of the lowest byte, once code has been written that finds it. */
  place: Local<'i32'> | undefined;
}

/** Bytes of the plain loads and stores, which may be in groups, by mnemonic. */
export const SIZES: Readonly<Record<string, number>> = {
  ...{ lb: 1, lbu: 1, sb: 1, lh: 2, lhu: 2, sh: 2, lw: 4, lwu: 4, sw: 4, ld: 8, sd: 8 },
  ...{ flh: 2, fsh: 2, flw: 4, fsw: 4, fld: 8, fsd: 8 },
};

/** What an instruction does with memory. */
export interface Access {
  readonly reads: boolean;
  readonly writes: boolean;
  /** Bytes at a time. */
  readonly size: number;
}

/** The instruction's access of memory, if it has one. */
export function accessOf({ instruction }: Decoded): Access | undefined {
  const { memory, mnemonic, usesRd, operands } = instruction;
  // Cache blocks are read to find out whether they may be, and zeroed eight bytes at a time.
  if (mnemonic.startsWith('cbo.')) return { reads: true, writes: true, size: 8 };
  if (!memory) return undefined;
  const size = SIZES[mnemonic] ?? (mnemonic.endsWith('.w') ? 4 : 8);
  return { reads: usesRd, writes: !usesRd || operands.includes('t'), size };
}

/** Most bytes that a group spans: it must not touch more than two pages. */
const LARGEST_SPAN = 2048;

/**
 * The groups of the instructions of a block, or of several that control only runs through from the first to the last, or leaves, by their
 * position; only groups of two or more. `blocks`: where each block begins.
 */
export function accessGroups(
  instructions: readonly Pick<RegionInstruction, 'decoded'>[],
  blocks: readonly number[] = [0],
): (AccessGroup | undefined)[] {
  const groups: (AccessGroup | undefined)[] = instructions.map(() => undefined);
  const open = new Map<number, AccessGroup>();
  let block = 0;
  instructions.forEach(({ decoded: { instruction, rs1, rd, immediate } }, i) => {
    if (i >= blocks[block + 1]) block++;
    const size = instruction.memory ? SIZES[instruction.mnemonic] : undefined;
    if (size !== undefined && rs1 !== 0) {
      const writes = !instruction.usesRd;
      let group = open.get(rs1);
      if (group === undefined || !join(group, immediate, size, writes, block)) {
        group = {
          lowest: immediate,
          highest: immediate + size - 1,
          anchor: immediate,
          alignment: size,
          writes,
          members: 1,
          block,
          place: undefined,
        };
        open.set(rs1, group);
      }
      groups[i] = group;
    }
    if (instruction.usesRd && instruction.operands.includes('d')) open.delete(rd);
  });
  return groups.map((group) => (group !== undefined && group.members > 1 ? group : undefined));
}

/**
 * Adds an access to a group, if it can be part of it. One that may not be made, since control may leave before it comes to its block, must not
 * ask for more than those before it did: pages that can be written, or a stricter alignment.
 */
function join(group: AccessGroup, offset: number, size: number, writes: boolean, block: number): boolean {
  if (block !== group.block && ((writes && !group.writes) || size > group.alignment)) return false;
  const lowest = Math.min(group.lowest, offset);
  const highest = Math.max(group.highest, offset + size - 1);
  if (highest - lowest >= LARGEST_SPAN) return false;
  if ((offset - group.anchor) % Math.min(size, group.alignment) !== 0) return false;
  group.lowest = lowest;
  group.highest = highest;
  if (size > group.alignment) {
    group.anchor = offset;
    group.alignment = size;
  }
  group.writes ||= writes;
  group.members++;
  return true;
}
