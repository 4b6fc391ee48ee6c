import { type SpawnOptions, spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

function findRepository(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** The repository, whether this file runs from its source or from dist. */
export const repository = findRepository();

/** How a program ended and what it wrote. */
export interface Run {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Milliseconds from start to end. */
  readonly milliseconds: number;
}

export interface RunSettings {
  readonly stdin?: string | Uint8Array;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Milliseconds until it is killed and the run fails; default 50,000. */
  readonly timeout?: number;
  /** Called with each piece of its output, and a function that sends it a signal. */
  readonly onOutput?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

/** The full path of a command of this host, or undefined. */
export function findCommand(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** Runs a program of the host to its end. Rejects when it can't be started or takes too long, with what it said. */
export function runProgram(file: string, args: readonly string[], settings: RunSettings = {}): Promise<Run> {
  const options: SpawnOptions = {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(settings.env === undefined ? {} : { env: settings.env }),
    ...(settings.cwd === undefined ? {} : { cwd: settings.cwd }),
  };
  return new Promise((done, failed) => {
    const from = performance.now();
    const child = spawn(file, args, options);
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    const limit = settings.timeout ?? 50_000;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, limit);
    child.on('error', failed);
    child.stdout!.on('data', (piece: Buffer) => {
      output.push(piece);
      settings.onOutput?.(piece.toString('latin1'), (signal) => child.kill(signal));
    });
    child.stderr!.on('data', (piece: Buffer) => errors.push(piece));
    // A program that ends without reading all of its input breaks the pipe.
    child.stdin!.on('error', () => {});
    child.stdin!.end(settings.stdin ?? '');
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const stdout = Buffer.concat(output).toString('latin1');
      const stderr = Buffer.concat(errors).toString('latin1');
      if (late) {
        const said = `${stdout.slice(-2000)}\n${stderr.slice(-2000)}`;
        failed(new Error(`${file} ${args.join(' ')} was still running after ${limit} ms; it said:\n${said}`));
        return;
      }
      done({ stdout, stderr, code, signal, milliseconds: performance.now() - from });
    });
  });
}

/** Options that all runs of guests get, in front of their own: for running all tests with e.g. --jit=threshold=3. */
export const commonOptions = (process.env.GUESTHOUSE_TEST_OPTIONS ?? '')
  .split(' ')
  .filter((option) => option !== '');

/** Runs `guesthouse run OPTIONS PROGRAM ARGS`. */
export function runGuest(
  options: readonly string[],
  program: string,
  args: readonly string[],
  settings: RunSettings = {},
): Promise<Run> {
  const command = join(repository, 'bin/guesthouse.js');
  return runProgram(
    process.execPath,
    [command, 'run', ...commonOptions, ...options, program, ...args],
    settings,
  );
}

export const qemu = findCommand('qemu-riscv64');

/** Runs a guest under qemu-riscv64, which has to be there. */
export function runQemu(program: string, args: readonly string[], settings: RunSettings = {}): Promise<Run> {
  return runProgram(qemu!, [program, ...args], settings);
}
