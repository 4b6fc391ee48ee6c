import { workerData } from 'node:worker_threads';
import { type ModuleCompiler, Translator } from '../src/jit/translator.js';
import { CodeCache } from '../src/machine/codeCache.js';
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
import { SharedMemory } from '../src/sync/sharedMemory.js';

/** Lock token of the translator: no record stands at this address. */
const TRANSLATOR = 2;

/**
 * The machine's translator, a worker of its own: loading this module turns hot places into regions until the machine
 * closes. No Piscina task, for then the worker would load the code of a thread host first.
 */
const { memory, options, codeCache } = workerData as TranslatorTask;
const mem = new SharedMemory(memory);
const compiler = moduleCompiler();
// What V8 does not compile when it is told to cannot be kept.
const store =
  codeCache === undefined || compiler.optimize === undefined
    ? undefined
    : new CodeCache(codeCache, JSON.stringify(options));
new Translator(mem, options, TRANSLATOR, compiler, translationLog(mem, TRANSLATOR), store).run();

function compileQuickly(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  return withQuickFlags(() => new WebAssembly.Module(bytes));
}

function moduleCompiler(): ModuleCompiler {
  prepareCompiledModules();
  const optimize = optimizer();
  if (optimize !== undefined)
    return {
      compile: (bytes) => withRegionFlags(() => new WebAssembly.Module(bytes)),
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
