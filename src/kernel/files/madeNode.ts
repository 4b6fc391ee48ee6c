import type { ThreadContext } from '../threadContext.js';
import { type FileStatus, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from './fileStatus.js';
import type { Place } from './place.js';

/** A name in a directory that Guesthouse makes. */
export interface MadeEntry {
  readonly name: string;
  /** S_IF* bits. */
  readonly type: number;
}

/**
 * A file, directory, link or device of /proc, /sys and /dev. Nodes are made on the fly at each look-up and hold no state
 * of their own: what they show is read from shared memory when it is asked for.
 */
export interface MadeNode {
  /** S_IF* and permission bits. */
  readonly mode: number;
  /** Device and inode numbers. */
  readonly dev: bigint;
  readonly ino: bigint;
  /** Directories: the entry of that name. */
  lookup?(t: ThreadContext, name: string): MadeNode | undefined;
  /** Directories: all entries but '.' and '..'. */
  list?(t: ThreadContext): MadeEntry[];
  /** Symbolic links: the target, a byte string. */
  target?(t: ThreadContext): string;
  /** The link leads to a place, not to a name: `target` is a canonical path as seen from the mounts' own root. */
  readonly magic?: boolean;
  /** "Magic" links: the very file that the link stands for, when it has no name that could be followed. */
  jump?(t: ThreadContext): Place | undefined;
  /** Regular files: the text at this moment (byte string). */
  render?(t: ThreadContext): string;
  /** Regular files that can be written: takes what was written in one write(2); returns −errno or the length. */
  store?(t: ThreadContext, text: string): number;
  /** Devices: DEVICE_* of devices.ts. */
  readonly device?: number;
  /** Devices that are opened in a way of their own; throws SyscallError. */
  open?(t: ThreadContext, flags: number): number;
  /** User and group; default 0. */
  owner?(t: ThreadContext): readonly [uid: number, gid: number];
  /** Devices with an owner and a number of their own. */
  status?(t: ThreadContext): FileStatus;
  /** chmod and chown, where they mean something; −1 leaves an id alone. */
  change?(
    t: ThreadContext,
    what: { readonly mode?: number; readonly uid?: number; readonly gid?: number },
  ): void;
}

/** A number for a made file that is the same whenever its path is (FNV-1a). */
export function inodeOfPath(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return (hash >>> 0) + 2;
}

/** A directory with entries that are made when they are looked at. */
export function madeDirectory(
  path: string,
  dev: bigint,
  names: (t: ThreadContext) => readonly string[],
  lookup: (t: ThreadContext, name: string) => MadeNode | undefined,
): MadeNode {
  return {
    mode: S_IFDIR | 0o555,
    dev,
    ino: BigInt(inodeOfPath(path)),
    lookup,
    list(t) {
      const entries: MadeEntry[] = [];
      for (const name of names(t)) {
        const node = lookup(t, name);
        if (node !== undefined) entries.push({ name, type: node.mode & S_IFMT });
      }
      return entries;
    },
  };
}

/** A directory with fixed entries. */
export function fixedDirectory(
  path: string,
  dev: bigint,
  entries: Readonly<Record<string, MadeNode>>,
): MadeNode {
  const names = Object.keys(entries);
  return madeDirectory(
    path,
    dev,
    () => names,
    (_t, name) => (Object.hasOwn(entries, name) ? entries[name] : undefined),
  );
}

/** A file whose text is made when it is opened. */
export function madeText(
  path: string,
  dev: bigint,
  render: (t: ThreadContext) => string,
  mode = 0o444,
): MadeNode {
  return { mode: S_IFREG | mode, dev, ino: BigInt(inodeOfPath(path)), render };
}

/** A symbolic link. */
export function madeLink(
  path: string,
  dev: bigint,
  target: (t: ThreadContext) => string,
  jump?: (t: ThreadContext) => Place | undefined,
): MadeNode {
  const link = { mode: S_IFLNK | 0o777, dev, ino: BigInt(inodeOfPath(path)), target };
  return jump === undefined ? link : { ...link, jump, magic: true };
}
