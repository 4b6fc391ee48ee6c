import { HOT_AGAIN, QUICK_INSTRUCTIONS } from '../sync/records/translation.js';
import { type Block, type Edge, edgesOf, type Region } from './regionGraph.js';

/** Milliseconds that an instruction takes in the interpreter. */
const INSTRUCTION = 3e-6;
/** How many instructions a counted jump stands for at least. */
const LEAST = 8;
/** Milliseconds by which an instruction takes longer in a region of the first tier than in one of the second. */
const QUICK_INSTRUCTION = 1.5e-6;
/** Milliseconds that could have been saved for each jump that is counted there. */
const QUICK_TIME = QUICK_INSTRUCTIONS * QUICK_INSTRUCTION;
/** Translations of a place that cost nothing extra. From then on each waits twice as long as the one before. */
const FREE_RETURNS = 3;
/** Places that are remembered. */
const MOST_PLACES = 20_000;

/**
 * CPU time in milliseconds that a region of so many instructions takes: most of it in V8's optimising compiler, whose time grows
 * with the size and, for large regions, faster than that. A model: what is measured on a busy machine says little.
 */
export function translationTime(instructions: number): number {
  return 0.5 + 0.08 * instructions + 0.00006 * instructions ** 2;
}

/**
 * Milliseconds in the interpreter for which a counted jump to a region's entry stands: jumps forward in a page are not counted,
 * so that it is a round of the loop that begins there. Where none does it is what is done until control leaves the region,
 * which is anything from the shortest way out to everything.
 */
export function jumpTime({ entry, size }: Region): number {
  const round = shortWay(entry, (edge) => edge.block === entry);
  const way = round ?? Math.sqrt((shortWay(entry, leaves) ?? size) * size);
  return Math.max(LEAST, way) * INSTRUCTION;
}

/** Whether an edge leads out of the region. */
const leaves = (edge: Edge): boolean => edge.block === undefined;

/** Instructions on a short way from `entry` to an edge that is an end, or to where control leaves for an unknown place. */
function shortWay(entry: Block, isEnd: (edge: Edge) => boolean): number | undefined {
  const waiting = new Map<Block, number>([[entry, 0]]);
  const known = new Set<Block>();
  while (waiting.size > 0) {
    let nearest = entry;
    let least = Number.POSITIVE_INFINITY;
    for (const [block, distance] of waiting) if (distance < least) [nearest, least] = [block, distance];
    waiting.delete(nearest);
    known.add(nearest);
    const distance = least + nearest.instructions.length;
    const edges = edgesOf(nearest.terminator);
    if (edges.some(isEnd) || (edges.length === 0 && isEnd === leaves)) return distance;
    for (const { block } of edges)
      if (block !== undefined && !known.has(block))
        waiting.set(block, Math.min(distance, waiting.get(block) ?? distance));
  }
  return undefined;
}

/**
 * Which places are worth translating. A place is when it has kept the interpreter busy for as long as its translation will
 * take: then no more is lost than could have been gained. The first time that it was found hot stands for
 * `threshold` jumps, each later one for HOT_AGAIN. Code that is rewritten again and again soon stays with the interpreter.
 */
export class Worth {
  /** Times that a place must have been found hot, by slot; known once its region was formed. */
  private readonly needed = new Map<number, number>();

  /** How often a place was translated, and how often it had been found hot by then. */
  private readonly translated = new Map<number, { readonly count: number; readonly times: number }>();

  /**
   * `share`: of its cost that a place must have spent in the interpreter; 0 makes every place worth it. `isQuick`: it is in a region of
   * the first tier meanwhile, whose instructions are counted themselves.
   */
  constructor(
    private readonly threshold: number,
    private readonly share: number,
    private readonly isQuick = false,
  ) {}

  /**
   * Whether it makes sense to form the region of a place that was found hot so many times. `size`: instructions around it, as far as is known;
   * a jump to it is taken to stand for all of them then, which is the most there can be.
   */
  mayBe(place: number, times: number, size = 0): boolean {
    const time = this.isQuick ? QUICK_TIME : Math.max(LEAST, size) * INSTRUCTION;
    const least = size === 0 ? 0 : this.neededFor(translationTime(size), time);
    return times >= (this.needed.get(place) ?? least);
  }

  /** How often a place must have been found hot when its translation takes `cost`, and a jump to it stands for `time`. */
  private neededFor(cost: number, time: number): number {
    return 1 + ((cost * this.share) / time - this.threshold) / HOT_AGAIN;
  }

  /** Whether the place is worth the region. */
  is(place: number, times: number, region: Region): boolean {
    const past = this.translated.get(place);
    const time = this.isQuick ? QUICK_TIME : jumpTime(region);
    let needed = this.neededFor(translationTime(region.size), time);
    if (past !== undefined && past.count >= FREE_RETURNS)
      needed = past.times + Math.max(1, needed) * 2 ** Math.min(30, past.count - FREE_RETURNS + 1);
    if (this.needed.size >= MOST_PLACES) this.needed.clear();
    this.needed.set(place, needed);
    return times >= needed;
  }

  /** Notes that the place was translated when it had been found hot so many times. */
  chosen(place: number, times: number): void {
    const past = this.translated.get(place);
    if (this.translated.size >= MOST_PLACES) this.translated.clear();
    this.translated.set(place, { count: (past?.count ?? 0) + 1, times });
  }
}
