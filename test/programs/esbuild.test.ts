import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { compareFolders } from '../../bench/demo/compareFolders.js';
import { guestEsbuild } from '../../bench/demo/guestProgram.js';
import { nativeEsbuild } from '../../bench/demo/nativeEsbuild.js';
import { writeProject } from '../../bench/demo/writeProject.js';
import { repository, runGuest } from '../../bench/hostProgram.js';

const native = nativeEsbuild();
/** The riscv64 build of esbuild, from the cache or the network; why not, where there is neither. */
const fetched = await guestEsbuild(repository, join(repository, '.cache/demo'), () => {}).catch(
  (error: unknown) => `it can't be had: ${error instanceof Error ? error.message : error}`,
);
const missing = typeof fetched === 'string';
const program = missing ? '' : fetched.path;

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe(`esbuild for riscv64${missing ? ` (${fetched})` : ''}`, () => {
  it.skipIf(missing)('tells its version', async () => {
    const { stdout, stderr, code } = await runGuest([], program, ['--version']);
    expect({ stdout, stderr, code }).toEqual({ stdout: `${native.version}\n`, stderr: '', code: 0 });
  });

  it.skipIf(missing)('transforms stdin to stdout', async () => {
    const args = ['--loader=ts', '--minify'];
    const stdin = 'export const answer: number = 6 * 7; enum E { A, B } console.log(E.B as E)';
    const { stdout, stderr, code } = await runGuest([], program, args, { stdin });
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    expect(stdout).toBe(transformSync(stdin, { loader: 'ts', minify: true }).code);
  });

  it.skipIf(missing)('reports an error and ends with 1', async () => {
    const { stderr, code } = await runGuest([], program, ['--loader=ts'], { stdin: 'let x = ;\n' });
    expect(stderr).toContain('Unexpected ";"');
    expect(code).toBe(1);
  });

  it.skipIf(missing)(
    'bundles 250 modules into the same bytes as native esbuild',
    { timeout: 180_000 },
    async () => {
      const work = join(folder, 'project');
      mkdirSync(work);
      writeProject(work, 250);
      expect(readdirSync(join(work, 'src')).length).toBeGreaterThan(200);
      const args = (out: string) => [
        'src/main.tsx',
        '--bundle',
        '--minify',
        '--sourcemap',
        '--format=esm',
        '--log-level=warning',
        `--outdir=${out}`,
      ];
      native.run(args('out/native'), work);
      const options = ['--dir', `${work}:/project`, '-C', '/project'];
      const { stderr, code } = await runGuest(options, program, args('out/guest'), { timeout: 170_000 });
      expect(stderr).toBe('');
      expect(code).toBe(0);
      const files = compareFolders(join(work, 'out/guest'), join(work, 'out/native'));
      expect(files.map(({ name, same }) => ({ name, same }))).toEqual([
        { name: 'main.js', same: true },
        { name: 'main.js.map', same: true },
      ]);
      expect(files[0].bytes).toBeGreaterThan(100_000);
    },
  );
});
