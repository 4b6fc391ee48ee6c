import { HostFile } from '../sync/records/hostFile.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/**
 * A file is written or executed, never both (ETXTBSY; Linux: i_writecount). SharedObject.writeClaims counts writers upwards
 * and executions downwards from 0.
 */
function claim(mem: SharedMemory, file: number, step: number): boolean {
  const count = (mem.getU32(file + HostFile.object) + SharedObject.writeClaims) >>> 2;
  for (let now = Atomics.load(mem.i32, count); ; ) {
    if (now !== 0 && now > 0 !== step > 0) return false;
    const seen = Atomics.compareExchange(mem.i32, count, now, now + step);
    if (seen === now) return true;
    now = seen;
  }
}

/** The HostFile is going to be written; false when the file is being executed. It ends with the HostFile. */
export function claimWrite(mem: SharedMemory, file: number): boolean {
  if (!claim(mem, file, 1)) return false;
  mem.setU32(file + HostFile.claimsWrite, 1);
  return true;
}

/** The file is going to be executed; false when it is open for writing. `endExecution` ends it. */
export function claimExecution(mem: SharedMemory, file: number): boolean {
  return claim(mem, file, -1);
}

/** One more execution of a file that is being executed (fork). */
export function repeatExecution(mem: SharedMemory, file: number): void {
  mem.atomicAdd(mem.getU32(file + HostFile.object) + SharedObject.writeClaims, -1);
}

export function endExecution(mem: SharedMemory, file: number): void {
  mem.atomicAdd(mem.getU32(file + HostFile.object) + SharedObject.writeClaims, 1);
}
