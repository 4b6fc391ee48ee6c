import { analyse, type ControlFlow } from './controlFlow.js';
import { Block, edgesOf, endOf, mapEdges, successors } from './regionGraph.js';

/**
 * Which block a loop begins with. A region begins where something was hot, in the middle of a loop or of several more often than not, and the
 * graph from there on shows other loops than the program has. Here they get the headers that let copies be made of them.
 */

/** Address of the last instruction from which a loop goes back to its header. */
function lastLatch(flow: ControlFlow, members: ReadonlySet<number>, header: number): number {
  const latches = [...members]
    .map((m) => flow.order[m])
    .filter((block) => {
      return edgesOf(block.terminator).some(({ block: to }) => to === flow.order[header]);
    });
  return Math.max(...latches.map(endOf));
}

/**
 * Has loops that are inside of each other begin at different blocks. A region that is entered where an inner loop begins looks as if the loops
 * around it began there, too: all come round that way. What goes back there from the code before it is the outer loop's,
 * and goes to a block of its own, which comes before the inner loop. Changes the blocks; returns the first one.
 */
export function separateNests(entry: Block): Block {
  let first = entry;
  const flow = analyse(entry);
  const before: number[][] = flow.order.map(() => []);
  flow.order.forEach((block, m) => {
    for (const to of successors(block)) before[flow.number.get(to)!].push(m);
  });
  flow.order.forEach((header, n) => {
    if (!flow.isLoopHeader[n]) return;
    const latches = before[n].filter((m) => flow.isBackEdge(m, n));
    const inner = latches.filter((m) => !isBefore(flow.order[m], header));
    const innerEnd = Math.max(...inner.map((m) => endOf(flow.order[m])));
    // The way round goes back from behind the inner loop to before it.
    const isOuter = (latch: number): boolean => {
      const members = new Set([n]);
      const pending = [latch];
      for (let m = pending.pop(); m !== undefined; m = pending.pop()) {
        if (members.has(m)) continue;
        members.add(m);
        pending.push(...before[m]);
      }
      return [...members]
        .map((m) => flow.order[m])
        .some(
          (block) =>
            endOf(block) > innerEnd &&
            isBefore(header, block) &&
            successors(block).some((to) => isBefore(to, header) && members.has(flow.number.get(to)!)),
        );
    };
    const outer = latches.filter(isOuter);
    if (outer.length === 0 || outer.length === latches.length) return;
    const start = new Block(header.pc, header.calls);
    for (const m of before[n]) {
      if (flow.isBackEdge(m, n) && !outer.includes(m)) continue;
      const block = flow.order[m];
      block.terminator = mapEdges(block.terminator, (edge) =>
        edge.block === header ? { pc: edge.pc, block: start } : edge,
      );
    }
    start.terminator = { kind: 'goto', next: { pc: header.pc, block: header } };
    if (first === header) first = start;
  });
  return first;
}

/** Whether a block stands before another one of the same function. */
function isBefore(block: Block, other: Block): boolean {
  return block.pc < other.pc && block.calls?.key === other.calls?.key;
}

/** Most instructions of a loop's beginning that is written before the loop as well. */
const IN_BEGINNING = 40;

/**
 * Has loops begin where all their rounds pass. A region that is entered in the middle of a loop with two ways through it looks like a loop
 * with another one inside, which shares its end; when the part before the inner one's header is done once before the loop, that header is
 * the only one. Changes the blocks; returns the first one.
 */
export function turnLoops(entry: Block): Block {
  let first = entry;
  const flow = analyse(entry);
  flow.order.forEach((header, n) => {
    const members = flow.loopMembers[n];
    if (members === undefined || [...members].some((m) => !flow.dominates(n, m))) return;
    // What separateNests has made a loop of is one.
    if (header.instructions.length === 0) return;
    const [inner, ...others] = [...members].filter((m) => m !== n && flow.isLoopHeader[m]);
    if (inner === undefined || others.length > 0) return;
    // A loop that really is inside of another one ends before that does, and before what stands behind it.
    const innerEnd = lastLatch(flow, flow.loopMembers[inner]!, inner);
    if (innerEnd < Math.max(header.pc, lastLatch(flow, members, n))) return;
    // What can be got to before the inner header; the loop must not come round that way.
    const beginning = new Map<Block, Block>();
    const pending = [n];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      const block = flow.order[at];
      if (beginning.has(block)) continue;
      beginning.set(block, new Block(block.pc, block.calls));
      for (const { block: to } of edgesOf(block.terminator)) {
        const m = to === undefined ? -1 : flow.number.get(to)!;
        if (m === inner || !members.has(m)) continue;
        if (flow.isBackEdge(at, m)) return;
        pending.push(m);
      }
    }
    const size = [...beginning.keys()].reduce((sum, { instructions }) => sum + instructions.length, 0);
    if (size > IN_BEGINNING) return;
    for (const [block, copy] of beginning) {
      copy.instructions.push(...block.instructions);
      copy.terminator = mapEdges(block.terminator, ({ pc, block: to }) => ({
        pc,
        block: (to && beginning.get(to)) ?? to,
      }));
    }
    // From outside the loop is entered through the copy.
    flow.order.forEach((block, m) => {
      if (members.has(m)) return;
      block.terminator = mapEdges(block.terminator, (edge) =>
        edge.block === header ? { pc: edge.pc, block: beginning.get(header)! } : edge,
      );
    });
    if (first === header) first = beginning.get(header)!;
  });
  return first;
}
