import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PLACE_FIRST_FIT, PLACE_QEMU, PLACE_TOP_DOWN } from '../src/mm/findVma.js';
import { stressRound } from './stressRound.js';

/**
 * `npm run soak [-- MINUTES [SEED]]`: rounds of stress on the memory map, each with its own seed, until the time is up
 * (default 30 minutes). Ends with 1 at the first thing that is wrong; the printed seed repeats the round's choices.
 */
const minutes = Number(process.argv[2] ?? 30);
const firstSeed = Number(process.argv[3] ?? Date.now() % 1_000_000_007);
if (!(minutes > 0) || !Number.isSafeInteger(firstSeed)) {
  process.stderr.write('usage: npm run soak -- [MINUTES [SEED]]\n');
  process.exit(2);
}

const STEPS = 3000;
const PATIENCE = 300_000;
const pageSizes = [4096, 4096, 16384, 65536];
const placements = [PLACE_TOP_DOWN, PLACE_FIRST_FIT, PLACE_QEMU];

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-soak-'));
const end = performance.now() + minutes * 60_000;
let rounds = 0;
let steps = 0;
let failed = false;
while (performance.now() < end && !failed) {
  const seed = firstSeed + rounds * 1_000_003;
  const threads = 2 + (rounds % 3);
  const hostPageSize = pageSizes[rounds % pageSizes.length];
  const placement = placements[rounds % placements.length];
  const from = performance.now();
  const problems = await stressRound({
    seed,
    steps: STEPS,
    threads,
    directory,
    hostPageSize,
    placement,
    patience: PATIENCE,
  });
  rounds++;
  steps += threads * STEPS;
  const seconds = ((performance.now() - from) / 1000).toFixed(1);
  process.stdout.write(
    `round ${rounds}: seed ${seed}, ${threads} threads, pages of ${hostPageSize}, ${seconds} s: ${
      problems.length === 0 ? 'well' : 'WRONG'
    }\n`,
  );
  for (const problem of problems) process.stdout.write(`  ${problem}\n`);
  failed = problems.length > 0;
}
rmSync(directory, { recursive: true });
process.stdout.write(
  `${rounds} rounds, ${steps} steps, ${failed ? 'stopped by an error' : 'nothing wrong'}\n`,
);
process.exit(failed ? 1 : 0);
