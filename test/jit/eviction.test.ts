import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository, runGuest } from '../../bench/hostProgram.js';

/** More hot places than are kept translated, in threads that run for a while without a system call. */
describe.skipIf(crossCompiler === undefined)('more hot loops than fit (needs riscv64-linux-gnu-gcc)', () => {
  const program =
    crossCompiler && compileGuest(join(repository, 'test/jit/manyLoops.c'), ['-O2', '-pthread', '-static']);

  it.each([1, 3])(
    'regions give way to others under %d threads, and results are right',
    async (threads) => {
      const options = ['--jit=threshold=100', '--tb-size=64K', '--stats'];
      const { stdout, stderr, code } = await runGuest(options, program!, [
        '400',
        threads === 1 ? '2000' : '800',
        String(threads),
      ]);
      expect({ stdout, code }).toEqual({ stdout: '400 loops: ok\n', code: 0 });
      const [, regions, evicted, kept] =
        /translated +(\d+) regions in \d+ modules \((\d+) regions evicted, ([\d.]+) KiB\)/.exec(stderr)!;
      expect(Number(regions)).toBeGreaterThan(40);
      expect(Number(evicted)).toBeGreaterThan(0);
      // One module more than fits, at most.
      expect(Number(kept)).toBeLessThan(64 + 64);
    },
    60_000,
  );
});
