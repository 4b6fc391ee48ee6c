import { join } from 'node:path';
import type { Case } from './cases.js';
import { compileGuest, compileNative, compileWasm, guestFlags } from './compileGuest.js';
import { commonOptions, type Run, type RunSettings, repository, runProgram } from './hostProgram.js';
import { childrenCpu, type Runner } from './runners.js';

/** How a runner runs a case: the options in front of the program, the program and its arguments. */
export interface Invocation {
  readonly options: readonly string[];
  readonly program: string;
  readonly args: readonly string[];
}

/** A case that can be run: how each kind of runner does it (those that cannot are left out). */
export interface ReadyCase {
  readonly case: Case;
  readonly invocations: Partial<Record<Runner['kind'], Invocation>>;
  readonly settings: RunSettings;
  /** Whether what the program prints must be the same with all that run the guest's program; in other builds last digits may differ. */
  readonly comparesOutput: boolean;
}

/** Medians of one case by runner's id; a runner that cannot run it has none. */
export interface Result {
  readonly case: Case;
  /** Wall-clock time, or what the program itself has measured. */
  readonly seconds: Readonly<Record<string, number>>;
  /** CPU time, user and system, of the whole process. */
  readonly cpu: Readonly<Record<string, number>>;
  /** Every run, in the order they were made. */
  readonly all: Readonly<Record<string, readonly number[]>>;
}

/** The middle value (of an even number, the mean of the two). */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Compiles the program of a case for the guests and, of `kinds`, for the host and for WebAssembly (which has no threads). */
export function compiled(measured: Case, kinds: ReadonlySet<Runner['kind']>): ReadyCase {
  const source = join(repository, 'bench/guests', `${measured.source}.c`);
  const guest = compileGuest(source, guestFlags);
  const invocation = { options: [], program: guest, args: measured.args };
  return {
    case: measured,
    invocations: {
      guesthouse: invocation,
      qemu: invocation,
      ...(kinds.has('native') && {
        native: { ...invocation, program: compileNative(source, ['-O2', '-pthread', '-lm']) },
      }),
      ...(kinds.has('wasm') &&
        (measured.part === 'integer' || measured.part === 'float') && {
          wasm: { ...invocation, program: compileWasm(source, ['-O2', '-lm']) },
        }),
    },
    settings: { timeout: 300_000 },
    comparesOutput: true,
  };
}

function start(
  measured: Case,
  runner: Runner,
  { options, program, args }: Invocation,
  settings: RunSettings,
): Promise<Run> {
  switch (runner.kind) {
    case 'guesthouse': {
      const command = join(repository, 'bin/guesthouse.js');
      const all = [command, 'run', ...commonOptions, ...runner.options, ...options, program, ...args];
      return runProgram(runner.command, all, settings);
    }
    case 'qemu': {
      const more = measured.qemuNamesItself === true ? [runner.command] : [];
      return runProgram(runner.command, [...options, program, ...args, ...more], settings);
    }
    case 'wasm': {
      const command = join(repository, 'dist/bench/wasiProgram.js');
      return runProgram(process.execPath, [command, program, ...args], settings);
    }
    case 'native':
      return runProgram(program, [...options, ...args], settings);
  }
}

function seconds(measured: Case, run: Run): number {
  if (run.code !== 0) throw new Error(`${measured.name} ended with ${run.code ?? run.signal}: ${run.stderr}`);
  if (measured.measure === 'process') return run.milliseconds / 1000;
  const inside = /^elapsed ([\d.]+)$/m.exec(run.stderr);
  if (inside === null) throw new Error(`${measured.name} did not say how long it took: ${run.stderr}`);
  return Number(inside[1]);
}

/**
 * Runs a case `times` times with each runner in turn, so that a change of the machine's mood meets them all. Floating point
 * of the other builds isn't contracted, which changes last digits: outputs are compared between the guests only.
 */
export async function measure(ready: ReadyCase, runners: readonly Runner[], times: number): Promise<Result> {
  const all: Record<string, number[]> = {};
  const cpu: Record<string, number[]> = {};
  let printed: string | undefined;
  for (let i = 0; i < times; i++) {
    for (const runner of runners) {
      const invocation = ready.invocations[runner.kind];
      if (invocation === undefined) continue;
      const before = childrenCpu();
      const run = await start(ready.case, runner, invocation, ready.settings);
      const after = childrenCpu();
      (all[runner.id] ??= []).push(seconds(ready.case, run));
      if (before !== undefined && after !== undefined) (cpu[runner.id] ??= []).push(after - before);
      if (!ready.comparesOutput || runner.kind === 'native' || runner.kind === 'wasm') continue;
      printed ??= run.stdout;
      if (run.stdout !== printed)
        throw new Error(`${ready.case.name}: ${runner.id} says ${run.stdout}, the first one ${printed}`);
    }
  }
  const medians = (values: Record<string, number[]>): Record<string, number> =>
    Object.fromEntries(Object.entries(values).map(([id, list]) => [id, median(list)]));
  return { case: ready.case, seconds: medians(all), cpu: medians(cpu), all };
}
