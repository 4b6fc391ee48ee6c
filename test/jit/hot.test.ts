import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { qemu, repository, runGuest, runQemu } from '../../bench/hostProgram.js';

/** Hot code in a whole guest: timer signals, code that is unmapped, protected, replaced or rewritten under it, also by other threads and in forked children, longjmp. */
describe.skipIf(crossCompiler === undefined)('hot code (needs riscv64-linux-gnu-gcc)', () => {
  const program =
    crossCompiler && compileGuest(join(repository, 'test/jit/hot.c'), ['-O2', '-pthread', '-static']);

  it.each(['off', 'on', 'threshold=1', 'threshold=10', 'threshold=300', 'threshold=5000'])(
    'with --jit=%s',
    async (jit) => {
      const { stdout, stderr, code } = await runGuest([`--jit=${jit}`], program!, []);
      expect({ stdout, stderr, code }).toEqual({ stdout: 'hot: ok\n', stderr: '', code: 0 });
    },
    60_000,
  );

  it.skipIf(qemu === undefined)('on qemu-riscv64', async () => {
    expect((await runQemu(program!, ['qemu'])).stdout).toBe('hot: ok\n');
  });
});
