import { HOT_AGAIN } from '../sync/records/translation.js';
import { type Block, type Region, successors } from './regionGraph.js';

/** Milliseconds that an instruction takes in the interpreter. */
const INSTRUCTION = 3e-6;
/** The share of a region that is done each time when it is no loop, for there are branches in it. */
const DONE = 0.5;
/** How many instructions a counted jump stands for at least. */
const LEAST = 8;
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
 * so that it is a round of the loop that begins there, or what follows where none does.
 */
export function jumpTime(region: Region): number {
  const instructions = shortRound(region) ?? region.size * DONE;
  return Math.max(LEAST, instructions) * INSTRUCTION;
}

/** Instructions on a short way from the entry back to it; undefined where there is none. */
function shortRound({ entry }: Region): number | undefined {
  const waiting = new Map<Block, number>([[entry, 0]]);
  const known = new Set<Block>();
  while (waiting.size > 0) {
    let nearest = entry;
    let least = Number.POSITIVE_INFINITY;
    for (const [block, distance] of waiting) if (distance < least) [nearest, least] = [block, distance];
    waiting.delete(nearest);
    known.add(nearest);
    const distance = least + nearest.instructions.length;
    for (const next of successors(nearest)) {
      if (next === entry) return distance;
      if (!known.has(next)) waiting.set(next, Math.min(distance, waiting.get(next) ?? distance));
    }
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

  /** `share`: of its cost that a place must have spent in the interpreter; 0 makes every place worth it. */
  constructor(
    private readonly threshold: number,
    private readonly share: number,
  ) {}

  /** Whether it makes sense to form the region of a place that was found hot so many times. */
  mayBe(place: number, times: number): boolean {
    return times >= (this.needed.get(place) ?? 0);
  }

  /** Whether the place is worth the region. */
  is(place: number, times: number, region: Region): boolean {
    const past = this.translated.get(place);
    const jumps = (translationTime(region.size) * this.share) / jumpTime(region);
    let needed = 1 + (jumps - this.threshold) / HOT_AGAIN;
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
