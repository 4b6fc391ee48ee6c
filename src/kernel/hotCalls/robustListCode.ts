import { Thread } from '../../sync/records/thread.js';
import { type FunctionRef, i64 } from '../../wasm/index.js';
import { argument, type CallModule, DONE, LEFT, RESULT } from './callFrame.js';

/** sizeof(struct robust_list_head) */
const ROBUST_LIST_HEAD_SIZE = 24;
/** Addresses from here on are not kept exactly (systemCall.ts). */
const LIMIT = 2 ** 52;

/** set_robust_list(2). */
export function writeSetRobustList({ module }: CallModule): FunctionRef {
  const made = module.function({ params: ['i32'], results: ['i32'] });
  const b = made.builder;
  const thread = b.param('i32', 0);
  b.if(i64.ne(argument(thread, 1), i64.const(ROBUST_LIST_HEAD_SIZE)), () => b.return(LEFT));
  b.if(i64.ge_u(argument(thread, 0), i64.const(LIMIT)), () => b.return(LEFT));
  b.store('i64.store', thread, argument(thread, 0), Thread.robustList);
  b.store('i64.store', thread, i64.const(0), RESULT);
  b.return(DONE);
  return made;
}
