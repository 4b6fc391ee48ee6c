import { parentPort, workerData } from 'node:worker_threads';
import type { KeptQuickRegion } from '../src/jit/codeImage.js';
import { keptTemplates } from '../src/jit/keptTemplates.js';
import { type ModuleCompiler, Translator } from '../src/jit/translator.js';
import { optimizer, prepareCompiledModules } from '../src/machine/compiledModule.js';
import type { TranslatorTask } from '../src/machine/hostControl.js';
import {
  allowRelaxedSimd,
  compileEagerly,
  heedBranchHints,
  withQuickFlags,
  withRegionFlags,
} from '../src/machine/v8Flags.js';
import { translationLog } from '../src/observe/translationLog.js';
import { withMutex } from '../src/sync/mutex.js';
import { Translation } from '../src/sync/records/translation.js';
import { SharedMemory } from '../src/sync/sharedMemory.js';
import { translationOf } from '../src/sync/translationQueue.js';

/** Lock token of the translator: no record stands at this address. */
const TRANSLATOR = 2;

/**
 * The machine's translator, a worker of its own: loading this module turns hot places into regions until the machine
 * closes. No Piscina task, for then the worker would load the code of a thread host first.
 */
const { memory, options, kept } = workerData as TranslatorTask;
// Its code is loaded (machine/optimizationDelay.ts).
parentPort?.postMessage(1);
const mem = new SharedMemory(memory);
const compiler = moduleCompiler();
const keeper = kept && { keep: (regions: readonly KeptQuickRegion[]) => kept.postMessage(regions) };
const log = translationLog(mem, TRANSLATOR);
new Translator(mem, options, TRANSLATOR, compiler, log, keeper, keptTemplates()).run();

/** Does something that changes flags of V8 while the main thread does nothing for which they matter. */
function alone<T>(work: () => T): T {
  return withMutex(mem, translationOf(mem) + Translation.flagsLock, TRANSLATOR, work);
}

function compileQuickly(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  return alone(() => withQuickFlags(() => new WebAssembly.Module(bytes)));
}

function moduleCompiler(): ModuleCompiler {
  alone(prepareCompiledModules);
  const optimize = optimizer();
  if (optimize !== undefined)
    return {
      compile: (bytes) => alone(() => withRegionFlags(() => new WebAssembly.Module(bytes))),
      compileQuickly,
      optimize,
    };
  // V8 is to compile regions as soon as there are some; from now on new workers start slower (v8Flags.ts).
  compileEagerly();
  allowRelaxedSimd();
  heedBranchHints();
  return {
    compile: (bytes) => new WebAssembly.Module(bytes),
    compileQuickly: (bytes) => {
      const module = compileQuickly(bytes);
      compileEagerly();
      return module;
    },
    optimize,
  };
}
