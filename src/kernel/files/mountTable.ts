import { realpathSync, statSync } from 'node:fs';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { MountTable } from '../../sync/records/files.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { allocateText, freeText, textBytes } from '../../sync/text.js';
import { uniqueId } from './filesGlobal.js';
import type { MadeNode } from './madeNode.js';

/** One place of the host that a guest sees. */
export interface MountOption {
  /** Absolute guest path. */
  readonly guest: string;
  /** Host path. */
  readonly host: string;
  readonly readOnly: boolean;
  /** The mount is a single file (the executable), not a directory. */
  readonly file?: boolean;
}

/** What of the host a guest sees: its sandbox. Plain data; paths are ordinary (Unicode) strings. */
export interface MountOptions {
  /** Host directory that is the guest's `/`; null for an empty one that holds only mount points. */
  readonly root: string | null;
  /** The root itself is read-only. */
  readonly rootReadOnly?: boolean;
  readonly mounts: readonly MountOption[];
}

/** A mount as path resolution uses it; all paths are byte strings. */
export interface Mount {
  /** Canonical guest path of the mount point, '/' for the root. */
  readonly guest: string;
  /** Host directory or file without symbolic links, without trailing slash ('' for '/'); undefined for made trees. */
  readonly host: string | undefined;
  readonly readOnly: boolean;
  readonly file: boolean;
  /** Root of a tree that Guesthouse makes (proc, dev, sys). */
  readonly made?: MadeNode;
}

/** A MountTable in a worker's own form. */
export interface ParsedMounts {
  readonly root: Mount;
  /** Mounts by canonical guest path, '/' included. */
  readonly byPath: ReadonlyMap<string, Mount>;
  /** Names below a guest directory that exist because something is mounted at or below them. */
  readonly children: ReadonlyMap<string, readonly string[]>;
}

/** Makes the record of `options` with one reference. Throws when a host path does not exist. */
export function createMountTable(mem: SharedMemory, options: MountOptions, owner: number): number {
  const canonical: MountOptions = {
    ...options,
    root: options.root === null ? null : realpathSync.native(options.root),
    mounts: options.mounts.map((mount) => {
      const host = realpathSync.native(mount.host);
      return { ...mount, host, file: !statSync(host).isDirectory() };
    }),
  };
  const table = allocateBlock(mem, MountTable.SIZE, owner);
  mem.setI32(table + MountTable.refs, 1);
  mem.setU32(table + MountTable.id, uniqueId(mem, owner));
  mem.setU32(
    table + MountTable.options,
    allocateText(mem, new TextEncoder().encode(JSON.stringify(canonical)), owner),
  );
  return table;
}

export function retainMountTable(mem: SharedMemory, table: number): void {
  mem.atomicAdd(table + MountTable.refs, 1);
}

export function releaseMountTable(mem: SharedMemory, table: number, owner: number): void {
  if (mem.atomicAdd(table + MountTable.refs, -1) !== 1) return;
  freeText(mem, mem.getU32(table + MountTable.options), owner);
  freeBlock(mem, table, owner);
}

/** Byte string of an ordinary string (UTF-8). */
export function toByteString(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Ordinary string of a byte string that holds UTF-8. */
export function fromByteString(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** `path` without '.', '..', double and trailing slashes, made absolute: names only, no look at any file system. */
export function normalizeAbsolute(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}

const parsed = new WeakMap<SharedMemory, Map<number, ParsedMounts>>();
const KEPT = 64;

/** A tree that is mounted in every guest. */
export interface MadeTree {
  readonly guest: string;
  readonly node: MadeNode;
}

/** This worker's form of a MountTable. `made` gives the trees mounted in every guest. */
export function parsedMounts(
  mem: SharedMemory,
  table: number,
  made: () => readonly MadeTree[],
): ParsedMounts {
  let cache = parsed.get(mem);
  if (cache === undefined) parsed.set(mem, (cache = new Map()));
  const id = mem.getU32(table + MountTable.id);
  let mounts = cache.get(id);
  if (mounts === undefined) {
    if (cache.size >= KEPT) cache.clear();
    const json = Buffer.from(textBytes(mem, mem.getU32(table + MountTable.options))).toString('utf8');
    mounts = parseMounts(JSON.parse(json) as MountOptions, made());
    cache.set(id, mounts);
  }
  return mounts;
}

function parseMounts(options: MountOptions, made: readonly MadeTree[]): ParsedMounts {
  const byPath = new Map<string, Mount>();
  const root: Mount = {
    guest: '/',
    host: options.root === null ? undefined : hostPrefix(options.root),
    readOnly: options.root === null || options.rootReadOnly === true,
    file: false,
  };
  byPath.set('/', root);
  for (const { guest, node } of made) {
    byPath.set(guest, { guest, host: undefined, readOnly: true, file: false, made: node });
  }
  for (const mount of options.mounts) {
    const guest = normalizeAbsolute(toByteString(mount.guest));
    byPath.set(guest, {
      guest,
      host: hostPrefix(mount.host),
      readOnly: mount.readOnly,
      file: mount.file === true,
    });
  }
  const children = new Map<string, string[]>();
  for (const path of byPath.keys()) {
    for (let child = path; child !== '/'; ) {
      const slash = child.lastIndexOf('/');
      const parent = slash === 0 ? '/' : child.slice(0, slash);
      const name = child.slice(slash + 1);
      const names = children.get(parent) ?? [];
      if (!names.includes(name)) names.push(name);
      children.set(parent, names);
      child = parent;
    }
  }
  return { root: byPath.get('/') ?? root, byPath, children };
}

function hostPrefix(path: string): string {
  const bytes = toByteString(path);
  return bytes === '/' ? '' : bytes;
}
