import type { Caller } from '../memory/caller.js';
import { frameDescriptor, frameRefs } from '../memory/frames.js';
import { hostScale } from '../memory/hostScale.js';
import { MIN_PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../memory/linuxMemory.js';
import { firstEndingAfter, firstMapping } from '../memory/mappingTree.js';
import { lockPage, nextPresent, PTE_OBJECT, pageEntry, unlockPage } from '../memory/pageTables.js';
import { FRAME_DIRTY, FRAME_OBJECT, FrameDescriptor } from '../sync/records/frame.js';
import {
  MAPPING_DONTDUMP,
  MAPPING_DONTFORK,
  MAPPING_DROPPABLE,
  MAPPING_GROWSDOWN,
  MAPPING_LOCK_ON_FAULT,
  MAPPING_LOCKED,
  MAPPING_MAY_EXEC,
  MAPPING_MAY_READ,
  MAPPING_MAY_WRITE,
  MAPPING_NORESERVE,
  MAPPING_RANDOM,
  MAPPING_SEQUENTIAL,
  MAPPING_SHARED,
  MAPPING_WIPEONFORK,
  Mapping,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { OBJECT_MEMORY, SharedObject } from '../sync/records/sharedObject.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { type FileNamer, formatMapsLine, listMappings, type MappingInfo } from './pageDump.js';
import { targetPageSize } from './pageRange.js';

/** /proc/PID/smaps and the figures of statm and status (Linux: fs/proc/task_mmu.c). All functions: KERNEL mode. */

/** What of a mapping is in memory, bytes. */
interface PageCounts {
  resident: number;
  /** Each page divided by the number of its mappings. */
  proportional: number;
  proportionalDirty: number;
  proportionalAnonymous: number;
  proportionalShared: number;
  sharedClean: number;
  sharedDirty: number;
  privateClean: number;
  privateDirty: number;
  anonymous: number;
  locked: number;
}

function noPages(): PageCounts {
  return {
    resident: 0,
    proportional: 0,
    proportionalDirty: 0,
    proportionalAnonymous: 0,
    proportionalShared: 0,
    sharedClean: 0,
    sharedDirty: 0,
    privateClean: 0,
    privateDirty: 0,
    anonymous: 0,
    locked: 0,
  };
}

/** Counts the present pages of [start, end) (target pages), which lie in one mapping. mmapLock. */
function countPages(c: Caller, start: number, end: number, mapping: number): PageCounts {
  const { mem, mm, thread } = c;
  const counts = noPages();
  const scale = hostScale(mem);
  const object = mem.getU32(mapping + Mapping.object);
  const memory = object !== 0 && mem.getU32(object + SharedObject.kind) === OBJECT_MEMORY;
  const to = ((end - 1) >>> scale) + 1;
  const units = targetPageSize(c) / MIN_PAGE_SIZE;
  let counted = 0;
  for (
    let page = nextPresent(mem, mm, start >>> scale, to);
    page < to;
    page = nextPresent(mem, mm, page + 1, to)
  ) {
    lockPage(mem, mm, page, thread);
    const entry = pageEntry(mem, mm, page);
    const frame = entry >>> 12;
    const descriptor = frameDescriptor(mem, frame);
    const flags = entry === 0 ? 0 : mem.atomicLoad(descriptor + FrameDescriptor.flags);
    // An object's own reference is no mapping.
    const mappings = entry === 0 ? 0 : Math.max(1, frameRefs(mem, frame) - (flags & FRAME_OBJECT ? 1 : 0));
    unlockPage(mem, mm, page, thread);
    if (entry === 0) continue;
    // A target page is resident as soon as one of its host pages is; only the first one found counts.
    const from = Math.max(start, page << scale);
    const target = from - (from % units);
    if (target < counted) continue;
    // Of a host page that several mappings share, the part that is this one's.
    const stop = Math.max((page + 1) << scale, target + units);
    counted = stop;
    const bytes = (Math.min(end, stop) - Math.max(start, target)) * MIN_PAGE_SIZE;
    const anonymous = (entry & PTE_OBJECT) === 0;
    const dirty = anonymous || memory || (flags & FRAME_DIRTY) !== 0;
    counts.resident += bytes;
    counts.proportional += bytes / mappings;
    if (dirty) counts.proportionalDirty += bytes / mappings;
    if (anonymous) counts.anonymous += bytes;
    if (anonymous) counts.proportionalAnonymous += bytes / mappings;
    else if (memory) counts.proportionalShared += bytes / mappings;
    if (mappings > 1) counts[dirty ? 'sharedDirty' : 'sharedClean'] += bytes;
    else counts[dirty ? 'privateDirty' : 'privateClean'] += bytes;
  }
  if (mem.getU32(mapping + Mapping.flags) & MAPPING_LOCKED) counts.locked = counts.proportional;
  return counts;
}

function kib(name: string, bytes: number): string {
  return `${`${name}:`.padEnd(16)}${String(Math.floor(bytes / 1024)).padStart(8)} kB\n`;
}

function formatCounts(counts: PageCounts, rollup: boolean): string {
  return (
    kib('Rss', counts.resident) +
    kib('Pss', counts.proportional) +
    kib('Pss_Dirty', counts.proportionalDirty) +
    (rollup
      ? kib('Pss_Anon', counts.proportionalAnonymous) +
        kib('Pss_File', counts.proportional - counts.proportionalAnonymous - counts.proportionalShared) +
        kib('Pss_Shmem', counts.proportionalShared)
      : '') +
    kib('Shared_Clean', counts.sharedClean) +
    kib('Shared_Dirty', counts.sharedDirty) +
    kib('Private_Clean', counts.privateClean) +
    kib('Private_Dirty', counts.privateDirty) +
    kib('Referenced', counts.resident) +
    kib('Anonymous', counts.anonymous) +
    kib('KSM', 0) +
    kib('LazyFree', 0) +
    kib('AnonHugePages', 0) +
    kib('ShmemPmdMapped', 0) +
    kib('FilePmdMapped', 0) +
    kib('Shared_Hugetlb', 0) +
    kib('Private_Hugetlb', 0) +
    kib('Swap', 0) +
    kib('SwapPss', 0) +
    kib('Locked', counts.locked)
  );
}

/** The kernel's two-letter names of a mapping's flags, in the order of its bits. */
function vmFlags(prot: number, flags: number): string {
  const shared = (flags & MAPPING_SHARED) !== 0;
  const mayWrite = (flags & MAPPING_MAY_WRITE) !== 0;
  const accounted = !shared && (prot & PROT_WRITE) !== 0 && (flags & MAPPING_NORESERVE) === 0;
  const names: [string, boolean][] = [
    ['rd', (prot & PROT_READ) !== 0],
    ['wr', (prot & PROT_WRITE) !== 0],
    ['ex', (prot & PROT_EXEC) !== 0],
    ['sh', shared && mayWrite],
    ['mr', (flags & MAPPING_MAY_READ) !== 0],
    ['mw', mayWrite],
    ['me', (flags & MAPPING_MAY_EXEC) !== 0],
    ['ms', shared],
    ['gd', (flags & MAPPING_GROWSDOWN) !== 0],
    ['lo', (flags & MAPPING_LOCKED) !== 0],
    ['sr', (flags & MAPPING_SEQUENTIAL) !== 0],
    ['rr', (flags & MAPPING_RANDOM) !== 0],
    ['dc', (flags & MAPPING_DONTFORK) !== 0],
    ['lf', (flags & MAPPING_LOCK_ON_FAULT) !== 0],
    ['ac', accounted],
    ['nr', (flags & MAPPING_NORESERVE) !== 0],
    ['wf', (flags & MAPPING_WIPEONFORK) !== 0],
    ['dd', (flags & MAPPING_DONTDUMP) !== 0],
    ['dp', (flags & MAPPING_DROPPABLE) !== 0],
  ];
  return names
    .filter(([, is]) => is)
    .map(([name]) => `${name} `)
    .join('');
}

/** Counts what is in memory of `info`, as far as it is still mapped. */
function countMapping(c: Caller, info: MappingInfo): PageCounts {
  const { mem, mm } = c;
  const total = noPages();
  const end = info.end / MIN_PAGE_SIZE;
  mmapLock(c);
  try {
    let mapping = firstEndingAfter(mem, mm, info.start / MIN_PAGE_SIZE);
    while (mapping !== 0 && mem.getU32(mapping + Mapping.start) < end) {
      const from = Math.max(info.start / MIN_PAGE_SIZE, mem.getU32(mapping + Mapping.start));
      add(total, countPages(c, from, Math.min(end, mem.getU32(mapping + Mapping.end)), mapping));
      mapping = mem.getU32(mapping + Mapping.next);
    }
  } finally {
    mmapUnlock(c);
  }
  return total;
}

function add(total: PageCounts, more: PageCounts): void {
  for (const key of Object.keys(total) as (keyof PageCounts)[]) total[key] += more[key];
}

/** Text of /proc/PID/smaps. */
export function formatSmaps(c: Caller, namer?: FileNamer): string {
  const page = targetPageSize(c);
  let text = '';
  for (const info of listMappings(c, namer)) {
    text +=
      formatMapsLine(info) +
      kib('Size', info.end - info.start) +
      kib('KernelPageSize', page) +
      kib('MMUPageSize', page) +
      formatCounts(countMapping(c, info), false) +
      `THPeligible:    ${String(0).padStart(8)}\nVmFlags: ${vmFlags(info.prot, info.flags)}\n`;
  }
  return text;
}

/** Text of /proc/PID/smaps_rollup. */
export function formatSmapsRollup(c: Caller): string {
  const list = listMappings(c);
  if (list.length === 0) return '';
  const total = noPages();
  for (const info of list) add(total, countMapping(c, info));
  const range = `${hex(list[0].start)}-${hex(list[list.length - 1].end)} ---p 00000000 00:00 0 `;
  return `${range.padEnd(72)} [rollup]\n${formatCounts(total, true)}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** Units of 4 KiB of an address space by kind, as statm and status show them. */
export interface AddressSpaceFigures {
  /** Resident pages with and without a file or memory object behind them. */
  readonly residentAnonymous: number;
  readonly residentFile: number;
  readonly residentShared: number;
  /** The program's code, other executable mappings, stacks. */
  readonly text: number;
  readonly library: number;
  readonly stack: number;
  /** Private writable memory and stacks. */
  readonly data: number;
}

/** Walks the caller's mappings. */
export function addressSpaceFigures(c: Caller): AddressSpaceFigures {
  const { mem, mm } = c;
  let [anonymous, file, shared, executable, stack, data] = [0, 0, 0, 0, 0, 0];
  mmapLock(c);
  try {
    for (let m = firstMapping(mem, mm); m !== 0; m = mem.getU32(m + Mapping.next)) {
      const start = mem.getU32(m + Mapping.start);
      const end = mem.getU32(m + Mapping.end);
      const counts = countPages(c, start, end, m);
      anonymous += counts.anonymous;
      const object = mem.getU32(m + Mapping.object);
      if (object !== 0 && mem.getU32(object + SharedObject.kind) === OBJECT_MEMORY)
        shared += counts.resident - counts.anonymous;
      else file += counts.resident - counts.anonymous;
      const flags = mem.getU32(m + Mapping.flags);
      const prot = mem.getU32(m + Mapping.prot);
      // Linux: vm_stat_account.
      if ((prot & (PROT_EXEC | PROT_WRITE)) === PROT_EXEC && (flags & MAPPING_GROWSDOWN) === 0)
        executable += end - start;
      else if (flags & MAPPING_GROWSDOWN) stack += end - start;
    }
    data = mem.getU32(mm + Mm.dataPages) + stack;
  } finally {
    mmapUnlock(c);
  }
  const page = targetPageSize(c);
  const startCode = Math.floor(mem.getU64(mm + Mm.startCode) / page);
  const text = (Math.ceil(mem.getU64(mm + Mm.endCode) / page) - startCode) * (page / MIN_PAGE_SIZE);
  return {
    residentAnonymous: anonymous / MIN_PAGE_SIZE,
    residentFile: file / MIN_PAGE_SIZE,
    residentShared: shared / MIN_PAGE_SIZE,
    text,
    library: Math.max(0, executable - text),
    stack,
    data,
  };
}
