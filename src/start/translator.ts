import { isTraining, loadCompiled } from './compiledCode.js';

/** The entry of the translator's worker in a built Guesthouse (bundled as dist/bundle/translator.cjs): it translates while it loads. */
const { keep } = loadCompiled('translatorCode');
if (isTraining()) keep();
