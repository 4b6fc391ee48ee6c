import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Case, compiledCases, PARTS, type Part } from './cases.js';
import { compileGuest, compilerVersion, crossCompiler, guestFlags, wasmCompiler } from './compileGuest.js';
import { repository, runGuest } from './hostProgram.js';
import { measureSpeed, measureStart } from './inProcess.js';
import { plot } from './plot.js';
import { realPrograms } from './realPrograms.js';
import { head, line, means, meansLine, number, row } from './report.js';
import { findRunners, type Runner } from './runners.js';
import { measureStartUp } from './startUp.js';
import { compiled, measure, type ReadyCase, type Result } from './wholeRuns.js';

/**
 * `npm run bench`: measures Guesthouse against qemu-riscv64 and native builds of the same sources, prints tables, and writes JSON
 * and a plot to bench/results. See README.md.
 */
/** Parts that are no comparison. */
const ALONE = ['locks', 'start', 'speed'];

const help = () => `npm run bench -- [options]
  --parts LIST   of ${Object.keys(PARTS).join(', ')}, ${ALONE.join(', ')}; separated by commas (all)
  --only TEXT    only what has the text in its name
  --runs N       runs of each, of which the median counts (5)
  --node PATH    another Node to run Guesthouse in, besides this one (repeatable)
  --qemu PATH    another qemu-riscv64 to compare with (repeatable)
  --wasm         also a build of the same sources for WebAssembly by clang, in this Node
  --option TEXT  an option for guesthouse run, e.g. --option=--jit=on (repeatable)
  --root DIR     Debian's riscv64 packages, unpacked (.cache/debian): for real programs
  --results DIR  where to write (bench/results)`;

const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: '' },
    only: { type: 'string', default: '' },
    runs: { type: 'string', default: '5' },
    node: { type: 'string', multiple: true, default: [] },
    qemu: { type: 'string', multiple: true, default: [] },
    wasm: { type: 'boolean', default: false },
    option: { type: 'string', multiple: true, default: [] },
    root: { type: 'string', default: join(repository, '.cache/debian') },
    results: { type: 'string', default: join(repository, 'bench/results') },
    help: { type: 'boolean', default: false },
  },
});

/** Something is wrong with the command line. */
class Mistake extends Error {}

function chosenParts(): string[] {
  const all = [...Object.keys(PARTS), ...ALONE];
  const parts = values.parts === '' ? all : values.parts.split(',');
  const unknown = parts.find((part) => !all.includes(part));
  if (unknown !== undefined) throw new Mistake(`--parts: there is no ${unknown}, only ${all.join(', ')}`);
  return parts;
}

function chosenRuns(): number {
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Mistake(`--runs: ${values.runs} is no number of runs`);
  return runs;
}

const isWanted = (name: string): boolean => name.toLowerCase().includes(values.only.toLowerCase());

/** The cases of a part that can be run, and those that cannot, as lines. */
async function casesOf(
  part: Part,
  kinds: ReadonlySet<Runner['kind']>,
  folder: string,
): Promise<(ReadyCase | string)[]> {
  if (part === 'real')
    return (await realPrograms(folder, resolve(values.root)))
      .filter((found) => isWanted('missing' in found ? found.name : found.case.name))
      .map((found) => ('missing' in found ? `${found.name}: left out: ${found.missing}` : found));
  const wanted = compiledCases.filter((one: Case) => one.part === part && isWanted(one.name));
  if (wanted.length > 0 && crossCompiler === undefined)
    return [`${PARTS[part]}: left out: riscv64-linux-gnu-gcc is not installed`];
  return wanted.map((one) => compiled(one, kinds));
}

async function measurePart(
  part: Part,
  runners: readonly Runner[],
  runs: number,
  folder: string,
): Promise<Result[]> {
  const cases = await casesOf(part, new Set(runners.map(({ kind }) => kind)), folder);
  if (cases.length === 0) return [];
  console.log(head(PARTS[part], runners));
  const results: Result[] = [];
  for (const one of cases) {
    if (typeof one === 'string') {
      console.log(one);
      continue;
    }
    const result = await measure(one, runners, runs);
    console.log(line(result, runners));
    results.push(result);
  }
  if (results.length > 1 && part !== 'threads') console.log(meansLine(results, runners));
  if (part === 'threads' && results.length === 2)
    for (const { id } of runners) {
      const [one, two] = results.map(({ seconds }) => seconds[id]);
      console.log(`${id}: two threads have ${number(one / two, 2)} times the throughput of one`);
    }
  return results;
}

/** How long the mmap mutex is waited for and held while threads map and unmap, as `--stats` says. */
async function printLockTimes(): Promise<void> {
  console.log('\nMutex of the memory map, 100,000 times map 64 KiB, touch, unmap');
  const system = compileGuest(join(repository, 'bench/guests/system.c'), guestFlags);
  for (const threads of [1, 2, 4]) {
    const { stderr } = await runGuest(['--stats'], system, ['map', '100000', String(threads)]);
    for (const text of Buffer.from(stderr, 'latin1').toString().split('\n'))
      if (text.includes('mmap mutex')) console.log(`${threads} threads:${text.slice('guesthouse:'.length)}`);
  }
}

async function main(): Promise<void> {
  if (values.help) {
    console.log(help());
    return;
  }
  const parts = chosenParts();
  const runs = chosenRuns();
  const runners = findRunners(values.node, values.qemu, values.option, values.wasm);
  if (values.wasm && wasmCompiler === undefined)
    throw new Mistake('--wasm: clang, lld, wasi-libc and libclang-rt-dev-wasm32 are not installed');
  const processors = cpus();
  const machine = {
    model: processors[0]?.model.trim() ?? 'unknown processor',
    processors: processors.length,
    memory: totalmem(),
    kernel: release(),
    load: loadavg()[0],
  };
  const subtitle = `${machine.processors} × ${machine.model}, Node ${process.version}, median of ${runs}`;
  console.log(subtitle);
  for (const { id, version, options } of runners) console.log(`${id}: ${[version, ...options].join(' ')}`);
  if (machine.load > 0.5)
    console.log(`The machine is busy (load ${number(machine.load, 1)}): look at ratios, not at times.`);

  const folder = mkdtempSync(join(tmpdir(), 'guesthouse-bench-'));
  const results: Result[] = [];
  try {
    for (const part of Object.keys(PARTS) as Part[])
      if (parts.includes(part)) results.push(...(await measurePart(part, runners, runs, folder)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  if (parts.includes('locks') && isWanted('mutex of the memory map') && crossCompiler !== undefined)
    await printLockTimes();
  const speeds = parts.includes('speed') && isWanted('speed') ? await measureSpeed() : [];
  if (speeds.length > 0) console.log('\nGuest instructions, in this Node');
  for (const { name, instructions, millionsPerSecond } of speeds)
    console.log(row([name, `${number(instructions / 1e6, 0)} M`, `${number(millionsPerSecond, 0)} M/s`]));
  const wantsStart = parts.includes('start') && isWanted('start');
  const startUps = wantsStart && crossCompiler !== undefined ? await measureStartUp(runners, 2 * runs) : [];
  if (startUps.length > 0) console.log('\nStarting (whole process, median)');
  for (const { runner, node, hello } of startUps)
    console.log(
      `${runner}: node -e 0 ${number(node, 1)} ms, hello world ${number(hello, 1)} ms: ${number(hello - node, 1)} ms more`,
    );
  const starts = wantsStart ? await measureStart(2000) : [];
  if (starts.length > 0) console.log('\nInside one process (median), in this Node');
  for (const { name, milliseconds, samples } of starts)
    console.log(`${name.padEnd(56)}${number(milliseconds, 2)} ms (${samples} samples)`);

  mkdirSync(values.results, { recursive: true });
  const compiler = crossCompiler && compilerVersion(crossCompiler);
  const byPart = Object.fromEntries(
    (Object.keys(PARTS) as Part[])
      .map(
        (part) =>
          [
            part,
            means(
              results.filter((result) => result.case.part === part),
              runners,
            ),
          ] as const,
      )
      .filter(([, found]) => Object.keys(found).length > 0),
  );
  const report = { when: new Date().toISOString(), machine, compiler, runs, runners };
  const json = JSON.stringify({ ...report, means: byPart, results, speeds, startUps, starts }, null, 2);
  writeFileSync(join(values.results, 'latest.json'), `${json}\n`);
  const picture = plot(results, runners, subtitle);
  if (picture !== undefined) writeFileSync(join(values.results, 'latest.svg'), picture);
  const names = picture === undefined ? 'latest.json' : 'latest.json and latest.svg';
  console.log(`\n${names} written to ${values.results}`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Mistake)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
