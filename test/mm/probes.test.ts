import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compileGuest, compileNative, crossCompiler, nativeCompiler } from '../../bench/compileGuest.js';
import { repository, runGuest, runProgram } from '../../bench/hostProgram.js';

/**
 * Each probe is a C program that tries one part of the memory calls (flags, errors and their order, limits, /proc) and
 * prints what it gets. The host kernel is the oracle.
 */
const folder = join(repository, 'test/mm/probes');
const flags = ['-O1', '-Wall', '-Wno-unused-function', '-Wno-nonnull'];
const scratch = mkdtempSync(join(tmpdir(), 'guesthouse-probes-'));
// Probes run natively without privileges.
chmodSync(scratch, 0o777);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const [major, minor] = release().split('.').map(Number);
const possible =
  process.platform === 'linux' &&
  (major > 6 || (major === 6 && minor >= 12)) &&
  crossCompiler !== undefined &&
  nativeCompiler !== undefined;

const probes = readdirSync(folder).filter((name) => name.endsWith('.c'));

describe.skipIf(!possible)(
  'a guest gets what the host kernel gives (needs gcc, riscv64-linux-gnu-gcc and Linux 6.12)',
  () => {
    for (const probe of probes) {
      it(probe.replace('.c', ''), async () => {
        const source = join(folder, probe);
        const env = { ...process.env, SCRATCH: scratch } as Record<string, string>;
        const should = await runProgram(compileNative(source, flags), [], { env, timeout: 100_000 });
        const guest = compileGuest(source, [...flags, '-static']);
        const is = await runGuest(['--dir', scratch], guest, [], { env, timeout: 100_000 });
        expect(is.stderr).toBe('');
        expect(is.stdout.split('\n')).toEqual(should.stdout.split('\n'));
        expect(is.code).toBe(should.code);
      }, 120_000);
    }
  },
);
