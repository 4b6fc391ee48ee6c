import { mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compileGuest, compileNative, crossCompiler, nativeCompiler } from '../../bench/compileGuest.js';
import { repository, runGuest, runProgram } from '../../bench/hostProgram.js';

const source = join(repository, 'test/mm/mappingSequence.c');
const flags = ['-O1', '-Wall'];
const scratch = mkdtempSync(join(tmpdir(), 'guesthouse-kernel-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Comparing needs both compilers and a host kernel that is a recent Linux. */
const [major, minor] = release().split('.').map(Number);
const possible =
  process.platform === 'linux' &&
  (major > 6 || (major === 6 && minor >= 6)) &&
  crossCompiler !== undefined &&
  nativeCompiler !== undefined;

const first = Number(process.env.GUESTHOUSE_SEED ?? 1);
const sequences = Number(process.env.GUESTHOUSE_RUNS ?? 3);

describe.skipIf(!possible)('memory calls of a guest (needs gcc, riscv64-linux-gnu-gcc and Linux)', () => {
  for (const kind of [[], ['hostile']]) {
    it(`give what the host kernel gives, ${kind[0] ?? 'plausible'} arguments`, async () => {
      const native = compileNative(source, flags);
      const guest = compileGuest(source, [...flags, '-static']);
      for (let seed = first; seed < first + sequences; seed++) {
        const args = [String(seed), '400', ...kind];
        const should = await runProgram(native, args);
        const is = await runGuest(['--dir', `${scratch}:/tmp`], guest, args);
        expect(is.stderr).toBe('');
        expect(is.stdout.split('\n'), `seed ${seed}`).toEqual(should.stdout.split('\n'));
      }
    }, 120_000);
  }
});
