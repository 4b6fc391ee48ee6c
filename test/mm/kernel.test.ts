import { release } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileGuest, compileNative, crossCompiler, nativeCompiler } from '../../bench/compileGuest.js';
import { repository, runGuest, runProgram } from '../../bench/hostProgram.js';
import { hostileCalls, plausibleCalls } from './callSequence.js';

const source = join(repository, 'test/mm/callInterpreter.c');
const flags = ['-O1', '-Wall'];

/** Comparing needs both compilers and a host kernel that is a recent Linux. */
const [major, minor] = release().split('.').map(Number);
const possible =
  process.platform === 'linux' &&
  (major > 6 || (major === 6 && minor >= 6)) &&
  crossCompiler !== undefined &&
  nativeCompiler !== undefined;

/** Calls of a sequence, and sequences. */
const CALLS = 400;
const numRuns = Number(process.env.GUESTHOUSE_RUNS ?? 2);
const seed = Number(process.env.GUESTHOUSE_SEED ?? Date.now() % 1_000_000_007);

/** Every page size of a guest (plausible calls are in units of pages), and host pages that are smaller. */
const options = [[], ['--page-size', '16K'], ['--page-size', '64K', '--host-page-size', '16K']];

describe.skipIf(!possible)('memory calls of a guest (needs gcc, riscv64-linux-gnu-gcc and Linux)', () => {
  for (const pageSize of options) {
    for (const [kind, calls] of pageSize.length > 0
      ? [['plausible', plausibleCalls(CALLS)] as const]
      : ([
          ['plausible', plausibleCalls(CALLS)],
          ['hostile', hostileCalls(CALLS)],
        ] as const)) {
      it(`give what the host kernel gives: ${kind} arguments ${pageSize.join(' ')}`, async () => {
        const native = compileNative(source, flags);
        const guest = compileGuest(source, [...flags, '-static', '-Wl,-z,max-page-size=65536']);
        await fc.assert(
          fc.asyncProperty(calls, async (lines) => {
            const stdin = `${lines.join('\n')}\n`;
            const should = await runProgram(native, [], { stdin });
            const is = await runGuest(pageSize, guest, [], { stdin });
            expect(is.stderr).toBe('');
            expect(is.stdout.split('\n')).toEqual(should.stdout.split('\n'));
          }),
          { seed, numRuns, interruptAfterTimeLimit: 500_000 },
        );
      }, 600_000);
    }
  }
});
