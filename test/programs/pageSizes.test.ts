import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { compileGuest, crossCompiler, nativeCompiler } from '../../bench/compileGuest.js';
import { guestEsbuild } from '../../bench/demo/guestProgram.js';
import { repository, runGuest, runProgram } from '../../bench/hostProgram.js';
import { findMusl } from './musl.js';

// Several runs a test, each with a limit of its own.
vi.setConfig({ testTimeout: 180_000 });

/** Every combination of the page size that the program believes in (target) and the one below it (host). */
const sizes = ['4K', '16K', '64K'];
const kib = (size: string) => Number.parseInt(size, 10);
const pairs = sizes.flatMap((target) => sizes.map((host): [string, string] => [target, host]));
/** Protections hold for each target page only where host pages are no larger. */
const exact = ([target, host]: [string, string]) => kib(target) >= kib(host);
/** What larger programs run with by default. */
const chosen =
  process.env.GUESTHOUSE_PAGE_SIZES === 'all'
    ? pairs
    : pairs.filter((pair) => ['16K/4K', '64K/4K', '64K/64K', '16K/64K'].includes(pair.join('/')));
const optionsOf = ([target, host]: [string, string]) => ['--page-size', target, '--host-page-size', host];

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;
function workFolder(): string {
  const path = join(folder, String(folders++));
  mkdirSync(path);
  return path;
}

/** What is aligned for pages of 64 KiB runs with all of them. */
const aligned = '-Wl,-z,max-page-size=65536';

describe.each(pairs)('target pages of %s over host pages of %s', (target, host) => {
  const pair: [string, string] = [target, host];
  const guest = join(repository, 'test/guests/freestanding.elf');

  it('rounds to target pages', async () => {
    const options = [...optionsOf(pair), '--dir', `${workFolder()}:/scratch`];
    const args = ['pages', '/scratch', ...(exact(pair) ? ['exact'] : [])];
    const { stdout, stderr, code } = await runGuest(options, guest, args);
    expect({ stdout, stderr, code }).toEqual({
      stdout: expect.stringMatching(`^page size ${kib(target) * 1024}\npages: \\d+ checks passed\n$`),
      stderr: '',
      code: 0,
    });
  });

  it.skipIf(!exact(pair))('is exact', async () => {
    const options = [...optionsOf(pair), '--dir', `${workFolder()}:/scratch`];
    for (const args of [['memory', '/scratch', 'strict'], ['signals']]) {
      const { stdout, code } = await runGuest(options, guest, args);
      expect(stdout).toMatch(/: \d+ checks passed\n$/);
      expect(code).toBe(0);
    }
  });

  it('runs threads that change the map, and code that changes', async () => {
    for (const args of [['share'], ['selfmodify'], ['mixture', '5', '300', '3']]) {
      const { stdout, code } = await runGuest(optionsOf(pair), guest, args);
      expect(stdout).not.toMatch(/FAIL/);
      expect(code).toBe(0);
    }
  });
});

describe('the host kernel (needs gcc and Linux)', () => {
  it.skipIf(nativeCompiler === undefined || process.platform !== 'linux')(
    'answers as the guest is expected to be answered',
    async () => {
      const program = join(workFolder(), 'native');
      execFileSync(join(repository, 'test/guests/freestanding/native.sh'), [program]);
      for (const applet of [
        ['pages', workFolder(), 'exact'],
        ['memory', workFolder(), 'strict'],
      ]) {
        const { stdout, code } = await runProgram(program, applet);
        expect(stdout).toMatch(/: \d+ checks passed\n$/);
        expect(code).toBe(0);
      }
    },
  );
});

/** Ends with `expected`, or with all its checks passed. */
async function runsWell(
  pair: [string, string],
  program: string,
  options: string[],
  expected: string | RegExp,
) {
  const all = [...optionsOf(pair), ...options, '--dir', `${workFolder()}:/scratch`];
  const { stdout, stderr, code } = await runGuest(all, program, ['/scratch']);
  expect(stderr).toBe('');
  if (typeof expected === 'string') expect(stdout).toBe(expected);
  else expect(stdout).toMatch(expected);
  expect(code).toBe(0);
}

const sources = join(repository, 'test/guests/libc');
const expectedOf = (name: string) => readFileSync(join(sources, 'expected', `${name}.txt`), 'latin1');
const compile = (name: string, flags: string[]) =>
  compileGuest(join(sources, `${name}.c`), ['-O2', '-pthread', aligned, ...flags, '-lm']);

describe('glibc (needs riscv64-linux-gnu-gcc)', () => {
  for (const pair of chosen)
    it.skipIf(crossCompiler === undefined)(`static, pages of ${pair.join(' over ')}`, async () => {
      for (const name of exact(pair) ? ['heap', 'shm'] : ['heap'])
        await runsWell(pair, compile(name, ['-static']), [], expectedOf(name));
    });

  const root = '/usr/riscv64-linux-gnu';
  const dynamic = crossCompiler !== undefined && existsSync(join(root, 'lib/ld-linux-riscv64-lp64d.so.1'));
  const placed = () => {
    const bin = workFolder();
    copyFileSync(compile('heap', []), join(bin, 'program'));
    return ['-L', root, '--dir', `${bin}:/programs:ro`];
  };
  for (const host of sizes)
    it.skipIf(!dynamic)(`dynamic, pages of 4K over ${host}`, async () => {
      await runsWell(['4K', host], '/programs/program', placed(), expectedOf('heap'));
    });

  it.skipIf(!dynamic)('says that the dynamic linker is aligned for smaller pages', async () => {
    const { stderr, code } = await runGuest(['--page-size', '64K', ...placed()], '/programs/program', []);
    expect(stderr).toMatch(/^guesthouse: .*interpreter .*aligned for pages smaller than 64 KiB .*\n$/);
    expect(code).toBe(126);
  });

  it.skipIf(crossCompiler === undefined)('says that a program is aligned for smaller pages', async () => {
    const flags = ['-O2', '-pthread', '-static', '-Wl,-z,max-page-size=4096', '-lm'];
    const program = compileGuest(join(sources, 'threads.c'), flags);
    const { stderr, code } = await runGuest(['--page-size', '64K'], program, []);
    expect(stderr).toMatch(/^guesthouse: .*aligned for pages smaller than 64 KiB .*\n$/);
    expect(code).toBe(126);
  });
});

const musl = findMusl();
const noMusl = typeof musl !== 'string';

describe(`musl${noMusl ? ` (${musl.missing})` : ''}`, () => {
  const specs = noMusl ? '' : `-specs=${join(musl, 'musl.specs')}`;
  const allRight = /: (\d+) of \1 checks passed\n$/;
  for (const pair of chosen)
    it.skipIf(noMusl)(`static and dynamic, pages of ${pair.join(' over ')}`, async () => {
      await runsWell(pair, compile('heap', [specs, '-static']), [], allRight);
      const bin = workFolder();
      copyFileSync(compile('heap', [specs]), join(bin, 'program'));
      const options = ['-L', join(musl as string, 'root'), '--dir', `${bin}:/programs:ro`];
      await runsWell(pair, '/programs/program', options, allRight);
    });
});

/** esbuild is a Go program: Go's linker aligns for pages of 64 KiB. */
const fetched = await guestEsbuild(repository, join(repository, '.cache/demo'), () => {}).catch(
  (error: unknown) => `it can't be had: ${error instanceof Error ? error.message : error}`,
);
const missing = typeof fetched === 'string';

describe(`esbuild for riscv64${missing ? ` (${fetched})` : ''}`, () => {
  const stdin = 'export const answer: number = 6 * 7; enum E { A, B } console.log(E.B as E)';
  for (const pair of chosen)
    it.skipIf(missing)(`pages of ${pair.join(' over ')}`, async () => {
      const program = missing ? '' : fetched.path;
      const args = ['--loader=ts', '--minify'];
      const { stdout, stderr, code } = await runGuest(optionsOf(pair), program, args, { stdin });
      expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
      expect(stdout).toBe(transformSync(stdin, { loader: 'ts', minify: true }).code);
    });
});
