import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createMachine, type SpawnOptions } from 'guesthouse';
import { describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository, runGuest } from '../../bench/hostProgram.js';

const program = () => compileGuest(join(repository, 'test/programs/bomb.c'), ['-O2', '-pthread', '-static']);
const WORKED = 'worked: ad474240\n';

/** Runs the bomb beside a guest that works, in one machine; what each printed. */
async function runBeside(what: string, limits: SpawnOptions): Promise<{ bomb: string; beside: string }> {
  const machine = await createMachine({ memory: 512 * 2 ** 20 });
  try {
    const bomb = await machine.spawn(program(), { args: [what], stdout: 'pipe', ...limits });
    const beside = await machine.spawn(program(), { args: ['work'], stdout: 'pipe' });
    const said = { bomb: await text(bomb.stdout as never), beside: await text(beside.stdout as never) };
    expect(await bomb.exited).toMatchObject({ code: 0 });
    expect(await beside.exited).toMatchObject({ code: 0 });
    return said;
  } finally {
    await machine.close();
  }
}

describe('a guest that takes all it can get (needs riscv64-linux-gnu-gcc)', () => {
  const bombs: [string, SpawnOptions, string][] = [
    ['threads', { maxThreads: 20 }, '19 more threads, then EAGAIN\n'],
    ['processes', { maxProcesses: 24 }, 'EAGAIN, 0 other answers\nthen a child ends with 7\n'],
    ['processes', { maxThreads: 24 }, 'EAGAIN, 0 other answers\nthen a child ends with 7\n'],
    ['memory', { memory: 64 * 2 ** 20 }, 'ENOMEM within 48 and 64 MiB: 1\n'],
    ['family', { memory: 56 * 2 ** 20 }, '1 got it, 1 did not\n'],
  ];
  for (const [what, limits, answer] of bombs)
    it.skipIf(crossCompiler === undefined)(
      `is stopped by ${JSON.stringify(limits)} (${what}), and others go on`,
      async () => {
        expect(await runBeside(what, limits)).toEqual({ bomb: answer, beside: WORKED });
      },
    );

  it.skipIf(crossCompiler === undefined)('is stopped by options of the command', async () => {
    const bomb = await runGuest(['--max-threads', '12'], program(), ['threads']);
    expect(bomb).toMatchObject({ stdout: '11 more threads, then EAGAIN\n', code: 0 });
    const forks = await runGuest(['--max-processes', '12'], program(), ['processes']);
    expect(forks).toMatchObject({
      stdout: 'EAGAIN, 0 other answers\nthen a child ends with 7\n',
      code: 0,
    });
    const wrong = await runGuest(['--max-processes', '0'], program(), []);
    expect(wrong.code).toBe(2);
  });
});
