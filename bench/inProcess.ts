import { join } from 'node:path';
import { Bench } from 'tinybench';
import { createMachine } from '../src/index.js';
import { compiledCases } from './cases.js';
import { compileGuest, crossCompiler, guestFlags } from './compileGuest.js';
import { repository } from './hostProgram.js';

/** What a part of Guesthouse takes, in milliseconds. */
export interface Duration {
  readonly name: string;
  readonly milliseconds: number;
  readonly samples: number;
}

/** Start of machines and guests, measured by tinybench inside this process. */
export async function measureStart(milliseconds: number): Promise<Duration[]> {
  const program = join(repository, 'test/guests/freestanding.elf');
  const bench = new Bench({ time: milliseconds, warmupTime: milliseconds / 5 });
  bench.add('machine: create and close', async () => {
    await (await createMachine()).close();
  });
  const machine = await createMachine();
  bench.add('guest: spawn hello in a running machine, to its end', async () => {
    const guest = await machine.spawn(program, { args: ['hello'], stdout: 'ignore' });
    await guest.exited;
  });
  try {
    await bench.run();
  } finally {
    await machine.close();
  }
  return bench.tasks.map(({ name, result }) => {
    if (!('latency' in result)) throw new Error(`${name} was not measured: ${result.state}`);
    return {
      name,
      milliseconds: result.latency.p50 ?? result.latency.mean,
      samples: result.latency.samplesCount,
    };
  });
}

/** How fast guest code runs. */
export interface Speed {
  readonly name: string;
  readonly instructions: number;
  readonly millionsPerSecond: number;
}

/**
 * Millions of guest instructions a second in each of the computing programs, from the guest's own count: of the second run in a
 * machine, for in the first one V8 is still at work on the engine's code.
 */
export async function measureSpeed(): Promise<Speed[]> {
  if (crossCompiler === undefined) return [];
  const speeds: Speed[] = [];
  const machine = await createMachine();
  try {
    const computing = compiledCases.filter(({ part }) => part === 'integer' || part === 'float');
    for (const { name, source, args } of computing) {
      const file = join(repository, 'bench/guests', `${source}.c`);
      const program = compileGuest(file, guestFlags);
      let instructions = 0;
      let milliseconds = 0;
      for (let run = 0; run < 2; run++) {
        const guest = await machine.spawn(program, { args, stdout: 'ignore', stderr: 'ignore' });
        const { code, signal } = await guest.exited;
        if (code !== 0) throw new Error(`${name} ended with ${code ?? signal}`);
        ({ instructions, elapsed: milliseconds } = guest.statistics());
      }
      speeds.push({ name, instructions, millionsPerSecond: instructions / milliseconds / 1000 });
    }
  } finally {
    await machine.close();
  }
  return speeds;
}
