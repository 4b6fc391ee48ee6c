import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Case, computing, kernelWork, mappings, scaling } from './cases.js';
import { compileGuest, crossCompiler, guestFlags } from './compileGuest.js';
import { qemu, repository, runGuest } from './hostProgram.js';
import { measureSpeed, measureStart } from './inProcess.js';
import { measure, type Result } from './wholeRuns.js';

/**
 * `npm run bench`: measures Guesthouse against qemu-riscv64 and native builds of the same sources, prints tables and writes
 * bench/results/latest.json. See README.md.
 */
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});

const number = (value: number | undefined, digits: number): string =>
  value === undefined
    ? '-'
    : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(30) : cell.padStart(14))).join('');
}

function printHead(title: string): void {
  console.log(`\n${title}`);
  console.log(row(['', 'Guesthouse', 'qemu-riscv64', 'native', 'qemu / ours', 'ours / native']));
}

function printResult({
  case: { name, operations },
  seconds: { guesthouse, qemu: theirs, native },
}: Result): void {
  const cell = (time: number | undefined): string => {
    if (time === undefined) return '-';
    return operations === undefined ? `${number(time * 1000, 1)} ms` : `${number(operations / time, 0)}/s`;
  };
  const ratio = (a: number | undefined, b: number | undefined): string =>
    a === undefined || b === undefined ? '-' : number(a / b, 2);
  console.log(
    row([
      name,
      cell(guesthouse),
      cell(theirs),
      cell(native),
      ratio(theirs, guesthouse),
      ratio(guesthouse, native),
    ]),
  );
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

async function measureAll(
  title: string,
  cases: readonly Case[],
  runs: number,
  only: string,
): Promise<Result[]> {
  const wanted = cases.filter(({ name }) => name.toLowerCase().includes(only.toLowerCase()));
  if (wanted.length === 0) return [];
  printHead(title);
  const results: Result[] = [];
  for (const one of wanted) {
    const result = await measure(one, runs);
    printResult(result);
    results.push(result);
  }
  return results;
}

/** How long the mmap mutex is waited for and held while threads map and unmap, as `--stats` says. */
async function printLockTimes(): Promise<void> {
  console.log('\nMutex of the memory map, 100,000 times map 64 KiB, touch, unmap');
  const system = compileGuest(join(repository, 'bench/guests/system.c'), guestFlags);
  for (const threads of [1, 2, 4]) {
    const { stderr } = await runGuest(['--stats'], system, ['map', '100000', String(threads)]);
    for (const line of stderr.split('\n'))
      if (line.includes('mmap mutex')) console.log(`${threads} threads:${line.slice('guesthouse:'.length)}`);
  }
}

async function main(): Promise<void> {
  if (values.help) {
    console.log(
      'npm run bench -- [--runs N] [--only TEXT]\n  --runs N     runs of each, of which the median counts (5)',
    );
    console.log('  --only TEXT  those whose name has the text in it: programs, "start" or "speed"');
    return;
  }
  const runs = Math.max(1, Number(values.runs));
  const { only } = values;
  console.log(
    `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, median of ${runs}`,
  );
  if (qemu === undefined) console.log('qemu-riscv64 is not installed: nothing to compare with');
  const results: Result[] = [];
  if (crossCompiler === undefined) {
    console.log('riscv64-linux-gnu-gcc is not installed: the programs of bench/guests are left out');
  } else {
    const computed = await measureAll('Programs that compute (whole process)', computing, runs, only);
    const ratios = computed.flatMap(({ seconds: { qemu: theirs, guesthouse } }) =>
      theirs === undefined || guesthouse === undefined ? [] : [theirs / guesthouse],
    );
    if (ratios.length > 1) console.log(`geometric mean of qemu / ours: ${number(geometricMean(ratios), 2)}`);
    const kernel = await measureAll('The kernel', kernelWork, runs, only);
    const mapped = await measureAll('Among many mappings', mappings, runs, only);
    const scaled = await measureAll('Two threads', scaling, runs, only);
    const [one, two] = scaled.map(({ seconds: { guesthouse } }) => guesthouse);
    if (one !== undefined && two !== undefined)
      console.log(`two threads do the work of one in ${number((two / one) * 100, 0)}% of its time`);
    results.push(...computed, ...kernel, ...mapped, ...scaled);
    if ('mutex of the memory map'.includes(only.toLowerCase())) await printLockTimes();
  }
  const wants = (topic: string): boolean => topic.includes(only.toLowerCase());
  const speeds = wants('speed') ? await measureSpeed() : [];
  if (speeds.length > 0) {
    console.log('\nGuest instructions');
    for (const { name, instructions, millionsPerSecond } of speeds)
      console.log(row([name, `${number(instructions / 1e6, 0)} M`, `${number(millionsPerSecond, 0)} M/s`]));
  }
  const starts = wants('start') ? await measureStart(2000) : [];
  if (starts.length > 0) {
    console.log('\nInside one process (median)');
    for (const { name, milliseconds, samples } of starts)
      console.log(`${name.padEnd(56)}${number(milliseconds, 2)} ms (${samples} samples)`);
  }
  const folder = join(repository, 'bench/results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'latest.json');
  const where = { node: process.version, processors: cpus().length, model: cpus()[0]?.model, runs };
  writeFileSync(
    file,
    `${JSON.stringify({ when: new Date().toISOString(), ...where, results, speeds, starts }, null, 2)}\n`,
  );
  console.log(`\nwritten to bench/results/latest.json`);
}

await main();
