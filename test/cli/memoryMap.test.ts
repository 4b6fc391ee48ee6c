import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { repository, runGuest } from '../../bench/hostProgram.js';

vi.setConfig({ testTimeout: 30_000 });

const program = join(repository, 'test/guests/freestanding.elf');

describe('guesthouse run', () => {
  it('prints the map at the end with --dump-maps', async () => {
    const { stdout, stderr, code } = await runGuest(['--dump-maps'], program, ['hello']);
    expect(code).toBe(0);
    expect(stdout).not.toBe('');
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^guesthouse: memory map of process \d+$/);
    for (const line of lines.slice(1))
      expect(line).toMatch(/^[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-][sp] [0-9a-f]{8} [0-9a-f:]+ \d+ /);
    expect(stderr).toMatch(/ r-xp .*freestanding\.elf\n/);
    expect(stderr).toMatch(/ {10}\[stack\]\n/);
    expect(stderr).toMatch(/ {10}\[vdso\]\n/);
  });

  it('prints one map of a guest whose threads end one by one', async () => {
    const { stderr } = await runGuest(['--dump-maps'], program, ['threads', '4']);
    expect(stderr.match(/memory map of process/g)).toHaveLength(1);
  });

  it('reports every mapping call and the map it leaves with -d page', async () => {
    const { stderr, code } = await runGuest(['-d', 'page'], program, ['memory']);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^page layout changed following binary load\nstart +end +size +prot\n/);
    const call = /^\d+ mmap\(NULL,\d+,PROT_READ\|PROT_WRITE,[A-Z_|]+,-1,0\) = 0x([0-9a-f]{16})\n/m.exec(
      stderr,
    );
    expect(call).not.toBeNull();
    const [after] = stderr.slice(call!.index + call![0].length).split(/^\d+ m/m);
    expect(after).toMatch(/^page layout changed following mmap\nstart /);
    const rows = [...after.matchAll(/^([0-9a-f]{16})-([0-9a-f]{16}) [0-9a-f]{16} rw-$/gm)];
    expect(rows.some(([, from, to]) => from <= call![1] && call![1] < to)).toBe(true);
    // Calls that fail leave no map.
    expect(stderr).toMatch(/errno=22 .*\n\d+ /);
  });

  it.each(['qemu', 'first-fit', 'random:3', 'top-down'])('runs with --placement %s', async (policy) => {
    const placed = async () =>
      (await runGuest(['--placement', policy, '-d', 'page'], program, ['share'])).stderr;
    const [once, again] = [await placed(), await placed()];
    const results = (text: string) => text.match(/mmap\(NULL.* = 0x[0-9a-f]{16}$/gm);
    expect(results(once)?.length).toBeGreaterThan(0);
    expect(results(again)).toEqual(results(once));
  });
});
