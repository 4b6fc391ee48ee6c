import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { codeOfModule, prepareCompiledModules } from '../machine/compiledModule.js';
import { interpreterCodeFile, interpreterFile } from '../machine/packageFiles.js';
import { allowRelaxedSimd, compileEagerly } from '../machine/v8Flags.js';
import { interpreterVariants } from './interpreterVariants.js';

/**
 * Keeps the interpreters' machine code, so that guests run at full speed from the start. To be run with `--no-liftoff`: all
 * functions are then compiled by the optimising compiler, and afterwards V8's flags are made what they are at run time.
 */
allowRelaxedSimd();
compileEagerly();
const modules = interpreterVariants().map((variant) => {
  const bytes = readFileSync(interpreterFile(variant));
  return { file: interpreterCodeFile(variant), module: new WebAssembly.Module(bytes) };
});
allowRelaxedSimd(false);
compileEagerly(false);
setFlagsFromString('--liftoff');
setFlagsFromString('--wasm-dynamic-tiering');
prepareCompiledModules();
for (const { file, module } of modules) {
  try {
    writeFileSync(file, codeOfModule(module));
  } catch {
    // Without it the interpreter is compiled at each start.
    rmSync(file, { force: true });
  }
}
