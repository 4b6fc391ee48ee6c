import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { interpreterCodeFile, interpreterFile } from '../../src/machine/packageFiles.js';
import { testFile, tiny } from './tinyPrograms.js';

const dist = new URL('../../dist/', import.meta.url);

/** Runs a module in a Node process of its own, with flags as a user has them; returns what it prints as JSON. */
function inNode(text: string): unknown {
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', text], { encoding: 'utf8' });
  expect(child.stderr).toBe('');
  return JSON.parse(child.stdout);
}

/** The variant whose code the build has kept. */
const fused = existsSync(interpreterCodeFile({ hostPageShift: 12, fused: true }));
const variant = { hostPageShift: 12, fused };

function loadCode(change: string): unknown {
  return inNode(`
    import { readFileSync } from 'node:fs';
    const { prepareCompiledModules, moduleWithCode } = await import('${new URL('src/machine/compiledModule.js', dist)}');
    prepareCompiledModules();
    const bytes = new Uint8Array(readFileSync(new URL('${interpreterFile(variant)}')));
    const code = readFileSync(new URL('${interpreterCodeFile(variant)}'));
    ${change}
    const module = moduleWithCode(bytes, code);
    console.log(JSON.stringify(module instanceof WebAssembly.Module));
  `);
}

describe('the code of the interpreter', () => {
  it('is taken back by the Node that made it', () => {
    expect(loadCode('')).toBe(true);
  });

  it('is refused when it comes from another version of Node or is cut off', () => {
    expect(loadCode('code[1]++;')).toBe(false);
    expect(
      inNode(`
        const { prepareCompiledModules, moduleWithCode } = await import('${new URL('src/machine/compiledModule.js', dist)}');
        prepareCompiledModules();
        console.log(JSON.stringify(moduleWithCode(new Uint8Array(8), Buffer.from('v')) === undefined));
      `),
    ).toBe(true);
  });
});

describe('the code of the bundles', () => {
  it.each(['commandCode', 'threadHostCode'])('%s is accepted by V8', (name) => {
    const file = fileURLToPath(new URL(`bundle/${name}.js`, dist));
    const wrapped = `(function (exports, require, module, __filename, __dirname) {${readFileSync(file, 'latin1')}\n})`;
    const rejected = inNode(`
      import { readFileSync } from 'node:fs';
      import { Script } from 'node:vm';
      const text = '(function (exports, require, module, __filename, __dirname) {' +
        readFileSync('${file}', 'latin1') + '\\n})';
      const cachedData = readFileSync('${file.replace(/\.js$/, '.cache')}');
      console.log(JSON.stringify([new Script(text, { filename: '${file}', cachedData }).cachedDataRejected, text.length]));
    `);
    expect(rejected).toEqual([false, wrapped.length]);
  });
});

/** Node 20's V8 is asked to; later ones have other rules. */
const delays = Number(process.versions.v8.split('.')[0]) <= 11;

describe('a machine', () => {
  it('leaves V8’s flags as they are, or each worker would compile Node’s own modules', () => {
    const program = testFile('exit', tiny.exit(0));
    expect(
      inNode(`
        import { Script } from 'node:vm';
        const cachedData = new Script('(() => 1)()').createCachedData();
        const { createMachine } = await import('${new URL('bundle/index.js', dist)}');
        const machine = await createMachine();
        const { code } = await (await machine.spawn('${program}')).exited;
        await machine.close();
        // Under another name, or V8 would find the script that it has compiled already.
        const { cachedDataRejected } = new Script('(() => 1)()', { filename: 'again', cachedData });
        console.log(JSON.stringify([code, cachedDataRejected]));
      `),
    ).toEqual([0, false]);
  });

  it('has V8 optimise later in the command only, and never while a worker loads its code', () => {
    expect(
      inNode(`
        import { Script } from 'node:vm';
        const { wantOptimizationDelay, workerStarts } =
          await import('${new URL('src/machine/optimizationDelay.js', dist)}');
        const cachedData = new Script('(() => 1)()').createCachedData();
        const refused = [];
        // Under another name each time, or V8 would find the script that it has compiled already.
        const look = () => {
          const filename = String(refused.length);
          refused.push(new Script('(() => 1)()', { filename, cachedData }).cachedDataRejected);
        };
        const both = (work) => [work(), look()][0];
        both(both(workerStarts));
        wantOptimizationDelay();
        look();
        both(both(workerStarts));
        const first = both(workerStarts);
        const second = workerStarts();
        both(first);
        both(second);
        console.log(JSON.stringify(refused));
      `),
    ).toEqual([false, false, false, false, delays, false, false, delays]);
  });
});
