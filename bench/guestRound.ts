import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type * as Api from '../src/index.js';
import { JUMP_PROFILE_BYTES } from '../src/jit/jumpProfile.js';
import { audit } from '../src/memory/auditor.js';
import type { SharedMemory } from '../src/sync/sharedMemory.js';
import { compileGuest } from './compileGuest.js';
import { repository } from './hostProgram.js';
import { threadStates } from './threadStates.js';

export interface GuestRoundOptions {
  readonly seed: number;
  /** Steps of each thread of a program. */
  readonly steps: number;
  /** Threads of a program. */
  readonly threads: number;
  /** Programs at once in the machine, which share the code and the file system, and how often one after another. */
  readonly guests?: number;
  readonly repetitions?: number;
  /** Page sizes in bytes; a guest's own is exact only over host pages that are not larger, so it works in those then. */
  readonly hostPageSize?: number;
  readonly pageSize?: number;
  readonly jit?: boolean | { readonly threshold: number };
  /** Host directory for the programs' files. */
  readonly directory: string;
  /** Milliseconds after which programs that have not ended count as deadlocked. */
  readonly patience: number;
}

/** The program; riscv64-linux-gnu-gcc has to be there. */
export function mapStressProgram(): string {
  const source = join(repository, 'test/guests/libc/mapStress.c');
  return compileGuest(source, ['-O2', '-pthread', '-static', '-Wl,-z,max-page-size=65536']);
}

/**
 * Bytes of records that a machine may keep from one generation of programs to the next: what each further worker takes when
 * it runs its first thread (some had been started without running one), what the translator takes when it starts, and pools.
 */
export const KERNEL_PER_HOST = 80 * 1024;
export const KERNEL_SLACK = 4 * KERNEL_PER_HOST + JUMP_PROFILE_BYTES;

/**
 * One round of mapStress in a machine of its own. Returns what went wrong, one line each: what the programs printed, how
 * they ended, what the auditor says when they are gone, and records that stay.
 */
export async function guestRound(options: GuestRoundOptions): Promise<string[]> {
  // By its public name, so that the workers are those of the bundle.
  const { createMachine } = (await import('guesthouse' as string)) as typeof Api;
  const { seed, steps, threads, hostPageSize, pageSize, jit } = options;
  const problems: string[] = [];
  const machine = await createMachine({
    memory: 1024 ** 3,
    ...(hostPageSize !== undefined && { hostPageSize }),
    ...(jit !== undefined && { jit }),
  });
  const mem = Reflect.get(machine, 'mem') as SharedMemory;
  const folder = join(options.directory, `round-${seed}`);
  mkdirSync(folder);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), options.patience);
  });
  const run = async (number: number) => {
    let said = '';
    const note = (bytes: Uint8Array) => {
      if (said.length < 4000) said += Buffer.from(bytes).toString();
    };
    const unit = Math.max(hostPageSize ?? 4096, pageSize ?? 4096);
    const guest = await machine.spawn(mapStressProgram(), {
      args: [String(seed + number), String(steps), String(threads), '/scratch', String(unit)],
      dirs: [{ host: folder, guest: '/scratch' }],
      stdin: 'ignore',
      stdout: note,
      stderr: note,
      ...(pageSize !== undefined && { pageSize }),
    });
    const { code, signal, crashReport } = await guest.exited;
    if (said !== '') problems.push(...said.trimEnd().split('\n'));
    if (code !== 0) problems.push(`ended with ${code ?? signal}`);
    if (crashReport !== undefined) problems.push(crashReport);
  };
  const all = async () => {
    let kernel = Infinity;
    let hosts = 0;
    for (let i = 0; i < (options.repetitions ?? 2); i++) {
      await Promise.all(Array.from({ length: options.guests ?? 1 }, (_, k) => run(i * 100 + k)));
      // Orphans may still be on their way out when a guest's end is told.
      let found: string[] = [];
      for (let patience = 0; patience < 50; patience++) {
        found = audit(mem, []);
        if (found.length === 0) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      problems.push(...found);
      const now = machine.memory().kernel;
      const started = machine.statistics().hosts;
      if (now > kernel + (started - hosts) * KERNEL_PER_HOST + KERNEL_SLACK)
        problems.push(`records have grown from ${kernel} to ${now} bytes, hosts from ${hosts} to ${started}`);
      hosts = started;
      kernel = now;
    }
  };
  try {
    if ((await Promise.race([all(), late])) === 'late') {
      problems.push(`no end after ${options.patience / 1000} s; what its threads do:`, ...threadStates(mem));
    }
  } finally {
    clearTimeout(timer);
    await machine.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return problems.map((problem) => `seed ${seed}: ${problem}`);
}
