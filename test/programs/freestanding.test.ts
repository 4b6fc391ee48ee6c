import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compilerVersion, crossCompiler } from '../../bench/compileGuest.js';
import { type RunSettings, repository, runGuest } from '../../bench/hostProgram.js';

const guest = join(repository, 'test/guests/freestanding.elf');
const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A host folder for one guest, as an option that shows it as /scratch. */
function workFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return `${path}:/scratch`;
}

const run = (args: string[], settings?: RunSettings) => runGuest([], guest, args, settings);

describe('the committed binary', () => {
  const built = readFileSync(join(repository, 'test/guests/freestanding.txt'), 'utf8').trim();
  const here = crossCompiler === undefined ? 'no riscv64-linux-gnu-gcc' : compilerVersion(crossCompiler);

  it.skipIf(here !== built)(`is what its sources make (needs ${built}; here: ${here})`, () => {
    const output = join(folder, 'rebuilt.elf');
    execFileSync(join(repository, 'test/guests/rebuild.sh'), [output]);
    expect(readFileSync(output).equals(readFileSync(guest))).toBe(true);
  });
});

describe('start, streams and end', () => {
  it('says hello', async () => {
    expect(await run(['hello'])).toMatchObject({
      stdout: 'Hello from a RISC-V guest\n',
      stderr: '',
      code: 0,
      signal: null,
    });
  });

  it('passes a megabyte from stdin to stdout', async () => {
    const text = Array.from(
      { length: 20_000 },
      (_, i) => `line ${i} of the text that goes through a guest\n`,
    );
    const stdin = text.join('');
    const { stdout, code } = await run(['cat'], { stdin });
    expect(code).toBe(0);
    expect(stdout === stdin).toBe(true);
  });

  it('tells the three streams apart', async () => {
    const { stdout, stderr, code } = await run(['stdio'], { stdin: 'x'.repeat(5000) });
    expect(stdout).toMatch(/^stdin: 5000 bytes, checksum [0-9a-f]+\none two\nwritev: 8\nread after end: 0\n/);
    expect(stdout).toContain('descriptor 3: -9\n');
    expect(stderr).toBe('to stderr\n');
    expect(code).toBe(0);
  });

  it('passes arguments and environment', async () => {
    const options = ['-0', 'args', '-E', 'ADDED=1', '-E', 'EMPTY=', '-U', 'AWAY'];
    const { stdout } = await runGuest(options, guest, ['one', '', 'with space', '--stats'], {
      env: { PATH: process.env.PATH!, AWAY: 'x', KEPT: 'y' },
    });
    const lines = stdout.split('\n');
    expect(lines.slice(0, 5)).toEqual([
      'argv[0]=args',
      'argv[1]=one',
      'argv[2]=',
      'argv[3]=with space',
      'argv[4]=--stats',
    ]);
    expect(lines).toContain('env ADDED=1');
    expect(lines).toContain('env EMPTY=');
    expect(lines).toContain('env KEPT=y');
    expect(stdout).not.toContain('AWAY');
  });

  it.each([
    ['0', 0],
    ['1', 1],
    ['255', 255],
    ['256', 0],
    ['-1', 255],
  ])('ends with status %s', async (status, code) => {
    expect((await run(['status', status])).code).toBe(code);
  });

  it.each([
    ['SIGHUP', 1],
    ['SIGKILL', 9],
    ['SIGTERM', 15],
    ['SIGSYS', 31],
    ['a real-time signal', 40],
  ])('dies of %s', async (_name, number) => {
    const { stdout, code } = await run(['raise', String(number)]);
    expect(stdout).toBe('');
    expect(code).toBe(128 + number);
  });

  it.each([
    ['SIGCHLD', 17],
    ['SIGURG', 23],
    ['SIGWINCH', 28],
    ['SIGCONT', 18],
  ])('ignores %s', async (_name, number) => {
    const { stdout, code } = await run(['raise', String(number)]);
    expect(stdout).toBe(`survived signal ${number}: 0\n`);
    expect(code).toBe(0);
  });

  it.each(['pause', 'loop'])('is interrupted by Ctrl-C in %s', async (kind) => {
    const interrupted = await run(['spin', kind], {
      onOutput: (text, kill) => text.includes('ready') && kill('SIGINT'),
    });
    expect(interrupted.code).toBe(130);
    const caught = await run(['spin', kind, 'catch'], {
      onOutput: (text, kill) => text.includes('ready') && kill('SIGINT'),
    });
    expect(caught).toMatchObject({ stdout: 'ready\ninterrupted by signal 2\n', code: 7 });
  });
});

describe('guests that check themselves', () => {
  const applets: [string, string[], string[]?][] = [
    ['auxv', []],
    ['identity', ['6.6.42-test'], ['-r', '6.6.42-test']],
    ['unknown', []],
    ['threads', ['16']],
    ['threads', ['64']],
    ['futexes', []],
    ['races', []],
    ['share', []],
    ['signals', []],
    ['timers', []],
    ['pipes', []],
    ['children', ['40']],
    ['hostile', []],
    ['recursion', ['50000']],
    ['recursion', ['400000'], ['-s', '64M']],
    ['reserve', ['2048']],
    ['reserve', ['40000']],
    ['fp', []],
    ['atomics', []],
    ['registers', []],
    ['selfmodify', []],
    ['crossing', []],
    ['sweep', ['1']],
    ['sweep', ['2']],
    ['mixture', ['1', '150']],
    ['mixture', ['2', '400', '2']],
    ['mixture', ['3', '60', '16']],
  ];
  it.each(applets)('%s %j', async (applet, args, options = []) => {
    const { stdout, stderr, code } = await runGuest(options, guest, [applet, ...args]);
    expect(stdout + stderr).toMatch(new RegExp(`^${applet}: \\d+ checks passed\n$`));
    expect(code).toBe(0);
  });

  it('memory, with a folder', async () => {
    const options = ['--dir', workFolder('memory')];
    const { stdout, code } = await runGuest(options, guest, ['memory', '/scratch', 'strict']);
    expect(stdout).toMatch(/^memory: \d+ checks passed\n$/);
    expect(code).toBe(0);
  });

  it('files, with a folder', async () => {
    const { stdout, code } = await runGuest(['--dir', workFolder('files')], guest, ['files', '/scratch']);
    expect(stdout).toMatch(/^files: \d+ checks passed\n$/);
    expect(code).toBe(0);
  });
});

describe('work in threads', () => {
  it.each(['1', '2', '8'])('gives the same in %s threads', async (threads) => {
    const { stdout } = await run(['count', '400000', threads]);
    const sums: Record<string, string> = { '1': '51044676', '2': '51043382', '8': '50895320' };
    expect(stdout).toBe(`400000 steps, ${threads} threads, sum ${sums[threads]}\n`);
  });
});

describe('faults', () => {
  const SIGILL = 4;
  const SIGTRAP = 5;
  const SIGABRT = 6;
  const SIGBUS = 7;
  const SIGSEGV = 11;
  it.each([
    ['null', SIGSEGV],
    ['load', SIGSEGV],
    ['text', SIGSEGV],
    ['high', SIGSEGV],
    ['noncanonical', SIGSEGV],
    ['execdata', SIGSEGV],
    ['jump', SIGSEGV],
    ['jumpnull', SIGSEGV],
    ['stack', SIGSEGV],
    ['readonly', SIGSEGV],
    ['unmapped', SIGSEGV],
    ['abort', SIGABRT],
    ['illegal', SIGILL],
    ['zero', SIGILL],
    ['csr', SIGILL],
    ['ebreak', SIGTRAP],
    ['misaligned-amo', SIGBUS],
    ['misaligned-lr', SIGBUS],
  ])('%s', async (kind, signal) => {
    const { stdout, stderr, code } = await run(['fault', kind]);
    expect(stdout).toBe(`about to fault: ${kind}\n`);
    expect(code).toBe(128 + signal);
    // The report names the registers and where it happened.
    if (signal === SIGSEGV) expect(stderr).toMatch(/\bpc\b/);
  });
});

describe('memory that comes to an end', () => {
  it.each([
    ['in small pieces', ['1048576']],
    ['in large pieces', ['67108864']],
  ])('gives ENOMEM %s, and the guest goes on', async (_name, args) => {
    const { stdout, code } = await runGuest(['--memory', '256M'], guest, ['hog', ...args]);
    expect(stdout).toMatch(/^mmap ended with -12\nhog: \d+ checks passed\n$/);
    expect(code).toBe(0);
  });

  it('gives ENOMEM when the address space ends', async () => {
    const args = ['hog', '67108864', 'untouched'];
    const { stdout, code } = await runGuest(['-R', '4G', '--memory', '1G'], guest, args);
    expect(stdout).toMatch(/^mmap ended with -12\nhog: \d+ checks passed\n$/);
    expect(code).toBe(0);
  });

  it('takes frames back: 20,000 times 64 KiB in 128 MiB', async () => {
    const { stdout, code } = await runGuest(['--memory', '128M'], guest, ['cycle', '20000']);
    expect(stdout).toBe('cycled 20000 times\n');
    expect(code).toBe(0);
  });
});
