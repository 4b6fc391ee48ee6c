import { type ModuleCompiler, Translator } from '../src/jit/translator.js';
import { optimizer, prepareCompiledModules } from '../src/machine/compiledModule.js';
import type { TranslatorTask } from '../src/machine/hostControl.js';
import { allowRelaxedSimd, compileEagerly, heedBranchHints } from '../src/machine/v8Flags.js';
import { translationLog } from '../src/observe/translationLog.js';
import { SharedMemory } from '../src/sync/sharedMemory.js';

/** The machine's translator: a Piscina task that turns hot places into regions until the machine closes. */
export default function translator(task: TranslatorTask): void {
  const mem = new SharedMemory(task.memory);
  new Translator(mem, task.options, TRANSLATOR, moduleCompiler(), translationLog(mem, TRANSLATOR)).run();
}

/** Lock token of the translator: no record stands at this address. */
const TRANSLATOR = 2;

function moduleCompiler(): ModuleCompiler {
  prepareCompiledModules();
  const optimize = optimizer();
  // Without it V8 is to compile regions as soon as there are some; from then on new workers start slower (v8Flags.ts).
  if (optimize === undefined) compileEagerly();
  return {
    compile(bytes) {
      allowRelaxedSimd();
      heedBranchHints();
      try {
        return new WebAssembly.Module(bytes);
      } finally {
        if (optimize !== undefined) {
          allowRelaxedSimd(false);
          heedBranchHints(false);
        }
      }
    },
    optimize,
  };
}
