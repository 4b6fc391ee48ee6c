import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PLACE_FIRST_FIT, PLACE_TOP_DOWN } from '../src/mm/findVma.js';
import { crossCompiler } from './compileGuest.js';
import { forkRound } from './forkRound.js';
import { type GuestRoundOptions, guestRound } from './guestRound.js';
import { stressRound } from './stressRound.js';

/**
 * `npm run soak [-- MINUTES [SEED]]`: rounds of stress on the memory map, each with its own seed, until the time is up
 * (default 30 minutes): in turn one on the functions themselves (stressRound) and one of programs in a machine (guestRound:
 * threads, forks, code, files, shared memory, every page size, translated or not). Before them 100,000 processes are started in one
 * machine, which must be as it was then. Ends with 1 at the first thing that is
 * wrong; the printed seed repeats the round's choices.
 */
const minutes = Number(process.argv[2] ?? 30);
const firstSeed = Number(process.argv[3] ?? Date.now() % 1_000_000_007);
if (!(minutes > 0) || !Number.isSafeInteger(firstSeed)) {
  process.stderr.write('usage: npm run soak -- [MINUTES [SEED]]\n');
  process.exit(2);
}

const STEPS = 3000;
/** Processes that are started one after another, before the rounds. */
const FORKS = 100_000;
const PATIENCE = 300_000;
/** The process may grow by this much after the first rounds, bytes. */
const RSS_SLACK = 400 * 1024 * 1024;
const ROUNDS_TO_SETTLE = 12;
const pageSizes = [4096, 4096, 16384, 65536];
const placements = [PLACE_TOP_DOWN, PLACE_FIRST_FIT];
const programs: Omit<GuestRoundOptions, 'seed' | 'directory' | 'patience'>[] = [
  { steps: 4000, threads: 4 },
  { steps: 4000, threads: 4, jit: { threshold: 2 } },
  { steps: 2000, threads: 3, guests: 2, jit: { threshold: 20 } },
  { steps: 3000, threads: 4, hostPageSize: 16384 },
  { steps: 3000, threads: 6, pageSize: 16384, jit: { threshold: 2 } },
  { steps: 2000, threads: 2, guests: 3, jit: false },
  { steps: 3000, threads: 4, hostPageSize: 65536, jit: { threshold: 2 } },
  { steps: 3000, threads: 8, pageSize: 65536 },
  { steps: 3000, threads: 4, hostPageSize: 16384, pageSize: 16384, jit: { threshold: 2 } },
];

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

if (crossCompiler === undefined) process.stdout.write('no riscv64-linux-gnu-gcc: no rounds of programs\n');
else {
  const problems = await forkRound(FORKS);
  process.stdout.write(`${FORKS} processes: ${problems.length === 0 ? 'well' : 'WRONG'}\n`);
  for (const problem of problems) process.stdout.write(`  ${problem}\n`);
  if (problems.length > 0) process.exit(1);
}
const directory = mkdtempSync(join(tmpdir(), 'guesthouse-soak-'));
const end = performance.now() + minutes * 60_000;
let rounds = 0;
let ofPrograms = 0;
let steps = 0;
let settled = 0;
let most = 0;
let failed = false;
while (performance.now() < end && !failed) {
  const seed = firstSeed + rounds * 1_000_003;
  const from = performance.now();
  let problems: string[];
  let what: string;
  if (rounds % 2 === 1 && crossCompiler !== undefined) {
    const choice = programs[ofPrograms++ % programs.length];
    what = `programs ${JSON.stringify(choice)}`;
    problems = await guestRound({ ...choice, seed, directory, patience: PATIENCE });
    steps += choice.threads * choice.steps * (choice.guests ?? 1) * 2;
  } else {
    const threads = 2 + (rounds % 3);
    const hostPageSize = pageSizes[(rounds >> 1) % pageSizes.length];
    const placement = placements[(rounds >> 3) % placements.length];
    what = `${threads} threads, pages of ${hostPageSize}`;
    problems = await stressRound({
      seed,
      steps: STEPS,
      threads,
      directory,
      hostPageSize,
      placement,
      patience: PATIENCE,
    });
    steps += threads * STEPS;
  }
  rounds++;
  const seconds = ((performance.now() - from) / 1000).toFixed(1);
  // The memory of machines that have gone goes with the garbage.
  collectGarbage();
  const { rss } = process.memoryUsage();
  most = Math.max(most, rss);
  if (rounds <= ROUNDS_TO_SETTLE) settled = Math.max(settled, rss);
  else if (rss > settled + RSS_SLACK) problems.push(`the process has grown from ${settled} to ${rss} bytes`);
  process.stdout.write(
    `round ${rounds}: seed ${seed}, ${what}, ${seconds} s, ${Math.round(rss / 2 ** 20)} MiB: ${
      problems.length === 0 ? 'well' : 'WRONG'
    }\n`,
  );
  for (const problem of problems) process.stdout.write(`  ${problem}\n`);
  failed = problems.length > 0;
}
rmSync(directory, { recursive: true });
process.stdout.write(
  `${rounds} rounds (${ofPrograms} of programs), ${steps} steps, at most ${Math.round(most / 2 ** 20)} MiB, ${
    failed ? 'stopped by an error' : 'nothing wrong'
  }\n`,
);
process.exit(failed ? 1 : 0);
