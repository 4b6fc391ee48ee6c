import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { repository } from '../../bench/hostProgram.js';
import { createMachine, type Machine } from '../../src/index.js';

const program = join(repository, 'test/guests/freestanding.elf');
const MiB = 2 ** 20;

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-memory-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let machine: Machine;
beforeAll(async () => {
  machine = await createMachine({ memory: 256 * MiB });
});
afterAll(() => machine.close());

describe('machine.memory()', () => {
  it('shows the machine and each guest, and nothing of a guest that has ended', async () => {
    const before = machine.memory();
    expect(before).toMatchObject({ total: 256 * MiB, guests: [], granted: 0, pageTables: 0 });
    const guests = [];
    for (let i = 0; i < 2; i++) {
      guests.push(
        await machine.spawn(program, {
          args: ['cat'],
          stdin: 'pipe',
          stdout: 'ignore',
          memory: (16 + i) * MiB,
        }),
      );
    }
    await expect
      .poll(() => machine.memory().guests.filter(({ used }) => used > 0), { timeout: 20_000 })
      .toHaveLength(2);
    const during = machine.memory();
    for (const [i, guest] of during.guests.entries()) {
      expect(guest.pid).toBe(guests[i].pid);
      expect(guest.limit).toBe((16 + i) * MiB);
      expect(guest.used).toBeLessThan(MiB);
      expect(guest.resident).toBeGreaterThanOrEqual(guest.used);
      expect(guest.residentPeak).toBeGreaterThanOrEqual(guest.resident);
      expect(guest.granted).toBeGreaterThan(0);
      expect(guest.mapped).toBeGreaterThanOrEqual(guest.resident);
      expect(guest.mappings).toBeGreaterThan(2);
      expect(guest.reach).toBe(256 * MiB);
      // Three tables of four bytes a page, and the counts of present pages.
      expect(guest.pageTables).toBeGreaterThan((3 * 4 * guest.reach) / 4096);
      expect(guest.homeWindow.bytes).toBeGreaterThan(0);
      expect(guest.homeWindow.start + guest.homeWindow.bytes).toBeLessThanOrEqual(during.frames);
    }
    const [first, second] = during.guests;
    expect(first.homeWindow.start).not.toBe(second.homeWindow.start);
    expect(during.granted).toBe(first.granted + second.granted);
    expect(during.pageTables).toBe(first.pageTables + second.pageTables);
    // The program's pages, which both show, and what is each one's own.
    expect(during.cached).toBeGreaterThan(0);
    expect(during.framesTaken).toBe(first.used + second.used + during.cached);
    expect(during.framesUsed).toBe(during.framesTaken + during.granted);
    expect(during.kernel).toBeGreaterThan(during.pageTables);
    expect(during.kernel).toBeLessThan(during.kernelLimit);
    for (const guest of guests) guest.kill('SIGKILL');
    for (const guest of guests) await guest.exited;
    await expect
      .poll(() => machine.memory(), { timeout: 20_000 })
      .toMatchObject({ guests: [], granted: 0, pageTables: 0 });
    expect(machine.memory().framesUsed).toBe(machine.memory().cached);
  });
});

describe.skipIf(crossCompiler === undefined)('a guest at its limit (needs riscv64-linux-gnu-gcc)', () => {
  const source = join(folder, 'greedy.c');
  writeFileSync(
    source,
    `#include <sys/mman.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv) {
  long size = 64 << 20;
  char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("reserved: %s\\n", at == MAP_FAILED ? "no" : "yes");
  fflush(stdout);
  at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (long i = 0; i < size; i += 4096) at[i] = 1;
  printf("touched all\\n");
  return 0;
}
`,
  );

  it('is refused what it asks for and killed for what it takes, and others go on', async () => {
    const greedy = compileGuest(source, ['-O1', '-static']);
    const other = await machine.spawn(program, { args: ['cat'], stdin: 'pipe', stdout: 'ignore' });
    let said = '';
    const guest = await machine.spawn(greedy, {
      memory: 24 * MiB,
      stdout: (bytes) => {
        said += Buffer.from(bytes).toString();
      },
      stderr: 'ignore',
    });
    const { code, signal, crashReport } = await guest.exited;
    expect(said).toBe('reserved: no\n');
    expect({ code, signal }).toEqual({ code: null, signal: 'SIGKILL' });
    expect(crashReport).toBe(`guesthouse: guest ${guest.pid} killed: out of memory\n`);
    expect(guest.statistics().residentPeak).toBeGreaterThan(20 * MiB);
    expect(guest.statistics().residentPeak).toBeLessThan(26 * MiB);
    // With room for it the same program runs to its end.
    const roomy = await machine.spawn(greedy, { memory: 100 * MiB, stdout: 'ignore' });
    expect(await roomy.exited).toMatchObject({ code: 0 });
    other.kill('SIGTERM');
    expect(await other.exited).toMatchObject({ signal: 'SIGTERM' });
  });
});
