import { hasTerminal } from './controllingTerminal.js';
import {
  DEVICE_FULL,
  DEVICE_NULL,
  DEVICE_PTS,
  DEVICE_RANDOM,
  DEVICE_TTY,
  DEVICE_URANDOM,
  DEVICE_ZERO,
  deviceInode,
} from './devices.js';
import { DEV_DEV, S_IFCHR } from './fileStatus.js';
import { fixedDirectory, type MadeNode, madeDirectory, madeLink } from './madeNode.js';

function device(number: number, mode = 0o666): MadeNode {
  return { mode: S_IFCHR | mode, dev: DEV_DEV, ino: deviceInode(number), device: number };
}

function link(name: string, target: string): MadeNode {
  return madeLink(`/dev/${name}`, DEV_DEV, () => target);
}

/** The tree at /dev. /dev/shm is there when the machine mounts a directory at it. */
export const devRoot: MadeNode = fixedDirectory('/dev', DEV_DEV, {
  null: device(DEVICE_NULL),
  zero: device(DEVICE_ZERO),
  full: device(DEVICE_FULL),
  random: device(DEVICE_RANDOM),
  urandom: device(DEVICE_URANDOM),
  tty: device(DEVICE_TTY),
  pts: madeDirectory(
    '/dev/pts',
    DEV_DEV,
    (t) => (hasTerminal(t) ? ['0'] : []),
    (t, name) => (name === '0' && hasTerminal(t) ? device(DEVICE_PTS, 0o620) : undefined),
  ),
  stdin: link('stdin', '/proc/self/fd/0'),
  stdout: link('stdout', '/proc/self/fd/1'),
  stderr: link('stderr', '/proc/self/fd/2'),
  fd: link('fd', '/proc/self/fd'),
});
