import { availableParallelism } from 'node:os';
import { initMutex } from '../sync/mutex.js';
import { monotonicNow } from '../sync/park.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { initSleepers } from '../sync/sleepers.js';
import { initFutexes } from './futexQueue.js';
import { createInitProcess } from './initProcess.js';
import { FIRST_TID } from './threadRecords.js';
import { initTimers } from './timers.js';
import { initUts } from './uts.js';

/** The kernel's part of making a machine. */
export interface KernelOptions {
  /** Seed of every pseudo-random choice; 0 or absent: the host's entropy. */
  readonly seed?: number;
  /** Processors the guests are told of; default: what this process may use. */
  readonly cpus?: number;
}

/** Ids run up to here (pid_max of 64-bit Linux). */
const PID_MAX = 4194304;

/** Initialises the kernel's state in a new machine memory; once, on the main thread, after createMachineMemory. */
export function initKernel(mem: SharedMemory, owner: number, options: KernelOptions = {}): void {
  const now = monotonicNow();
  initMutex(mem, MACHINE + Machine.guestsLock);
  mem.setU32(MACHINE + Machine.lastTid, FIRST_TID - 1);
  mem.setU32(MACHINE + Machine.maxTids, PID_MAX);
  mem.set64(MACHINE + Machine.realtimeOffset, Math.round((Date.now() - now) * 1000));
  mem.set64(MACHINE + Machine.bootTime, Math.floor(now));
  mem.setU32(MACHINE + Machine.seed, options.seed ?? 0);
  mem.setU32(MACHINE + Machine.cpuCount, options.cpus ?? availableParallelism());
  initFutexes(mem, owner);
  initTimers(mem, owner);
  initUts(mem, owner);
  initSleepers(mem);
  createInitProcess(mem, owner);
}
