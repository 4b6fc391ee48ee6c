import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compileNative, crossCompiler, nativeCompiler } from '../../bench/compileGuest.js';
import { type GuestRoundOptions, guestRound } from '../../bench/guestRound.js';
import { repository, runProgram } from '../../bench/hostProgram.js';

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-mapStress-'));
afterAll(() => rmSync(directory, { recursive: true }));
const seed = Number(process.env.GUESTHOUSE_SEED ?? Date.now() % 1_000_000_007);
const steps = Number(process.env.GUESTHOUSE_ROUNDS ?? 700);

const machines: Record<string, Partial<GuestRoundOptions>> = {
  interpreted: { jit: false },
  translated: { jit: { threshold: 2 } },
  'in two programs at once': { jit: { threshold: 2 }, guests: 2, threads: 2 },
  'over host pages of 16 KiB': { hostPageSize: 16384 },
  'over host pages of 64 KiB, translated': { hostPageSize: 65536, jit: { threshold: 2 } },
  'in pages of 64 KiB': { pageSize: 65536, jit: { threshold: 2 } },
};

describe.skipIf(crossCompiler === undefined)(
  'threads that map, protect, move and fork while others use what was promised (needs riscv64-linux-gnu-gcc)',
  () => {
    for (const [name, options] of Object.entries(machines)) {
      it(`keep every promise, ${name}`, async () => {
        const round = { seed, steps, threads: 4, directory, patience: 100_000, repetitions: 2, ...options };
        expect(await guestRound(round)).toEqual([]);
      }, 120_000);
    }

    it.skipIf(nativeCompiler === undefined)('keep every promise on the host, too', async () => {
      const native = compileNative(join(repository, 'test/guests/libc/mapStress.c'), ['-O2', '-pthread']);
      const run = await runProgram(native, [String(seed), '20000', '4', directory]);
      expect({ code: run.code, said: run.stdout }).toEqual({ code: 0, said: '' });
    });
  },
);
