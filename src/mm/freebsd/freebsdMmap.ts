import type { Caller } from '../../memory/caller.js';
import { tbInvalidatePhysRange } from '../../memory/codePages.js';
import { STACK_GROWTH } from '../../memory/growStack.js';
import {
  EACCES,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MIN_PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../memory/linuxMemory.js';
import type { NewMapping } from '../../memory/mappingRecords.js';
import { isMapped, mapRange, unmapRange } from '../../memory/mappings.js';
import { createMemoryObject, releaseObject } from '../../memory/sharedObject.js';
import { OutOfKernelMemory } from '../../sync/heap.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import {
  MAPPING_DONTDUMP,
  MAPPING_GAP_PROT_SHIFT,
  MAPPING_GROWSDOWN,
  MAPPING_GUARD,
  MAPPING_LOCKED,
  MAPPING_MAY_SHIFT,
  MAPPING_NOSYNC,
  MAPPING_SHARED,
  MAPPING_STACK_GAP,
} from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { NO_PLACE } from '../findVma.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { targetPageSize, unsigned } from '../pageRange.js';
import { populateMapped } from '../populate.js';
import type { MappedFile } from '../targetMmap.js';
import { isRangeValid, pageOffset, roundPages } from './enclosingPages.js';
import {
  MAP_32BIT,
  MAP_32BIT_MAX_ADDR,
  MAP_ALIGNED_SUPER,
  MAP_ALIGNMENT_MASK,
  MAP_ALIGNMENT_SHIFT,
  MAP_ANON,
  MAP_EXCL,
  MAP_GUARD,
  MAP_HASSEMAPHORE,
  MAP_NOCORE,
  MAP_NOSYNC,
  MAP_PREFAULT_READ,
  MAP_RESERVED0020,
  MAP_RESERVED0040,
  MAP_STACK,
  PROT_ALL,
  PROT_MAX_SHIFT,
} from './freebsdMemory.js';
import { endOfHeap, vmMapFind } from './vmMapFind.js';

/** Calls `body` with the file of the descriptor, null for a device that gives anonymous memory; throws what fget would. */
export type WithFile = (body: (file: MappedFile | null) => number) => number;

const KNOWN_FLAGS =
  MAP_SHARED |
  MAP_PRIVATE |
  MAP_FIXED |
  MAP_HASSEMAPHORE |
  MAP_STACK |
  MAP_NOSYNC |
  MAP_ANON |
  MAP_EXCL |
  MAP_NOCORE |
  MAP_PREFAULT_READ |
  MAP_GUARD |
  MAP_32BIT |
  MAP_ALIGNMENT_MASK;
const GUARD_FLAGS = MAP_FIXED | MAP_GUARD | MAP_EXCL | MAP_32BIT | MAP_ALIGNMENT_MASK;
/** Pages of an object are counted in 32 bits. */
const MOST_OFFSET = 2 ** 43;

/** A request whose arguments have been checked. */
interface Request {
  /** The address asked for, or where the search begins. */
  readonly address: number;
  readonly size: number;
  readonly prot: number;
  readonly maxProt: number;
  readonly flags: number;
  /** A page boundary in the file. */
  readonly offset: number;
}

/**
 * FreeBSD's mmap(2): the address or −errno, the checks in the order of kern_mmap and what it calls. `prot` may hold
 * PROT_MAX; `start`, `length` and `position` are signed 64-bit numbers, the others ints. KERNEL mode.
 */
export function freebsdMmap(
  c: Caller,
  start: number,
  length: number,
  prot: number,
  flags: number,
  fd: number,
  position: number,
  withFile: WithFile,
): number {
  if (prot & ~(PROT_ALL | (PROT_ALL << PROT_MAX_SHIFT))) return -EINVAL;
  let maxProt = (prot >>> PROT_MAX_SHIFT) & PROT_ALL;
  prot &= PROT_ALL;
  if (maxProt !== 0 && (maxProt & prot) !== prot) return -EOPNOTSUPP;
  if (maxProt === 0) maxProt = PROT_ALL;
  flags &= ~(MAP_RESERVED0020 | MAP_RESERVED0040);
  if (length === 0) return -EINVAL;
  if (flags & MAP_ANON && (fd !== -1 || position !== 0)) return -EINVAL;
  if (flags & MAP_STACK) {
    if (fd !== -1) return -EINVAL;
    if ((prot & (PROT_READ | PROT_WRITE)) !== (PROT_READ | PROT_WRITE)) return -EINVAL;
    flags |= MAP_ANON;
    position = 0;
  }
  if (flags & ~KNOWN_FLAGS) return -EINVAL;
  if ((flags & (MAP_EXCL | MAP_FIXED)) === MAP_EXCL) return -EINVAL;
  if ((flags & (MAP_SHARED | MAP_PRIVATE)) === (MAP_SHARED | MAP_PRIVATE)) return -EINVAL;
  if (flags & MAP_GUARD && (prot !== 0 || fd !== -1 || position !== 0 || flags & ~GUARD_FLAGS))
    return -EINVAL;

  const within = pageOffset(c, position);
  const size = roundPages(c, length, within);
  if (unsigned(length) > size) return -ENOMEM;
  const align = flags & MAP_ALIGNMENT_MASK;
  if (align !== 0 && align !== MAP_ALIGNED_SUPER) {
    const shift = align >> MAP_ALIGNMENT_SHIFT;
    if (shift < 0 || shift >= 64 || 2 ** shift < targetPageSize(c)) return -EINVAL;
  }
  let address = unsigned(start);
  if (flags & MAP_FIXED) {
    if (pageOffset(c, start - within) !== 0) return -EINVAL;
    address = unsigned(start - within);
    if (!isRangeValid(c, address, size)) return -EINVAL;
    if (flags & MAP_32BIT && address + size > MAP_32BIT_MAX_ADDR) return -EINVAL;
  } else if (flags & MAP_32BIT) {
    if (address + size > MAP_32BIT_MAX_ADDR) address = 0;
  } else address = startOfSearch(c, address);

  const request = { address, size, prot, maxProt, flags, offset: position - within };
  let result: number;
  if (flags & MAP_GUARD) result = mapObject(c, { ...request, maxProt: 0 }, null);
  else if (flags & MAP_ANON) result = mapObject(c, request, null);
  else
    result = withFile((file) => {
      if ((flags & (MAP_SHARED | MAP_PRIVATE)) === 0) return -EINVAL;
      return file === null
        ? mapObject(c, { ...request, flags: flags | MAP_ANON, offset: 0 }, null)
        : mapFile(c, request, file);
    });
  return result < 0 ? result : result + within;
}

/** Without a hint, or with one between the text and the end of the largest heap, the search begins beyond that. */
function startOfSearch(c: Caller, hint: number): number {
  const page = targetPageSize(c);
  const text = Math.ceil(c.mem.getU64(c.mm + Mm.startCode) / page) * page;
  const heap = endOfHeap(c);
  return hint === 0 || (hint >= text && hint < heap) ? heap : hint;
}

/** vn_mmap: what the descriptor allows. */
function mapFile(c: Caller, request: Request, file: MappedFile): number {
  const { prot, flags, size } = request;
  let maxProt = file.noExec ? 0 : PROT_EXEC;
  if (file.noExec && prot & PROT_EXEC) return -EACCES;
  if (file.readable) maxProt |= PROT_READ;
  else if (prot & PROT_READ) return -EACCES;
  if (flags & MAP_SHARED) {
    if (file.writable) maxProt |= PROT_WRITE;
    else if (prot & PROT_WRITE) return -EACCES;
  } else maxProt |= PROT_WRITE;
  if (unsigned(request.offset) + size > MOST_OFFSET) return -EINVAL;
  return mapObject(c, { ...request, maxProt: maxProt & request.maxProt }, file);
}

/** vm_mmap_object, and what of vm_map_find and vm_map_fixed concerns all kinds of mappings. */
function mapObject(c: Caller, request: Request, file: MappedFile | null): number {
  const { mem, mm } = c;
  const { size, flags } = request;
  mmapLock(c);
  let address: number;
  try {
    if (mem.getU32(mm + Mm.mappedPages) * MIN_PAGE_SIZE + size > mem.getU64(mm + Mm.limitAs)) return -ENOMEM;
    const locks = mem.getU32(mm + Mm.lockFuture) !== 0;
    if (locks && mem.getU32(mm + Mm.lockedPages) * MIN_PAGE_SIZE + size > mem.getU64(mm + Mm.limitMemlock))
      return -ENOMEM;
    address = request.address;
    if ((flags & MAP_FIXED) === 0) {
      address = findPlace(c, request, file);
      if (address === NO_PLACE) return -ENOMEM;
    }
    const error = insertLocked(c, address, request, file, locks);
    if (error < 0) return error;
    if (!locks) return address;
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
  if (!(flags & (MAP_GUARD | MAP_STACK))) {
    // What is there of a file that begins inside a page begins with that page.
    const first = Math.floor(address / MIN_PAGE_SIZE);
    populateMapped(c, first, Math.ceil((address + size) / MIN_PAGE_SIZE), true);
  }
  return address;
}

function findPlace(c: Caller, request: Request, file: MappedFile | null): number {
  const { flags, size, offset } = request;
  const align = flags & MAP_ALIGNMENT_MASK;
  const named = align !== 0 && align !== MAP_ALIGNED_SUPER;
  // Superpages are tried for by themselves where there is an object that may have them.
  const superpage = align === MAP_ALIGNED_SUPER || file !== null;
  const page = targetPageSize(c);
  return vmMapFind(c, {
    size,
    hint: Math.ceil(request.address / page) * page,
    maxAddress: flags & MAP_32BIT ? MAP_32BIT_MAX_ADDR : 0,
    align: named ? 2 ** (align >> MAP_ALIGNMENT_SHIFT) : superpage ? 0 : page,
    offset,
    optional: align === 0,
  });
}

/** vm_map_insert, after vm_map_delete for MAP_FIXED. Returns 0 or −errno. mmapLock. */
function insertLocked(
  c: Caller,
  address: number,
  request: Request,
  file: MappedFile | null,
  locks: boolean,
): number {
  const { mem, mm, thread } = c;
  const { size, prot, maxProt, flags } = request;
  const from = address / MIN_PAGE_SIZE;
  const to = from + size / MIN_PAGE_SIZE;
  if (flags & MAP_STACK && size <= targetPageSize(c)) {
    // No room for the guard. The kernel has removed what was there by now.
    if ((flags & (MAP_FIXED | MAP_EXCL)) === MAP_FIXED) unmapRange(c, from, to);
    return -EINVAL;
  }
  if (flags & MAP_FIXED && isMapped(mem, mm, from, to)) {
    if (flags & MAP_EXCL) return -ENOMEM;
    tbInvalidatePhysRange(c, address, address + size - 1);
  }
  let bits = maxProt << MAPPING_MAY_SHIFT;
  if (flags & MAP_NOCORE) bits |= MAPPING_DONTDUMP;
  if (flags & MAP_NOSYNC) bits |= MAPPING_NOSYNC;
  // Wiring fails silently for what cannot be touched.
  if (locks && prot & (PROT_READ | PROT_EXEC)) bits |= MAPPING_LOCKED;
  if (flags & MAP_STACK) return insertStack(c, from, to, prot, bits);

  const what: NewMapping = { prot, flags: bits, file: 0, object: 0, offset: 0 };
  let madeObject = 0;
  if (flags & MAP_GUARD) what.flags = MAPPING_GUARD;
  else if (file !== null) {
    if (flags & MAP_SHARED) what.flags |= MAPPING_SHARED;
    // A host page that holds a copy cannot be shared for writing (QEMU: mmap_frag).
    const host = 1 << mem.getU32(MACHINE + Machine.hostPageShift);
    if (flags & MAP_SHARED && prot & PROT_WRITE && (request.offset - address) % host !== 0) return -EINVAL;
    what.file = file.file;
    what.object = file.file !== 0 ? mem.getU32(file.file + HostFile.object) : file.object;
    what.offset = request.offset / MIN_PAGE_SIZE;
  } else if (flags & MAP_SHARED) {
    what.flags |= MAPPING_SHARED;
    madeObject = createMemoryObject(mem, size, 'anonymous (shared)', thread);
    what.object = madeObject;
  }
  try {
    mapRange(c, from, to, what);
  } finally {
    // The mapping has its own reference now.
    if (madeObject !== 0) releaseObject(mem, madeObject, thread);
  }
  return 0;
}

/** vm_map_stack_locked: the top of the range becomes the stack, the rest a gap that it grows into. */
function insertStack(c: Caller, from: number, to: number, prot: number, bits: number): number {
  const most = (to - from) * MIN_PAGE_SIZE - targetPageSize(c);
  const bottom = to - Math.min(STACK_GROWTH, most) / MIN_PAGE_SIZE;
  const gap = MAPPING_GUARD | MAPPING_STACK_GAP | (prot << MAPPING_GAP_PROT_SHIFT);
  const may = bits & (PROT_ALL << MAPPING_MAY_SHIFT);
  mapRange(c, from, to, { prot: 0, flags: gap | may, file: 0, object: 0, offset: 0 });
  try {
    mapRange(c, bottom, to, { prot, flags: bits | MAPPING_GROWSDOWN, file: 0, object: 0, offset: 0 });
  } catch (error) {
    unmapRange(c, from, to);
    throw error;
  }
  return 0;
}
