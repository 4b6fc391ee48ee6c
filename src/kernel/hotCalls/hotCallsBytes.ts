import { writeMutexCode } from '../../sync/mutexCode.js';
import { writeUnparkCode } from '../../sync/parkCode.js';
import { Thread } from '../../sync/records/thread.js';
import { writeModeCode } from '../../sync/safepointCode.js';
import { call, type FunctionRef, i32, i64, ModuleBuilder } from '../../wasm/index.js';
import * as SYS from '../linux/syscallNumbers.js';
import { writeMadvise } from './adviceCode.js';
import { type CallImports, type CallModule, DONE, IMPORTS, LEFT, writePlaces } from './callFrame.js';
import { writeClockGettime } from './clockCode.js';
import { writeCloneCode } from './cloneCode.js';
import { writeExit } from './exitCode.js';
import { writeFutexCode } from './futexCode.js';
import { writeIdentityCalls } from './identityCode.js';
import { writeMappingCode } from './mappingCode.js';
import { writeSetRobustList } from './robustListCode.js';
import { writeSigprocmask } from './signalMaskCode.js';

const A7 = 17;

/** The module of hotCalls.ts in binary form. The build puts its bytes in this file's place in the bundles. */
export function hotCallsBytes(): Uint8Array {
  const module = new ModuleBuilder();
  module.importMemory({ module: 'm', name: 'm', minimum: 1, maximum: 65536, shared: true });
  const imports = Object.fromEntries(
    Object.entries(IMPORTS).map(([name, type]) => [name, module.importFunction('m', name, type)]),
  ) as CallImports;
  const parts: CallModule = {
    module,
    imports,
    mutex: writeMutexCode(module),
    mode: writeModeCode(module),
    places: writePlaces(module),
    mapping: writeMappingCode(module),
    unpark: writeUnparkCode(module, imports.resume),
  };
  const futex = writeFutexCode(parts);
  const { clone, clone3 } = writeCloneCode(parts);
  const systemCall = writeSystemCall(
    module,
    new Map([
      ...writeIdentityCalls(parts),
      [SYS.SYS_rt_sigprocmask, writeSigprocmask(parts)],
      [SYS.SYS_set_robust_list, writeSetRobustList(parts)],
      [SYS.SYS_clock_gettime, writeClockGettime(parts)],
      [SYS.SYS_futex, futex.futex],
      [SYS.SYS_madvise, writeMadvise(parts)],
      [SYS.SYS_clone, clone],
      [SYS.SYS_clone3, clone3],
      [SYS.SYS_exit, writeExit(parts, futex)],
    ]),
  );
  module.exportFunction('systemCall', systemCall);
  module.exportFunction('finishWait', futex.finishWait);
  return module.toBytes();
}

/** (thread) → DONE, LEFT or another EXIT_*; `calls` are the functions by number. */
function writeSystemCall(module: ModuleBuilder, calls: ReadonlyMap<number, FunctionRef>): FunctionRef {
  const systemCall = module.function({ params: ['i32'], results: ['i32'] });
  const b = systemCall.builder;
  const thread = b.param('i32', 0);
  const number = b.local('i64');
  const result = b.local('i32');
  const order = [...calls];
  const most = Math.max(...calls.keys());
  b.block((left) => {
    b.brIf(left, i32.eqz(i32.load(thread, Thread.hotCalls)));
    b.set(number, i64.load(thread, Thread.x + A7 * 8));
    b.brIf(left, i64.gt_u(number, i64.const(most)));
    b.block((made) => {
      const blocks = order.map(() => b.openBlock()).reverse();
      const labels = Array.from({ length: most + 1 }, (_, n) => {
        const at = order.findIndex(([of]) => of === n);
        return at < 0 ? left : blocks[at];
      });
      b.brTable(i32.wrap_i64(number), labels, left);
      for (const [, code] of order) {
        b.close();
        b.set(result, call(code, 'i32', thread));
        b.br(made);
      }
    });
    // Of a thread that is gone nothing is touched.
    b.if(result, () => b.return(result));
    const count = i32.add(i32.load(thread, Thread.syscallCount), i32.const(1));
    b.store('i32.store', thread, count, Thread.syscallCount);
    b.return(DONE);
  });
  b.return(LEFT);
  return systemCall;
}
