import { DEV_NS, DEV_PROC, type FileStatus, madeStatus, S_IFREG } from './fileStatus.js';
import { type MadeNode, madeDirectory, madeLink } from './madeNode.js';

/**
 * /proc/PID/ns (namespaces(7)): the machine's own namespaces, one of each kind, in which all processes are. Their numbers are those
 * of Linux's first ones.
 */

interface Namespace {
  /** CLONE_NEW*. */
  readonly flag: number;
  readonly inode: number;
}

const NAMESPACES: Readonly<Record<string, Namespace>> = {
  cgroup: { flag: 0x0200_0000, inode: 4026531835 },
  ipc: { flag: 0x0800_0000, inode: 4026531839 },
  mnt: { flag: 0x0002_0000, inode: 4026531841 },
  net: { flag: 0x4000_0000, inode: 4026531840 },
  pid: { flag: 0x2000_0000, inode: 4026531836 },
  time: { flag: 0x80, inode: 4026531834 },
  user: { flag: 0x1000_0000, inode: 4026531837 },
  uts: { flag: 0x0400_0000, inode: 4026531838 },
};

/** The links, and the kind of namespace that each leads to. */
const LINKS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.keys(NAMESPACES).map((kind) => [kind, kind])),
  pid_for_children: 'pid',
  time_for_children: 'time',
};

/** The path that an open namespace has. */
const OPENED = /^(\w+):\[\d+\]$/;

/** CLONE_NEW* of the namespace that an open file with this path is, or 0. */
export function namespaceFlag(path: string): number {
  return NAMESPACES[OPENED.exec(path)?.[1] ?? '']?.flag ?? 0;
}

/** The status of an open namespace by its path; undefined for another file. */
export function namespaceStatus(path: string): FileStatus | undefined {
  const namespace = NAMESPACES[OPENED.exec(path)?.[1] ?? ''];
  if (namespace === undefined) return undefined;
  return madeStatus({ dev: DEV_NS, ino: BigInt(namespace.inode), mode: S_IFREG | 0o444 });
}

/** The directory at `path`. */
export function namespacesDirectory(path: string): MadeNode {
  const names = Object.keys(LINKS).sort();
  return madeDirectory(
    path,
    DEV_PROC,
    () => names,
    (_t, name) => {
      const kind = Object.hasOwn(LINKS, name) ? LINKS[name] : undefined;
      if (kind === undefined) return undefined;
      const { inode } = NAMESPACES[kind];
      const shown = `${kind}:[${inode}]`;
      const node: MadeNode = {
        mode: S_IFREG | 0o444,
        dev: DEV_NS,
        ino: BigInt(inode),
        render: () => '',
      };
      return madeLink(
        `${path}/${name}`,
        DEV_PROC,
        () => shown,
        () => ({ kind: 'made', path: shown, node }),
      );
    },
  );
}
