import type { Decoded } from '../isa/instruction.js';
import { type Block, MOST_IN_BLOCK, type RegionInstruction, successors } from './regionGraph.js';

/**
 * Branches over a few instructions that only compute become straight-line code: the instructions are done in any case, and a select
 * (a conditional move in machine code) keeps the old values where the branch is taken. The processor cannot guess where such a branch
 * goes when that depends on data, as in a CRC, and RISC-V's base has no conditional moves that a compiler could have used instead.
 * Loops become shorter in blocks by that, too, often a single one.
 */

/** Instructions that a branch may skip to be converted. */
const MOST_SKIPPED = 4;

/** What takes a cycle, and can neither fault nor depend on anything but registers. */
const CHEAP =
  /^(lui|auipc|(add|xor|or|and|slt|sltu|sll|srl|sra)|(add|xor|or|and|slt|sll|srl|sra)i|sltiu|sub|(add|sub|sll|srl|sra)w|(add|sll|srl|sra)iw)$/;

const isCheap = ({ instruction, rd }: Decoded): boolean => rd !== 0 && CHEAP.test(instruction.mnemonic);

/** Converts the short branches of the graph from `entry` on, whose blocks are changed. */
export function convertShortBranches(entry: Block): void {
  const before = new Map<Block, number>([[entry, 1]]);
  const blocks = [entry];
  for (const block of blocks)
    for (const next of successors(block)) {
      const known = before.get(next);
      if (known === undefined) blocks.push(next);
      before.set(next, (known ?? 0) + 1);
    }
  const gone = new Set<Block>();
  for (const block of blocks) while (!gone.has(block) && convert(block, before, gone));
}

/** Converts the branch at the end of a block, if it is short. Says whether it was; then there may be another one. */
function convert(block: Block, before: Map<Block, number>, gone: Set<Block>): boolean {
  const { terminator, instructions } = block;
  if (terminator.kind !== 'branch') return false;
  const { taken, next } = terminator;
  const skipped = next.block;
  const after = taken.block;
  if (skipped === undefined || after === undefined || skipped === block || after === block) return false;
  if (skipped === after || before.get(skipped) !== 1 || skipped.terminator.kind !== 'goto') return false;
  if (skipped.terminator.next.block !== after) return false;
  const body = skipped.instructions;
  if (
    body.length > MOST_SKIPPED ||
    !body.every(({ decoded, role }) => role === undefined && isCheap(decoded))
  )
    return false;
  const joins = before.get(after) === 2;
  const size = instructions.length + body.length + (joins ? after.instructions.length : 0);
  if (size > MOST_IN_BLOCK) return false;
  const branch = instructions.pop()!;
  instructions.push({ ...branch, role: 'skips' }, ...body.map(asSkipped));
  gone.add(skipped);
  if (joins) {
    instructions.push(...after.instructions);
    block.terminator = after.terminator;
    gone.add(after);
  } else {
    block.terminator = { kind: 'goto', next: taken };
    before.set(after, before.get(after)! - 1);
  }
  return true;
}

const asSkipped = (at: RegionInstruction): RegionInstruction => ({ ...at, role: 'skipped' });

/** Instructions of a block that are done whichever way its short branches go. */
export function alwaysDone({ instructions }: Block): number {
  return instructions.reduce((sum, { role }) => sum + (role === 'skipped' ? 0 : 1), 0);
}
