import { join } from 'node:path';
import type { Case } from './cases.js';
import { compileGuest, compileNative, guestFlags, nativeCompiler } from './compileGuest.js';
import { qemu, type Run, repository, runGuest, runProgram, runQemu } from './hostProgram.js';

/** Who runs a program: Guesthouse, qemu-riscv64, or the host on its own build of the same source. */
export const runners = ['guesthouse', 'qemu', 'native'] as const;
export type Runner = (typeof runners)[number];

/** Medians of one case in seconds; a runner that isn't there has none. */
export interface Result {
  readonly case: Case;
  readonly seconds: Partial<Record<Runner, number>>;
  /** Every run, in the order they were made. */
  readonly all: Partial<Record<Runner, number[]>>;
}

/** The middle value (of an even number, the mean of the two). */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
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
 * of the native build isn't contracted, which changes last digits: outputs are compared between the two guests only.
 */
export async function measure(measured: Case, times: number): Promise<Result> {
  const source = join(repository, 'bench/guests', `${measured.source}.c`);
  const guest = compileGuest(source, guestFlags);
  const native = nativeCompiler === undefined ? undefined : compileNative(source, ['-O2', '-pthread', '-lm']);
  const settings = { timeout: 300_000 };
  const all: Partial<Record<Runner, number[]>> = {};
  for (let i = 0; i < times; i++) {
    const ours = await runGuest([], guest, measured.args, settings);
    (all.guesthouse ??= []).push(seconds(measured, ours));
    if (qemu !== undefined) {
      const theirs = await runQemu(guest, measured.args, settings);
      (all.qemu ??= []).push(seconds(measured, theirs));
      if (theirs.stdout !== ours.stdout)
        throw new Error(`${measured.name}: ${ours.stdout}is not what qemu-riscv64 says: ${theirs.stdout}`);
    }
    if (native !== undefined)
      (all.native ??= []).push(seconds(measured, await runProgram(native, measured.args, settings)));
  }
  const result: Partial<Record<Runner, number>> = {};
  for (const runner of runners) if (all[runner] !== undefined) result[runner] = median(all[runner]);
  return { case: measured, seconds: result, all };
}
