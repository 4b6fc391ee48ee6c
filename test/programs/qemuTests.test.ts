import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { crossCompiler } from '../../bench/compileGuest.js';
import { findCommand, qemu, repository, runGuest, runQemu } from '../../bench/hostProgram.js';

/**
 * QEMU's own tests of its user mode (tests/tcg/multiarch and tests/tcg/riscv64 of version 10), each with the options that their
 * Makefiles give. GUESTHOUSE_QEMU_SOURCES names a folder of QEMU's sources; without it, those that
 * test/guests/fetch-qemu-tests.sh .cache/qemu-tests got from Debian's source package, in CI by the test itself.
 */
function findSources(): string | { missing: string } {
  const given = process.env.GUESTHOUSE_QEMU_SOURCES;
  const cache = join(repository, '.cache/qemu-tests');
  const folder = join(given ?? cache, 'tests/tcg');
  if (crossCompiler === undefined) return { missing: 'needs riscv64-linux-gnu-gcc' };
  if (existsSync(folder)) return folder;
  if (given !== undefined) return { missing: `GUESTHOUSE_QEMU_SOURCES has no ${folder}` };
  const script = 'test/guests/fetch-qemu-tests.sh';
  if (process.env.CI === undefined) return { missing: `needs ${script} .cache/qemu-tests to be run` };
  if (process.getuid?.() !== 0 || findCommand('apt-get') === undefined)
    return { missing: 'needs apt and root' };
  try {
    execFileSync(join(repository, script), [cache], { stdio: 'pipe', timeout: 110_000 });
    return folder;
  } catch (error) {
    return { missing: `could not be fetched: ${(error as Error).message.split('\n')[0]}` };
  }
}

const sources = findSources();
const missing = typeof sources !== 'string';
const folder = mkdtempSync(join(tmpdir(), 'guesthouse-qemu-tests-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the Makefiles say of a test beyond the usual. */
interface Peculiarity {
  readonly compile?: readonly string[];
  readonly options?: readonly string[];
  readonly args?: readonly string[];
  /** What it is to print on stderr; nothing if not said. */
  readonly stderr?: string;
  /** What it prints is the same each time, so it has to be what qemu-riscv64 prints. */
  readonly compare?: boolean;
}
const float: Peculiarity = { compile: ['multiarch/libs/float_helpers.c'], compare: true };
const PECULIARITIES: Readonly<Record<string, Peculiarity>> = {
  float_convd: float,
  float_convs: float,
  float_madds: float,
  semihosting: { stderr: 'Checking HeapInfo\nPassed HeapInfo checks' },
  'test-aes': { options: ['-cpu', 'rv64,zk=on'] },
  'test-noc': { compile: ['-nostdlib'], options: ['-cpu', 'rv64,c=false'] },
  'test-fcvtmod': { options: ['-cpu', 'rv64,d=true,zfa=true'] },
  // It starts itself anew with a mapping of signals, unless there is one: there is nothing to map here.
  'linux-sigrtminmax': { options: ['-E', 'QEMU=none', '-E', 'QEMU_RTSIG_MAP=none'] },
};

const files = missing
  ? []
  : [
      ...['multiarch', 'multiarch/linux'].flatMap((part) =>
        readdirSync(join(sources, part))
          .filter((file) => file.endsWith('.c'))
          .map((file) => `${part}/${file}`),
      ),
      'multiarch/arm-compat-semi/semihosting.c',
      ...['noexec.c', 'test-aes.c', 'test-div.c', 'test-fcvtmod.c', 'test-noc.S'].map(
        (file) => `riscv64/${file}`,
      ),
    ].filter((file) => existsSync(join(sources, file)));

function compile(file: string, program: string, { compile: more = [] }: Peculiarity): void {
  const inSources = (argument: string): string =>
    argument.startsWith('-') ? argument : join(sources as string, argument);
  execFileSync(
    crossCompiler!,
    [
      ...['-O0', '-g', '-fno-strict-aliasing', '-static', '-pthread', '-Wa,--noexecstack'],
      ...['-I', inSources('riscv64'), '-o', program, inSources(file), ...more.map(inSources), '-lm'],
    ],
    { stdio: 'pipe' },
  );
}

describe(`QEMU's tests of its user mode${missing ? ` (${sources.missing})` : ''}`, () => {
  it.skipIf(missing)('are there', () => expect(files.length).toBeGreaterThan(20));

  for (const file of files) {
    const name = basename(file).replace(/\.[cS]$/, '');
    const peculiarity = PECULIARITIES[name] ?? {};
    it(name, { timeout: 120_000 }, async () => {
      const program = join(folder, name);
      compile(file, program, peculiarity);
      const { options = [], args = [], stderr = '' } = peculiarity;
      const run = await runGuest(['--dir', folder, ...options], program, args, { timeout: 100_000 });
      expect({ end: run.code ?? run.signal, stderr: run.stderr }).toEqual({ end: 0, stderr });
      if (peculiarity.compare && qemu !== undefined)
        expect(run.stdout).toBe((await runQemu(program, args)).stdout);
    });
  }
});
