import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { buildElf } from '../loader/elfBuilder.js';
import { testFile, tiny } from '../machine/tinyPrograms.js';

// Generous, for machines that are busy with other things.
vi.setConfig({ testTimeout: 30_000 });

const command = fileURLToPath(new URL('../../bin/guesthouse.js', import.meta.url));

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the guesthouse command; `during` may do something to it while it runs. */
function guesthouse(
  args: readonly string[],
  input: string | undefined = '',
  during?: (child: ReturnType<typeof spawn>) => void,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [command, ...args], { stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    if (input !== undefined) child.stdin.end(input);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
    during?.(child);
  });
}

/** Expects one line on stderr, this status, and nothing else. */
function expectRefusal(outcome: Outcome, status: number, reason: RegExp): void {
  expect(outcome.stderr).toMatch(reason);
  expect(outcome.stderr).toMatch(/^guesthouse: [^\n]+\n$/);
  expect(outcome.stdout).toBe('');
  expect(outcome.status).toBe(status);
}

describe('exit status', () => {
  it('is the program’s', async () => {
    expect(await guesthouse(['run', testFile('exit42', tiny.exit(42))])).toEqual({
      status: 42,
      stdout: '',
      stderr: '',
    });
  });

  it('is 128+n after a signal, with a report after a fault', async () => {
    const outcome = await guesthouse(['run', testFile('crash', tiny.crash())]);
    expect(outcome.status).toBe(139);
    expect(outcome.stderr).toMatch(/SIGSEGV/);
    expect(outcome.stderr).not.toMatch(/\.js:/);
  });

  it('is 2 for a wrong command line', async () => {
    const path = testFile('exit0', tiny.exit(0));
    expectRefusal(await guesthouse(['run', '-L', '/no/such/folder', path]), 2, /--root: .* not a directory/);
    expectRefusal(await guesthouse(['run', '--dir', '/no/such/folder:/x', path]), 2, /--dir: .* not found/);
    expectRefusal(await guesthouse(['run', '--nonsense', 'x']), 2, /nonsense/);
    expectRefusal(await guesthouse(['run']), 2, /program/);
  });
});

describe('what cannot be run', () => {
  const elf = buildElf();
  const cases: [string, number, RegExp, () => string][] = [
    ['a missing file', 127, /not found/, () => '/no/such/file'],
    ['a directory', 126, /directory/i, () => dirname(command)],
    ['a text file', 126, /not an ELF/, () => testFile('text', 'hello\n')],
    ['an empty file', 126, /empty/, () => testFile('empty', '')],
    ['a truncated ELF', 126, /truncated/, () => testFile('truncated', elf.subarray(0, 50))],
    ['a truncated segment', 126, /truncated/, () => testFile('cut', elf.subarray(0, 2000))],
    ['another machine', 126, /x86-64/, () => testFile('x86', buildElf({ machine: 62 }))],
    ['a 32-bit program', 126, /32-bit/, () => testFile('elf32', buildElf({ class: 1 }))],
    ['a big-endian program', 126, /big-endian/, () => testFile('big', buildElf({ data: 2 }))],
    ['absurd headers', 126, /too many/, () => testFile('many', buildElf({ phnum: 60_000 }))],
    [
      'a missing interpreter',
      127,
      /interpreter \/lib\/ld\.so is missing/,
      () =>
        testFile(
          'dynamic',
          buildElf({
            segments: [{}, { type: 3, offset: 4000, fileSize: 11 }],
            put: [{ at: 4000, bytes: new TextEncoder().encode('/lib/ld.so\0') }],
          }),
        ),
    ],
  ];
  it.each(cases)('%s', async (_name, status, reason, path) => {
    expectRefusal(await guesthouse(['run', path()]), status, reason);
  });
});

describe('what the program is given', () => {
  const guests = fileURLToPath(new URL('../guests', import.meta.url));
  const lines = (outcome: Outcome) => outcome.stdout.split('\n');

  it('has the name, the arguments and the environment asked for', async () => {
    const program = `${guests}/freestanding.elf`;
    const outcome = await guesthouse([
      ...['run', '-0', 'args', '-E', 'GREETING=good day=yes', '-U', 'HOME', program],
      ...['--strace', '', 'two words'],
    ]);
    expect(outcome.stderr).toBe('');
    expect(lines(outcome).slice(0, 4)).toEqual([
      'argv[0]=args',
      'argv[1]=--strace',
      'argv[2]=',
      'argv[3]=two words',
    ]);
    expect(lines(outcome)).toContain('env GREETING=good day=yes');
    expect(lines(outcome)).toContain(`env PATH=${process.env.PATH}`);
    expect(outcome.stdout).not.toMatch(/^env HOME=/m);
  });

  it('is found in the root, by host path and by guest path', async () => {
    for (const path of ['/freestanding.elf', `${guests}/freestanding.elf`]) {
      expect((await guesthouse(['run', '-L', guests, path, 'hello'])).stdout).toBe(
        'Hello from a RISC-V guest\n',
      );
    }
    expectRefusal(await guesthouse(['run', '-L', guests, '/nothing']), 127, /No such file/);
  });
});

describe('input, output, signals', () => {
  it('passes stdin to the program and its output on', async () => {
    expect(await guesthouse(['run', testFile('cat', tiny.cat())], 'from stdin')).toEqual({
      status: 0,
      stdout: 'from stdin',
      stderr: '',
    });
    expect(await guesthouse(['run', testFile('print', tiny.print('to stderr', 2, 9))])).toEqual({
      status: 9,
      stdout: '',
      stderr: 'to stderr',
    });
  });

  it('passes SIGTERM on', async () => {
    // The log of mappings says when the program has started.
    const outcome = await guesthouse(
      ['run', '-d', 'page', testFile('spin', tiny.spin())],
      undefined,
      (child) => {
        child.stderr?.once('data', () => child.kill('SIGTERM'));
      },
    );
    expect(outcome.status).toBe(143);
  });

  it('prints statistics and its version', async () => {
    const outcome = await guesthouse(['run', '--stats', testFile('exit0', tiny.exit(0))]);
    expect(outcome.stderr).toMatch(/instructions .*\n.*system calls +1\n/);
    expect((await guesthouse(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('shows system calls', async () => {
    const outcome = await guesthouse(['run', '--strace', testFile('print', tiny.print('x', 1, 3))]);
    expect(outcome.stderr).toMatch(/write\(1,.*1\) = 1/);
    expect(outcome.status).toBe(3);
  });
});
