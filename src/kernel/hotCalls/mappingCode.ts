import { Mapping } from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { type FunctionRef, globalGet, type I32, i32, type ModuleBuilder } from '../../wasm/index.js';

/** What `look` has found of a mapping: globals of the module. Pages are units of 4 KiB. */
export interface MappingCode {
  /** (mm, page) → 1, or 0 where there is none, or others are changing the map. */
  readonly look: FunctionRef;
  readonly end: I32;
  readonly flags: I32;
  readonly object: I32;
}

const SPINS = 1000;
/** Deeper than any tree is, but while it is being changed. */
const MOST_STEPS = 200;

/** Writes snapshotMapping (memory/mappingTree.ts) into `module`, of the fields that hot calls want. No lock is needed. */
export function writeMappingCode(module: ModuleBuilder): MappingCode {
  const fields = ([Mapping.end, Mapping.flags, Mapping.object] as const).map(
    (field) => [field, module.global('i32', 0)] as const,
  );
  const look = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const b = look.builder;
  const mm = b.param('i32', 0);
  const page = b.param('i32', 1);
  const sequence = b.local('i32');
  const at = b.local('i32');
  const spins = b.local('i32');
  const steps = b.local('i32');
  b.loop((again) => {
    b.set(spins, i32.add(spins, i32.const(1)));
    b.if(i32.gt_u(spins, i32.const(SPINS)), () => b.return(i32.const(0)));
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
    b.if(at, () => {
      for (const [field, global] of fields) b.setGlobal(global, i32.load(at, field));
    });
    b.brIf(again, i32.ne(i32.atomic_load(mm, Mm.mappingsSequence), sequence));
  });
  b.return(i32.ne(at, i32.const(0)));
  const [end, flags, object] = fields.map(([, global]) => globalGet('i32', global));
  return { look, end, flags, object };
}
