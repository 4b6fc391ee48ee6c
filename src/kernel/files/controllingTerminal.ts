import { OPEN_TERMINAL, OpenFile } from '../../sync/records/openFile.js';
import { ENXIO, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { acquireFile } from './filesTable.js';
import { flagsOf, releaseOpenFile } from './openFile.js';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from './openFlags.js';

/**
 * open("/dev/tty"): the terminal that one of the guest's standard streams is. It is shared with that stream; an open for
 * both reading and writing gives one that can be written, since terminals here are two streams.
 */
export function openTerminal(t: ThreadContext, flags: number): number {
  const wanted = (flags & O_ACCMODE) === O_RDONLY ? [0] : [2, 1];
  for (const fd of wanted) {
    const file = acquireFile(t.mem, t.files, fd, t.thread);
    if (file === 0) continue;
    const access = flagsOf(t.mem, file) & O_ACCMODE;
    const fits = fd === 0 ? access !== O_WRONLY : access !== O_RDONLY;
    if (fits && t.mem.getU32(file + OpenFile.attributes) & OPEN_TERMINAL) return file;
    releaseOpenFile(t.mem, file, t.thread);
  }
  throw new SyscallError(ENXIO);
}

/** Says whether the guest has a terminal. */
export function hasTerminal(t: ThreadContext): boolean {
  for (const fd of [0, 1, 2]) {
    const file = acquireFile(t.mem, t.files, fd, t.thread);
    if (file === 0) continue;
    const terminal = (t.mem.getU32(file + OpenFile.attributes) & OPEN_TERMINAL) !== 0;
    releaseOpenFile(t.mem, file, t.thread);
    if (terminal) return true;
  }
  return false;
}
