import type { Runner } from './runners.js';
import type { Result } from './wholeRuns.js';

/** Results as text: a table a part, and geometric means. */

export const number = (value: number | undefined, digits: number): string =>
  value === undefined
    ? '-'
    : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Pads the first cell of each row to the right, the others to the left. */
export function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(30) : cell.padStart(13))).join('');
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** A ratio of two runners' times, in every case that both have run. */
export interface Ratio {
  readonly over: string;
  readonly under: string;
}

const firstOf = (runners: readonly Runner[], kind: Runner['kind']): string | undefined =>
  runners.find((runner) => runner.kind === kind)?.id;

/** What is compared: for each Guesthouse and WebAssembly, how much slower the first qemu is, and how much faster the host itself. */
export function comparisons(runners: readonly Runner[]): Ratio[] {
  const [qemu, native] = [firstOf(runners, 'qemu'), firstOf(runners, 'native')];
  return runners
    .filter(({ kind }) => kind === 'guesthouse' || kind === 'wasm')
    .flatMap(({ id }) => [
      ...(qemu === undefined ? [] : [{ over: qemu, under: id }]),
      ...(native === undefined ? [] : [{ over: id, under: native }]),
    ]);
}

export const ratioName = ({ over, under }: Ratio): string => `${over} / ${under}`;

const ratio = (result: Result, { over, under }: Ratio): number | undefined => {
  const [a, b] = [result.seconds[over], result.seconds[under]];
  return a === undefined || b === undefined ? undefined : a / b;
};

/** The head of a part's table. Two lines: ratios have long names. */
export function head(title: string, runners: readonly Runner[]): string {
  const ratios = comparisons(runners);
  const tops = ['', ...runners.map(() => ''), ...ratios.map(({ over }) => `${over} /`)];
  const names = ['', ...runners.map(({ id }) => id), ...ratios.map(({ under }) => under)];
  return `\n${title}\n${row(tops)}\n${row(names)}`;
}

/** One line of a part's table. */
export function line(result: Result, runners: readonly Runner[]): string {
  const { name, operations } = result.case;
  const cell = (seconds: number | undefined): string => {
    if (seconds === undefined) return '-';
    return operations === undefined
      ? `${number(seconds * 1000, 1)} ms`
      : `${number(operations / seconds, 0)}/s`;
  };
  return row([
    name,
    ...runners.map(({ id }) => cell(result.seconds[id])),
    ...comparisons(runners).map((one) => number(ratio(result, one), 2)),
  ]);
}

/** Geometric means of the ratios over results, by name; of those that any case has. */
export function means(results: readonly Result[], runners: readonly Runner[]): Record<string, number> {
  const all = comparisons(runners).map((one): [string, number[]] => [
    ratioName(one),
    results.map((result) => ratio(result, one)).filter((value) => value !== undefined),
  ]);
  return Object.fromEntries(
    all.filter(([, values]) => values.length > 0).map(([name, values]) => [name, geometricMean(values)]),
  );
}

/** The line under a table of more than one case. */
export function meansLine(results: readonly Result[], runners: readonly Runner[]): string {
  const found = means(results, runners);
  const cells = comparisons(runners).map((one) => number(found[ratioName(one)], 2));
  return row(['geometric mean', ...runners.map(() => ''), ...cells]);
}
