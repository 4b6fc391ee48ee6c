/**
 * Where the files are that are not imported but named: the worker's entry and the built interpreters. This module runs as a
 * source (src/machine, in the tests), compiled (dist/src/machine), or as part of a bundle (dist/bundle).
 */
const here = new URL('.', import.meta.url).href;
const bundled = here.endsWith('/bundle/');
const dist = bundled
  ? new URL('..', here)
  : new URL(import.meta.url.endsWith('.ts') ? '../../dist/' : '../../', here);

/**
 * The worker's entry: from the same build that this code is from. A CommonJS file where it is bundled: workers that load ES
 * modules abort the process when they are terminated while they do.
 */
export function threadHostFile(): URL {
  return new URL(bundled ? 'bundle/threadHost.cjs' : 'workers/threadHost.js', dist);
}

/** The translator's entry. */
export function translatorFile(): URL {
  return new URL(bundled ? 'bundle/translator.cjs' : 'workers/translator.js', dist);
}

/** The translator's code in the build: what it makes depends on that. */
export function translatorCodeFile(): URL {
  return new URL('bundle/translatorCode.js', dist);
}

/** The kinds of interpreter there are. */
export interface InterpreterVariant {
  readonly hostPageShift: number;
  readonly fused: boolean;
}

/** The file that the build has put an interpreter into (src/build). */
export function interpreterFile(variant: InterpreterVariant): URL {
  return new URL(`interpreter/${interpreterName(variant)}.wasm`, dist);
}

/** The file with the machine code that V8 made of it at build time. */
export function interpreterCodeFile(variant: InterpreterVariant): URL {
  return new URL(`interpreter/${interpreterName(variant)}.code`, dist);
}

function interpreterName({ hostPageShift, fused }: InterpreterVariant): string {
  return `${hostPageShift}-${fused ? 'fused' : 'plain'}`;
}

/** The package's package.json. */
export function packageFile(): URL {
  return new URL('../package.json', dist);
}
