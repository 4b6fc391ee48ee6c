import { writeMappingSearch } from '../../memory/hotPaths/mappingSearch.js';
import { Mapping } from '../../sync/records/mapping.js';
import { type FunctionRef, globalGet, type I32, i32, type ModuleBuilder } from '../../wasm/index.js';

/** What `look` has found of a mapping: globals of the module. Pages are units of 4 KiB. */
export interface MappingCode {
  /** (mm, page) → 1, or 0 where there is none, or others are changing the map. */
  readonly look: FunctionRef;
  readonly end: I32;
  readonly flags: I32;
  readonly object: I32;
}

/** Looks at a tree that is being changed before the call is left to the kernel. */
const SPINS = 1000;

/** Writes snapshotMapping (memory/mappingTree.ts) into `module`, of the fields that hot calls want. No lock is needed. */
export function writeMappingCode(module: ModuleBuilder): MappingCode {
  const fields = ([Mapping.end, Mapping.flags, Mapping.object] as const).map(
    (field) => [field, module.global('i32', 0)] as const,
  );
  const look = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const b = look.builder;
  const mm = b.param('i32', 0);
  const page = b.param('i32', 1);
  const at = writeMappingSearch(b, mm, page, {
    spins: SPINS,
    giveUp: () => b.return(i32.const(0)),
    read: (mapping) =>
      b.if(mapping, () => {
        for (const [field, global] of fields) b.setGlobal(global, i32.load(mapping, field));
      }),
  });
  b.return(i32.ne(at, i32.const(0)));
  const [end, flags, object] = fields.map(([, global]) => globalGet('i32', global));
  return { look, end, flags, object };
}
