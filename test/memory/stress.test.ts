import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { repository } from '../../bench/hostProgram.js';
import { stressRound } from '../../bench/stressRound.js';

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-stress-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('threads that map, touch, protect, move and unmap at once', () => {
  it('lose no write, see no stale page, and leave exact tables', async () => {
    expect(existsSync(join(repository, 'dist/src')), 'npm run build comes first').toBe(true);
    const seed = Number(process.env.GUESTHOUSE_SEED ?? 12345);
    const steps = Number(process.env.GUESTHOUSE_ROUNDS ?? 3000);
    expect(await stressRound({ seed, steps, threads: 4, directory, patience: 110_000 })).toEqual([]);
  }, 120_000);
});
