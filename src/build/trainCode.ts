import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type * as library from '../index.js';

/**
 * Runs small guests so that the bundles' code is kept as V8 has compiled it for them (src/start/compiledCode.ts). In another
 * process than the one that bundles: V8's flags have to be those of a real run.
 */
const root = new URL('../../../', import.meta.url);
const program = fileURLToPath(new URL('test/guests/freestanding.elf', root));
process.env.GUESTHOUSE_TRAINING = 'on';

/** What thread hosts learn: programs that start, read, write, map memory, start threads and processes. */
const APPLETS: readonly string[] = [
  'hello',
  'args',
  'auxv',
  'cat',
  'stdio',
  'threads 2',
  'pipes',
  'children 3',
  'hello',
];
/** What the translator learns. */
const TRANSLATED: readonly string[] = ['registers', 'fp', 'count 2000000 1'];
/** What it learns of the first tier, and of going from that to the second. */
const HOT: readonly string[] = ['count 100000000 1'];

const { createMachine }: typeof library = await import(new URL('dist/bundle/index.js', root).href);

if (existsSync(program)) {
  const command = fileURLToPath(new URL('bin/guesthouse.js', root));
  execFileSync(process.execPath, [command, 'run', program, 'hello'], { stdio: 'ignore' });
  await learn(await createMachine(), APPLETS);
  await learn(await createMachine({ jit: { threshold: 100 } }), TRANSLATED);
  await learn(await createMachine(), HOT);
}

async function learn(machine: library.Machine, applets: readonly string[]): Promise<void> {
  for (const applet of applets) {
    const guest = await machine.spawn(program, {
      args: applet.split(' '),
      stdin: 'some input\n',
      stdout: 'pipe',
      stderr: 'pipe',
    });
    guest.stdout?.resume();
    guest.stderr?.resume();
    await guest.exited;
  }
  await machine.close();
}
