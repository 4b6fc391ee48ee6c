import { writeI32 } from '../../memory/userAccess.js';
import { FILE_DEVICE, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINVAL, ENOSPC } from '../errno.js';
import { fillRandom } from '../random.js';
import type { FileOperations } from './fileOperations.js';
import { DEV_DEV, madeStatus, S_IFCHR } from './fileStatus.js';
import { registerKind } from './openFile.js';

/** The character devices that Guesthouse makes. */
export const DEVICE_NULL = 1;
export const DEVICE_ZERO = 2;
export const DEVICE_FULL = 3;
export const DEVICE_RANDOM = 4;
export const DEVICE_URANDOM = 5;

const NUMBERS: Readonly<Record<number, bigint>> = {
  [DEVICE_NULL]: 0x103n,
  [DEVICE_ZERO]: 0x105n,
  [DEVICE_FULL]: 0x107n,
  [DEVICE_RANDOM]: 0x108n,
  [DEVICE_URANDOM]: 0x109n,
};

/** st_rdev of a device: major number 1 or 5, minor number as Linux has it. */
export function deviceNumber(device: number): bigint {
  return NUMBERS[device] ?? 0n;
}

/** Inode number of a device in /dev. */
export function deviceInode(device: number): bigint {
  return BigInt(device + 16);
}

/** Which device an open FILE_DEVICE is. */
export function deviceOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.detail);
}

const RNDGETENTCNT = 0x8004_5200 | 0;
/** What /proc/sys/kernel/random/entropy_avail says, too. */
const ENTROPY_BITS = 256;

const zeros = new Uint8Array(65536);
const scratch = new Uint8Array(65536);

const deviceOperations: FileOperations = {
  read(t, file, into) {
    const device = deviceOf(t.mem, file);
    if (device === DEVICE_NULL) return 0;
    const random = device === DEVICE_RANDOM || device === DEVICE_URANDOM;
    let done = 0;
    while (done < into.length) {
      const size = Math.min(zeros.length, into.length - done);
      const bytes = (random ? scratch : zeros).subarray(0, size);
      if (random) fillRandom(t.mem, bytes);
      const copied = into.copyOut(t, done, bytes);
      done += copied;
      if (copied < size || (random && t.signalPending())) break;
    }
    return done;
  },
  ioctl(t, file, request, argument) {
    const device = deviceOf(t.mem, file);
    const random = device === DEVICE_RANDOM || device === DEVICE_URANDOM;
    if (!random || (request | 0) !== RNDGETENTCNT) return undefined;
    writeI32(t, argument, ENTROPY_BITS);
    return 0;
  },
  write(t, file, from) {
    if (deviceOf(t.mem, file) === DEVICE_FULL && from.length > 0) return -ENOSPC;
    return from.length;
  },
  // null_lseek: anything goes, the position stays 0.
  seek: (_t, _file, _offset, whence) => (whence > 4 ? -EINVAL : 0),
  status(t, file) {
    const device = deviceOf(t.mem, file);
    return madeStatus({
      dev: DEV_DEV,
      ino: deviceInode(device),
      mode: S_IFCHR | 0o666,
      rdev: deviceNumber(device),
    });
  },
  sync: () => -EINVAL,
};

registerKind(FILE_DEVICE, deviceOperations);
