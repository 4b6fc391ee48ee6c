import { type Block, endOf, mapEdges, pagesOf, type Region, successors } from './regionGraph.js';

/**
 * A place that is found hot mostly is in a loop of a few instructions, in a function of hundreds. V8 takes as long for those hundreds as
 * the loop does for a million rounds, and until then the loop waits in the interpreter. So it gets a region of its own; the loops around it
 * get theirs when they have come round as often, if they ever do.
 */

/** Regions that are no larger than this many times their innermost loop stay whole. */
const LARGER = 2;

/**
 * The innermost loop that a region's entry is in, alone, if the region is much larger; else the whole region. Which loop that is, backward
 * branches say: from the region's graph, in which the entry comes first, it cannot be seen where the loops around the entry begin.
 */
export function innerLoop(region: Region): Region {
  const { entry } = region;
  const header = headerOfShortest(region);
  if (header === undefined) return region;
  const before = predecessors(region);
  const members = new Set([header]);
  // Nothing below the header is in the loop: that is how it is entered at its end, by a jump from above it.
  const isBehind = (block: Block): boolean => block.calls !== undefined || block.pc >= header.pc;
  const pending = before
    .get(header)!
    .filter((block) => block.calls === undefined && endOf(block) >= header.pc);
  for (let block = pending.pop(); block !== undefined; block = pending.pop()) {
    if (members.has(block) || !isBehind(block)) continue;
    members.add(block);
    pending.push(...(before.get(block) ?? []));
  }
  if (!members.has(entry)) return region;
  const blocks = reachable(entry, members);
  const size = blocks.reduce((sum, { instructions }) => sum + instructions.length, 0);
  if (size * LARGER > region.size) return region;
  for (const block of blocks)
    block.terminator = mapEdges(block.terminator, ({ pc, block: to }) => ({
      pc,
      block: to !== undefined && members.has(to) ? to : undefined,
    }));
  const called = new Set(blocks.map(calleeOf));
  const callees = new Set([...region.callees].filter((pc) => called.has(pc)));
  return { entry, blocks, size, pages: pagesOf(blocks), callees };
}

/** The members that control gets to from the entry; others are what comes before the loop and runs into its middle. */
function reachable(entry: Block, members: ReadonlySet<Block>): Block[] {
  const blocks = new Set([entry]);
  for (const block of blocks) for (const next of successors(block)) if (members.has(next)) blocks.add(next);
  return [...blocks];
}

/** The block to which the shortest backward branch across the entry goes; those in copies of functions are passed over. */
function headerOfShortest({ entry, blocks }: Region): Block | undefined {
  let header: Block | undefined;
  let shortest = Number.POSITIVE_INFINITY;
  for (const block of blocks) {
    const end = endOf(block);
    if (block.calls !== undefined || end < entry.pc) continue;
    for (const to of successors(block)) {
      if (to.calls !== undefined || to.pc > entry.pc || end - to.pc >= shortest) continue;
      header = to;
      shortest = end - to.pc;
    }
  }
  return header;
}

function predecessors({ blocks }: Region): Map<Block, Block[]> {
  const before = new Map<Block, Block[]>();
  for (const block of blocks)
    for (const next of successors(block)) {
      const known = before.get(next);
      if (known === undefined) before.set(next, [block]);
      else known.push(block);
    }
  return before;
}

/** The function that a block calls directly at its end, if it does. */
function calleeOf({ terminator, instructions }: Block): number | undefined {
  const last = instructions.at(-1);
  return terminator.kind === 'call' && last?.decoded.instruction.flow === 'jump'
    ? last.pc + last.decoded.immediate
    : undefined;
}
