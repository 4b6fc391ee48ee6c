import type { Caller } from '../memory/caller.js';
import { lockLimit } from '../memory/caller.js';
import { tbInvalidatePhysRange } from '../memory/codePages.js';
import { hostPageSize } from '../memory/frames.js';
import { hotPaths } from '../memory/hotPaths/hotPaths.js';
import {
  EACCES,
  EAGAIN,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  MAP_ANONYMOUS,
  MAP_DENYWRITE,
  MAP_DROPPABLE,
  MAP_EXECUTABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGE_SIZES,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  MAP_TYPE,
  MCL_ONFAULT,
  MIN_PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../memory/linuxMemory.js';
import { isData, type NewMapping } from '../memory/mappingRecords.js';
import { isMapped, mapRange } from '../memory/mappings.js';
import { firstEndingAfter } from '../memory/mappingTree.js';
import { createMemoryObject, releaseObject } from '../memory/sharedObject.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { HostFile } from '../sync/records/hostFile.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import {
  MAPPING_DONTDUMP,
  MAPPING_DROPPABLE,
  MAPPING_GROWSDOWN,
  MAPPING_LOCK_ON_FAULT,
  MAPPING_LOCKED,
  MAPPING_MAY_EXEC,
  MAPPING_MAY_READ,
  MAPPING_MAY_WRITE,
  MAPPING_NORESERVE,
  MAPPING_SHARED,
  MAPPING_WIPEONFORK,
  Mapping,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { F_SEAL_FUTURE_WRITE, F_SEAL_WRITE, SharedObject } from '../sync/records/sharedObject.js';
import { mmapFindVma, NO_PLACE } from './findVma.js';
import { enoughMemory, mayAddMappings, mayExpand, mayLock } from './limits.js';
import { mmapFrag } from './mmapFrag.js';
import { haveMmapLock, mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, unsigned } from './pageRange.js';
import { populateMapped } from './populate.js';

/** What is mapped: one of the two records or /dev/zero (otherwise ENODEV), and what the descriptor allows. */
export interface MappedFile {
  /** HostFile record (a regular file of the host), or 0. */
  readonly file: number;
  /** SharedObject record (memfd, shared memory segment), or 0. */
  readonly object: number;
  /** The descriptor was opened for reading, for writing. */
  readonly readable: boolean;
  readonly writable: boolean;
  /** /dev/zero: memory of its own, with no file behind it. */
  readonly zero?: boolean;
  /** The file lies on a mount without execution (PROT_EXEC → EPERM). */
  readonly noExec?: boolean;
}

/** Flags that MAP_SHARED_VALIDATE accepts for a file without special features (LEGACY_MAP_MASK). */
const LEGACY_FLAGS =
  MAP_SHARED |
  MAP_PRIVATE |
  MAP_FIXED |
  MAP_ANONYMOUS |
  MAP_DENYWRITE |
  MAP_EXECUTABLE |
  MAP_GROWSDOWN |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB |
  MAP_HUGE_SIZES;

/** Rebuilt by each call, so that the path allocates nothing. mmapLock of no two address spaces nests. */
const what: NewMapping = { prot: 0, flags: 0, file: 0, object: 0, offset: 0 };

/**
 * mmap(2). `file` is null for MAP_ANONYMOUS. Returns the address or −errno, with the checks in the order of Linux's
 * do_mmap. KERNEL mode.
 */
export function targetMmap(
  c: Caller,
  start: number,
  length: number,
  prot: number,
  flags: number,
  file: MappedFile | null,
  offset: number,
): number {
  if (isUnaligned(c, offset)) return -EINVAL;
  if (flags & MAP_ANONYMOUS) {
    file = null;
    if (flags & MAP_HUGETLB) return -ENOMEM;
  }
  if (length === 0) return -EINVAL;
  const size = pageAlign(c, length);
  if (size === 0) return -ENOMEM;
  // The offset is signed on riscv: one that is negative enough overflows for anonymous memory, too.
  if (offset < 0 && size >= -offset) return -EOVERFLOW;
  if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && start < 0 && start >= -4095) {
    // In Linux a fixed address in the last page passes for an error number.
    return size > c.mem.getU64(c.mm + Mm.taskSize) ? -ENOMEM : start;
  }
  if (
    file === null &&
    start === 0 &&
    (flags & ~HOT_FLAGS) === MAP_PRIVATE &&
    size <= c.mem.getU64(c.mm + Mm.taskSize)
  ) {
    const page = mapHot(c, size / MIN_PAGE_SIZE, prot, flags);
    if (page >= 0) return page * MIN_PAGE_SIZE;
  }
  mmapLock(c);
  let address: number;
  try {
    address = mapLocked(c, unsigned(start), size, prot, flags, file, unsigned(offset));
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    address = -ENOMEM;
  } finally {
    mmapUnlock(c);
  }
  if (address >= 0 && flags & (MAP_POPULATE | MAP_LOCKED) && !(flags & MAP_NONBLOCK))
    populateMapped(c, address / MIN_PAGE_SIZE, (address + size) / MIN_PAGE_SIZE, false);
  return address;
}

/** What most mappings are made of, besides MAP_PRIVATE. */
const HOT_FLAGS = MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;

/** The first page of new private anonymous memory, or −1 when it is none of the common cases. */
function mapHot(c: Caller, pages: number, prot: number, flags: number): number {
  if (haveMmapLock(c)) return -1;
  const bits = MAPPING_MAY_READ | MAPPING_MAY_WRITE | MAPPING_MAY_EXEC;
  return hotPaths(c.mem).map(
    c.mm,
    c.thread,
    pages,
    prot & (PROT_READ | PROT_WRITE | PROT_EXEC),
    flags & MAP_NORESERVE ? bits | MAPPING_NORESERVE : bits,
  );
}

function mapLocked(
  c: Caller,
  start: number,
  size: number,
  prot: number,
  flags: number,
  file: MappedFile | null,
  offset: number,
): number {
  const { mem, mm, thread } = c;
  if (mem.getU32(mm + Mm.mappingCount) > mem.getU32(mm + Mm.maxMappings)) return -ENOMEM;
  const fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
  const taskSize = mem.getU64(mm + Mm.taskSize);
  if (size > taskSize) return -ENOMEM;
  let address = start;
  if (fixed) {
    if (start > taskSize - size) return -ENOMEM;
    if (isUnaligned(c, start)) return -EINVAL;
    if (start / MIN_PAGE_SIZE < mem.getU32(mm + Mm.mmapMinAddr)) return -EPERM;
  } else {
    // A file's pages lie in host pages as they lie in the file's.
    const within = file === null ? 0 : offset % (1 << mem.getU32(MACHINE + Machine.hostPageShift));
    address = mmapFindVma(c, start, size + within);
    if (address === NO_PLACE) return -ENOMEM;
    address += within;
  }
  const from = address / MIN_PAGE_SIZE;
  const to = from + size / MIN_PAGE_SIZE;
  if (flags & MAP_FIXED_NOREPLACE && isMapped(mem, mm, from, to)) return -EEXIST;

  const future = mem.getU32(mm + Mm.lockFuture);
  let bits = MAPPING_MAY_READ | MAPPING_MAY_WRITE | MAPPING_MAY_EXEC;
  if (flags & MAP_LOCKED || future !== 0) {
    if (flags & MAP_LOCKED && lockLimit(c) === 0) return -EPERM;
    bits |= MAPPING_LOCKED;
    if (future & MCL_ONFAULT && !(flags & MAP_LOCKED)) bits |= MAPPING_LOCK_ON_FAULT;
    if (!mayLock(c, to - from)) return -EAGAIN;
  }
  const type = flags & MAP_TYPE;
  const shared = type === MAP_SHARED || (file !== null && type === MAP_SHARED_VALIDATE);
  let madeObject = 0;
  what.file = 0;
  what.object = 0;
  what.offset = 0;
  if (file !== null) {
    if (offset + size > 2 ** 43) return -EOVERFLOW; // page numbers of an object are 32 bits
    const seals = file.object === 0 ? 0 : mem.getU32(file.object + SharedObject.seals);
    if (shared) {
      if (type === MAP_SHARED_VALIDATE && flags & ~LEGACY_FLAGS) return -EOPNOTSUPP;
      if (prot & PROT_WRITE && !file.writable) return -EACCES;
      bits |= MAPPING_SHARED;
      if (!file.writable) bits &= ~MAPPING_MAY_WRITE;
    } else if (type !== MAP_PRIVATE) return -EINVAL;
    if (!file.readable) return -EACCES;
    if (file.noExec) {
      if (prot & PROT_EXEC) return -EPERM;
      bits &= ~MAPPING_MAY_EXEC;
    }
    if (file.file === 0 && file.object === 0 && !file.zero) return -ENODEV;
    if (flags & MAP_GROWSDOWN) return -EINVAL;
    if (shared && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
      if (prot & PROT_WRITE) return -EPERM;
      bits &= ~MAPPING_MAY_WRITE;
    }
    what.file = file.file;
    what.object = file.file !== 0 ? mem.getU32(file.file + HostFile.object) : file.object;
    // The object of a shared /dev/zero is as long as the mapping, wherever that begins in it.
    if (what.object !== 0 || shared) what.offset = offset / MIN_PAGE_SIZE;
  } else if (type === MAP_SHARED) {
    if (flags & MAP_GROWSDOWN) return -EINVAL;
    bits |= MAPPING_SHARED;
  } else if (type === MAP_PRIVATE) {
    if (flags & MAP_GROWSDOWN) bits |= MAPPING_GROWSDOWN;
  } else if (type === MAP_DROPPABLE) {
    if (flags & (MAP_LOCKED | MAP_GROWSDOWN)) return -EINVAL;
    bits |= MAPPING_NORESERVE | MAPPING_WIPEONFORK | MAPPING_DONTDUMP | MAPPING_DROPPABLE;
  } else return -EINVAL;
  if (flags & MAP_NORESERVE) bits |= MAPPING_NORESERVE;

  what.prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
  what.flags = bits;
  // An object made here lies in host pages as the mapping does.
  const toBeMade = shared && what.object === 0;
  if (toBeMade && file === null) what.offset = from & (hostPageSize(mem) / MIN_PAGE_SIZE - 1);
  if (!mmapFrag(c, from, to, what)) return -EINVAL;
  const already = fixed ? mappedPages(c, from, to) : 0;
  if (!mayExpand(c, to - from - already, isData(what.prot, bits))) return -ENOMEM;
  if (already > 0 && !mayAddMappings(c, 2)) return -ENOMEM;
  if ((bits & (MAPPING_SHARED | MAPPING_NORESERVE)) === 0 && prot & PROT_WRITE) {
    if (!enoughMemory(c, to - from)) return -ENOMEM;
  }
  if (toBeMade) {
    const length = file === null ? what.offset * MIN_PAGE_SIZE + size : size;
    madeObject = createMemoryObject(mem, length, '/dev/zero (deleted)', thread);
    what.object = madeObject;
  }
  const claimed = shared && file !== null && file.object !== 0 && claimWritable(c, file.object);
  if (shared && file !== null && file.object !== 0 && !claimed) {
    // Sealed meanwhile, or not writable at all.
    if (prot & PROT_WRITE) return -EPERM;
    what.flags &= ~MAPPING_MAY_WRITE;
  }
  if (already > 0) tbInvalidatePhysRange(c, address, address + size - 1);
  try {
    mapRange(c, from, to, what);
  } finally {
    if (claimed) mem.atomicAdd(file.object + SharedObject.writableMappings, -1);
    // The mapping has its own reference now.
    if (madeObject !== 0) releaseObject(mem, madeObject, thread);
  }
  return address;
}

/**
 * Counts the mapping that `what` describes as a writable one of memory object `object` ahead of its being made, so that no
 * seal against writing comes between; false when it is not writable or the seal is there (mapping_map_writable).
 */
function claimWritable(c: Caller, object: number): boolean {
  const { mem, thread } = c;
  if ((what.flags & MAPPING_MAY_WRITE) === 0) return false;
  lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  const sealed = (mem.getU32(object + SharedObject.seals) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0;
  if (!sealed) mem.atomicAdd(object + SharedObject.writableMappings, 1);
  unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  return !sealed;
}

/** Pages of [from, to) that are mapped. mmapLock. */
export function mappedPages(c: Caller, from: number, to: number): number {
  const { mem, mm } = c;
  let pages = 0;
  let mapping = firstEndingAfter(mem, mm, from);
  while (mapping !== 0 && mem.getU32(mapping + Mapping.start) < to) {
    pages +=
      Math.min(to, mem.getU32(mapping + Mapping.end)) - Math.max(from, mem.getU32(mapping + Mapping.start));
    mapping = mem.getU32(mapping + Mapping.next);
  }
  return pages;
}

/**
 * Reserves [start, start+length) (whole pages, free) so that nothing else is placed there: a PROT_NONE mapping, which
 * costs one record whatever its size. Returns 0 or −errno. QEMU: mmap_reserve.
 */
export function mmapReserve(c: Caller, start: number, length: number): number {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  const result = targetMmap(c, start, length, 0, flags, null, 0);
  return Math.min(result, 0);
}
