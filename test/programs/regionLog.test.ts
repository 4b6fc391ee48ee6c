import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository, runGuest } from '../../bench/hostProgram.js';

/** What can be learnt about translated regions: -d in_asm,out_wasm,exec, -D, --perf-map and --stats. */
describe.skipIf(crossCompiler === undefined)('regions (needs riscv64-linux-gnu-gcc)', () => {
  const program =
    crossCompiler &&
    compileGuest(join(repository, 'bench/guests/sorting.c'), ['-O2', '-static', '-pthread', '-lm']);
  const folder = mkdtempSync(join(tmpdir(), 'guesthouse-log-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'log');
  const map = join(folder, 'map');

  it('are logged to a file, and mapped to symbols', async () => {
    // So many rounds that the translator, which starts with the program, is there long before the end.
    const rounds = ['100'];
    const plain = await runGuest(['--jit=off'], program!, rounds);
    const run = await runGuest(
      ['--jit=threshold=300', '-d', 'in_asm,out_wasm', '-d', 'exec', '-D', log, '--perf-map', map],
      program!,
      rounds,
    );
    expect([run.stdout, run.code]).toEqual([plain.stdout, 0]);
    expect(run.stderr).not.toContain('IN:');

    const text = readFileSync(log, 'latin1');
    expect(text).toMatch(/^IN: quicksort\S* \(\S+\) \(region \d+\)\n0x[0-9a-f]{8}: {2}[0-9a-f]+ +\w/m);
    const [, size, hex] = /^OUT: regions \d+ to \d+: \[size=(\d+)\]\n([0-9a-f\n]+)\n\n/m.exec(text)!;
    const module = Buffer.from(hex.replaceAll('\n', ''), 'hex');
    expect(module.length).toBe(Number(size));
    expect(WebAssembly.validate(module)).toBe(true);

    const rows = readFileSync(map, 'latin1')
      .split('\n')
      .filter((line) => /^ *\d+\.\d+%/.test(line))
      .map((line) => line.trim().split(/ {2,}/));
    const executed = rows.map((row) => Number(row[1]));
    expect(executed).toEqual([...executed].sort((a, b) => b - a));
    expect(rows[0][8]).toMatch(/^(quicksort|main)\S* \(.*\)$/);
    // Each entry is in the log, and in the map.
    const entries = text.match(/^Trace \d+: region \d+ \[[0-9a-f]{8}\] /gm)!;
    expect(rows.reduce((sum, row) => sum + Number(row[2]), 0)).toBe(entries.length);
    const total = Number(/^# (\d+) instructions in all/m.exec(readFileSync(map, 'latin1'))![1]);
    expect(executed.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(total);
  }, 60_000);

  it('tell why they are left, and where the time goes, with --stats', async () => {
    const source = join(repository, 'test/programs/sideExits.c');
    const exits = compileGuest(source, ['-O2', '-static']);
    const rounds = ['20000000'];
    const plain = await runGuest(['--jit=off'], exits, rounds);
    const { stdout, stderr, code } = await runGuest(['--jit=threshold=1000', '--stats'], exits, rounds);
    expect([stdout, code]).toEqual([plain.stdout, 0]);
    const line = /^guesthouse: side exits +(.*)$/m.exec(stderr)![1];
    const count = (cause: string): number =>
      Number(new RegExp(`([\\d,]+) ${cause}`).exec(line)?.[1].replaceAll(',', '') ?? 0);
    // At most as many as there are rounds that do it; some are done before the region is there.
    for (const [cause, most] of [
      ['misaligned accesses', 20_000_000 / 32],
      ['system calls', 20_000_000 / 1024 + 1],
      ['floating point', 20_000_000 / 128 + 1],
    ] as const) {
      expect(count(cause), line).toBeGreaterThan(most / 100);
      expect(count(cause), line).toBeLessThanOrEqual(most);
    }
    const times = /^guesthouse: threads' time +translated (\d+)%, interpreter (\d+)%/m.exec(stderr)!;
    expect(Number(times[1])).toBeGreaterThan(0);
  }, 60_000);

  it('say in one line what cannot be logged', async () => {
    expect(await runGuest(['-d', 'in_asm,cpu'], program!, [])).toMatchObject({
      code: 2,
      stderr: "guesthouse: option -d: 'cpu' cannot be logged, only page, in_asm, out_wasm, exec\n",
    });
    expect(await runGuest(['-D', '/nowhere/log'], program!, [])).toMatchObject({
      code: 2,
      stderr: 'guesthouse: option -D: /nowhere/log cannot be written (ENOENT)\n',
    });
  });
});
