import { statfsSync } from 'node:fs';
import type { FileSystemStatus } from '../linux/structsFile.js';
import { hostArgument, hostCall } from './hostAccess.js';
import type { Place } from './place.js';

/** f_type of the file systems that Guesthouse makes (include/uapi/linux/magic.h). */
const PROC_SUPER_MAGIC = 0x9fa0;
const DEVPTS_SUPER_MAGIC = 0x1cd1;
const TMPFS_MAGIC = 0x01021994;
const SYSFS_MAGIC = 0x62656572;
const PIPEFS_MAGIC = 0x50495045;

function made(type: number): FileSystemStatus {
  return {
    type,
    blockSize: 4096,
    blocks: 0n,
    free: 0n,
    available: 0n,
    files: 0n,
    filesFree: 0n,
    readOnly: false,
  };
}

/** What statfs(2) tells of the file system at a place. */
export function fileSystemOf(place: Place): FileSystemStatus {
  if (place.kind === 'host') {
    // Of a file that has lost its name, its mount tells.
    const path = place.stats === undefined ? (place.mount.host ?? '/') : place.hostPath;
    const host = hostCall(() => statfsSync(hostArgument(path), { bigint: true }));
    return {
      type: Number(host.type),
      blockSize: Number(host.bsize),
      blocks: host.blocks,
      free: host.bfree,
      available: host.bavail,
      files: host.files,
      filesFree: host.ffree,
      readOnly: place.mount.readOnly,
    };
  }
  if (place.kind === 'opened') return made(PIPEFS_MAGIC);
  if (place.path === '/proc' || place.path.startsWith('/proc/')) return made(PROC_SUPER_MAGIC);
  if (place.path === '/sys' || place.path.startsWith('/sys/')) return made(SYSFS_MAGIC);
  if (place.path === '/dev/pts' || place.path.startsWith('/dev/pts/')) return made(DEVPTS_SUPER_MAGIC);
  return made(TMPFS_MAGIC);
}
