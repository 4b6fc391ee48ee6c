import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { EventSource } from '../../sync/records/events.js';
import { FILE_EVENT, OpenFile } from '../../sync/records/openFile.js';
import { EventFd } from '../../sync/records/pipe.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EINVAL, ERESTARTSYS } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { READABLE, signalEvents, WRITABLE } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { anonymousStatus } from './fileStatus.js';
import { createOpenFile, registerKind } from './openFile.js';
import { O_NONBLOCK, O_RDWR } from './openFlags.js';

/** The counter never gets beyond this. */
const MAX = 0xffff_ffff_ffff_fffen;

/** An open file on a new eventfd(2) object. `flags` may hold O_NONBLOCK. */
export function createEventFd(
  mem: SharedMemory,
  initial: number,
  semaphore: boolean,
  flags: number,
  owner: number,
): number {
  const event = allocateBlock(mem, EventFd.SIZE, owner);
  mem.setU32(event + EventFd.low, initial);
  mem.setU32(event + EventFd.semaphore, semaphore ? 1 : 0);
  return createOpenFile(
    mem,
    { kind: FILE_EVENT, flags: O_RDWR | (flags & O_NONBLOCK), path: 'anon_inode:[eventfd]', object: event },
    owner,
  );
}

function eventOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

function counter(mem: SharedMemory, event: number): bigint {
  return BigInt(mem.getU32(event + EventFd.low)) | (BigInt(mem.getU32(event + EventFd.high)) << 32n);
}

function setCounter(mem: SharedMemory, event: number, value: bigint): void {
  mem.setU32(event + EventFd.high, Number(value >> 32n));
  // Last and atomic: readiness is looked at without the lock.
  mem.atomicStore(event + EventFd.low, Number(value & 0xffff_ffffn));
}

/** Makes the counter `value` and tells whoever waits. */
export function setEventFd(mem: SharedMemory, file: number, value: bigint, owner: number): void {
  const event = eventOf(mem, file);
  withMutex(mem, event + EventFd.lock, owner, () => setCounter(mem, event, value));
  if (value > 0n) signalEvents(mem, event + EventFd.source, READABLE, owner);
}

/** Runs `attempt` until it does not say −EAGAIN, or gives that back for a non-blocking file. */
function untilDone(t: ThreadContext, file: number, ready: () => boolean, attempt: () => number): number {
  const { mem } = t;
  for (;;) {
    const result = attempt();
    if (result !== -EAGAIN || mustNotWait(t, file)) return result;
    const outcome = waitInQueue(t, eventOf(mem, file) + EventFd.source + EventSource.waiters, ready);
    if (outcome === 'interrupted') return -ERESTARTSYS;
  }
}

const eventOperations: FileOperations = {
  read(t, file, into) {
    if (into.length < 8) return -EINVAL;
    into.probe(t, 'write');
    const { mem, thread } = t;
    const event = eventOf(mem, file);
    let taken = 0n;
    const attempt = (): number =>
      withMutex(mem, event + EventFd.lock, thread, () => {
        const value = counter(mem, event);
        if (value === 0n) return -EAGAIN;
        taken = mem.getU32(event + EventFd.semaphore) ? 1n : value;
        setCounter(mem, event, value - taken);
        return 8;
      });
    const result = untilDone(t, file, () => counter(mem, event) !== 0n, attempt);
    if (result !== 8) return result;
    signalEvents(mem, event + EventFd.source, WRITABLE, thread);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, taken, true);
    return into.copyOut(t, 0, bytes);
  },
  write(t, file, from) {
    if (from.length < 8) return -EINVAL;
    const { mem, thread } = t;
    const event = eventOf(mem, file);
    const bytes = new Uint8Array(8);
    from.copyIn(t, 0, bytes);
    const value = new DataView(bytes.buffer).getBigUint64(0, true);
    if (value === 0xffff_ffff_ffff_ffffn) return -EINVAL;
    const attempt = (): number =>
      withMutex(mem, event + EventFd.lock, thread, () => {
        const before = counter(mem, event);
        if (before + value > MAX) return -EAGAIN;
        setCounter(mem, event, before + value);
        return 8;
      });
    const result = untilDone(t, file, () => counter(mem, event) + value <= MAX, attempt);
    if (result === 8) signalEvents(mem, event + EventFd.source, READABLE, thread);
    return result;
  },
  poll(mem, file) {
    const value = counter(mem, eventOf(mem, file));
    return (value > 0n ? READABLE : 0) | (value < MAX ? WRITABLE : 0);
  },
  eventSource(mem, file) {
    return eventOf(mem, file) + EventFd.source;
  },
  status: anonymousStatus,
  release(mem, file, owner) {
    freeBlock(mem, eventOf(mem, file), owner);
  },
};

registerKind(FILE_EVENT, eventOperations);
