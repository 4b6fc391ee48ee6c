import type { Caller } from '../memory/caller.js';
import { hostFilePath } from '../memory/hostFile.js';
import { MIN_PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../memory/linuxMemory.js';
import { firstMapping } from '../memory/mappingTree.js';
import { MAPPING_SHARED, Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';

/** One mapping as /proc/PID/maps and crash reports show it. */
export interface MappingInfo {
  readonly start: number;
  readonly end: number;
  readonly prot: number;
  readonly flags: number;
  readonly shared: boolean;
  /** Bytes into the file or object. */
  readonly offset: number;
  readonly dev: number;
  readonly ino: number;
  /** Path, "[heap]", "[stack]", "[vdso]", or ''. */
  readonly name: string;
}

/** Says what path a HostFile record is shown with. */
export type FileNamer = (file: number) => string;

/** All mappings in address order; files by their names when they were opened, unless `namer` knows better. KERNEL mode. */
export function listMappings(c: Caller, namer?: FileNamer): MappingInfo[] {
  const { mem, mm } = c;
  const names = new Map<number, string>();
  const nameFile: FileNamer = (file) => {
    let name = names.get(file);
    if (name === undefined) {
      name = namer === undefined ? hostFilePath(mem, file) : namer(file);
      names.set(file, name);
    }
    return name;
  };
  const list: MappingInfo[] = [];
  mmapLock(c);
  try {
    for (let m = firstMapping(mem, mm); m !== 0; m = mem.getU32(m + Mapping.next)) {
      const object = mem.getU32(m + Mapping.object);
      list.push({
        start: mem.getU32(m + Mapping.start) * MIN_PAGE_SIZE,
        end: mem.getU32(m + Mapping.end) * MIN_PAGE_SIZE,
        prot: mem.getU32(m + Mapping.prot),
        flags: mem.getU32(m + Mapping.flags),
        shared: (mem.getU32(m + Mapping.flags) & MAPPING_SHARED) !== 0,
        offset: mem.getU32(m + Mapping.offset) * MIN_PAGE_SIZE,
        dev: object === 0 ? 0 : mem.getU64(object + SharedObject.dev),
        ino: object === 0 ? 0 : mem.getU64(object + SharedObject.ino),
        name: nameOf(c, m, nameFile),
      });
    }
  } finally {
    mmapUnlock(c);
  }
  return list;
}

function nameOf(c: Caller, mapping: number, nameFile: FileNamer): string {
  const { mem, mm } = c;
  const file = mem.getU32(mapping + Mapping.file);
  if (file !== 0) return nameFile(file);
  const object = mem.getU32(mapping + Mapping.object);
  if (object !== 0) {
    const name = mem.getU32(object + SharedObject.name);
    if (name === 0) return '';
    return new TextDecoder().decode(mem.u8.slice(name, name + mem.getU32(object + SharedObject.nameLength)));
  }
  const start = mem.getU32(mapping + Mapping.start) * MIN_PAGE_SIZE;
  const end = mem.getU32(mapping + Mapping.end) * MIN_PAGE_SIZE;
  const vdso = mem.getU64(mm + Mm.vdso);
  if (vdso !== 0 && vdso === start) return '[vdso]';
  const startBrk = mem.getU64(mm + Mm.startBrk);
  const brk = mem.getU64(mm + Mm.brk);
  if (brk > startBrk && start <= brk && end >= startBrk) return '[heap]';
  const stack = mem.getU64(mm + Mm.startStack);
  if (start <= stack && stack < end) return '[stack]';
  return '';
}

function hex(value: number, width: number): string {
  return value.toString(16).padStart(width, '0');
}

function permissions(info: MappingInfo): string {
  const r = info.prot & PROT_READ ? 'r' : '-';
  const w = info.prot & PROT_WRITE ? 'w' : '-';
  const x = info.prot & PROT_EXEC ? 'x' : '-';
  return `${r}${w}${x}${info.shared ? 's' : 'p'}`;
}

/** Major and minor of a host device number. */
export function deviceNumbers(dev: number): readonly [major: number, minor: number] {
  const low = dev % 0x1_0000_0000;
  const major = ((low >>> 8) & 0xfff) + (Math.floor(dev / 0x1_0000_0000) & 0xffff_f000);
  const minor = (low & 0xff) | ((low >>> 12) & 0xfff00);
  return [major, minor];
}

/** major:minor, as the kernel prints it. */
function device(dev: number): string {
  const [major, minor] = deviceNumbers(dev);
  return `${hex(major, 2)}:${hex(minor, 2)}`;
}

/** Text of /proc/PID/maps, in the kernel's format to the byte (fs/proc/task_mmu.c). KERNEL mode. */
export function formatMaps(c: Caller, namer?: FileNamer): string {
  return listMappings(c, namer).map(formatMapsLine).join('');
}

/** One line of /proc/PID/maps, which also begins an entry of smaps. */
export function formatMapsLine(info: MappingInfo): string {
  const line = `${hex(info.start, 8)}-${hex(info.end, 8)} ${permissions(info)} ${hex(info.offset, 8)} ${device(info.dev)} ${info.ino} `;
  // The name starts in column 73, or after one blank.
  return info.name === '' ? `${line}\n` : `${line.padEnd(72)} ${info.name.replace(/\n/g, '\\012')}\n`;
}

/** The map as QEMU's page_dump prints it (`-d page`). KERNEL mode. */
export function pageDump(c: Caller): string {
  let text = `${'start'.padEnd(16)} ${'end'.padEnd(16)} ${'size'.padEnd(16)} prot\n`;
  for (const info of listMappings(c)) {
    const r = info.prot & PROT_READ ? 'r' : '-';
    const w = info.prot & PROT_WRITE ? 'w' : '-';
    const x = info.prot & PROT_EXEC ? 'x' : '-';
    text += `${hex(info.start, 16)}-${hex(info.end, 16)} ${hex(info.end - info.start, 16)} ${r}${w}${x}\n`;
  }
  return text;
}
