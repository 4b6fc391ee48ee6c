/** Calls that are remembered, and functions of one: more are called by what calls anything. */
const MOST_CALLS = 10_000;
const MOST_FUNCTIONS = 4;

/**
 * Where calls through registers were found to go when regions were formed: a function that is handed another one, to compare with, say,
 * is handed several in the course of a program. Kept by the call's guest address, which may be another program's: regions compare.
 */
export class CallTargets {
  readonly #functions = new Map<number, Set<number>>();

  /** Notes that the call at `pc` may go to these functions now; all that it is known to go to, as far as those are few. */
  from(pc: number, functions: readonly number[]): readonly number[] {
    const known = this.#functions.get(pc) ?? new Set();
    if (this.#functions.size >= MOST_CALLS) this.#functions.clear();
    this.#functions.set(pc, known);
    for (const to of functions) known.add(to);
    return known.size <= MOST_FUNCTIONS ? [...known] : functions;
  }
}
