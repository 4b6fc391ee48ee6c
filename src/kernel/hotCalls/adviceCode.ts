import { nextPresentOf } from '../../memory/hotPaths/pageCode.js';
import { MADV_DONTNEED } from '../../mm/targetMadvise.js';
import { MAPPING_LOCKED } from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { Thread } from '../../sync/records/thread.js';
import { call, type FunctionRef, i32, i64 } from '../../wasm/index.js';
import { argument, type CallModule, DONE, LEFT, RESULT, word } from './callFrame.js';

/**
 * madvise(MADV_DONTNEED) of pages that are not there, where all is mapped: what a thread says of its stack when it ends. A page that
 * another thread brings in meanwhile was brought in afterwards. Pages of 4 KiB.
 */
export function writeMadvise({ module, mapping }: CallModule): FunctionRef {
  const nextPresent = nextPresentOf(module);
  const made = module.function({ params: ['i32'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  const mm = b.hold(i32.load(thread, Thread.mm));
  const from = b.local('i32');
  const to = b.local('i32');
  const page = b.local('i32');
  b.if(i32.ne(word(thread, 2), i32.const(MADV_DONTNEED)), () => b.return(LEFT));
  const shifts = i32.or(i32.load(mm, Mm.hostPageShift), i32.load(mm, Mm.targetPageShift));
  b.if(i32.ne(shifts, i32.const(12)), () => b.return(LEFT));
  // The whole range is below the reach, whose pages have numbers of 32 bits; neither is empty.
  const reach = i64.load(mm, Mm.reach);
  b.if(i64.ge_u(argument(thread, 0), reach), () => b.return(LEFT));
  b.if(i64.ge_u(i64.sub(argument(thread, 1), i64.const(1)), i64.sub(reach, argument(thread, 0))), () =>
    b.return(LEFT),
  );
  b.if(i64.ne(i64.and(argument(thread, 0), i64.const(4095)), i64.const(0)), () => b.return(LEFT));
  b.set(from, i32.wrap_i64(i64.shr_u(argument(thread, 0), i64.const(12))));
  const end = i64.add(i64.add(argument(thread, 0), argument(thread, 1)), i64.const(4095));
  b.set(to, i32.wrap_i64(i64.shr_u(end, i64.const(12))));
  b.set(page, from);
  b.loop((again) => {
    b.if(i32.eqz(call(mapping.look, 'i32', mm, page)), () => b.return(LEFT));
    b.if(i32.and(mapping.flags, i32.const(MAPPING_LOCKED)), () => b.return(LEFT));
    b.set(page, mapping.end);
    b.brIf(again, i32.lt_u(page, to));
  });
  b.if(i32.lt_u(call(nextPresent, 'i32', mm, from, to), to), () => b.return(LEFT));
  b.store('i64.store', thread, i64.const(0), RESULT);
  b.return(DONE);
  return made;
}
