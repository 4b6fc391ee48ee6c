import { allocateBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { FILE_PIPE } from '../../sync/records/openFile.js';
import { Pipe, STREAM_INPUT, STREAM_OUTPUT, Stream } from '../../sync/records/pipe.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { POLLERR, POLLHUP, READABLE, signalEvents, WRITABLE } from './events.js';
import { createOpenFile } from './openFile.js';
import { O_RDONLY, O_WRONLY } from './openFlags.js';
import {
  attachPipe,
  createPipe,
  detachPipe,
  dropPipe,
  holdPipe,
  pipeUsed,
  putBytes,
  sourceOf,
  takeBytes,
} from './pipe.js';

/**
 * Streams: pipes whose other end is the main thread, for a host stdin that is no regular file and for an embedder's
 * callbacks. The main thread never waits here. It looks at a stream when RequestKind.StreamReady names it, and calls
 * `beginStreamTurn` first:
 *  - input: a reader wants bytes (only then start to read the host), or has emptied the pipe: push more;
 *  - output: bytes are there, or the last writer is gone (`streamEnded`).
 */

/** The main thread's end of a new pipe: `direction` is the guest's point of view. */
export function createStream(mem: SharedMemory, owner: number, direction: 'input' | 'output'): number {
  const stream = allocateBlock(mem, Stream.SIZE, owner);
  const pipe = createPipe(mem, owner);
  const input = direction === 'input';
  mem.setU32(stream + Stream.pipe, pipe);
  mem.setU32(stream + Stream.direction, input ? STREAM_INPUT : STREAM_OUTPUT);
  mem.setU32(pipe + Pipe.stream, stream);
  attachPipe(mem, pipe, input ? O_WRONLY : O_RDONLY, owner);
  return stream;
}

/** An open file on the guests' end of the stream. */
export function openStream(mem: SharedMemory, stream: number, owner: number): number {
  const pipe = mem.getU32(stream + Stream.pipe);
  const access = mem.getU32(stream + Stream.direction) === STREAM_INPUT ? O_RDONLY : O_WRONLY;
  attachPipe(mem, pipe, access, owner);
  return createOpenFile(
    mem,
    { kind: FILE_PIPE, flags: access, path: `pipe:[${mem.getU32(pipe + Pipe.id)}]`, object: pipe },
    owner,
  );
}

/** To be called before looking at a stream: whatever happens from now on makes a new request. */
export function beginStreamTurn(mem: SharedMemory, stream: number, owner: number): void {
  const pipe = mem.getU32(stream + Stream.pipe);
  withMutex(mem, pipe + Pipe.lock, owner, () => mem.setU32(stream + Stream.asked, 0));
}

/** Input: appends what fits of `bytes` and wakes the readers; returns how many bytes were taken. */
export function pushStreamBytes(mem: SharedMemory, stream: number, bytes: Uint8Array, owner: number): number {
  const pipe = mem.getU32(stream + Stream.pipe);
  const count = putBytes(mem, pipe, bytes, owner, false);
  if (count > 0) signalEvents(mem, sourceOf(pipe), READABLE, owner);
  return count;
}

/** Input: bytes that can be pushed now. */
export function streamRoom(mem: SharedMemory, stream: number): number {
  const pipe = mem.getU32(stream + Stream.pipe);
  return mem.getU32(pipe + Pipe.capacity) - pipeUsed(mem, pipe);
}

/** Output: takes up to `max` bytes out and wakes writers that wait for room. Empty when there are none. */
export function takeStreamBytes(mem: SharedMemory, stream: number, max: number, owner: number): Uint8Array {
  const pipe = mem.getU32(stream + Stream.pipe);
  const bytes = new Uint8Array(Math.min(max, pipeUsed(mem, pipe)));
  const count = takeBytes(mem, pipe, bytes, owner);
  if (count > 0) signalEvents(mem, sourceOf(pipe), WRITABLE, owner);
  return bytes.subarray(0, count);
}

/** The guests have closed their end (and, for output, nothing is left to take). */
export function streamEnded(mem: SharedMemory, stream: number): boolean {
  const pipe = mem.getU32(stream + Stream.pipe);
  if (mem.getU32(stream + Stream.direction) === STREAM_INPUT) return mem.atomicLoad(pipe + Pipe.readers) <= 0;
  return mem.atomicLoad(pipe + Pipe.writers) <= 0 && pipeUsed(mem, pipe) === 0;
}

/**
 * The main thread closes its end: readers see the end of the input, writers EPIPE. The stream's address may still turn
 * up in requests until `freeStream`.
 */
export function endStream(mem: SharedMemory, stream: number, owner: number): void {
  const pipe = mem.getU32(stream + Stream.pipe);
  if (mem.getU32(stream + Stream.closed) !== 0) return;
  mem.setU32(stream + Stream.closed, 1);
  const input = mem.getU32(stream + Stream.direction) === STREAM_INPUT;
  holdPipe(mem, pipe, owner);
  detachPipe(mem, pipe, input ? O_WRONLY : O_RDONLY, owner);
  signalEvents(mem, sourceOf(pipe), READABLE | WRITABLE | POLLHUP | POLLERR, owner);
}

/**
 * Gives the main thread's stream up for good; its memory goes when the guests' ends are closed too. The address must not
 * be used any more, also not when a late request names it.
 */
export function freeStream(mem: SharedMemory, stream: number, owner: number): void {
  endStream(mem, stream, owner);
  dropPipe(mem, mem.getU32(stream + Stream.pipe), owner);
}
