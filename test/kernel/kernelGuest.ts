import { createFilesTable } from '../../src/kernel/files/filesTable.js';
import { createFs } from '../../src/kernel/files/fsRecord.js';
import { createGuestRecord, joinGuest } from '../../src/kernel/guestRecords.js';
import { initKernel } from '../../src/kernel/initKernel.js';
import { ThreadContext } from '../../src/kernel/threadContext.js';
import { allocateThread, allocateTid, createSighand } from '../../src/kernel/threadRecords.js';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../src/memory/linuxMemory.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { createMm } from '../../src/mm/addressSpace.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { initHosts } from '../../src/sync/hosts.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { Guest } from '../../src/sync/records/guest.js';
import { Thread } from '../../src/sync/records/thread.js';
import { addThread } from '../../src/sync/safepoint.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

/** A whole machine memory with the kernel in it; no hosts run, but threads may be promised to them. */
export function createKernel(): SharedMemory {
  const mem = createMachineMemory({ bytes: 64 << 20 });
  initKernel(mem, COORDINATOR, { cpus: 2 });
  initHosts(mem, 16, 16);
  return mem;
}

/** A guest with one thread and an empty address space, as spawnGuest makes it but for the program. */
export function createGuest(mem: SharedMemory): ThreadContext {
  const pid = allocateTid(mem, COORDINATOR);
  const mm = createMm(mem, COORDINATOR);
  const guest = createGuestRecord(mem, COORDINATOR, pid, 8 << 20, 0, 0);
  const thread = allocateThread(mem, COORDINATOR);
  mem.setU32(thread + Thread.tid, pid);
  mem.setU32(thread + Thread.files, createFilesTable(mem, COORDINATOR));
  mem.setU32(
    thread + Thread.fs,
    createFs(mem, COORDINATOR, { mounts: { root: null, mounts: [] }, cwd: '/' }),
  );
  const sighand = createSighand(mem, COORDINATOR);
  mem.setU32(thread + Thread.sighand, sighand);
  mem.setU32(guest + Guest.sighand, sighand);
  addThread(mem, mm, thread, COORDINATOR);
  joinGuest(mem, guest, thread, 0, COORDINATOR);
  return contextOf(mem, thread);
}

/** A context bound to `thread`. */
export function contextOf(mem: SharedMemory, thread: number): ThreadContext {
  const t = new ThreadContext(mem, () => {});
  t.bind(thread);
  return t;
}

/** Maps anonymous memory; `flags` default to private. */
export function map(t: ThreadContext, bytes: number, flags = MAP_PRIVATE): number {
  const at = targetMmap(t, 0, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, null, 0);
  if (at < 0) throw new Error(`mmap: ${at}`);
  return at;
}
