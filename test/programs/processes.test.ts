import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createMachine } from 'guesthouse';
import { describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler, guestFlags } from '../../bench/compileGuest.js';
import { KERNEL_PER_HOST, KERNEL_SLACK } from '../../bench/guestRound.js';
import { repository } from '../../bench/hostProgram.js';

import { auditSockets } from '../../src/kernel/sockets/auditSockets.js';
import { audit } from '../../src/memory/auditor.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

const libc = join(repository, 'test/guests/libc');

describe('a machine in which hundreds of processes have run (needs riscv64-linux-gnu-gcc)', () => {
  it.skipIf(crossCompiler === undefined)('has everything back', async () => {
    const program = compileGuest(join(libc, 'processes.c'), ['-O2', '-pthread', '-static', '-lm']);
    const expected = readFileSync(join(libc, 'expected/processes.txt'), 'latin1');
    const machine = await createMachine();
    try {
      const kernel: number[] = [];
      const hosts: number[] = [];
      for (let i = 0; i < 2; i++) {
        const guest = await machine.spawn(program, { stdout: 'pipe' });
        expect(await text(guest.stdout as never)).toBe(expected);
        expect(await guest.exited).toMatchObject({ code: 0 });
        // Orphans may still be on their way out when the guest's end is told.
        const mem = Reflect.get(machine, 'mem') as SharedMemory;
        await expect.poll(() => audit(mem, [])).toEqual([]);
        kernel.push(machine.memory().kernel);
        hosts.push(machine.statistics().hosts);
      }
      const more = (machine.statistics().hosts - hosts[0]) * KERNEL_PER_HOST + KERNEL_SLACK;
      await expect.poll(() => machine.memory().kernel).toBeLessThanOrEqual(kernel[0] + more);
    } finally {
      await machine.close();
    }
  });
});

/** How many processes are started one after another, in four parts: 100000 takes a minute of an idle machine. */
const FORKS = Number(process.env.GUESTHOUSE_FORKS ?? 1200);

describe(`a machine in which ${FORKS} processes have been started (needs riscv64-linux-gnu-gcc)`, () => {
  /** What this process has open: what belongs to workers (a loop each, and the clock of the threads that it runs), and the rest. */
  const descriptors = (): { ofWorkers: number; others: number } => {
    const links = readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        // That of the folder itself.
        return [];
      }
    });
    const ofWorkers = links.filter((link) => /^anon_inode:|^pipe:|schedstat$/.test(link)).length;
    return { ofWorkers, others: links.length - ofWorkers };
  };

  for (const kind of ['fork', 'vfork', 'spawn'])
    it.skipIf(crossCompiler === undefined || process.platform !== 'linux')(
      `by ${kind} is as it was after the first quarter`,
      async () => {
        const program = compileGuest(join(repository, 'bench/guests/processes.c'), guestFlags);
        const machine = await createMachine();
        try {
          const mem = Reflect.get(machine, 'mem') as SharedMemory;
          const part = String(Math.ceil(FORKS / (kind === 'spawn' ? 40 : 4)));
          const after: {
            kernel: number;
            frames: number;
            tables: number;
            ofWorkers: number;
            others: number;
            hosts: number;
          }[] = [];
          for (let i = 0; i < 4; i++) {
            const folder = { host: dirname(program), guest: '/programs', readOnly: true };
            const guest = await machine.spawn('/programs/'.concat(basename(program)), {
              args: [kind, part],
              dirs: [folder],
              stdout: 'ignore',
              stderr: 'ignore',
            });
            expect(await guest.exited).toMatchObject({ code: 0 });
            await expect.poll(() => audit(mem, [])).toEqual([]);
            expect(auditSockets(mem, COORDINATOR, true)).toEqual([]);
            const { kernel, framesUsed, pageTables } = machine.memory();
            const { hosts } = machine.statistics();
            after.push({ kernel, frames: framesUsed, tables: pageTables, hosts, ...descriptors() });
          }
          const [first, last] = [after[0], after[3]];
          expect(last.tables).toBe(first.tables);
          expect(last.frames).toBeLessThanOrEqual(first.frames);
          const workers = machine.statistics().hosts;
          const more = (workers - first.hosts) * KERNEL_PER_HOST + KERNEL_SLACK;
          expect(last.kernel).toBeLessThanOrEqual(first.kernel + more);
          expect(workers).toBeLessThanOrEqual(6);
          expect(last.others).toBe(first.others);
          // Each worker that started meanwhile, the translator's too, has four of its own, and each opens its clock when it runs its first thread.
          expect(last.ofWorkers).toBeLessThanOrEqual(first.ofWorkers + 4 * 6 + workers);
        } finally {
          await machine.close();
        }
      },
      600_000,
    );
});
