import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler, crossCompilerPlus } from '../../bench/compileGuest.js';
import { qemu, repository, runGuest, runQemu } from '../../bench/hostProgram.js';
import { findMusl } from './musl.js';

const sources = join(repository, 'test/guests/libc');
const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const common = ['-O2', '-pthread'];
const optionsOf: Record<string, string[]> = { '.c': [...common], '.cpp': [...common, '-std=c++17'] };
const libraries: Record<string, string[]> = { '.c': ['-lm'], '.cpp': ['-latomic'] };

/** Name of the expected output, source file. */
const programs: [string, string][] = [
  ['mutexes', 'mutexes.c'],
  ['conditions', 'conditions.c'],
  ['threads', 'threads.c'],
  ['futexes', 'futexes.c'],
  ['hotcalls', 'hotcalls.c'],
  ['signals', 'signals.c'],
  ['numbers', 'numbers.c'],
  ['heap', 'heap.c'],
  ['stdio', 'stdio.c'],
  ['fifos', 'fifos.c'],
  ['files', 'files.c'],
  ['shm', 'shm.c'],
  ['ipc', 'ipc.c'],
  ['queues', 'queues.c'],
  ['watching', 'watching.c'],
  ['filelocks', 'filelocks.c'],
  ['leases', 'leases.c'],
  ['splices', 'splices.c'],
  ['limits', 'limits.c'],
  ['identity', 'identity.c'],
  ['arguments', 'arguments.c'],
  ['credentials', 'credentials.c'],
  ['threadcreds', 'threadcreds.c'],
  ['smaps', 'smaps.c'],
  ['locks', 'locks.c'],
  ['processes', 'processes.c'],
  ['waiting', 'waiting.c'],
  ['cpuclocks', 'cpuclocks.c'],
  ['pidfds', 'pidfds.c'],
  ['cloneflags', 'cloneflags.c'],
  ['processfiles', 'processfiles.c'],
  ['procfiles', 'procfiles.c'],
  ['rights', 'rights.c'],
  ['scheduling', 'scheduling.c'],
  ['unixsockets', 'unixsockets.c'],
  ['terminals', 'terminals.c'],
  ['jobcontrol', 'jobcontrol.c'],
  ['restart', 'restart.c'],
  ['inputs', 'inputs.c'],
  ['family', 'family.c'],
  ['inetsockets', 'inetsockets.c'],
  ['sharedports', 'sharedports.c'],
  ['urgent', 'urgent.c'],
  ['packets', 'packets.c'],
  ['threads++', 'threads.cpp'],
  ['language++', 'language.cpp'],
];

const hasCompiler = (source: string) =>
  source.endsWith('.cpp') ? crossCompilerPlus !== undefined : crossCompiler !== undefined;

function compile(source: string, linking: string[]): string {
  const kind = source.slice(source.indexOf('.'));
  return compileGuest(join(sources, source), [...optionsOf[kind], ...linking, ...libraries[kind]]);
}

let folders = 0;
/** Runs a program with a folder that it may write, seen as /scratch. */
async function runInFolder(options: string[], program: string): Promise<{ stdout: string; end: string }> {
  const work = join(folder, String(folders++));
  mkdirSync(work);
  const run = await runGuest([...options, '--dir', `${work}:/scratch`], program, ['/scratch']);
  const { stdout, stderr, code, signal } = run;
  return { stdout, end: code === 0 ? 'well' : `${code ?? signal}: ${stderr}` };
}

/** Where threads wait in all sorts of ways. */
const waiting = [
  'restart',
  'terminals',
  'unixsockets',
  'filelocks',
  'ipc',
  'queues',
  'jobcontrol',
  'futexes',
  'hotcalls',
  'cpuclocks',
];

describe('programs whose threads share a single worker (needs riscv64-linux-gnu-gcc)', () => {
  for (const name of waiting) {
    const expected = readFileSync(join(sources, 'expected', `${name}.txt`), 'latin1');
    it.skipIf(crossCompiler === undefined)(name, async () => {
      const run = await runInFolder(['--workers', '1'], compile(`${name}.c`, ['-static']));
      expect(run).toEqual({ stdout: expected, end: 'well' });
    });
  }
});

describe('programs with the C library (needs riscv64-linux-gnu-gcc and g++)', () => {
  for (const [name, source] of programs) {
    const expected = readFileSync(join(sources, 'expected', `${name}.txt`), 'latin1');

    it.skipIf(!hasCompiler(source))(`${name}, static`, async () => {
      expect(await runInFolder([], compile(source, ['-static']))).toEqual({ stdout: expected, end: 'well' });
    });
  }

  for (const network of ['loopback', 'host'])
    it.skipIf(crossCompiler === undefined)(`inetsockets, static, --net ${network}`, async () => {
      const expected = readFileSync(join(sources, 'expected/inetsockets.txt'), 'latin1');
      const run = await runInFolder(['--net', network], compile('inetsockets.c', ['-static']));
      expect(run).toEqual({ stdout: expected, end: 'well' });
    });

  // With the C library's own loader, from the cross compiler's root.
  const root = '/usr/riscv64-linux-gnu';
  const dynamic = existsSync(join(root, 'lib/ld-linux-riscv64-lp64d.so.1'));
  for (const [name, source] of programs.filter(([n]) => ['threads', 'stdio', 'language++'].includes(n)))
    it.skipIf(!hasCompiler(source) || !dynamic)(`${name}, dynamic`, async () => {
      const expected = readFileSync(join(sources, 'expected', `${name}.txt`), 'latin1');
      const program = compile(source, []);
      // With a root, the program is a path in there.
      const bin = join(folder, `bin-${name}`);
      mkdirSync(bin);
      copyFileSync(program, join(bin, 'program'));
      const options = ['-L', root, '--dir', `${bin}:/programs:ro`];
      expect(await runInFolder(options, '/programs/program')).toEqual({ stdout: expected, end: 'well' });
    });
});

const musl = findMusl();
const noMusl = typeof musl !== 'string';

describe(`programs with musl${noMusl ? ` (${musl.missing})` : ''}`, () => {
  const specs = noMusl ? '' : join(musl, 'musl.specs');
  const allRight = /: (\d+) of \1 checks passed\n$/;
  // files.c compares error names, which only glibc has a function for.
  const ofC = programs.filter(([name, file]) => file.endsWith('.c') && name !== 'files');
  for (const [name, source] of ofC) {
    it.skipIf(noMusl)(`${name}, static`, async () => {
      const { stdout, end } = await runInFolder([], compile(source, [`-specs=${specs}`, '-static']));
      // It says what it sees, not whether that is right.
      if (name === 'hotcalls')
        expect(stdout).toBe(readFileSync(join(sources, 'expected/hotcalls.txt'), 'latin1'));
      else expect(stdout).toMatch(allRight);
      expect(end).toBe('well');
    });
  }

  // Another load address, and relocations by the program itself.
  it.skipIf(noMusl)('numbers, static-pie', async () => {
    const library = join(musl as string, 'root/lib');
    const pie = ['-fPIE', '-static', '-Wl,-pie,--no-dynamic-linker,-z,text', '-nostartfiles'];
    const start = ['rcrt1.o', 'crti.o', 'crtn.o'].map((name) => join(library, name));
    const program = compile('numbers.c', [`-specs=${specs}`, ...pie, ...start]);
    const { stdout, end } = await runInFolder([], program);
    expect(stdout).toMatch(allRight);
    expect(end).toBe('well');
  });

  it.skipIf(noMusl)('threads, dynamic', async () => {
    const bin = join(folder, 'bin-musl');
    mkdirSync(bin);
    copyFileSync(compile('threads.c', [`-specs=${specs}`]), join(bin, 'program'));
    const options = ['-L', join(musl as string, 'root'), '--dir', `${bin}:/programs:ro`];
    const { stdout, end } = await runInFolder(options, '/programs/program');
    expect(stdout).toMatch(allRight);
    expect(end).toBe('well');
  });
});

describe('programs of the benchmarks say what they say under qemu-riscv64 (needs it and riscv64-linux-gnu-gcc)', () => {
  const runs = [
    'hello',
    'fib 18',
    'sorting 1',
    'sha256 64',
    'bytecode 2000',
    'coremarklike 5',
    'dhrystonelike 2000',
    'strings 2',
    'chase 16 100000',
    'triad 1 20000',
    'nbody 1000',
    'matmul 24',
    'mandelbrot 24',
    'spectral 16',
    'fft 8',
    'system syscall 1000',
    'system threads 200',
    'system futex 500',
    'system pipe 500',
    'system map 1000 4',
    'system protect 1000 2',
    'system fault 4000 2',
    'system mutex 4000 4',
  ];
  const missing = crossCompiler === undefined || qemu === undefined;
  it.skipIf(missing).each(runs)('%s', async (command) => {
    const [name, ...args] = command.split(' ');
    const program = compileGuest(join(repository, 'bench/guests', `${name}.c`), [
      '-O2',
      '-static',
      '-pthread',
      '-lm',
    ]);
    const theirs = await runQemu(program, args);
    const ours = await runGuest([], program, args);
    expect(ours.stdout).toBe(theirs.stdout);
    expect(ours.code).toBe(theirs.code);
  });
});
