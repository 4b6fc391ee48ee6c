import { Mapping } from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { type FunctionBuilder, type I32, i32 } from '../../wasm/index.js';

/** Deeper than any tree is, but while it is being changed. */
const MOST_STEPS = 200;

/** What is done with the mapping that is found. */
export interface MappingSearch {
  /** Looks at a tree that is being changed before `giveUp`. */
  readonly spins: number;
  /** Others are changing the map all the time; must not fall through. */
  giveUp(): void;
  /** Keeps fields of the mapping `at`, 0 where there is none; what it keeps counts when nothing has changed meanwhile, otherwise it comes here again. */
  read(at: I32): void;
}

/**
 * Writes the search for the mapping of a page (in units of 4 KiB), as snapshotMapping (memory/mappingTree.ts) does it, without a lock. Returns
 * where the mapping is: 0 where there is none. Only what `read` has kept of it may be believed.
 */
export function writeMappingSearch(
  b: FunctionBuilder,
  mm: I32,
  page: I32,
  { spins: most, giveUp, read }: MappingSearch,
): I32 {
  const sequence = b.local('i32');
  const spins = b.local('i32');
  const steps = b.local('i32');
  const at = b.local('i32');
  b.set(spins, i32.const(0));
  b.loop((again) => {
    b.set(spins, i32.add(spins, i32.const(1)));
    b.if(i32.gt_u(spins, i32.const(most)), giveUp);
    b.set(sequence, i32.atomic_load(mm, Mm.mappingsSequence));
    b.brIf(again, i32.and(sequence, i32.const(1)));
    b.set(steps, i32.const(0));
    b.set(at, i32.load(mm, Mm.mappingsRoot));
    b.block((found) => {
      b.loop((down) => {
        b.brIf(found, i32.eqz(at));
        b.set(steps, i32.add(steps, i32.const(1)));
        b.brIf(again, i32.gt_u(steps, i32.const(MOST_STEPS)));
        b.if(
          i32.gt_u(i32.load(at, Mapping.end), page),
          () => {
            b.brIf(found, i32.le_u(i32.load(at, Mapping.start), page));
            b.set(at, i32.load(at, Mapping.left));
          },
          () => b.set(at, i32.load(at, Mapping.right)),
        );
        b.br(down);
      });
    });
    read(at);
    b.brIf(again, i32.ne(i32.atomic_load(mm, Mm.mappingsSequence), sequence));
  });
  return at;
}
