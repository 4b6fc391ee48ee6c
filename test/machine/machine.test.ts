import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { KERNEL_PER_HOST } from '../../bench/guestRound.js';
import { createMachine, type Machine, SpawnError } from '../../src/index.js';
import { testFile, tiny } from './tinyPrograms.js';

// Generous, for machines that are busy with other things.
vi.setConfig({ testTimeout: 30_000 });

const machines: Machine[] = [];
async function machine(options: Parameters<typeof createMachine>[0] = {}): Promise<Machine> {
  const made = await createMachine(options);
  machines.push(made);
  return made;
}
afterEach(async () => {
  await Promise.all(machines.splice(0).map((m) => m.close()));
});

describe('one guest', () => {
  it('has an exit code', async () => {
    const m = await machine();
    const guest = await m.spawn(testFile('exit42', tiny.exit(42)));
    expect(await guest.exited).toEqual({ code: 42, signal: null, signalNumber: 0 });
    expect(guest.kill()).toBe(false);
    expect(guest.statistics()).toMatchObject({ threads: 1, systemCalls: 1 });
    expect(guest.statistics().instructions).toBeGreaterThanOrEqual(2);
  });

  it('writes to a pipe, a function and a stream', async () => {
    const m = await machine();
    const path = testFile('print', tiny.print('a line\n'));
    const piped = await m.spawn(path, { stdout: 'pipe' });
    expect(await text(piped.stdout as NodeJS.ReadableStream as never)).toBe('a line\n');
    expect((await piped.exited).code).toBe(0);
    let heard = '';
    const called = await m.spawn(path, {
      stdout: (bytes) => {
        heard += new TextDecoder().decode(bytes);
      },
    });
    await called.exited;
    expect(heard).toBe('a line\n');
  });

  it('may be waited for before its output is read', async () => {
    const m = await machine();
    const guest = await m.spawn(testFile('cat', tiny.cat()), { stdin: 'x'.repeat(60_000), stdout: 'pipe' });
    expect((await guest.exited).code).toBe(0);
    expect((await text(guest.stdout as never)).length).toBe(60_000);
  });

  it('gets SIGPIPE when its output is broken', async () => {
    const m = await machine();
    const sink = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) });
    sink.on('error', () => {});
    const guest = await m.spawn(testFile('cat', tiny.cat()), { stdin: 'pipe', stdout: sink });
    const typing = setInterval(() => guest.stdin?.write('line\n'), 10);
    expect(await guest.exited).toMatchObject({ signal: 'SIGPIPE' });
    clearInterval(typing);
  });

  it('reads what it is given', async () => {
    const m = await machine();
    const path = testFile('cat', tiny.cat());
    const large = 'all work and no play '.repeat(20_000);
    const guest = await m.spawn(path, { stdin: large, stdout: 'pipe' });
    expect(await text(guest.stdout as never)).toBe(large);
    expect((await guest.exited).code).toBe(0);
    const piped = await m.spawn(path, { stdin: 'pipe', stdout: 'pipe' });
    piped.stdin?.write('one ');
    setTimeout(() => piped.stdin?.end('two'), 20);
    expect(await text(piped.stdout as never)).toBe('one two');
    const none = await m.spawn(path, { stdout: 'pipe' });
    expect(await text(none.stdout as never)).toBe('');
  });

  it('is ended by a signal while it runs and while it waits', async () => {
    const m = await machine();
    const running = await m.spawn(testFile('spin', tiny.spin()));
    const waiting = await m.spawn(testFile('wait', tiny.wait()), { stdin: 'pipe' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(running.kill()).toBe(true);
    expect(waiting.kill('SIGINT')).toBe(true);
    expect(await running.exited).toMatchObject({ code: null, signal: 'SIGTERM', signalNumber: 15 });
    expect(await waiting.exited).toMatchObject({ code: null, signal: 'SIGINT' });
    expect(() => running.kill('SIGNONE')).toThrow(RangeError);
  });

  it('leaves a report when it dies of a fault', async () => {
    const m = await machine();
    const guest = await m.spawn(testFile('crash', tiny.crash()));
    const exit = await guest.exited;
    expect(exit).toMatchObject({ signal: 'SIGSEGV', signalNumber: 11 });
    expect(exit.crashReport).toMatch(/nothing is mapped there/);
    expect(exit.crashReport).toMatch(/address 0x123, pc 0x10204: .*sd\s+s0/);
    expect(exit.crashReport?.split('\n').length).toBeLessThanOrEqual(31);
  });

  it('says why it cannot be started', async () => {
    const m = await machine();
    await expect(m.spawn('/no/such/program')).rejects.toThrow(SpawnError);
    const bad = await m.spawn(testFile('text', 'just a text'));
    await expect(bad.exited).rejects.toMatchObject({
      name: 'SpawnError',
      errno: 8,
      message: 'not an ELF file',
    });
    // The machine goes on.
    expect((await (await m.spawn(testFile('exit1', tiny.exit(1)))).exited).code).toBe(1);
  });
});

describe('several guests', () => {
  it('run at once, and more than there are workers at first', async () => {
    const m = await machine();
    const spinners = await Promise.all([1, 2].map(() => m.spawn(testFile('spin', tiny.spin()))));
    const path = testFile('cat', tiny.cat());
    const guests = await Promise.all(
      Array.from({ length: 6 }, (_, i) => m.spawn(path, { stdin: `guest ${i}`, stdout: 'pipe' })),
    );
    expect(m.statistics().guests).toHaveLength(8);
    const said = await Promise.all(guests.map((guest) => text(guest.stdout as never)));
    expect(said).toEqual(guests.map((_, i) => `guest ${i}`));
    expect(new Set([...guests, ...spinners].map((guest) => guest.pid)).size).toBe(8);
    for (const guest of spinners) guest.kill('SIGKILL');
    for (const guest of spinners) expect((await guest.exited).signal).toBe('SIGKILL');
    await Promise.all(guests.map((guest) => guest.exited));
    expect(m.statistics().guests).toHaveLength(0);
  });

  it('give their memory back', async () => {
    const m = await machine();
    const path = testFile('exit0', tiny.exit(0));
    for (let i = 0; i < 5; i++) await (await m.spawn(path)).exited;
    const [before, hosts] = [m.memory(), m.statistics().hosts];
    for (let i = 0; i < 20; i++) await (await m.spawn(path)).exited;
    const after = m.memory();
    expect(after.framesUsed).toBe(before.framesUsed);
    // A worker that starts meanwhile has records of its own.
    const more = m.statistics().hosts - hosts;
    expect(after.kernel).toBeLessThan(before.kernel + 16_384 + more * KERNEL_PER_HOST);
  });

  it('are limited in number of threads', async () => {
    const m = await machine({ maxThreads: 2 });
    const path = testFile('spin', tiny.spin());
    await m.spawn(path);
    await m.spawn(path);
    await expect(m.spawn(path)).rejects.toThrow(/as many threads/);
  });
});

describe('close', () => {
  it('kills what runs and refuses more', async () => {
    const m = await createMachine();
    const guest = await m.spawn(testFile('spin', tiny.spin()));
    await m.close();
    expect((await guest.exited).signal).toBe('SIGKILL');
    await expect(m.spawn('/x')).rejects.toThrow(/closed/);
  });

  it('leaves no handle and no file behind: the process exits by itself', async () => {
    const temporary = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
    const path = testFile('print2', tiny.print('done\n'));
    const script = `
      import { createMachine } from ${JSON.stringify(new URL('../../dist/src/index.js', import.meta.url).href)};
      const machine = await createMachine();
      const guest = await machine.spawn(${JSON.stringify(path)}, { stdout: 'inherit', stdin: 'inherit' });
      await guest.exited;
      await machine.close();
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, TMPDIR: temporary },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const output = text(child.stdout);
    const code = await new Promise((resolve) => {
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        resolve('still running');
      }, 10_000);
      child.on('exit', (status) => {
        clearTimeout(timer);
        resolve(status);
      });
    });
    expect(code).toBe(0);
    expect(await output).toBe('done\n');
    expect(readdirSync(temporary)).toEqual([]);
    rmdirSync(temporary);
  }, 20_000);
});
