import { Translator } from '../src/jit/translator.js';
import type { TranslatorTask } from '../src/machine/hostControl.js';
import { prepareTranslation } from '../src/machine/v8Flags.js';
import { translationLog } from '../src/observe/translationLog.js';
import { SharedMemory } from '../src/sync/sharedMemory.js';

/** The machine's translator: a Piscina task that turns hot places into regions until the machine closes. */
export default function translator(task: TranslatorTask): void {
  // From here on new workers start slower, which programs that are translated will have started by now.
  prepareTranslation();
  const mem = new SharedMemory(task.memory);
  new Translator(mem, task.options, TRANSLATOR, translationLog(mem, TRANSLATOR)).run();
}

/** Lock token of the translator: no record stands at this address. */
const TRANSLATOR = 2;
