import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { nativeCompiler, wasmCompiler } from './compileGuest.js';
import { qemu } from './hostProgram.js';

/**
 * Who runs a program: Guesthouse in some Node, some qemu-riscv64, the host on its own build of the same source, or this Node on a
 * build for WebAssembly, which is what a translator to WebAssembly can hope for.
 */
export interface Runner {
  /** Short and different from all others: a column's head, a key in the results. */
  readonly id: string;
  readonly kind: 'guesthouse' | 'qemu' | 'native' | 'wasm';
  /** What is started: node, qemu-riscv64; for native and wasm nothing. */
  readonly command: string;
  /** Options in front of the program's. */
  readonly options: readonly string[];
  readonly version: string;
}

const firstLine = (command: string): string =>
  execFileSync(command, ['--version'], { encoding: 'utf8' }).split('\n')[0].trim();

/** Gives each id that occurs more than once a number. */
function distinct(runners: readonly Runner[]): Runner[] {
  const seen = new Map<string, number>();
  return runners.map((runner) => {
    const count = (seen.get(runner.id) ?? 0) + 1;
    seen.set(runner.id, count);
    return count === 1 ? runner : { ...runner, id: `${runner.id} #${count}` };
  });
}

/**
 * The runners to compare: this Node, the `nodes` and `qemus` named besides, the qemu that is installed, the host itself, and `wasm` when
 * it is wanted. Throws when one that was named does not start.
 */
export function findRunners(
  nodes: readonly string[],
  qemus: readonly string[],
  options: readonly string[],
  wasm: boolean,
): Runner[] {
  const guesthouse = (command: string): Runner => {
    const version = firstLine(command);
    return {
      id: `Node ${version.replace(/^v(\d+).*/, '$1')}`,
      kind: 'guesthouse',
      command,
      options,
      version,
    };
  };
  const emulator = (command: string): Runner => {
    const version = firstLine(command);
    const number = /\d+\.\d+/.exec(version)?.[0] ?? '?';
    return { id: `qemu ${number}`, kind: 'qemu', command, options: [], version };
  };
  const natives: Runner[] =
    nativeCompiler === undefined
      ? []
      : [{ id: 'native', kind: 'native', command: '', options: [], version: firstLine(nativeCompiler) }];
  const bound: Runner[] =
    wasm && wasmCompiler !== undefined
      ? [{ id: 'wasm', kind: 'wasm', command: '', options: [], version: firstLine(wasmCompiler) }]
      : [];
  return distinct([
    ...[process.execPath, ...nodes].map(guesthouse),
    ...[...(qemu === undefined ? [] : [qemu]), ...qemus].map(emulator),
    ...natives,
    ...bound,
  ]);
}

/**
 * Seconds of CPU time of children that have ended, as the kernel has counted it (proc_pid_stat(5)); undefined where it does not
 * say. Ticks are 10 ms.
 */
export function childrenCpu(): number | undefined {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[13]) + Number(fields[14])) / 100;
  } catch {
    return undefined;
  }
}
