import { writeSync } from 'node:fs';
import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

const STDERR = 2;

/** Writes to the log (-D; standard error unless the machine's options name a file), in one piece. From any worker. */
export function writeLog(mem: SharedMemory, text: string): void {
  try {
    writeSync(mem.getI32(MACHINE + Machine.logFd) || STDERR, text);
  } catch {
    // A closed or full log must not change what the guest does.
  }
}
