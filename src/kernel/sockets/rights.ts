import { withMutex } from '../../sync/mutex.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_SOCKET, OpenFile } from '../../sync/records/openFile.js';
import { SOCKET_LISTENING, Socket, Sockets } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CAP_SYS_ADMIN, CAP_SYS_RESOURCE, capable } from '../capabilities.js';
import { descriptorLimit } from '../files/descriptors.js';
import { releaseOpenFile } from '../files/openFile.js';
import type { ThreadContext } from '../threadContext.js';
import { AF_UNIX, SOCK_STREAM } from './socketNumbers.js';
import { discardQueueLocked, filesInQueueLocked } from './socketQueue.js';

/**
 * Descriptors in flight. A socket that was sent away and closed lives on in a queue; when that queue is its own, or that of
 * another one in the same state, nobody can ever receive it, and it must be found (net/unix/garbage.c): a socket whose every
 * reference is held by queues, and which cannot be had from the queue of a socket that somebody has.
 */

function isUnixSocket(mem: SharedMemory, file: number): boolean {
  if (mem.getU32(file + OpenFile.kind) !== FILE_SOCKET) return false;
  return mem.getU32(mem.getU32(file + OpenFile.object) + Socket.family) === AF_UNIX;
}

function queued(mem: SharedMemory, socket: number, owner: number): number[] {
  const packets = mem.getU32(socket + Socket.type) !== SOCK_STREAM;
  const files = filesInQueueLocked(mem, socket, packets, owner);
  if (mem.atomicLoad(socket + Socket.state) === SOCKET_LISTENING) {
    // Nobody can accept or reset them meanwhile; a listener's lock comes before those of what waits there.
    withMutex(mem, socket + Socket.lock, owner, () => {
      let child = mem.getU32(socket + Socket.waitingFirst);
      for (; child !== 0; child = mem.getU32(child + Socket.nextWaiting))
        files.push(...queued(mem, child, owner));
    });
  }
  return files;
}

/** Whether a process may send no more descriptors: so many are in flight as it may have (ETOOMANYREFS). */
export function tooManyInFlight(t: ThreadContext): boolean {
  const global = t.mem.atomicLoad(MACHINE + Machine.sockets) >>> 0;
  if (global === 0 || capable(t, CAP_SYS_RESOURCE) || capable(t, CAP_SYS_ADMIN)) return false;
  return t.mem.atomicLoad(global + Sockets.inFlight) > descriptorLimit(t);
}

/** Closes sockets that nobody can reach any more. No lock is held. */
export function collectUnreachable(mem: SharedMemory, owner: number): void {
  const global = mem.atomicLoad(MACHINE + Machine.sockets) >>> 0;
  if (global === 0 || mem.atomicLoad(global + Sockets.inFlight) === 0) return;
  const files = withMutex(mem, global + Sockets.lock, owner, () => {
    const candidates: number[] = [];
    const reached: number[] = [];
    for (let s = mem.getU32(global + Sockets.all); s !== 0; s = mem.getU32(s + Socket.nextOfAll)) {
      const file = mem.getU32(s + Socket.file);
      const inFlight = mem.getI32(file + OpenFile.inFlight);
      const unheld =
        mem.getU32(s + Socket.family) === AF_UNIX &&
        inFlight > 0 &&
        mem.atomicLoad(file + OpenFile.refs) === inFlight;
      mem.setU32(s + Socket.reached, unheld ? 0 : 1);
      (unheld ? candidates : reached).push(s);
    }
    if (candidates.length === 0) return [];
    for (let socket = reached.pop(); socket !== undefined; socket = reached.pop()) {
      if (mem.getU32(socket + Socket.family) !== AF_UNIX) continue;
      for (const file of queued(mem, socket, owner)) {
        if (!isUnixSocket(mem, file)) continue;
        const inside = mem.getU32(file + OpenFile.object);
        if (mem.getU32(inside + Socket.reached) !== 0) continue;
        mem.setU32(inside + Socket.reached, 1);
        reached.push(inside);
      }
    }
    return candidates
      .filter((socket) => mem.getU32(socket + Socket.reached) === 0)
      .flatMap((socket) =>
        discardQueueLocked(mem, socket, mem.getU32(socket + Socket.type) !== SOCK_STREAM, owner),
      );
  });
  for (const file of files) releaseOpenFile(mem, file, owner);
}
