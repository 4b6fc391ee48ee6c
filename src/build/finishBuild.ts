import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { interpreterBytes } from '../interpreter/interpreter.js';
import { prepareV8 } from '../machine/hostPool.js';
import { interpreterFile } from '../machine/packageFiles.js';

/**
 * The build's second step, after the compiler: what makes starting fast.
 *  - every interpreter a machine may ask for is generated (some 50 ms less at each start);
 *  - the command, the library and the worker are bundled, since loading 150 small modules takes some 200 ms in the main
 *    thread and again in each worker, against 40 ms for a few large ones;
 *  - the worker's bundle is compiled (20 ms less CPU time a worker).
 */
const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = join(root, 'dist/bundle');

/** Piscina's worker file stays where it is: bundled, Piscina finds it by its package instead of next to itself. */
const piscinaWorker: Plugin = {
  name: 'piscina-worker',
  setup(plugins) {
    plugins.onLoad({ filter: /piscina[\\/]dist[\\/]index\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll(
        '__dirname',
        "require('node:path').dirname(require.resolve('piscina'))",
      ),
    }));
  },
};

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['@napi-rs/nice'],
  plugins: [piscinaWorker],
  // Half the bytes are half the time to parse them; the maps lead back to the sources.
  minify: true,
  metafile: true,
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
};

for (const hostPageShift of [12, 14, 16]) {
  for (const fused of [false, true]) {
    const file = interpreterFile({ hostPageShift, fused });
    mkdirSync(fileURLToPath(new URL('.', file)), { recursive: true });
    writeFileSync(file, interpreterBytes({ hostPageShift, fused }));
  }
}

const main = await build({
  ...common,
  entryPoints: ['dist/src/machine/hostPool.js', 'dist/src/cli/main.js', 'dist/src/index.js'],
  outdir: folder,
  entryNames: '[name]',
  splitting: true,
  format: 'esm',
  // Commander is CommonJS and requires Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
});

// One file, for workers/bundledThreadHost.cts, and what V8 makes of it under the flags that it will run with.
const worker = join(folder, 'threadHostCode.js');
const host = await build({
  ...common,
  entryPoints: ['dist/workers/threadHost.js'],
  outfile: worker,
  format: 'cjs',
});
const translator = await build({
  ...common,
  entryPoints: ['dist/workers/translator.js'],
  outfile: join(folder, 'translator.js'),
  format: 'esm',
});
prepareV8();
const script = new Script(`(function (exports, require, module) {${readFileSync(worker, 'latin1')}\n})`, {
  filename: worker,
});
const code = { exports: {} };
script.runInThisContext()(code.exports, createRequire(import.meta.url), code);
writeFileSync(join(folder, 'threadHostCode.cache'), script.createCachedData());

// What earlier builds have left.
const written = new Set(['threadHostCode.cache']);
for (const { metafile } of [main, host, translator])
  for (const path of Object.keys(metafile?.outputs ?? {})) written.add(basename(path));
for (const name of readdirSync(folder)) if (!written.has(name)) rmSync(join(folder, name));
