import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { Pipe, Stream } from '../../sync/records/pipe.js';
import { pushRequest, RequestKind } from '../../sync/ring.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';

let defaultRing: () => void = () => {};

/** Sets the doorbell of this worker, for requests made where no ThreadContext is at hand (release of a file). */
export function setStreamDoorbell(ring: () => void): void {
  defaultRing = ring;
}

/** Rings the coordinator's doorbell from this worker; the main thread itself looks at its requests at its next turn. */
export function ringCoordinator(): void {
  defaultRing();
}

/**
 * Tells the main thread to look at `stream`: bytes or room are there, or the guests have closed their end. One request
 * is enough until the main thread has looked (`beginStreamTurn`).
 */
export function askCoordinator(
  mem: SharedMemory,
  stream: number,
  owner: number,
  ring: () => void = defaultRing,
): void {
  const pipe = mem.getU32(stream + Stream.pipe);
  lockMutex(mem, pipe + Pipe.lock, owner);
  const asked = mem.getU32(stream + Stream.asked) !== 0;
  mem.setU32(stream + Stream.asked, 1);
  unlockMutex(mem, pipe + Pipe.lock, owner);
  if (asked) return;
  // The ring is emptied by the main thread alone; it is large, and a full one means that it is busy with others.
  while (!pushRequest(mem, owner, RequestKind.StreamReady, stream)) ring();
  ring();
}
