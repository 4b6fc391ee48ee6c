import type { ThreadContext } from '../threadContext.js';
import { DEV_ROOT } from './fileStatus.js';
import { lstatHost } from './hostAccess.js';
import type { Mount } from './mountTable.js';
import { mountsOf } from './pathResolution.js';

/** /proc/PID/mounts and mountinfo: what the guest's tree is put together from; never a host path. */

interface MountLine {
  readonly point: string;
  readonly type: string;
  readonly source: string;
  readonly options: string;
  readonly dev: bigint;
}

/** Blanks and backslashes of a path as octal escapes. */
function escapePath(path: string): string {
  return path.replace(/[ \t\n\\]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

/** File systems that Guesthouse makes, by mount point. */
const MADE_TYPES: Readonly<Record<string, string>> = { '/proc': 'proc', '/sys': 'sysfs', '/dev': 'devtmpfs' };

function describe(mount: Mount): MountLine {
  const point = escapePath(mount.guest);
  if (mount.host !== undefined) {
    return {
      point,
      type: 'ext4',
      source: 'guesthouse',
      options: `${mount.readOnly ? 'ro' : 'rw'},relatime`,
      dev: lstatHost(mount.host)?.dev ?? 0n,
    };
  }
  const type = MADE_TYPES[mount.guest] ?? 'tmpfs';
  return {
    point,
    type,
    source: type === 'tmpfs' ? 'guesthouse' : type,
    options: type === 'tmpfs' ? 'ro,relatime' : 'rw,nosuid,relatime',
    dev: mount.made?.dev ?? DEV_ROOT,
  };
}

function lines(t: ThreadContext): MountLine[] {
  return [...mountsOf(t).byPath.values()]
    .map(describe)
    .sort((a, b) => (a.point < b.point ? -1 : a.point > b.point ? 1 : 0));
}

/** /proc/PID/mounts. */
export function renderMounts(t: ThreadContext): string {
  return lines(t)
    .map(({ source, point, type, options }) => `${source} ${point} ${type} ${options} 0 0\n`)
    .join('');
}

/** /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
export function renderMountInfo(t: ThreadContext): string {
  return lines(t)
    .map(({ source, point, type, options, dev }, i) => {
      const word = Number(dev & 0xffff_ffffn);
      const device = `${(word & 0xfff00) >>> 8}:${(word & 0xff) | ((word >>> 12) & 0xfff00)}`;
      return `${i + 20} ${i === 0 ? 1 : 20} ${device} / ${point} ${options} - ${type} ${source} ${options.split(',')[0]}\n`;
    })
    .join('');
}
