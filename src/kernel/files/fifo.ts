import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { lockMutex, unlockMutex, withMutex } from '../../sync/mutex.js';
import { EventSource } from '../../sync/records/events.js';
import { FilesGlobal } from '../../sync/records/files.js';
import { FILE_PIPE } from '../../sync/records/openFile.js';
import { Fifo, Pipe } from '../../sync/records/pipe.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { ENXIO, EPERM, ERESTARTSYS, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { waitInQueue } from '../waiting.js';
import { filesGlobal } from './filesGlobal.js';
import { ofNode, withParent } from './hostAccess.js';
import { createOpenFile, releaseOpenFile } from './openFile.js';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_RDWR } from './openFlags.js';
import { attachPipe, createPipe, dropPipe, holdPipe, sourceOf } from './pipe.js';
import type { HostPlace } from './place.js';

/**
 * Named pipes: the name is the host's, the pipe itself is the machine's. Guests of one machine meet in it; processes of
 * the host do not take part.
 */

/** The pipe of a FIFO, with one reference that is not an end. */
function pipeOfFifo(t: ThreadContext, place: HostPlace): number {
  const { mem, thread } = t;
  const dev = Number(place.stats?.dev ?? 0n);
  const ino = Number(place.stats?.ino ?? 0n);
  const global = filesGlobal(mem, thread);
  return withMutex(mem, global + FilesGlobal.fifosLock, thread, () => {
    sweep(mem, global, thread);
    for (let fifo = mem.getU32(global + FilesGlobal.fifos); fifo !== 0; fifo = mem.getU32(fifo + Fifo.next)) {
      if (mem.getU64(fifo + Fifo.dev) !== dev || mem.getU64(fifo + Fifo.ino) !== ino) continue;
      const pipe = mem.getU32(fifo + Fifo.pipe);
      holdPipe(mem, pipe, thread);
      return pipe;
    }
    const pipe = createPipe(mem, thread);
    // One reference for the list, one for the caller.
    holdPipe(mem, pipe, thread);
    holdPipe(mem, pipe, thread);
    const fifo = allocateBlock(mem, Fifo.SIZE, thread);
    mem.setU32(fifo + Fifo.pipe, pipe);
    mem.set64(fifo + Fifo.dev, dev);
    mem.set64(fifo + Fifo.ino, ino);
    mem.setU32(fifo + Fifo.next, mem.getU32(global + FilesGlobal.fifos));
    mem.setU32(global + FilesGlobal.fifos, fifo);
    return pipe;
  });
}

/** Forgets FIFOs that nobody has open. fifosLock is held. */
function sweep(mem: SharedMemory, global: number, owner: number): void {
  let link = global + FilesGlobal.fifos;
  for (let fifo = mem.getU32(link); fifo !== 0; fifo = mem.getU32(link)) {
    const pipe = mem.getU32(fifo + Fifo.pipe);
    lockMutex(mem, pipe + Pipe.lock, owner);
    const unused = mem.getI32(pipe + Pipe.refs) === 1;
    unlockMutex(mem, pipe + Pipe.lock, owner);
    if (!unused) {
      link = fifo + Fifo.next;
      continue;
    }
    mem.setU32(link, mem.getU32(fifo + Fifo.next));
    freeBlock(mem, fifo, owner);
    dropPipe(mem, pipe, owner);
  }
}

/**
 * open(2) of a FIFO: waits for the other side as fifo(7) says. Returns the open file, which owns `hostFd`: the name on the host
 * (O_PATH), for fstat, or −1.
 */
export function openFifo(t: ThreadContext, place: HostPlace, flags: number, hostFd: number): number {
  const { mem, thread } = t;
  const access = flags & O_ACCMODE;
  const pipe = pipeOfFifo(t, place);
  let file = 0;
  try {
    if (
      access !== O_RDONLY &&
      access !== O_RDWR &&
      flags & O_NONBLOCK &&
      mem.atomicLoad(pipe + Pipe.readers) <= 0
    )
      throw new SyscallError(ENXIO);
    const reads = access === O_RDONLY;
    const opens = pipe + (reads ? Pipe.writerOpens : Pipe.readerOpens);
    const before = mem.atomicLoad(opens);
    const met = attachPipe(mem, pipe, access, thread);
    const parts = { kind: FILE_PIPE, flags, path: place.path, object: pipe, hostFd };
    file = createOpenFile(mem, parts, thread);
    if (met || access === O_RDWR || flags & O_NONBLOCK) return file;
    const outcome = waitInQueue(
      t,
      sourceOf(pipe) + EventSource.waiters,
      () => mem.atomicLoad(opens) !== before,
      { stays: true },
    );
    if (outcome !== 'interrupted') return file;
    releaseOpenFile(mem, file, thread);
    throw new SyscallError(ERESTARTSYS);
  } finally {
    if (file === 0 && hostFd >= 0) closeSync(hostFd);
    dropPipe(mem, pipe, thread);
  }
}

/** mknod(2) of a FIFO, by the host's mkfifo program, since Node has no such call. */
export function createFifo(place: HostPlace, mode: number): void {
  withParent(place, (own) => {
    const path = ofNode(own);
    const done = spawnSync(
      'mkfifo',
      ['-m', mode.toString(8), '--', Buffer.from(path, 'latin1').toString('utf8')],
      {
        stdio: 'ignore',
      },
    );
    if (done.status !== 0) throw new SyscallError(EPERM);
  });
}
