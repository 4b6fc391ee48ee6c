import { withMutex } from '../../sync/mutex.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { DEV_DEV, DEV_PTS, type FileStatus, madeStatus, S_IFCHR } from '../files/fileStatus.js';
import { inodeOfPath } from '../files/madeNode.js';
import type { ThreadContext } from '../threadContext.js';

/** What stat(2) tells of terminals. */

/** The devices that are not one terminal: /dev/tty and /dev/ptmx, with their numbers. */
const NODES = {
  tty: { path: '/dev/tty', dev: DEV_DEV, rdev: 0x500n, mode: 0o666 },
  ptmx: { path: '/dev/ptmx', dev: DEV_DEV, rdev: 0x502n, mode: 0o666 },
} as const;
const PTS_MAJOR = 136;
/** Inode number of /dev/pts/0. */
const FIRST_INODE = 3;

/** Status of /dev/tty or /dev/ptmx. */
export function statusOfNode(_t: ThreadContext, name: keyof typeof NODES): FileStatus {
  const { path, dev, rdev, mode } = NODES[name];
  return madeStatus({ dev, ino: BigInt(inodeOfPath(path)), mode: S_IFCHR | mode, rdev });
}

/** dev_t of a terminal as programs see it: new_encode_dev. */
export function terminalDevice(mem: SharedMemory, tty: number): number {
  const index = mem.getU32(tty + Tty.index);
  return (index & 0xff) | (PTS_MAJOR << 8) | ((index & ~0xff) << 12);
}

/** Status of /dev/pts/N. */
export function statusOfTerminal(mem: SharedMemory, tty: number): FileStatus {
  return madeStatus({
    dev: DEV_PTS,
    ino: BigInt(FIRST_INODE + mem.getU32(tty + Tty.index)),
    mode: S_IFCHR | mem.getU32(tty + Tty.mode),
    rdev: BigInt(terminalDevice(mem, tty)),
    uid: mem.getU32(tty + Tty.uid),
    gid: mem.getU32(tty + Tty.gid),
    blockSize: 1024,
  });
}

/** chmod and chown of a terminal; −1 leaves an id alone. */
export function changeTerminal(
  mem: SharedMemory,
  tty: number,
  { mode, uid = -1, gid = -1 }: { readonly mode?: number; readonly uid?: number; readonly gid?: number },
  owner: number,
): void {
  withMutex(mem, tty + Tty.lock, owner, () => {
    if (mode !== undefined) mem.setU32(tty + Tty.mode, mode & 0o7777);
    if ((uid | 0) !== -1) mem.setU32(tty + Tty.uid, uid);
    if ((gid | 0) !== -1) mem.setU32(tty + Tty.gid, gid);
  });
}
