import { SHARE_ENV, type WorkerOptions } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { prepareCompiledModules } from './compiledModule.js';
import type { HostTask } from './hostControl.js';
import { threadHostFile } from './packageFiles.js';

/** A pool whose workers load the code of a thread host at once; each runs one long-lived task. */
export type HostPool = Piscina<HostTask, void>;

/** More workers than any machine's limit: sync/hosts.ts says how many there may be. */
const MOST_WORKERS = 16384;

/** How every worker is started. */
export const WORKER_OPTIONS = {
  // Descriptors belong to the whole process here: a worker must not close what another one uses.
  trackUnmanagedFds: false,
  env: SHARE_ENV,
  execArgv: ['--no-warnings'],
} as const satisfies WorkerOptions;

let prestarted: HostPool | undefined;

/**
 * Starts a pool with its first worker before there is a machine: the command calls it first of all, so that the worker
 * starts while the rest of the code is loaded. The next machine takes the pool over.
 */
export function prestartPool(): void {
  prestarted ??= makePool(1);
}

/** The pool of a new machine, with `present` workers (the prestarted one has one). */
export function takePool(present: number): HostPool {
  const pool = prestarted;
  prestarted = undefined;
  return pool ?? makePool(present);
}

function makePool(present: number): HostPool {
  prepareCompiledModules();
  return new Piscina<HostTask, void>({
    filename: threadHostFile().href,
    minThreads: present,
    maxThreads: MOST_WORKERS,
    idleTimeout: Number.POSITIVE_INFINITY,
    recordTiming: false,
    ...WORKER_OPTIONS,
  });
}
