import { join } from 'node:path';
import { compileGuest, guestFlags } from './compileGuest.js';
import { repository, runProgram } from './hostProgram.js';
import type { Runner } from './runners.js';
import { median } from './wholeRuns.js';

/** What starting costs: whole processes, medians in milliseconds. */
export interface StartUp {
  readonly runner: string;
  /** `node -e 0`, and a static hello world in Guesthouse in the same Node. */
  readonly node: number;
  readonly hello: number;
}

/** Runs `node -e 0` and hello world `times` times in turn, for each Node that Guesthouse runs in. The cross compiler has to be there. */
export async function measureStartUp(runners: readonly Runner[], times: number): Promise<StartUp[]> {
  const hello = compileGuest(join(repository, 'bench/guests/hello.c'), guestFlags);
  const command = join(repository, 'bin/guesthouse.js');
  const nodes = runners.filter(({ kind }) => kind === 'guesthouse');
  const spent = nodes.map(() => ({ node: [] as number[], hello: [] as number[] }));
  for (let i = 0; i < times; i++)
    for (const [n, { command: node, options }] of nodes.entries()) {
      spent[n].node.push((await runProgram(node, ['-e', '0'])).milliseconds);
      const run = await runProgram(node, [command, 'run', ...options, hello]);
      if (run.code !== 0) throw new Error(`hello world ended with ${run.code ?? run.signal}: ${run.stderr}`);
      spent[n].hello.push(run.milliseconds);
    }
  return nodes.map(({ id }, n) => ({
    runner: id,
    node: median(spent[n].node),
    hello: median(spent[n].hello),
  }));
}
