import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository, runGuest } from '../../bench/hostProgram.js';

describe.skipIf(crossCompiler === undefined)('streams of the host (needs riscv64-linux-gnu-gcc)', () => {
  // Node makes the pipes of its children out of sockets, on which a guest could make no call of sockets.
  it('are pipes for a guest when they are sockets', async () => {
    const program = compileGuest(join(repository, 'test/guests/libc/streamTypes.c'), ['-static']);
    const { stdout, stderr, code } = await runGuest([], program, []);
    expect({ stdout, stderr, code }).toEqual({
      stdout: '1 is a pipe, 2 is a pipe\n',
      stderr: '',
      code: 0,
    });
  });
});
