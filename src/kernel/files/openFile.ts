import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { FILE_PATH, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { allocateText, freeText, textString } from '../../sync/text.js';
import { removeAsync } from './events.js';
import { dropLocks } from './fileLocks.js';
import type { FileOperations } from './fileOperations.js';
import { uniqueId } from './filesGlobal.js';
import { O_ASYNC, O_LARGEFILE } from './openFlags.js';

/** What a new open file is made of; see the record's fields. */
export interface OpenFileParts {
  readonly kind: number;
  /** Access mode and status flags of open(2). */
  readonly flags: number;
  /** Guest path, a byte string. */
  readonly path: string;
  readonly hostFile?: number;
  readonly hostFd?: number;
  readonly object?: number;
  readonly detail?: number;
  readonly attributes?: number;
}

/** Flags of open(2) that stay with the open file (all but those that say how to open). */
const KEPT_FLAGS = ~(0o100 | 0o200 | 0o400 | 0o1000 | 0o2000000);

/** Makes an open file with one reference. It takes over the references that `parts` names. */
export function createOpenFile(mem: SharedMemory, parts: OpenFileParts, owner: number): number {
  const file = allocateBlock(mem, OpenFile.SIZE, owner);
  mem.setI32(file + OpenFile.refs, 1);
  mem.setU32(file + OpenFile.kind, parts.kind);
  mem.setI32(file + OpenFile.flags, parts.flags & KEPT_FLAGS);
  mem.setU32(file + OpenFile.hostFile, parts.hostFile ?? 0);
  mem.setI32(file + OpenFile.hostFd, parts.hostFd ?? -1);
  mem.setU32(file + OpenFile.object, parts.object ?? 0);
  mem.setU32(file + OpenFile.detail, parts.detail ?? 0);
  mem.setU32(file + OpenFile.attributes, parts.attributes ?? 0);
  mem.setU32(file + OpenFile.path, allocateText(mem, parts.path, owner));
  mem.setU32(file + OpenFile.id, uniqueId(mem, owner));
  return file;
}

const operations: (FileOperations | undefined)[] = [];
let beforeRelease: (mem: SharedMemory, file: number, owner: number) => void = () => {};

/** Declares the operations of a kind of file; each kind's module does it once. */
export function registerKind(kind: number, table: FileOperations): void {
  operations[kind] = table;
}

/** Sets what must happen before any open file is released (epoll takes it out of its sets). */
export function onRelease(hook: (mem: SharedMemory, file: number, owner: number) => void): void {
  beforeRelease = hook;
}

const closeHooks: ((mem: SharedMemory, file: number, owner: number) => void)[] = [];

/** Adds one who is told when the last descriptor of an open file has gone (inotify, leases); the file is still whole. */
export function onClose(hook: (mem: SharedMemory, file: number, owner: number) => void): void {
  closeHooks.push(hook);
}

/** The operations of an open file. */
export function operationsOf(mem: SharedMemory, file: number): FileOperations {
  const kind = mem.getU32(file + OpenFile.kind);
  const table = operations[kind];
  if (table === undefined) throw new Error(`no operations for files of kind ${kind}`);
  return table;
}

/** Says whether the file was opened with O_PATH. */
export function isPathOnly(mem: SharedMemory, file: number): boolean {
  return mem.getU32(file + OpenFile.kind) === FILE_PATH;
}

/** One more reference to a file that the caller holds one of already (or whose table it has locked). */
export function retainOpenFile(mem: SharedMemory, file: number): void {
  mem.atomicAdd(file + OpenFile.refs, 1);
}

/** Gives a reference back; the last one releases the file. The caller is in KERNEL mode and holds no lock. */
export function releaseOpenFile(mem: SharedMemory, file: number, owner: number): void {
  if (mem.atomicAdd(file + OpenFile.refs, -1) !== 1) return;
  beforeRelease(mem, file, owner);
  for (const hook of closeHooks) hook(mem, file, owner);
  if (flagsOf(mem, file) & O_ASYNC) {
    const source = operationsOf(mem, file).eventSource?.(mem, file) ?? 0;
    if (source !== 0) removeAsync(mem, source, file, owner);
  }
  dropLocks(mem, file, owner);
  operationsOf(mem, file).release?.(mem, file, owner);
  freeText(mem, mem.getU32(file + OpenFile.path), owner);
  freeBlock(mem, file, owner);
}

/** O_* flags of the open file. */
export function flagsOf(mem: SharedMemory, file: number): number {
  return mem.atomicLoad(file + OpenFile.flags);
}

/** The flags as fcntl(F_GETFL) says them: what was opened by its name has O_LARGEFILE (force_o_largefile). */
export function reportedFlags(mem: SharedMemory, file: number): number {
  const named = !isPathOnly(mem, file) && pathOf(mem, file).startsWith('/');
  return flagsOf(mem, file) | (named ? O_LARGEFILE : 0);
}

/** Guest path of the open file when it was opened, a byte string. */
export function pathOf(mem: SharedMemory, file: number): string {
  return textString(mem, mem.getU32(file + OpenFile.path));
}
