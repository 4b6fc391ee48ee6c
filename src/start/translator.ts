import type translatorTask from '../../workers/translator.js';
import type { TranslatorTask } from '../machine/hostControl.js';
import { isTraining, loadCompiled } from './compiledCode.js';

/** The entry of the translator's worker in a built Guesthouse (bundled as dist/bundle/translator.cjs). */
const { exports, keep } = loadCompiled<{ default: typeof translatorTask }>('translatorCode');

export default isTraining()
  ? (task: TranslatorTask): void => {
      exports.default(task);
      keep();
    }
  : exports.default;
