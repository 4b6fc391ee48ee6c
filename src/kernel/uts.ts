import { hostname } from 'node:os';
import { allocateBlock } from '../sync/heap.js';
import { initMutex, withMutex } from '../sync/mutex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { UTS_LENGTH, Uts } from '../sync/records/uts.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** The names that uname(2) tells and sethostname(2) and setdomainname(2) change: one of each for the machine. */

/** Makes the record: the host's name, and no domain. */
export function initUts(mem: SharedMemory, owner: number): void {
  const uts = allocateBlock(mem, Uts.SIZE, owner);
  initMutex(mem, uts + Uts.lock);
  mem.setU32(MACHINE + Machine.uts, uts);
  setUtsName(mem, 'nodename', new TextEncoder().encode(hostname()).subarray(0, UTS_LENGTH), owner);
  setUtsName(mem, 'domainname', new TextEncoder().encode('(none)'), owner);
}

/** One of the names, bytes without NUL. */
export function utsName(mem: SharedMemory, which: 'nodename' | 'domainname', owner: number): Uint8Array {
  const uts = mem.getU32(MACHINE + Machine.uts);
  return withMutex(mem, uts + Uts.lock, owner, () => {
    const bytes = mem.u8.slice(uts + Uts[which], uts + Uts[which] + UTS_LENGTH + 1);
    return bytes.subarray(0, bytes.indexOf(0));
  });
}

/** Sets one of the names; at most UTS_LENGTH bytes. */
export function setUtsName(
  mem: SharedMemory,
  which: 'nodename' | 'domainname',
  name: Uint8Array,
  owner: number,
): void {
  const uts = mem.getU32(MACHINE + Machine.uts);
  withMutex(mem, uts + Uts.lock, owner, () => {
    mem.u8.fill(0, uts + Uts[which], uts + Uts[which] + UTS_LENGTH + 1);
    mem.u8.set(name, uts + Uts[which]);
  });
}
