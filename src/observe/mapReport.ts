import { writeSync } from 'node:fs';
import type { MapFormat } from '../kernel/guestOptions.js';
import type { SyscallEntry } from '../kernel/linux/syscall.js';
import type { ThreadContext } from '../kernel/threadContext.js';
import type { Caller } from '../memory/caller.js';
import { releaseMm, retainMm } from '../mm/addressSpace.js';
import { formatMaps, pageDump } from '../mm/pageDump.js';
import { formatSmaps } from '../mm/smaps.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import { START_EXEC, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { writeLog } from './log.js';
import { formatResult } from './strace.js';

/** The memory map of a guest as a report: --dump-maps, the `maps` command, GuestProcess.memoryMap. */

/** How long a reader that does not read may keep a report waiting, milliseconds. */
const PATIENCE = 10_000;

/** The map of `c.mm`: as /proc/PID/maps or smaps, or as QEMU's page_dump. KERNEL mode. */
function formatMap(c: Caller, format: MapFormat): string {
  if (format === 'smaps') return formatSmaps(c);
  return format === 'pages' ? pageDump(c) : formatMaps(c);
}

/** Writes everything, waiting for a slow reader; what cannot be written is lost, for it must not change what the guest does. */
export function writeReport(fd: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let waited = 0;
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
      waited = 0;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || waited >= PATIENCE) return;
      Atomics.wait(pause, 0, 0, 10);
      waited += 10;
    }
  }
}

function report(t: ThreadContext, what: string): void {
  const { mem, guest } = t;
  const { mapReport } = t.options;
  if (mapReport === undefined) return;
  if (!mapReport.children && mem.getU32(guest + Guest.parent) !== 0) return;
  const header = `guesthouse: memory map of process ${mem.getU32(guest + Guest.pid)}${what}\n`;
  const text = (mapReport.header || what !== '' ? header : '') + formatMap(t, mapReport.format);
  if (mapReport.fd === undefined) writeLog(mem, text);
  else writeReport(mapReport.fd, text);
}

/** The guest's last thread ends; its map is still there. KERNEL mode. */
export function reportMapAtExit(t: ThreadContext): void {
  if (t.options.mapReport?.at === 'exit') report(t, '');
}

/** The embedder's program is loaded. Says whether the report is all that was wanted. KERNEL mode. */
export function reportMapAtStart(t: ThreadContext): boolean {
  if (t.options.mapReport?.at !== 'start') return false;
  report(t, '');
  return true;
}

/** The system call that reports are wanted of has been made. KERNEL mode. */
export function reportMapAfterCall(t: ThreadContext, entry: SyscallEntry, result: number): void {
  report(t, ` after ${entry.name} = ${formatResult(entry, result)}`);
}

/**
 * The map of a guest at this moment, for anybody who knows that its record stays; undefined when it has ended or its program is not
 * loaded yet.
 */
export function mapOfGuest(
  mem: SharedMemory,
  guest: number,
  owner: number,
  format: MapFormat,
): string | undefined {
  lockMutex(mem, guest + Guest.threadsLock, owner);
  let thread = mem.getU32(guest + Guest.threads);
  const isLoaded = () =>
    mem.getU32(thread + Thread.mm) !== 0 && mem.atomicLoad(thread + Thread.start) !== START_EXEC;
  while (thread !== 0 && !isLoaded()) thread = mem.getU32(thread + Thread.nextInGuest);
  const mm = thread === 0 ? 0 : mem.getU32(thread + Thread.mm);
  if (mm !== 0) retainMm(mem, mm);
  unlockMutex(mem, guest + Guest.threadsLock, owner);
  if (mm === 0) return undefined;
  try {
    return formatMap({ mem, mm, thread: owner }, format);
  } finally {
    releaseMm(mem, mm, owner);
  }
}
