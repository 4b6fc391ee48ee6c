import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { createMachine, type Machine } from '../machine/machine.js';
import { SpawnError } from '../machine/options.js';
import { formatPerfMap } from '../observe/regionProfile.js';
import { formatStatistics } from '../observe/statistics.js';
import { forwardSignals } from './hostSignals.js';
import type { RunOptions } from './runOptions.js';
import { UsageError } from './usageError.js';

const ENOENT = 2;
const EXIT_CANNOT_RUN = 126;
const EXIT_NOT_FOUND = 127;

/** Runs a program to its end and exits with its status. */
export async function run(options: RunOptions): Promise<void> {
  checkFolders(options);
  const machine = await createMachine({
    ...(options.memory !== undefined && { memory: options.memory }),
    ...(options.hostPageSize !== undefined && { hostPageSize: options.hostPageSize }),
    verbose: options.verbose || process.env.GUESTHOUSE_DEBUG !== undefined,
    ...(options.jit !== undefined && { jit: options.jit }),
    log: options.log,
    profile: options.perfMap !== undefined,
    statistics: options.stats,
    ...(options.logFile !== undefined && { logFile: options.logFile }),
  });
  let status: number;
  try {
    status = await runGuest(machine, options);
  } catch (error) {
    machine.abandon();
    throw error;
  }
  machine.abandon();
  process.exit(status);
}

async function runGuest(machine: Machine, options: RunOptions): Promise<number> {
  const { program } = options;
  try {
    const guest = await machine.spawn(program, {
      args: options.args,
      env: environment(options),
      stdin: 'inherit',
      stdout: 'inherit',
      stderr: 'inherit',
      dirs: options.dirs,
      strace: options.strace,
      logPage: options.logPage,
      dumpMaps: options.dumpMaps,
      ...(options.placement !== undefined && options.placement),
      ...(options.root !== undefined && { root: options.root }),
      ...(options.argv0 !== undefined && { argv0: options.argv0 }),
      ...(options.stackSize !== undefined && { stackSize: options.stackSize }),
      ...(options.reservedVa !== undefined && { reservedVa: options.reservedVa }),
      ...(options.pageSize !== undefined && { pageSize: options.pageSize }),
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.cpu !== undefined && { cpu: options.cpu }),
      ...(options.unameRelease !== undefined && { unameRelease: options.unameRelease }),
    });
    const stopForwarding = forwardSignals(guest);
    try {
      const exit = await guest.exited;
      if (exit.crashReport !== undefined) process.stderr.write(exit.crashReport);
      return exit.code ?? 128 + exit.signalNumber;
    } finally {
      stopForwarding();
      if (options.perfMap !== undefined) {
        const { instructions } = guest.statistics();
        writeFileSync(options.perfMap, formatPerfMap(machine.translatedRegions(), instructions));
      }
      if (options.stats)
        process.stderr.write(formatStatistics(guest.statistics(), machine.memory(), machine.activity()));
    }
  } catch (error) {
    if (!(error instanceof SpawnError)) throw error;
    process.stderr.write(`guesthouse: ${program}: ${error.message}\n`);
    return error.errno === ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
  }
}

/** What the options name must be there: that is no fault of the program's. Throws UsageError. */
function checkFolders(options: RunOptions): void {
  if (options.root !== undefined && !statSync(options.root, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`option --root: ${options.root} is not a directory`);
  for (const { host } of options.dirs)
    if (statSync(host, { throwIfNoEntry: false }) === undefined)
      throw new UsageError(`option --dir: ${host} not found`);
  // Before the program runs for an hour.
  mustBeWritable('-D', options.logFile);
  mustBeWritable('--perf-map', options.perfMap);
}

function mustBeWritable(option: string, file: string | undefined): void {
  if (file === undefined) return;
  try {
    closeSync(openSync(file, 'w'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`option ${option}: ${file} cannot be written (${code})`);
  }
}

/** The host's environment, without what --unset names, with what --env sets. */
function environment(options: RunOptions): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = { ...process.env };
  for (const name of options.unset) delete env[name];
  for (const [name, value] of options.env) env[name] = value;
  return env;
}
