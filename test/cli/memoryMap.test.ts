import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { type RunSettings, repository, runGuest, runProgram } from '../../bench/hostProgram.js';
import { createMachine } from '../../src/index.js';

vi.setConfig({ testTimeout: 30_000 });

const program = join(repository, 'test/guests/freestanding.elf');

const line = /^[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-][sp] [0-9a-f]{8} [0-9a-f:]+ \d+ .*$/;

/** Runs `guesthouse maps` with the committed guest. */
const maps = (options: string[], args: string[], settings?: RunSettings) =>
  runProgram(
    process.execPath,
    [join(repository, 'bin/guesthouse.js'), 'maps', ...options, program, ...args],
    settings,
  );

describe('guesthouse maps', () => {
  it('prints the map at the end on stdout, and what the program prints on stderr', async () => {
    const { stdout, stderr, code } = await maps([], ['status', '7']);
    expect({ stderr, code }).toEqual({ stderr: '', code: 7 });
    const lines = stdout.trimEnd().split('\n');
    for (const text of lines) expect(text).toMatch(line);
    expect(lines.some((text) => text.endsWith('[stack]'))).toBe(true);
    const hello = await maps([], ['hello']);
    expect(hello.stderr).toBe('Hello from a RISC-V guest\n');
    expect(hello.stdout).toMatch(/^[0-9a-f]/);
  });

  it('prints it when a signal ends the program', async () => {
    const { stdout, code } = await maps([], ['fault', 'null']);
    expect(stdout).toMatch(/ r-xp .*freestanding\.elf\n/);
    expect(code).toBe(139);
  });

  it('prints what is loaded, and runs nothing, with --at start', async () => {
    const { stdout, stderr, code } = await maps(['--at', 'start', '--format', 'pages'], ['hello']);
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    expect(stdout).toMatch(
      /^start +end +size +prot\n([0-9a-f]{16}-[0-9a-f]{16} [0-9a-f]{16} [r-][w-][x-]\n)+$/,
    );
    expect(stdout).toContain('0000000000010000-');
  });

  it('prints it after every call that is named', async () => {
    const { stdout, code } = await maps(['--at', 'call:mmap', '--page-size', '64K'], ['cycle', '3', '65536']);
    expect(code).toBe(0);
    const reports = [
      ...stdout.matchAll(/^guesthouse: memory map of process \d+ after mmap = 0x0*([0-9a-f]+)$/gm),
    ];
    expect(reports).toHaveLength(3);
    for (const [, at] of reports) expect(stdout).toContain(`\n${at.padStart(8, '0')}-`);
  });

  it('prints it at a time, while the program goes on', async () => {
    const settings: RunSettings = {
      onOutput: (text, kill) => {
        if (text.includes('[stack]')) kill('SIGTERM');
      },
    };
    const { stdout, code } = await maps(['--at', '300ms'], ['spin', 'pause'], settings);
    expect(stdout.match(/\[stack\]/g)).toHaveLength(1);
    expect(code).toBe(143);
    const late = await maps(['--at', '60s'], ['hello']);
    expect(late).toMatchObject({ stdout: '', code: 0 });
    expect(late.stderr).toContain('ended before 60000 ms');
  });

  it('writes smaps to a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
    try {
      const file = join(folder, 'map');
      const { stdout, code } = await maps(['--format', 'smaps', '-o', file], ['hello']);
      expect({ stdout, code }).toEqual({ stdout: '', code: 0 });
      expect(readFileSync(file, 'utf8')).toMatch(/\[stack\]\nSize: +\d+ kB\nKernelPageSize: +4 kB\n/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('GuestProcess.memoryMap', () => {
  it('shows a running guest, and nothing of one that has ended', async () => {
    const machine = await createMachine({ memory: 128 * 2 ** 20 });
    try {
      const guest = await machine.spawn(program, {
        args: ['spin', 'pause'],
        stdout: 'pipe',
        pageSize: 16384,
      });
      await new Promise((resolve) => guest.stdout!.once('data', resolve));
      expect(guest.memoryMap()).toMatch(/^00010000-[^\n]* r-xp /);
      expect(guest.memoryMap('smaps')).toContain('KernelPageSize:       16 kB\n');
      expect(guest.memoryMap('pages')).toMatch(/^start /);
      guest.kill('SIGKILL');
      await guest.exited;
      expect(guest.memoryMap()).toBeUndefined();
    } finally {
      await machine.close();
    }
  });
});

describe('machine.spawn', () => {
  it('repeats random places with the seed of the machine', async () => {
    const mapOf = async (seed: number) => {
      const machine = await createMachine({ memory: 128 * 2 ** 20, seed });
      try {
        const options = { args: ['spin', 'pause'], stdout: 'pipe', placement: 'random' } as const;
        const guest = await machine.spawn(program, options);
        await new Promise((resolve) => guest.stdout!.once('data', resolve));
        return guest.memoryMap()!;
      } finally {
        await machine.close();
      }
    };
    const [once, again, other] = [await mapOf(5), await mapOf(5), await mapOf(6)];
    expect(again).toBe(once);
    expect(other).not.toBe(once);
  });

  it('refuses page and address-space sizes that there are not', async () => {
    const machine = await createMachine({ memory: 128 * 2 ** 20 });
    try {
      for (const options of [
        { pageSize: 8192 },
        { pageSize: 0 },
        { reservedVa: 2 ** 40 },
        { reservedVa: 2 ** 30 + 4096 },
      ])
        await expect(machine.spawn(program, options)).rejects.toThrow(RangeError);
    } finally {
      await machine.close();
    }
  });
});

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
