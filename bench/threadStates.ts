import { COORDINATOR, Mutex } from '../src/sync/mutex.js';
import { Guest } from '../src/sync/records/guest.js';
import { MACHINE, Machine } from '../src/sync/records/machine.js';
import { Mm, PAGE_TABLE_LOCKS } from '../src/sync/records/mm.js';
import { MODE_GUEST, Thread } from '../src/sync/records/thread.js';
import type { SharedMemory } from '../src/sync/sharedMemory.js';

/**
 * What every guest thread of a machine is doing, and who holds and awaits which lock, one line each: for a machine that
 * does not get on. Read while it runs, without locks, so a line may be of a moment ago.
 */
export function threadStates(mem: SharedMemory): string[] {
  const lines: string[] = [];
  const names = new Map<number, string>([[COORDINATOR, 'the main thread']]);
  const mms = new Set<number>();
  for (const { guest, thread } of allThreads(mem)) {
    const tid = mem.getU32(thread + Thread.tid);
    names.set(thread, `thread ${tid}`);
    if (mem.getU32(thread + Thread.mm) !== 0) mms.add(mem.getU32(thread + Thread.mm));
    const syscall = mem.getI32(thread + Thread.syscall);
    lines.push(
      `guest ${mem.getU32(guest + Guest.pid)} thread ${tid}: ` +
        `${mem.getI32(thread + Thread.mode) === MODE_GUEST ? 'GUEST' : 'KERNEL'} mode, ` +
        `pc ${mem.getU64(thread + Thread.pc).toString(16)}, ` +
        `${syscall < 0 ? 'no system call' : `system call ${syscall}`}, ` +
        `attention ${mem.getI32(thread + Thread.attention)}, park word ${mem.getI32(thread + Thread.parkWord)}, ` +
        `host thread ${mem.getU32(thread + Thread.hostTid)}`,
    );
  }
  const lock = (name: string, address: number) => {
    const state = mem.getI32(address + Mutex.state);
    if (state === 0) return;
    const owner = mem.getU32(address + Mutex.owner);
    lines.push(`${name}: held by ${names.get(owner) ?? owner}${state === 2 ? ', awaited' : ''}`);
  };
  for (const mm of mms) {
    for (const name of ['mmapLock', 'stopLock', 'threadsLock'] as const)
      lock(`Mm ${mm} ${name}`, mm + Mm[name]);
    for (let i = 0; i < PAGE_TABLE_LOCKS; i++)
      lock(`Mm ${mm} page-table lock ${i}`, mm + Mm.pageTableLocks + i * Mutex.SIZE);
  }
  for (const name of ['guestsLock', 'filePagesLock', 'framesLock', 'heapLock', 'hostsLock'] as const)
    lock(name, MACHINE + Machine[name]);
  return lines;
}

function* allThreads(mem: SharedMemory): Generator<{ guest: number; thread: number }> {
  let guests = 0;
  for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0 && guests < 10_000; guests++) {
    let threads = 0;
    for (let t = mem.getU32(g + Guest.threads); t !== 0 && threads < 10_000; threads++) {
      yield { guest: g, thread: t };
      t = mem.getU32(t + Thread.nextInGuest);
    }
    g = mem.getU32(g + Guest.nextGuest);
  }
}
