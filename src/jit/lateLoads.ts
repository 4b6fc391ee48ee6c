import type { ControlFlow } from './controlFlow.js';
import { type RegisterSet, type RegisterUse, registersIn } from './registerUse.js';

/**
 * Where a region loads the registers that are alive at its entry. Half of them would not be needed on the way that is taken, or be stored in V8's stack
 * frame until they are: a function that saves the registers of its caller reads each of them once. So each is loaded in the last block that
 * dominates all those that touch it, outside of loops; nothing has written to it on the way there, and where control comes back from a call
 * before, the callee may have, in the Thread record.
 */
export interface LateLoads {
  /** Those that are loaded at the entry. */
  readonly early: RegisterSet;
  /** By block number: those that are loaded in the block. */
  readonly at: readonly RegisterSet[];
  /** By block number: those that are not loaded yet at its end. */
  readonly missing: readonly RegisterSet[];
}

export function lateLoads(flow: ControlFlow, { live, touched }: RegisterUse): LateLoads {
  const parent = flow.order.map(() => 0);
  flow.children.forEach((children, n) => {
    for (const child of children) parent[child] = n;
  });
  const inLoop = flow.order.map((_, n) => flow.loopMembers.some((members) => members?.has(n)));
  const early = { x: 0, f: 0 };
  const at = flow.order.map(() => ({ x: 0, f: 0 }));
  const missing = flow.order.map(() => ({ x: 0, f: 0 }));
  for (const file of ['x', 'f'] as const)
    for (const r of registersIn(live[0][file])) {
      const bit = 1 << r;
      const touching = touched.flatMap((set, n) => (set[file] & bit ? [n] : []));
      let place = touching[0] ?? 0;
      for (const n of touching) while (!flow.dominates(place, n)) place = parent[place];
      while (place !== 0 && inLoop[place]) place = parent[place];
      if (inLoop[place]) {
        early[file] |= bit;
        continue;
      }
      at[place][file] |= bit;
      for (let n = 0; n < missing.length; n++) if (!flow.dominates(place, n)) missing[n][file] |= bit;
    }
  return { early, at, missing };
}
