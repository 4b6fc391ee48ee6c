import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Plugin } from 'esbuild';
import { hotCallsBytes } from '../kernel/hotCalls/hotCallsBytes.js';
import { hotPathsBytes } from '../memory/hotPaths/hotPathsBytes.js';
import { commonTemplates } from './commonTemplates.js';

/** Piscina looks for its worker file next to itself, where the bundled one is to be. */
export const piscinaWorker: Plugin = {
  name: 'piscina-worker',
  setup(plugins) {
    plugins.onLoad({ filter: /piscina[\\/]dist[\\/]index\.js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const contents = text.replace("(__dirname, 'worker.js')", "(__dirname, 'piscinaWorker.cjs')");
      if (contents === text) throw new Error('Piscina names its worker file in another way than it did');
      return { contents };
    });
  },
};

const LAZY = /^node:(assert|child_process|crypto|fs\/promises|os|perf_hooks|timers\/promises|tty)$/;

/**
 * Node's own modules that most runs do not need are loaded when something of theirs is first used: node:crypto alone takes
 * 2.5 ms in each thread.
 */
export const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup(plugins) {
    const require = createRequire(import.meta.url);
    plugins.onResolve({ filter: LAZY }, ({ path, namespace }) =>
      namespace === 'lazy' ? { path, external: true } : { path, namespace: 'lazy' },
    );
    plugins.onLoad({ filter: LAZY, namespace: 'lazy' }, ({ path }) => {
      const exported = require(path) as object;
      if (typeof exported === 'function') {
        const call = `(...args) => require('${path}')(...args)`;
        return {
          contents: `module.exports = Object.defineProperties(${call}, {${getters(path, exported)}});`,
        };
      }
      return { contents: `module.exports = Object.defineProperties({}, {${getters(path, exported)}});` };
    });
  },
};

function getters(path: string, exported: object): string {
  return Object.keys(exported)
    .map((key) => `${key}: { enumerable: true, configurable: true, get: () => require('${path}').${key} }`)
    .join(',\n');
}

/** WebAssembly of the memory map and of system calls is generated here, once: the bundles hold the bytes instead of the generators. */
export const generatedModules: Plugin = {
  name: 'generated-modules',
  setup(plugins) {
    const generated = {
      hotPathsBytes: { filter: /memory[\\/]hotPaths[\\/]hotPathsBytes\.js$/, bytes: hotPathsBytes() },
      hotCallsBytes: { filter: /kernel[\\/]hotCalls[\\/]hotCallsBytes\.js$/, bytes: hotCallsBytes() },
    };
    for (const [name, { filter, bytes }] of Object.entries(generated)) {
      const text = Buffer.from(bytes).toString('base64');
      plugins.onLoad({ filter }, () => ({
        contents: `export const ${name} = () => Buffer.from('${text}', 'base64');`,
      }));
    }
  },
};

/** Templates of the translator's first tier are made here, once, and held by the bundles. */
export const madeTemplates: Plugin = {
  name: 'made-templates',
  setup(plugins) {
    plugins.onLoad({ filter: /jit[\\/]keptTemplates\.js$/ }, () => ({
      contents:
        "import { TemplateTable } from './templateTable.js';" +
        `export const keptTemplates = () => new TemplateTable(Buffer.from('${templatesText()}', 'base64'));`,
    }));
  },
};

/** The templates as they stand in the bundles. */
export function templatesText(): string {
  return Buffer.from(commonTemplates()).toString('base64');
}
