import { ENOENT, SyscallError } from '../errno.js';
import { openMaster } from '../terminals/masterFile.js';
import { openOwnTerminal, openTerminal } from '../terminals/terminalFile.js';
import { changeTerminal, statusOfNode, statusOfTerminal } from '../terminals/terminalNodes.js';
import { acquireTerminal, releaseTty, terminalNumbers } from '../terminals/tty.js';
import type { ThreadContext } from '../threadContext.js';
import {
  DEVICE_FULL,
  DEVICE_NULL,
  DEVICE_RANDOM,
  DEVICE_URANDOM,
  DEVICE_ZERO,
  deviceInode,
} from './devices.js';
import { DEV_DEV, DEV_PTS, type FileStatus, S_IFCHR } from './fileStatus.js';
import { fixedDirectory, type MadeNode, madeDirectory, madeLink } from './madeNode.js';

function device(number: number): MadeNode {
  return { mode: S_IFCHR | 0o666, dev: DEV_DEV, ino: deviceInode(number), device: number };
}

function link(name: string, target: string): MadeNode {
  return madeLink(`/dev/${name}`, DEV_DEV, () => target);
}

/** A device with a status and a way to be opened of its own. */
function special(
  status: (t: ThreadContext) => FileStatus,
  open: (t: ThreadContext, flags: number) => number,
): MadeNode {
  return { mode: S_IFCHR | 0o666, dev: DEV_DEV, ino: 0n, status, open };
}

const ptmx = special((t) => statusOfNode(t, 'ptmx'), openMaster);

/** /dev/pts/N, if there is that terminal. */
function terminalNode(t: ThreadContext, name: string): MadeNode | undefined {
  if (!/^(0|[1-9]\d{0,5})$/.test(name)) return undefined;
  const index = Number(name);
  const tty = acquireTerminal(t.mem, index, t.thread);
  if (tty === 0) return undefined;
  const status = statusOfTerminal(t.mem, tty);
  releaseTty(t.mem, tty, t.thread);
  return {
    mode: status.mode,
    dev: status.dev,
    ino: status.ino,
    status: () => status,
    open(c, flags) {
      const found = acquireTerminal(c.mem, index, c.thread);
      if (found === 0) throw new SyscallError(ENOENT);
      return openTerminal(c, found, flags);
    },
    change(c, what) {
      const found = acquireTerminal(c.mem, index, c.thread);
      if (found === 0) throw new SyscallError(ENOENT);
      changeTerminal(c.mem, found, what, c.thread);
      releaseTty(c.mem, found, c.thread);
    },
  };
}

/** The tree at /dev. /dev/shm is there when the machine mounts a directory at it. */
export const devRoot: MadeNode = fixedDirectory('/dev', DEV_DEV, {
  null: device(DEVICE_NULL),
  zero: device(DEVICE_ZERO),
  full: device(DEVICE_FULL),
  random: device(DEVICE_RANDOM),
  urandom: device(DEVICE_URANDOM),
  tty: special((t) => statusOfNode(t, 'tty'), openOwnTerminal),
  ptmx,
  pts: madeDirectory(
    '/dev/pts',
    DEV_PTS,
    (t) => ['ptmx', ...terminalNumbers(t.mem, t.thread).map(String)],
    (t, name) => (name === 'ptmx' ? ptmx : terminalNode(t, name)),
  ),
  stdin: link('stdin', '/proc/self/fd/0'),
  stdout: link('stdout', '/proc/self/fd/1'),
  stderr: link('stderr', '/proc/self/fd/2'),
  fd: link('fd', '/proc/self/fd'),
});
