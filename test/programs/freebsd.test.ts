import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMachine } from 'guesthouse';
import { afterAll, describe, expect, it } from 'vitest';
import { compilerVersion, crossCompiler } from '../../bench/compileGuest.js';
import { findCommand, repository, runGuest } from '../../bench/hostProgram.js';

const guest = join(repository, 'test/guests/freebsd.elf');
const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let folders = 0;
/** A fresh host folder as an option that shows it as /scratch. */
function workFolder(): string {
  const path = join(folder, `work${folders++}`);
  mkdirSync(path);
  return `${path}:/scratch`;
}

describe('the committed FreeBSD guest', () => {
  const built = readFileSync(join(repository, 'test/guests/freestanding.txt'), 'utf8').trim();
  const here = crossCompiler === undefined ? 'no riscv64-linux-gnu-gcc' : compilerVersion(crossCompiler);

  it.skipIf(here !== built)(`is what its sources make (needs ${built}; here: ${here})`, () => {
    const output = join(folder, 'rebuilt.elf');
    execFileSync(join(repository, 'test/guests/freebsd/rebuild.sh'), [output], { stdio: 'ignore' });
    expect(readFileSync(output).equals(readFileSync(guest))).toBe(true);
  });

  it.each(['memory', 'threads', 'signals', 'events', 'files'])('checks %s', async (applet) => {
    const { stdout, code } = await runGuest(['--dir', workFolder()], guest, [applet, '/scratch']);
    expect(stdout).toMatch(new RegExp(`^${applet}: \\d+ checks passed\n$`));
    expect(code).toBe(0);
  });

  it.each(['threads', 'signals', 'events'])(
    'checks %s translated, with larger host pages',
    async (applet) => {
      const options = ['--jit', 'on', '--host-page-size', '16K'];
      const { stdout, code } = await runGuest(options, guest, [applet, '/scratch']);
      expect(stdout).toMatch(new RegExp(`^${applet}: \\d+ checks passed\n$`));
      expect(code).toBe(0);
    },
  );

  it('runs beside Linux guests in one machine', async () => {
    const machine = await createMachine();
    try {
      const said: string[] = ['', ''];
      const linux = join(repository, 'test/guests/freestanding.elf');
      const guests = await Promise.all(
        [guest, linux].map((program, i) =>
          machine.spawn(program, {
            args: ['hello', 'you'],
            stdout: (bytes) => {
              said[i] += Buffer.from(bytes).toString();
            },
          }),
        ),
      );
      expect(await guests[0].exited).toMatchObject({ code: 3 });
      expect(await guests[1].exited).toMatchObject({ code: 0 });
      expect(said).toEqual(['you\n', 'Hello from a RISC-V guest\n']);
    } finally {
      await machine.close();
    }
  });
});

/** The Go toolchain, when it knows freebsd/riscv64 (1.20). */
function findGo(): string | undefined {
  const go = process.env.GUESTHOUSE_GO ?? findCommand('go');
  if (go === undefined) return undefined;
  const version = /go1\.(\d+)/.exec(execFileSync(go, ['version'], { encoding: 'utf8' }));
  return version !== null && Number(version[1]) >= 20 ? go : undefined;
}

describe('the Go runtime on FreeBSD', () => {
  const go = findGo();
  const note = go === undefined ? ' (needs go 1.20 or newer, on PATH or as GUESTHOUSE_GO)' : '';

  it.skipIf(!go)(
    `threads, garbage collection, memory, files, processes, signals${note}`,
    { timeout: 240_000 },
    async () => {
      const program = join(folder, 'program');
      execFileSync(go!, ['build', '-trimpath', '-o', program, '.'], {
        cwd: join(repository, 'test/guests/freebsd/go'),
        env: {
          ...process.env,
          GOOS: 'freebsd',
          GOARCH: 'riscv64',
          CGO_ENABLED: '0',
          GOTOOLCHAIN: 'local',
          GOFLAGS: '-mod=mod',
          GOCACHE: process.env.GOCACHE ?? join(repository, '.cache/go'),
        },
      });
      const options = ['--dir', workFolder(), '-E', 'TMPDIR=/scratch'];
      const { stdout, stderr, code } = await runGuest(options, program, []);
      expect(stderr).toBe('');
      expect(stdout.split('\n')).toEqual([
        'threads 1333333000 [0 1 2 3 4 5 6 7 8 9] 200',
        'garbage 200704 true true',
        'memory true 2',
        'guard with access: invalid argument',
        'file 5000 -rw-r----- 2001-09-09T01:46:40.000005Z',
        'entry file2 ----------',
        'entry link L---------',
        'link file true',
        'tail "end" now "line\\nline\\nLINE\\nline\\n"',
        'through a pipe',
        'child said "to the child|a b|yes", exit status 7',
        'sleeper: signal: terminated',
        'signal user defined signal 2',
        'signal information request',
        'timers true true',
        'preempted freebsd riscv64 8',
        'done',
        '',
      ]);
      expect(code).toBe(0);
    },
  );
});
