import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type * as Api from '../src/index.js';
import { auditSockets } from '../src/kernel/sockets/auditSockets.js';
import { audit } from '../src/memory/auditor.js';
import { COORDINATOR } from '../src/sync/mutex.js';
import type { SharedMemory } from '../src/sync/sharedMemory.js';
import { compileGuest, guestFlags } from './compileGuest.js';
import { KERNEL_SLACK } from './guestRound.js';
import { repository } from './hostProgram.js';

const PARTS = 4;
/** Workers that such a machine needs, the translator among them, and how many descriptors each has. */
const MOST_WORKERS = 6;
const DESCRIPTORS_PER_WORKER = 5;

/** Descriptors of this process, where the system tells. */
function descriptors(): number {
  return process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;
}

/**
 * Starts `forks` processes one after another in one machine, in four parts, and compares what it has after the last part with what it
 * had after the first. Returns what has grown or is wrong, one line each.
 */
export async function forkRound(forks: number): Promise<string[]> {
  const { createMachine } = (await import('guesthouse' as string)) as typeof Api;
  const program = compileGuest(join(repository, 'bench/guests/processes.c'), guestFlags);
  const machine = await createMachine();
  const mem = Reflect.get(machine, 'mem') as SharedMemory;
  const problems: string[] = [];
  const after: Record<'records' | 'frames' | 'page tables' | 'descriptors', number>[] = [];
  try {
    for (let part = 0; part < PARTS; part++) {
      const args = ['fork', String(Math.ceil(forks / PARTS))];
      const guest = await machine.spawn(program, { args, stdout: 'ignore', stderr: 'ignore' });
      const { code, signal } = await guest.exited;
      if (code !== 0) problems.push(`ended with ${code ?? signal}`);
      problems.push(...audit(mem, []), ...auditSockets(mem, COORDINATOR, true));
      const { kernel, framesUsed, pageTables } = machine.memory();
      after.push({
        records: kernel,
        frames: framesUsed,
        'page tables': pageTables,
        descriptors: descriptors(),
      });
    }
    const slack = {
      records: KERNEL_SLACK,
      frames: 0,
      'page tables': 0,
      descriptors: MOST_WORKERS * DESCRIPTORS_PER_WORKER,
    };
    for (const what of ['records', 'frames', 'page tables', 'descriptors'] as const)
      if (after[PARTS - 1][what] > after[0][what] + slack[what])
        problems.push(`${what} have grown: ${after.map((part) => part[what]).join(', ')}`);
    const { hosts } = machine.statistics();
    if (hosts > MOST_WORKERS) problems.push(`${hosts} workers were started`);
  } finally {
    await machine.close();
  }
  return problems;
}
