import fs = require('node:fs');
import path = require('node:path');
import vm = require('node:vm');

/**
 * The worker entry of a built Guesthouse: the bundled thread host, with the code that V8 has compiled at build time where
 * this is the same V8. Compared with importing the bundle as a module, a worker is ready after two thirds of the CPU time.
 */
const folder = path.join(__dirname, '../bundle');
const filename = path.join(folder, 'threadHostCode.js');

function compiledAtBuild(): Buffer | undefined {
  try {
    return fs.readFileSync(path.join(folder, 'threadHostCode.cache'));
  } catch {
    return undefined;
  }
}

const cachedData = compiledAtBuild();
const script = new vm.Script(
  `(function (exports, require, module) {${fs.readFileSync(filename, 'latin1')}\n})`,
  cachedData === undefined ? { filename } : { filename, cachedData },
);
const code = { exports: {} as { default?: unknown } };
script.runInThisContext()(code.exports, require, code);

export = code.exports.default;
