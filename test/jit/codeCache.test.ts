import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isCodeOf, keptModule } from '../../src/jit/keptModules.js';
import { formRegion } from '../../src/jit/regionGraph.js';
import { assemble } from '../isa/assembler.js';

const command = fileURLToPath(new URL('../../bin/guesthouse.js', import.meta.url));
const guests = fileURLToPath(new URL('../guests/freestanding.elf', import.meta.url));
/** A loop that is translated, and what it prints. */
const applet = ['count', '60000000', '1'];
const LONG_AGO = new Date('2001-01-01');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'guesthouse-code-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const line = (): string[] => [command, 'run', '--code-cache', folder, guests, ...applet];
const files = (): string[] => readdirSync(folder).map((name) => join(folder, name));
function run(): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, line(), { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

describe('translated code that is kept', () => {
  it('is used by the next process', () => {
    const before = run();
    expect(files().length).toBeGreaterThan(0);
    for (const file of files()) utimesSync(file, LONG_AGO, LONG_AGO);
    expect(run()).toBe(before);
    expect(files().some((file) => statSync(file).mtime > LONG_AGO)).toBe(true);
  });

  it('is not used when anything of it is damaged', () => {
    const before = run();
    const kept = files();
    const damaged = kept.map((file, i) => {
      const contents = readFileSync(file);
      // In V8's code, in the description, at the end.
      if (i % 3 < 2) contents[i % 3 === 0 ? contents.length - 100 : 60] ^= 1;
      const written = i % 3 < 2 ? contents : contents.subarray(0, -1);
      writeFileSync(file, written);
      utimesSync(file, LONG_AGO, LONG_AGO);
      return written;
    });
    writeFileSync(join(folder, `${basename(kept[0]).slice(0, 32)}${'0'.repeat(32)}.region`), 'nonsense');
    expect(run()).toBe(before);
    // What was used is marked as used, and what was not may have been translated anew.
    kept.forEach((file, i) => {
      if (statSync(file).mtime > LONG_AGO) expect(readFileSync(file).equals(damaged[i])).toBe(false);
    });
  }, 30_000);

  it('may be written by several processes at once', async () => {
    const runs = [1, 2, 3].map(() => promisify(execFile)(process.execPath, line()));
    const outputs = new Set((await Promise.all(runs)).map(({ stdout }) => stdout));
    expect([...outputs]).toEqual([run()]);
    expect(files().filter((file) => !file.endsWith('.region'))).toEqual([]);
  }, 30_000);

  it('is refused where others may write', () => {
    chmodSync(folder, 0o777);
    const { status, stderr } = spawnSync(process.execPath, line(), { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toBe(`guesthouse: ${folder} belongs to somebody else, or others may write there\n`);
  });

  it('is known again by its code', () => {
    const BASE = 0x10000;
    const source = (step: number): string => `loop:\n addi a0, a0, ${step}\n bnez a1, loop\n ret`;
    const halfwords = (step: number) => {
      const { bytes } = assemble(source(step), BASE);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return (at: number): number | undefined =>
        at >= BASE && at + 2 <= BASE + bytes.byteLength ? view.getUint16(at - BASE, true) : undefined;
    };
    const region = formRegion(BASE, {
      fetch: halfwords(1),
      isWarm: (pc) => halfwords(1)(pc) !== undefined,
      load: () => undefined,
      registers: new Array(32).fill(0),
      extensions: -1,
    })!;
    const formed = {
      region,
      pages: [{ page: BASE / 4096, codePage: 8, generation: 1 }],
      codeTable: 8,
      homeEntry: 0,
      isExact: false,
    };
    const [kept] = keptModule([formed], 0).regions;
    expect(isCodeOf(kept, halfwords(1))).toBe(true);
    expect(isCodeOf(kept, halfwords(2))).toBe(false);
    expect(isCodeOf(kept, () => undefined)).toBe(false);
  });
});
