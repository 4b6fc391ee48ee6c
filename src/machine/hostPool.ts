import { setFlagsFromString } from 'node:v8';
import { SHARE_ENV } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { HostTask } from './hostControl.js';
import { threadHostFile } from './packageFiles.js';

/** A pool whose workers load the code of a thread host at once; each runs one long-lived task. */
export type HostPool = Piscina<HostTask, void>;

/** More workers than any machine's limit: sync/hosts.ts says how many there may be. */
const MOST_WORKERS = 16384;

let prestarted: HostPool | undefined;

/**
 * Sets V8 up for the interpreter, before the first worker starts and before the interpreter is compiled:
 *  - relaxed SIMD instructions (fused multiply-add), which V8 has without being asked from 11.4 on;
 *  - the whole module is compiled when it is made, in the background, instead of each function at its first call, which
 *    the first guest would wait for;
 *  - branch hints, by which translated code keeps what hardly ever happens out of its way.
 * A flag that V8 does not know makes it complain on stderr, so only versions known to have them get them.
 */
export function prepareV8(): void {
  const [major, minor] = process.versions.v8.split('.').map(Number);
  if (major < 11 || (major === 11 && minor < 4)) setFlagsFromString('--experimental-wasm-relaxed-simd');
  if (major <= 13) {
    setFlagsFromString('--no-wasm-lazy-compilation');
    setFlagsFromString('--experimental-wasm-branch-hinting');
  }
}

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
  prepareV8();
  return new Piscina<HostTask, void>({
    filename: threadHostFile().href,
    minThreads: present,
    maxThreads: MOST_WORKERS,
    idleTimeout: Number.POSITIVE_INFINITY,
    // Descriptors belong to the whole process here: a worker must not close what another one uses.
    trackUnmanagedFds: false,
    recordTiming: false,
    env: SHARE_ENV,
    execArgv: ['--no-warnings'],
  });
}
