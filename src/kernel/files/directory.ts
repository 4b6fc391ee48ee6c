import { closeSync, fsyncSync, readdirSync } from 'node:fs';
import { copyOut } from '../../memory/userAccess.js';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import {
  DirectoryListing,
  FILE_HOST_DIRECTORY,
  FILE_MADE_DIRECTORY,
  OpenFile,
} from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINVAL, EISDIR, ENOENT, ENOTDIR, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import type { FileOperations } from './fileOperations.js';
import { S_IFDIR, statusOfHost } from './fileStatus.js';
import { fstatHost, hasProcFd, hostArgument, hostCall, lstatHost } from './hostAccess.js';
import { pathOf, registerKind } from './openFile.js';
import { currentPath, joinPath, locate, mountsOf, parentPath, typeOf } from './pathResolution.js';
import { statusOfPlace } from './placeStatus.js';
import { atOffset } from './regularFile.js';

/**
 * Directories, of the host and made. The names are taken once, at the first getdents64 after open or rewind, and kept in
 * shared memory, so that positions stay what they were whatever is created or removed meanwhile. An entry's position
 * (d_off) is its index in that list.
 */

const SEEK_SET = 0;
const SEEK_CUR = 1;
/** Offset of d_name in struct linux_dirent64. */
const NAME_OFFSET = 19;

/** A name and its S_IF* bits. */
interface Entry {
  readonly name: string;
  readonly type: number;
}

/** Host path under which an open directory of the host is listed, a byte string. */
function hostDirectoryPath(t: ThreadContext, file: number): string {
  if (hasProcFd) return `/proc/self/fd/${t.mem.getI32(file + OpenFile.hostFd)}`;
  const place = locate(t, pathOf(t.mem, file));
  if (place.kind !== 'host') throw new SyscallError(ENOENT);
  return place.hostPath;
}

function hostEntries(t: ThreadContext, file: number): Entry[] {
  const path = hostDirectoryPath(t, file);
  const found = hostCall(() =>
    readdirSync(hostArgument(path), { withFileTypes: true, encoding: 'latin1' as never }),
  );
  return found.map((entry) => ({
    name: entry.name as unknown as string,
    type: entry.isFile()
      ? 0o100000
      : entry.isDirectory()
        ? S_IFDIR
        : entry.isSymbolicLink()
          ? 0o120000
          : entry.isFIFO()
            ? 0o010000
            : entry.isSocket()
              ? 0o140000
              : entry.isCharacterDevice()
                ? 0o020000
                : entry.isBlockDevice()
                  ? 0o060000
                  : 0,
  }));
}

/** All entries of an open directory, '.' and '..' first, and what is mounted in it. */
function entriesOf(t: ThreadContext, file: number): Entry[] {
  const kind = t.mem.getU32(file + OpenFile.kind);
  const path = currentPath(t, file);
  let entries: Entry[];
  if (kind === FILE_HOST_DIRECTORY) entries = hostEntries(t, file);
  else {
    const place = locate(t, path);
    if (place.kind !== 'made') throw new SyscallError(ENOENT);
    entries = place.node.list?.(t) ?? [];
  }
  const mounted = mountsOf(t).children.get(path);
  if (mounted !== undefined) {
    const names = new Set(entries.map((entry) => entry.name));
    for (const name of mounted) {
      if (!names.has(name)) entries.push({ name, type: typeOf(locate(t, joinPath(path, name))) });
    }
  }
  return [{ name: '.', type: S_IFDIR }, { name: '..', type: S_IFDIR }, ...entries];
}

/** Keeps `entries` in shared memory. */
function storeListing(mem: SharedMemory, entries: readonly Entry[], owner: number): number {
  let bytes = 0;
  for (const { name } of entries) bytes += 4 + name.length;
  const listing = allocateBlock(mem, DirectoryListing.SIZE + bytes, owner);
  mem.setU32(listing + DirectoryListing.count, entries.length);
  mem.setU32(listing + DirectoryListing.bytes, bytes);
  let at = listing + DirectoryListing.SIZE;
  for (const { name, type } of entries) {
    mem.u8[at] = type >>> 12;
    mem.u8[at + 2] = name.length & 0xff;
    mem.u8[at + 3] = name.length >>> 8;
    for (let i = 0; i < name.length; i++) mem.u8[at + 4 + i] = name.charCodeAt(i);
    at += 4 + name.length;
  }
  return listing;
}

function dropListing(mem: SharedMemory, file: number, owner: number): void {
  const listing = mem.getU32(file + OpenFile.detail);
  if (listing === 0) return;
  mem.setU32(file + OpenFile.detail, 0);
  freeBlock(mem, listing, owner);
}

/** The inode number of a name in an open directory; undefined when it is gone. */
function inodeOf(t: ThreadContext, file: number, path: string, name: string): bigint | undefined {
  if (name === '.') return statusOfPlace(t, locate(t, path))?.ino;
  if (name === '..') return statusOfPlace(t, locate(t, parentPath(path)))?.ino;
  const child = joinPath(path, name);
  const mounts = mountsOf(t);
  if (t.mem.getU32(file + OpenFile.kind) === FILE_HOST_DIRECTORY && !mounts.byPath.has(child)) {
    const stats = lstatHost(`${hostDirectoryPath(t, file)}/${name}`);
    if (stats !== undefined) return stats.ino;
  }
  return statusOfPlace(t, locate(t, child))?.ino;
}

/** getdents64(2): fills `length` bytes at `address`. */
function list(t: ThreadContext, file: number, address: number, length: number): number {
  const { mem } = t;
  return atOffset(t, file, undefined, (position, moveTo) => {
    let listing = mem.getU32(file + OpenFile.detail);
    if (listing === 0 || position === 0) {
      dropListing(mem, file, t.thread);
      listing = storeListing(mem, entriesOf(t, file), t.thread);
      mem.setU32(file + OpenFile.detail, listing);
    }
    const path = currentPath(t, file);
    const count = mem.getU32(listing + DirectoryListing.count);
    const out = Buffer.alloc(Math.min(Math.max(length, 0), 1 << 17));
    let used = 0;
    let index = 0;
    let at = listing + DirectoryListing.SIZE;
    const end = at + mem.getU32(listing + DirectoryListing.bytes);
    while (at < end && index < position) {
      at += 4 + mem.u8[at + 2] + (mem.u8[at + 3] << 8);
      index++;
    }
    for (; index < count; index++) {
      const nameLength = mem.u8[at + 2] + (mem.u8[at + 3] << 8);
      const size = Math.ceil((NAME_OFFSET + nameLength + 1) / 8) * 8;
      if (used + size > out.length) {
        if (used === 0) return -EINVAL;
        break;
      }
      const name = Buffer.from(mem.buffer, at + 4, nameLength).toString('latin1');
      const ino = inodeOf(t, file, path, name);
      const type = mem.u8[at];
      at += 4 + nameLength;
      // Removed since the names were taken: Linux would not show it either.
      if (ino === undefined) continue;
      out.writeBigUInt64LE(ino, used);
      out.writeBigInt64LE(BigInt(index + 1), used + 8);
      out.writeUInt16LE(size, used + 16);
      out[used + 18] = type;
      out.write(name, used + NAME_OFFSET, 'latin1');
      used += size;
    }
    copyOut(t, address, out.subarray(0, used));
    moveTo(index);
    return used;
  });
}

const common: FileOperations = {
  read: () => -EISDIR,
  write: () => -EISDIR,
  list,
  seek(t, file, offset, whence) {
    return atOffset(t, file, undefined, (position, moveTo) => {
      const target = whence === SEEK_SET ? offset : whence === SEEK_CUR ? position + offset : -1;
      if (target < 0) return -EINVAL;
      moveTo(target);
      return target;
    });
  },
  status(t, file) {
    const fd = t.mem.getI32(file + OpenFile.hostFd);
    if (fd >= 0) return statusOfHost(t, fstatHost(fd));
    const status = statusOfPlace(t, locate(t, pathOf(t.mem, file)));
    if (status === undefined) throw new SyscallError(ENOENT);
    return status;
  },
  sync(t, file) {
    const fd = t.mem.getI32(file + OpenFile.hostFd);
    if (fd >= 0) hostCall(() => fsyncSync(fd));
    return 0;
  },
  release(mem, file, owner) {
    dropListing(mem, file, owner);
    const fd = mem.getI32(file + OpenFile.hostFd);
    if (fd >= 0) closeSync(fd);
  },
};

registerKind(FILE_HOST_DIRECTORY, common);
registerKind(FILE_MADE_DIRECTORY, common);

/** Error of list for files that are no directories. */
export const NOT_A_DIRECTORY = -ENOTDIR;
