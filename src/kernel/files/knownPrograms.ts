import { type BigIntStats, lstatSync } from 'node:fs';
import type { ElfImage } from '../../loader/elf.js';
import { identityOf } from '../../memory/hostFile.js';
import { type KeptIdentity, takeKeptFile } from '../../memory/keptFiles.js';
import { Fs } from '../../sync/records/files.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import type { ThreadContext } from '../threadContext.js';
import { workingDirectory } from './fsRecord.js';
import { hostArgument } from './hostAccess.js';
import { isWatching } from './inotify.js';
import { fromByteString, type ParsedMounts } from './mountTable.js';
import { AT_FDCWD, type LookupTrace, mountsOf } from './pathResolution.js';
import { isFileRoot } from './permission.js';

/**
 * The programs that this worker has opened last: where their paths led to, and what their files begin with. A shell loop starts the
 * same few over and over; each time it takes one look at the file, and one at each symbolic link on the way, to see that all is as it
 * was. That no directory on the way has become a link, guests' own renames and new links tell (`namesHaveChanged`); where another
 * process of the host has made one of it, the path still leads to the same file.
 */

/** A program that is known. Its `head` and `images` belong to it as long as `stats` are the file's. */
export interface KnownProgram {
  /** Canonical guest path, a byte string, and in UTF-8 as text and bytes. */
  readonly path: string;
  readonly shown: string;
  readonly utf8: Uint8Array;
  readonly stats: BigIntStats;
  /** The first bytes of the file, once they have been read. */
  head: Uint8Array | undefined;
  /** What the loader has made of the file, by what it was asked for. */
  readonly images: Map<string, ElfImage>;
}

interface Entry extends KnownProgram {
  readonly mounts: ParsedMounts;
  /** Machine.nameChanges when it was looked up. */
  readonly changes: number;
  readonly file: Looked;
  readonly links: readonly Looked[];
  readonly identity: KeptIdentity;
}

/** Something of the host as it was. */
interface Looked {
  readonly argument: Buffer;
  readonly stats: BigIntStats;
}

const MOST = 64;
/** The host's clock of files ticks every few milliseconds: what has just been changed may change again without showing it (ms). */
const SETTLED = 1000;
const known = new WeakMap<SharedMemory, Map<string, Entry>>();
const LOOK = { bigint: true, throwIfNoEntry: false } as const;

/** A guest has renamed something or made a symbolic link: paths may lead elsewhere. */
export function namesHaveChanged(mem: SharedMemory): void {
  mem.atomicAdd(MACHINE + Machine.nameChanges, 1);
}

/**
 * The program at `path` (a byte string) from `dirfd`, links followed, and its HostFile with one more reference, where both are known and
 * unchanged; otherwise undefined.
 */
export function takeKnownProgram(
  t: ThreadContext,
  dirfd: number,
  path: string,
): { readonly program: KnownProgram; readonly hostFile: number } | undefined {
  const key = keyOf(t, dirfd, path);
  if (key === undefined) return undefined;
  const { mem, thread } = t;
  const entry = known.get(mem)?.get(key);
  if (entry === undefined) return undefined;
  const { mounts, changes, links, file } = entry;
  if (mounts !== mountsOf(t) || changes !== mem.atomicLoad(MACHINE + Machine.nameChanges)) return undefined;
  for (const link of links) if (!isUnchanged(link)) return undefined;
  if (!isUnchanged(file)) return undefined;
  const hostFile = takeKeptFile(mem, entry.identity, entry.utf8, thread);
  return hostFile === 0 ? undefined : { program: entry, hostFile };
}

/**
 * Notes what a path has led to just now; `changes` is what `nameChanges` answered before. The program, where it can be known from
 * now on.
 */
export function noteProgram(
  t: ThreadContext,
  dirfd: number,
  path: string,
  trace: LookupTrace,
  changes: number,
): KnownProgram | undefined {
  const { place, links, special } = trace;
  if (special || place?.kind !== 'host' || place.reopened || place.stats === undefined) return undefined;
  if (!isSettled(place.stats)) return undefined;
  const key = keyOf(t, dirfd, path);
  if (key === undefined) return undefined;
  const looked: Looked[] = [];
  for (const { hostPath, stats } of links) {
    if (stats === undefined || !isSettled(stats)) return undefined;
    looked.push({ argument: hostArgument(hostPath), stats });
  }
  const shown = fromByteString(place.path);
  const entry: Entry = {
    path: place.path,
    shown,
    // As nameHostFile writes it.
    utf8: new TextEncoder().encode(shown),
    stats: place.stats,
    head: undefined,
    images: new Map(),
    mounts: mountsOf(t),
    changes,
    file: { argument: hostArgument(place.hostPath), stats: place.stats },
    links: looked,
    identity: identityOf(place.stats),
  };
  let programs = known.get(t.mem);
  if (programs === undefined) known.set(t.mem, (programs = new Map()));
  if (programs.size >= MOST) programs.clear();
  programs.set(key, entry);
  return entry;
}

/** How often names have changed so far. */
export function nameChanges(mem: SharedMemory): number {
  return mem.atomicLoad(MACHINE + Machine.nameChanges);
}

/** What is remembered depends on nothing but this; undefined: it would on more. */
function keyOf(t: ThreadContext, dirfd: number, path: string): string | undefined {
  const { mem, fs } = t;
  // Whoever watches is told of each opening, and where users' rights count each directory is asked.
  if (mem.atomicLoad(fs + Fs.root) !== 0 || !isFileRoot(t) || isWatching(mem)) return undefined;
  if (path.startsWith('/')) return path;
  return dirfd === AT_FDCWD ? `${path}\0${workingDirectory(mem, fs, t.thread)}` : undefined;
}

/** Whether both are of one file, which has not changed in between. */
export function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return (
    a.ino === b.ino &&
    a.dev === b.dev &&
    a.ctimeNs === b.ctimeNs &&
    a.mtimeNs === b.mtimeNs &&
    a.size === b.size
  );
}

function isSettled(stats: BigIntStats): boolean {
  return Date.now() - Number(stats.ctimeNs) / 1e6 >= SETTLED;
}

function isUnchanged({ argument, stats }: Looked): boolean {
  try {
    const now = lstatSync(argument, LOOK);
    return now !== undefined && isSame(now, stats);
  } catch {
    // The longer way finds out what is the matter.
    return false;
  }
}
