import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import type { GuestProcess } from '../machine/guestProcess.js';
import { createMachine, type Machine } from '../machine/machine.js';
import { SpawnError, type SpawnOptions } from '../machine/options.js';
import { writeReport } from '../observe/mapReport.js';
import { formatPerfMap } from '../observe/regionProfile.js';
import { formatStatistics } from '../observe/statistics.js';
import { forwardSignals } from './hostSignals.js';
import type { MapsOptions } from './mapsOptions.js';
import type { RunOptions } from './runOptions.js';
import { UsageError } from './usageError.js';

const ENOENT = 2;
const EXIT_CANNOT_RUN = 126;
const EXIT_NOT_FOUND = 127;

/** Milliseconds between looks at a program that is being loaded. */
const LOADING_INTERVAL = 5;

/** Milliseconds that what a program has sent may take to go out when it has ended. */
const NETWORK_PATIENCE = 5000;

/** Runs a program to its end and exits with its status. */
export async function run(options: RunOptions): Promise<void> {
  checkFolders(options);
  const machine = await createMachine({
    ...(options.memory !== undefined && { memory: options.memory }),
    ...(options.hostPageSize !== undefined && { hostPageSize: options.hostPageSize }),
    ...(options.maxThreads !== undefined && { maxThreads: options.maxThreads }),
    ...(options.workers !== undefined && { workers: options.workers }),
    verbose: options.verbose || process.env.GUESTHOUSE_DEBUG !== undefined,
    ...(options.jit !== undefined && { jit: options.jit }),
    ...(options.network !== undefined && { network: options.network }),
    ...(options.codeCache !== undefined && { codeCache: options.codeCache }),
    ...(options.translationBytes !== undefined && { translationBytes: options.translationBytes }),
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
  await machine.flushNetwork(NETWORK_PATIENCE);
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
      ...(options.maps !== undefined && reportOf(options.maps)),
      ...(options.placement !== undefined && options.placement),
      ...(options.root !== undefined && { root: options.root }),
      ...(options.argv0 !== undefined && { argv0: options.argv0 }),
      ...(options.stackSize !== undefined && { stackSize: options.stackSize }),
      ...(options.reservedVa !== undefined && { reservedVa: options.reservedVa }),
      ...(options.pageSize !== undefined && { pageSize: options.pageSize }),
      ...(options.maxProcesses !== undefined && { maxProcesses: options.maxProcesses }),
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...(options.cpu !== undefined && { cpu: options.cpu }),
      ...(options.unameRelease !== undefined && { unameRelease: options.unameRelease }),
    });
    const stopForwarding = forwardSignals(machine, guest);
    const endTimer = options.maps && printLater(guest, options.maps);
    try {
      const exit = await guest.exited;
      if (exit.crashReport !== undefined) process.stderr.write(exit.crashReport);
      return exit.code ?? 128 + exit.signalNumber;
    } finally {
      endTimer?.();
      stopForwarding();
      if (options.perfMap !== undefined) {
        const { instructions } = guest.statistics();
        writeFileSync(options.perfMap, formatPerfMap(machine.translatedRegions(), instructions));
      }
      if (options.stats)
        process.stderr.write(
          formatStatistics(guest.statistics(), machine.memory(), machine.activity(), machine.lockTimes()),
        );
    }
  } catch (error) {
    if (!(error instanceof SpawnError)) throw error;
    process.stderr.write(`guesthouse: ${program}: ${error.message}\n`);
    return error.errno === ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
  }
}

/** How the `maps` command spawns the program. */
function reportOf(maps: MapsOptions): Pick<SpawnOptions, 'stdout' | 'dumpMaps'> {
  const { at, format, children } = maps;
  // A map at a time is printed by the main thread.
  if (typeof at === 'object' && 'milliseconds' in at) return { stdout: process.stderr };
  const point = typeof at === 'string' ? { at } : { at: 'call' as const, call: at.call };
  const fd = openOutput(maps);
  return { stdout: process.stderr, dumpMaps: { ...point, format, children, fd, header: children } };
}

function openOutput({ output }: MapsOptions): number {
  if (output === undefined) return 1;
  try {
    return openSync(output, 'w');
  } catch (error) {
    throw new UsageError(`option --output: ${(error as Error).message}`);
  }
}

/** Prints the map at the time that --at asks for. Returns what says, once the program has ended, that this came too late. */
function printLater(guest: GuestProcess, maps: MapsOptions): () => void {
  const { at, format } = maps;
  if (typeof at !== 'object' || !('milliseconds' in at)) return () => {};
  const fd = openOutput(maps);
  let printed = false;
  let timer: NodeJS.Timeout;
  // A program that is not loaded yet has no map: then it is printed as soon as there is one.
  const print = (): void => {
    const map = guest.memoryMap(format);
    if (map === undefined) timer = setTimeout(print, LOADING_INTERVAL);
    else writeReport(fd, map);
    printed = map !== undefined;
  };
  timer = setTimeout(print, at.milliseconds);
  return () => {
    clearTimeout(timer);
    if (!printed)
      process.stderr.write(`guesthouse: the program ended before ${at.milliseconds} ms were over\n`);
  };
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
