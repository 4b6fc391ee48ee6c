import { delayOptimization } from './v8Flags.js';

/**
 * V8 optimises the JavaScript of each worker anew, in the background, where two cores have guests to run: a quarter of the CPU time of
 * programs that take a second or two. So it is asked to wait longer and to inline less; but not while a worker starts, since V8 takes
 * kept code only under the flags that it was made with (v8Flags.ts). For processes that are ours only: a library leaves flags alone.
 */
let wanted = false;
/** Workers that have not loaded their code yet. */
let starting = 0;

/** Wanted from now on, whenever no worker starts. */
export function wantOptimizationDelay(): void {
  wanted = true;
}

/**
 * A worker is about to start; to be called before that. What it returns is to be called when the worker has loaded its code, or has failed to; it
 * may be called again.
 */
export function workerStarts(): () => void {
  if (starting++ === 0 && wanted) delayOptimization(false);
  let loaded = false;
  return () => {
    if (!loaded && --starting === 0 && wanted) delayOptimization();
    loaded = true;
  };
}

/** Does something for which V8's flags must be as they are by default. */
export function withoutOptimizationDelay<T>(work: () => T): T {
  const done = workerStarts();
  try {
    return work();
  } finally {
    done();
  }
}
