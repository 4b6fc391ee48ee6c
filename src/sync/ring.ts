import { allocateBlock } from './heap.js';
import { lockMutex, Mutex, unlockMutex } from './mutex.js';
import { embedded, record, u32 } from './record.js';
import { MACHINE, Machine } from './records/machine.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * Requests to the coordinator: a bounded ring that any thread writes and the main thread drains. The writer then rings
 * the doorbell (a MessagePort, machine/doorbell); answers come back through shared memory (park words, records).
 */
export const RequestRing = record({
  lock: embedded(Mutex),
  /** Entries ever written and ever read; lock. */
  written: u32,
  read: u32,
});
const Request = record({ kind: u32, a: u32, b: u32, c: u32 });
const CAPACITY = 4096;

/** What may be asked of the coordinator. */
export enum RequestKind {
  /** Last thread of guest `a` is gone. */
  GuestEnded = 1,
  /** Idle hosts are short; `a` more are wanted. */
  HostsWanted = 2,
  /** The timers changed: look at the earliest deadline again. */
  TimersChanged = 4,
  /** Stream `a` (kernel/ stream record) has room (input) or bytes (output). */
  StreamReady = 5,
  /** Host `a` has stopped for good. */
  HostEnded = 6,
  /** Terminal `a` (kernel/files Tty record) has new settings: put the host's terminal in their mode. */
  TerminalChanged = 7,
  /** The first hot place was found: start the translator. */
  TranslatorWanted = 8,
  /** Socket `a` wants `b` (kernel/sockets HostOperation) with argument `c`. */
  Socket = 9,
  /** A guest reads terminal `a`: read the host's. */
  TerminalWanted = 20,
  /** Output of terminal `a` is left that the host's did not take. */
  TerminalOutput = 21,
  /** Guest `a`, which the embedder started, has been stopped by a signal. */
  GuestStopped = 22,
}

export interface CoordinatorRequest {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export function createRequestRing(mem: SharedMemory, owner: number): void {
  mem.setU32(
    MACHINE + Machine.requests,
    allocateBlock(mem, RequestRing.SIZE + CAPACITY * Request.SIZE, owner),
  );
}

/** Appends a request; returns false when the ring is full (the caller rings the doorbell and tries again). */
export function pushRequest(
  mem: SharedMemory,
  owner: number,
  kind: RequestKind,
  a = 0,
  b = 0,
  c = 0,
): boolean {
  const ring = mem.getU32(MACHINE + Machine.requests);
  lockMutex(mem, ring + RequestRing.lock, owner);
  const written = mem.getU32(ring + RequestRing.written);
  const full = (written - mem.getU32(ring + RequestRing.read)) >>> 0 >= CAPACITY;
  if (!full) {
    const entry = ring + RequestRing.SIZE + (written % CAPACITY) * Request.SIZE;
    mem.setU32(entry + Request.kind, kind);
    mem.setU32(entry + Request.a, a);
    mem.setU32(entry + Request.b, b);
    mem.setU32(entry + Request.c, c);
    mem.setU32(ring + RequestRing.written, written + 1);
  }
  unlockMutex(mem, ring + RequestRing.lock, owner);
  return !full;
}

/** Takes the oldest request, or undefined. */
export function takeRequest(mem: SharedMemory, owner: number): CoordinatorRequest | undefined {
  const ring = mem.getU32(MACHINE + Machine.requests);
  lockMutex(mem, ring + RequestRing.lock, owner);
  const read = mem.getU32(ring + RequestRing.read);
  let request: CoordinatorRequest | undefined;
  if (read !== mem.getU32(ring + RequestRing.written)) {
    const entry = ring + RequestRing.SIZE + (read % CAPACITY) * Request.SIZE;
    request = {
      kind: mem.getU32(entry + Request.kind),
      a: mem.getU32(entry + Request.a),
      b: mem.getU32(entry + Request.b),
      c: mem.getU32(entry + Request.c),
    };
    mem.setU32(ring + RequestRing.read, read + 1);
  }
  unlockMutex(mem, ring + RequestRing.lock, owner);
  return request;
}
