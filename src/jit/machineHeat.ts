import type { PlaceToTranslate } from '../sync/translationQueue.js';

/** Places of which is kept how often they were found hot. */
const MOST_PLACES = 20_000;

/** Keeps how often places were found hot, of all workers together. */
export class MachineHeat {
  /** By place: by the worker's counters of jumps, how often it has found it hot. */
  private readonly times = new Map<string, Map<number, number>>();

  /** The place, found hot as often as all workers together have. The first time of each stands for less than the others, and counts once. */
  add(place: PlaceToTranslate): PlaceToTranslate {
    const key = `${place.codeTable}:${place.pc}`;
    let found = this.times.get(key);
    if (found === undefined) {
      if (this.times.size >= MOST_PLACES) this.times.clear();
      found = new Map();
      this.times.set(key, found);
    }
    found.set(place.counters, Math.max(place.times, found.get(place.counters) ?? 0));
    if (found.size === 1) return place;
    let times = 1;
    for (const one of found.values()) times += one - 1;
    return { ...place, times };
  }
}
