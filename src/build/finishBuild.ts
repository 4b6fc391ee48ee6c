import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { interpreterBytes } from '../interpreter/interpreter.js';
import { interpreterFile } from '../machine/packageFiles.js';

/**
 * The build's second step, after the compiler: what makes starting fast.
 *  - every interpreter a machine may ask for is generated (some 50 ms less at each start);
 *  - the command, the library and the worker are bundled, since loading 150 small modules takes some 200 ms in the main
 *    thread and again in each worker, against 40 ms for a few large ones.
 */
const root = fileURLToPath(new URL('../../..', import.meta.url));

for (const hostPageShift of [12, 14, 16]) {
  for (const fused of [false, true]) {
    const file = interpreterFile({ hostPageShift, fused });
    mkdirSync(fileURLToPath(new URL('.', file)), { recursive: true });
    writeFileSync(file, interpreterBytes({ hostPageShift, fused }));
  }
}

const result = await build({
  absWorkingDir: root,
  entryPoints: [
    'dist/src/machine/hostPool.js',
    'dist/src/cli/main.js',
    'dist/src/index.js',
    'dist/workers/threadHost.js',
  ],
  outdir: 'dist/bundle',
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Piscina finds its own worker file next to itself.
  external: ['piscina'],
  // Commander is CommonJS and requires Node's own modules.
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
  // Half the bytes are half the time to parse them; the maps lead back to the sources.
  minify: true,
  metafile: true,
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
});

// What earlier builds have left.
const written = new Set(Object.keys(result.metafile.outputs).map((path) => basename(path)));
for (const name of readdirSync(join(root, 'dist/bundle')))
  if (!written.has(name)) rmSync(join(root, 'dist/bundle', name));
