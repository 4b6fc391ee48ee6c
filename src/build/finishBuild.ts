import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { interpreterBytes } from '../interpreter/interpreter.js';
import { interpreterFile } from '../machine/packageFiles.js';
import { generatedModules, lazyBuiltins, madeTemplates, piscinaWorker } from './bundlePlugins.js';
import { inlineFields } from './inlineFields.js';

/**
 * The build's second step, after the compiler: what makes starting fast.
 *  - every interpreter a machine may ask for is generated, and its machine code kept (compileInterpreters.ts);
 *  - the command, the library and the workers are bundled, since loading 150 small modules takes some 200 ms in the main
 *    thread and again in each worker, against 40 ms for a few large ones;
 *  - what V8 compiles of the bundles while they run small guests is kept (trainCode.ts).
 */
const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = join(root, 'dist/bundle');

const fields = inlineFields(join(root, 'dist/src'));

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['@napi-rs/nice'],
  plugins: [generatedModules, madeTemplates, lazyBuiltins, piscinaWorker, fields.plugin],
  define: fields.define,
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

const library = await build({
  ...common,
  entryPoints: ['dist/src/index.js'],
  outdir: folder,
  entryNames: '[name]',
  splitting: true,
  format: 'esm',
  // Piscina is CommonJS: it requires Node's own modules and wants to know where it is.
  banner: {
    js:
      "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" +
      "const __dirname = require('node:path').dirname(require('node:url').fileURLToPath(import.meta.url));",
  },
});
const commonJs: BuildOptions = {
  ...common,
  outdir: folder,
  format: 'cjs',
  define: { ...fields.define, 'import.meta.url': 'importMetaUrl' },
  banner: { js: "const importMetaUrl=require('node:url').pathToFileURL(__filename).href;" },
};
const code = await build({
  ...commonJs,
  entryPoints: {
    commandCode: 'dist/src/start/commandCode.js',
    threadHostCode: 'dist/workers/threadHost.js',
    translatorCode: 'dist/workers/translator.js',
  },
});
const loaders = await build({
  ...commonJs,
  entryPoints: {
    command: 'dist/src/start/command.js',
    threadHost: 'dist/src/start/threadHost.js',
    translator: 'dist/src/start/translator.js',
    piscinaWorker: 'node_modules/piscina/dist/worker.js',
  },
  outExtension: { '.js': '.cjs' },
});

// What earlier builds have left, of their kept code as well.
const written = new Set<string>();
for (const { metafile } of [library, code, loaders])
  for (const path of Object.keys(metafile?.outputs ?? {})) written.add(basename(path));
for (const name of readdirSync(folder)) if (!written.has(name)) rmSync(join(folder, name));

const step = (name: string, ...flags: string[]): void => {
  execFileSync(process.execPath, [...flags, fileURLToPath(new URL(name, import.meta.url))], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
};
step('compileInterpreters.js', '--no-liftoff');
step('trainCode.js');
