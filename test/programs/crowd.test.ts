import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createMachine, type MachineOptions } from 'guesthouse';
import { describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository } from '../../bench/hostProgram.js';
import { auditSockets } from '../../src/kernel/sockets/auditSockets.js';
import { audit } from '../../src/memory/auditor.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

const program = () => compileGuest(join(repository, 'test/programs/crowd.c'), ['-O2', '-pthread', '-static']);

/** Runs the crowd in a machine of its own: what it printed, and how many workers there were in the end. */
async function run(
  options: MachineOptions,
  args: readonly string[],
): Promise<{ said: string; hosts: number }> {
  const machine = await createMachine(options);
  try {
    const guest = await machine.spawn(program(), { args, stdout: 'pipe', stderr: 'pipe' });
    const said = (await text(guest.stdout as never)) + (await text(guest.stderr as never));
    expect({ said, ...(await guest.exited) }).toMatchObject({ code: 0 });
    const mem = Reflect.get(machine, 'mem') as SharedMemory;
    await expect.poll(() => audit(mem, [])).toEqual([]);
    expect(auditSockets(mem, COORDINATOR, true)).toEqual([]);
    return { said, hosts: machine.statistics().hosts };
  } finally {
    await machine.close();
  }
}

describe('a crowd that waits in system calls (needs riscv64-linux-gnu-gcc)', () => {
  it.skipIf(crossCompiler === undefined)(
    'of 500 processes needs few workers, and each gets what it has waited for',
    async () => {
      const { said, hosts } = await run({ maxThreads: 800 }, ['processes', '500']);
      expect(said).toBe('500 wait\n0 wrong\n');
      expect(hosts).toBeLessThan(250);
    },
    120_000,
  );

  it.skipIf(crossCompiler === undefined)(
    'of 2000 threads needs few workers, and all wake up',
    async () => {
      const { said, hosts } = await run({ maxThreads: 2100 }, ['threads', '2000']);
      expect(said).toBe('2000 sleep\n0 wrong\n');
      expect(hosts).toBeLessThan(1000);
    },
    120_000,
  );

  it.skipIf(crossCompiler === undefined)(
    'can share a single worker',
    async () => {
      const { said } = await run({ workers: 1 }, ['processes', '69']);
      expect(said).toBe('69 wait\n0 wrong\n');
    },
    120_000,
  );
});
