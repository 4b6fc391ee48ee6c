import { join } from 'node:path';
import { createMachine } from 'guesthouse';
import { describe, expect, it } from 'vitest';
import { repository, runProgram } from '../../bench/hostProgram.js';

const program = join(repository, 'test/guests/freestanding.elf');

describe('several guests in one machine', () => {
  it('run side by side, each with its own streams', async () => {
    const machine = await createMachine();
    try {
      const guests = await Promise.all(
        Array.from({ length: 8 }, async (_, i) => {
          const output: Uint8Array[] = [];
          const guest = await machine.spawn(program, {
            args: ['cat'],
            stdin: `text of guest ${i}\n`.repeat(1000),
            stdout: (bytes) => void output.push(bytes.slice()),
          });
          return { guest, output };
        }),
      );
      for (const [i, { guest, output }] of guests.entries()) {
        expect(await guest.exited).toMatchObject({ code: 0, signal: null });
        expect(Buffer.concat(output).toString()).toBe(`text of guest ${i}\n`.repeat(1000));
      }
    } finally {
      await machine.close();
    }
  });

  it('a guest that takes all memory leaves the others alone', async () => {
    const machine = await createMachine({ memory: 256 << 20 });
    try {
      const said = (text: string[]) => (bytes: Uint8Array) => void text.push(Buffer.from(bytes).toString());
      const greedyText: string[] = [];
      const modestText: string[] = [];
      const modest = await machine.spawn(program, { args: ['threads', '8'], stdout: said(modestText) });
      const greedy = await machine.spawn(program, {
        args: ['hog', '1048576'],
        memory: 100 << 20,
        stdout: said(greedyText),
      });
      expect(await greedy.exited).toMatchObject({ code: 0 });
      expect(await modest.exited).toMatchObject({ code: 0 });
      expect(greedyText.join('')).toMatch(/^mmap ended with -12\nhog: \d+ checks passed\n$/);
      expect(modestText.join('')).toMatch(/^threads: \d+ checks passed\n$/);
    } finally {
      await machine.close();
    }
  });

  it('a guest that dies of a fault leaves the others alone', async () => {
    const machine = await createMachine();
    try {
      const lasting = await machine.spawn(program, { args: ['cat'], stdin: 'pipe', stdout: 'ignore' });
      const dying = await machine.spawn(program, {
        args: ['fault', 'null'],
        stdout: 'ignore',
        stderr: 'ignore',
      });
      const death = await dying.exited;
      expect(death).toMatchObject({ code: null, signal: 'SIGSEGV', signalNumber: 11 });
      expect(death.crashReport).toMatch(/\bpc\b/);
      lasting.kill('SIGTERM');
      expect(await lasting.exited).toMatchObject({ code: null, signal: 'SIGTERM' });
    } finally {
      await machine.close();
    }
  });

  it('memory of guests that have ended comes back', async () => {
    // No more workers than have run a thread before anything is measured: each keeps some records from then on. No translator either, whose tables
    // are the machine's, and come when it starts.
    const machine = await createMachine({ maxThreads: 2, jit: false });
    const cycle = async (): Promise<void> => {
      const guest = await machine.spawn(program, { args: ['cycle', '50', '1048576'], stdout: 'ignore' });
      expect(await guest.exited).toMatchObject({ code: 0 });
    };
    try {
      const sleepers = [0, 1].map(() =>
        machine.spawn(program, { args: ['spin', 'pause'], stdout: 'ignore' }),
      );
      // One worker may be so late that the other one could run both.
      await expect.poll(() => machine.statistics().hosts).toBe(2);
      for (const guest of await Promise.all(sleepers)) guest.kill('SIGKILL');
      for (const sleeper of sleepers) await (await sleeper).exited;
      const frames: number[] = [];
      const kernel: number[] = [];
      for (let i = 0; i < 8; i++) {
        await cycle();
        frames.push(machine.memory().framesUsed);
        kernel.push(machine.memory().kernel);
      }
      // The thread host may still be tidying up when the guest's end is told.
      const most = (values: number[]) => Math.max(...values.slice(0, 3));
      await expect.poll(() => machine.memory().framesUsed).toBeLessThanOrEqual(most(frames));
      await expect.poll(() => machine.memory().kernel).toBeLessThanOrEqual(most(kernel));
    } finally {
      await machine.close();
    }
  });
});

describe('after close', () => {
  it('the Node process ends by itself', async () => {
    const script = `
      import { createMachine } from 'guesthouse';
      const machine = await createMachine();
      const guest = await machine.spawn(process.argv[1], { args: ['hello'], stdout: 'inherit' });
      await guest.exited;
      await machine.close();`;
    const args = ['--input-type=module', '-e', script, program];
    const { stdout, code } = await runProgram(process.execPath, args, { cwd: repository, timeout: 20_000 });
    expect(stdout).toBe('Hello from a RISC-V guest\n');
    expect(code).toBe(0);
  });
});
