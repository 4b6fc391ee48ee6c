import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT_ECALL, EXIT_FENCE_I } from '../../../src/sync/records/thread.js';
import type { BareMachine } from '../../interpreter/bareMachine.js';
import { TranslatedMachine } from '../../jit/translatedMachine.js';

/**
 * The public ISA tests (riscv-software-src/riscv-tests, with riscv-test-env in its `env` folder), run in user mode by the
 * interpreter, and then, in the same memory, as translated regions: one at the entry, and one at each test case. They are not part of this repository: GUESTHOUSE_RISCV_TESTS names a checkout.
 */
const checkout = process.env.GUESTHOUSE_RISCV_TESTS;
/** The suites and what they are assembled for. Binutils 2.40 does not know Zicond: its macros are given to it (riscv_test.h). */
const SUITES: Readonly<Record<string, string>> = {
  ...Object.fromEntries('ui um ua uf ud uc'.split(' ').map((name) => [`rv64${name}`, 'rv64gc'])),
  ...Object.fromEntries('zba zbb zbc zbs zfh'.split(' ').map((name) => [`rv64u${name}`, `rv64gc_${name}`])),
  rv64uzicond: 'rv64gc',
};
const present = checkout !== undefined && existsSync(join(checkout, 'isa', 'macros'));

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-riscv-tests-'));
afterAll(() => rmSync(folder, { recursive: true }));

function build(suite: string, name: string): string {
  const program = join(folder, `${suite}-${name}`);
  execFileSync('riscv64-linux-gnu-gcc', [
    `-march=${SUITES[suite]}`,
    '-mabi=lp64d',
    '-static',
    '-nostdlib',
    '-nostartfiles',
    '-Wl,--no-relax,--no-warn-rwx-segments,--build-id=none,-N,-Ttext=0x10000',
    '-I',
    fileURLToPath(new URL('.', import.meta.url)),
    '-I',
    join(checkout!, 'env'),
    '-I',
    join(checkout!, 'isa', 'macros', 'scalar'),
    join(checkout!, 'isa', suite, `${name}.S`),
    '-o',
    program,
  ]);
  return program;
}

/** Loads a static ELF and returns its entry; every page is readable, writable and executable. */
function load(machine: BareMachine, program: string, pages: Set<number>): number {
  const file = readFileSync(program);
  const headers = Number(file.readBigUInt64LE(32));
  for (let i = 0; i < file.readUInt16LE(56); i++) {
    const header = headers + i * 56;
    if (file.readUInt32LE(header) !== 1) continue;
    const [offset, address, , fileSize, memorySize] = [8, 16, 24, 32, 40].map((field) =>
      Number(file.readBigUInt64LE(header + field)),
    );
    for (let page = address >>> 12; page << 12 < address + memorySize; page++) {
      if (pages.has(page)) continue;
      pages.add(page);
      machine.map(page << 12, 4096, 'rwx');
    }
    machine.write(address, file.subarray(offset, offset + fileSize));
  }
  return Number(file.readBigUInt64LE(24));
}

/** Runs what is loaded from its entry to its end, and returns what it says. */
function runLoaded(machine: TranslatedMachine, pages: Set<number>): bigint {
  for (let i = 1; i < 32; i++) machine.setX(i, 0n);
  let exit = machine.run();
  while (exit === EXIT_FENCE_I) {
    for (const page of pages) machine.forgetCode(page << 12);
    exit = machine.run();
  }
  if (exit !== EXIT_ECALL)
    throw new Error(`exit ${exit} at ${machine.pc.toString(16)}, case ${machine.x(3)}`);
  expect(machine.x(17)).toBe(94n);
  return machine.x(10);
}

/** Addresses of the test cases (test_2, …). */
function testCases(program: string): number[] {
  const symbols = execFileSync('riscv64-linux-gnu-nm', [program], { encoding: 'utf8' });
  return [...symbols.matchAll(/^([0-9a-f]+) . test_\d+$/gm)].map(([, address]) =>
    Number.parseInt(address, 16),
  );
}

describe.skipIf(!present)('riscv-tests', () => {
  if (!present) it('needs GUESTHOUSE_RISCV_TESTS=<checkout of riscv-tests>');
  const programs = present
    ? Object.keys(SUITES).flatMap((suite) =>
        readdirSync(join(checkout, 'isa', suite))
          .filter((file) => file.endsWith('.S'))
          .map((file) => [suite, file.slice(0, -2)] as const),
      )
    : [];
  beforeAll(() => expect(programs.length).toBeGreaterThan(100));
  it.each(programs)('%s %s', (suite, name) => {
    const program = build(suite, name);
    const machine = new TranslatedMachine();
    const pages = new Set<number>();
    machine.pc = load(machine, program, pages);
    expect(runLoaded(machine, pages)).toBe(0n);

    machine.pc = load(machine, program, pages);
    const places = [machine.pc, ...testCases(program)];
    const translated = places.filter((place) => machine.translate(place)).length;
    expect(translated).toBeGreaterThan(places.length / 2);
    expect(runLoaded(machine, pages)).toBe(0n);
  });
});
