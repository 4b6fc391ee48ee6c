import { writeMutexCode } from '../../sync/mutexCode.js';
import { writeQuiesceCode } from '../../sync/safepointCode.js';
import { ModuleBuilder } from '../../wasm/index.js';
import { writeFaultCode } from './faultCode.js';
import { writeForkCode } from './forkCode.js';
import { writeMapCode } from './mapCode.js';
import { writeMapLockCode } from './mapLockCode.js';
import { writePageCode } from './pageCode.js';
import { writeStringCode } from './stringCode.js';
import { writeTreeCode } from './treeCode.js';

/** The module of hotPaths.ts in binary form. The build puts its bytes in this file's place in the bundles. */
export function hotPathsBytes(): Uint8Array {
  const module = new ModuleBuilder();
  module.importMemory({ module: 'm', name: 'm', minimum: 1, maximum: 65536, shared: true });
  const now = module.importFunction('m', 'now', { params: [], results: ['f64'] });
  const mutex = writeMutexCode(module);
  const lock = writeMapLockCode(module, mutex, now);
  const quiesce = writeQuiesceCode(module, mutex);
  const tree = writeTreeCode(module);
  const page = writePageCode(module, mutex);
  const map = writeMapCode({ module, lock, tree, page, quiesce });
  const fault = writeFaultCode(module, mutex, page);
  const fork = writeForkCode(module, page);
  const copyStrings = writeStringCode(module);
  const { lockPages, unlockPages } = page;
  const all = { quiesce, ...lock, ...tree, ...map, fault, ...fork, copyStrings, lockPages, unlockPages };
  for (const [name, code] of Object.entries(all)) module.exportFunction(name, code);
  return module.toBytes();
}
