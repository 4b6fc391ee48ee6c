import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMachine } from '../../src/index.js';
import type { Machine } from '../../src/machine/machine.js';

const command = fileURLToPath(new URL('../../bin/guesthouse.js', import.meta.url));
const guests = fileURLToPath(new URL('../guests/freestanding.elf', import.meta.url));
const LONG_AGO = new Date('2001-01-01');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'guesthouse-code-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const files = (): string[] => readdirSync(folder).map((name) => join(folder, name));
const images = (): string[] => files().filter((file) => file.endsWith('.image'));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Runs a program in a machine with the code cache; `meanwhile` says when enough has been seen of one that goes on and on. */
async function run(args: readonly string[], meanwhile?: (machine: Machine) => boolean): Promise<string> {
  const machine = await createMachine({ codeCache: folder });
  let printed = '';
  try {
    const stdout = (bytes: Uint8Array): void => {
      printed += Buffer.from(bytes).toString();
    };
    const guest = await machine.spawn(guests, { args, stdout });
    if (meanwhile !== undefined) {
      await until(() => meanwhile(machine));
      guest.kill('SIGKILL');
    }
    await guest.exited;
  } finally {
    await machine.close();
  }
  return printed;
}

const FOR_EVER = ['count', '1000000000000', '1'];
const isTranslated = (machine: Machine): boolean => machine.memory().regions > 0;
/** Has something translated and kept. */
const learn = (): Promise<string> => run(FOR_EVER, isTranslated);
/** How many regions the next process has from this one: they are loaded once it has a worker. */
async function known(): Promise<number> {
  let count = 0;
  await run(FOR_EVER, (machine) => {
    count = machine.memory().keptRegions;
    return machine.statistics().hosts > 0;
  });
  return count;
}

describe('translated code that is kept', () => {
  it('is used by the next process', async () => {
    await learn();
    expect(images()).toHaveLength(1);
    for (const file of files()) utimesSync(file, LONG_AGO, LONG_AGO);
    expect(await known()).toBeGreaterThan(0);
    expect(statSync(images()[0]).mtime.getTime()).toBeGreaterThan(LONG_AGO.getTime());
    expect(statSync(images()[0]).mode & 0o077).toBe(0);
  }, 60_000);

  it('does what the program does', async () => {
    const expected = ['registers', 'fp', 'count 100000 1'].map((line) => {
      const { stdout } = spawnSync(process.execPath, [
        command,
        'run',
        '--jit=off',
        guests,
        ...line.split(' '),
      ]);
      return { line, stdout: stdout.toString() };
    });
    await learn();
    for (const { line, stdout } of expected)
      for (let round = 0; round < 2; round++) expect(await run(line.split(' '))).toBe(stdout);
  }, 120_000);

  it('is not used when it is damaged', async () => {
    await learn();
    const [image] = images();
    const good = readFileSync(image);
    for (const at of [0, 8, good.length >> 1, good.length - 9]) {
      const bad = Buffer.from(good);
      bad[at] ^= 1;
      writeFileSync(image, bad);
      expect(await known(), `byte ${at}`).toBe(0);
      rmSync(`${image}.code`, { force: true });
    }
    writeFileSync(image, good);
    truncateSync(image, good.length - 8);
    expect(await known()).toBe(0);
    writeFileSync(image, good);
    expect(await known()).toBeGreaterThan(0);
  }, 120_000);

  it('goes without what V8 made of it when that is damaged or from another image', async () => {
    await learn();
    await known();
    const [code] = files().filter((file) => file.endsWith('.code'));
    const good = readFileSync(code);
    for (const at of [9, 17, good.length >> 1]) {
      const bad = Buffer.from(good);
      bad[at] ^= 1;
      writeFileSync(code, bad);
      expect(await known(), `byte ${at}`).toBeGreaterThan(0);
    }
  }, 120_000);

  it('may be written by several machines at once', async () => {
    await Promise.all([learn(), learn(), learn()]);
    expect(files().filter((file) => !/\.image(\.code)?$/.test(file))).toEqual([]);
    expect(await known()).toBeGreaterThan(0);
  }, 60_000);

  it('is refused where others may write', () => {
    chmodSync(folder, 0o777);
    const line = [command, 'run', '--code-cache', folder, guests, 'hello'];
    const { status, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toBe(`guesthouse: ${folder} belongs to somebody else, or others may write there\n`);
  });
});
