import { HOT_AGAIN } from '../sync/records/translation.js';

/** Milliseconds that a jump stands for in the interpreter: a block of eight instructions. */
const JUMP = 25e-6;
/** Translations of a place that cost nothing extra. From then on each waits twice as long as the one before. */
const FREE_RETURNS = 3;
/** Places that are remembered. */
const MOST_PLACES = 20_000;

/**
 * CPU time in milliseconds that a region of so many instructions takes, nearly all of it in V8's optimising compiler, whose time
 * grows with the square of the size. A model: what is measured on a busy machine says little.
 */
export function translationTime(instructions: number): number {
  return 0.3 + 0.015 * instructions + 0.0005 * instructions ** 2;
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

  /** Whether the place is worth a region of `instructions`. */
  is(place: number, times: number, instructions: number): boolean {
    const past = this.translated.get(place);
    const jumps = (translationTime(instructions) * this.share) / JUMP;
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
