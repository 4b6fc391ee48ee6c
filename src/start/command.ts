import type * as commandCode from './commandCode.js';
import { isTraining, loadCompiled } from './compiledCode.js';

/** What bin/guesthouse.js runs (bundled as dist/bundle/command.cjs): the command, from code that was compiled at build time. */
const { exports, keep } = loadCompiled<typeof commandCode>('commandCode');
if (isTraining()) process.on('exit', keep);
void exports.command(process.argv.slice(2));
