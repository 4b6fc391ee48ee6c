import { type Block, successors } from './regionGraph.js';

/**
 * The shape of a region: reverse postorder, immediate dominators, loop headers and merge points; what structured
 * control flow is emitted from (Ramsey, "Beyond Relooper", ICFP 2022).
 */
export interface ControlFlow {
  /** Reachable blocks in reverse postorder; a block's number is its index. */
  readonly order: readonly Block[];
  readonly number: ReadonlyMap<Block, number>;
  /** Children in the dominator tree, in reverse postorder. */
  readonly children: readonly (readonly number[])[];
  /** Targets of back edges. */
  readonly isLoopHeader: readonly boolean[];
  /** By loop header: the blocks from which its back edges can be got to, itself included. */
  readonly loopMembers: readonly (ReadonlySet<number> | undefined)[];
  /** Blocks with two or more forward edges into them. */
  readonly isMerge: readonly boolean[];
  /** Whether the edge between the two blocks goes backwards. */
  isBackEdge(from: number, to: number): boolean;
  /** Whether `a` dominates `b`. */
  dominates(a: number, b: number): boolean;
  /** Whether the edge leaves the innermost loop around `from` to where there is no loop any more: it is rarely taken. */
  leavesLoops(from: number, to: number): boolean;
}

/** Analyses the blocks reachable from `entry`. */
export function analyse(entry: Block): ControlFlow {
  const order = reversePostorder(entry);
  const number = new Map(order.map((block, index) => [block, index]));
  const next = order.map((block) => successors(block).map((s) => number.get(s)!));
  const previous: number[][] = order.map(() => []);
  next.forEach((targets, from) => {
    for (const to of targets) previous[to].push(from);
  });

  // Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm".
  const idom: number[] = order.map(() => -1);
  idom[0] = 0;
  const meet = (a: number, b: number): number => {
    while (a !== b) {
      while (a > b) a = idom[a];
      while (b > a) b = idom[b];
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let b = 1; b < order.length; b++) {
      let dominator = -1;
      for (const p of previous[b]) if (idom[p] !== -1) dominator = dominator === -1 ? p : meet(p, dominator);
      if (dominator !== idom[b]) {
        idom[b] = dominator;
        changed = true;
      }
    }
  }

  const dominates = (a: number, b: number): boolean => {
    while (b > a) b = idom[b];
    return a === b;
  };
  const isBackEdge = (from: number, to: number): boolean => to <= from;
  const isLoopHeader = order.map((_, b) => previous[b].some((p) => isBackEdge(p, b) && dominates(b, p)));
  const isMerge = order.map((_, b) => previous[b].filter((p) => !isBackEdge(p, b)).length > 1);
  const children: number[][] = order.map(() => []);
  for (let b = 1; b < order.length; b++) children[idom[b]].push(b);
  const { loopMembers, inLoop, reachesLoop } = loops(next, previous, isLoopHeader, isBackEdge);
  const leavesLoops = (from: number, to: number): boolean => inLoop[from] && !reachesLoop[to];
  return { order, number, children, isLoopHeader, loopMembers, isMerge, isBackEdge, dominates, leavesLoops };
}

/** Which blocks are in which loop, in any, and from which one can get into one. */
function loops(
  next: readonly (readonly number[])[],
  previous: readonly (readonly number[])[],
  isLoopHeader: readonly boolean[],
  isBackEdge: (from: number, to: number) => boolean,
): { loopMembers: (Set<number> | undefined)[]; inLoop: boolean[]; reachesLoop: boolean[] } {
  const inLoop = next.map(() => false);
  const loopMembers: (Set<number> | undefined)[] = next.map(() => undefined);
  for (let header = 0; header < next.length; header++) {
    if (!isLoopHeader[header]) continue;
    const members = new Set([header]);
    const pending = previous[header].filter((from) => isBackEdge(from, header));
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      if (members.has(at)) continue;
      members.add(at);
      pending.push(...previous[at]);
    }
    loopMembers[header] = members;
    for (const member of members) inLoop[member] = true;
  }
  const reachesLoop = [...inLoop];
  const pending = reachesLoop.flatMap((reaches, block) => (reaches ? [block] : []));
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const from of previous[at]) {
      if (reachesLoop[from]) continue;
      reachesLoop[from] = true;
      pending.push(from);
    }
  }
  return { loopMembers, inLoop, reachesLoop };
}

function reversePostorder(entry: Block): Block[] {
  const seen = new Set<Block>([entry]);
  const postorder: Block[] = [];
  const stack: { block: Block; targets: Block[]; at: number }[] = [
    { block: entry, targets: successors(entry), at: 0 },
  ];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    if (top.at < top.targets.length) {
      // Last target first: then the taken side of a branch, a loop's body more often than not, comes right behind it.
      const target = top.targets[top.targets.length - 1 - top.at++];
      if (!seen.has(target)) {
        seen.add(target);
        stack.push({ block: target, targets: successors(target), at: 0 });
      }
    } else {
      postorder.push(top.block);
      stack.pop();
    }
  }
  return postorder.reverse();
}
