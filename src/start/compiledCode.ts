import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

/** That of the CommonJS file in dist/bundle which this is bundled into. */
declare const require: (name: string) => unknown;

/** A loaded bundle. */
export interface CompiledCode<T> {
  readonly exports: T;
  /** Writes what V8 has compiled of the bundle so far to where the next process finds it: what the build's training does. */
  keep(): void;
}

/**
 * Loads dist/bundle/`name`.js, a CommonJS module, with the functions that V8 has compiled for it at build time
 * (`name`.cache; src/build/trainCode.ts): all that a run of a small guest needs is there at once. V8 refuses the cache, and
 * compiles, when it is of another version or runs under other flags.
 */
export function loadCompiled<T>(name: string): CompiledCode<T> {
  const filename = bundleFile(`${name}.js`);
  const cache = bundleFile(`${name}.cache`);
  let cachedData: Buffer | undefined;
  try {
    cachedData = readFileSync(cache);
  } catch {
    // Not trained, or being trained.
  }
  // Bundles are ASCII: latin1 is the cheapest string that V8 has.
  const text = `(function (exports, require, module, __filename, __dirname) {${readFileSync(filename, 'latin1')}\n})`;
  const script = new Script(text, cachedData === undefined ? { filename } : { filename, cachedData });
  const module = { exports: {} as T };
  script.runInThisContext()(module.exports, require, module, filename, dirname(filename));
  return {
    exports: module.exports,
    keep: () => writeFileSync(cache, script.createCachedData()),
  };
}

function bundleFile(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Whether this is the build's training: bundles are to be kept as V8 has them at the end. */
export function isTraining(): boolean {
  return process.env.GUESTHOUSE_TRAINING === 'on';
}
