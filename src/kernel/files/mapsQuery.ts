import { PROT_EXEC, PROT_READ, PROT_WRITE } from '../../memory/linuxMemory.js';
import { copyIn, copyOut, readU64Big } from '../../memory/userAccess.js';
import { deviceNumbers, listMappings, type MappingInfo } from '../../mm/pageDump.js';
import { targetPageSize } from '../../mm/pageRange.js';
import { E2BIG, EINVAL, ENAMETOOLONG, ENOENT, ESRCH } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { withProcess } from './heldProcess.js';
import { currentMappedPath } from './pathResolution.js';

/** PROCMAP_QUERY: the ioctl of /proc/PID/maps that asks for one mapping (fs/proc/task_mmu.c, do_procmap_query). */
export const PROCMAP_QUERY = 0xc068_6611 | 0;

/** struct procmap_query. */
const SIZE = 104;
const LEAST_SIZE = 24;
const MOST_SIZE = 4096;
const ADDRESS = 16;
const START = 24;
const END = 32;
const FLAGS = 40;
const PAGE_SIZE = 48;
const OFFSET = 56;
const INODE = 64;
const MAJOR = 72;
const MINOR = 76;
const NAME_SIZE = 80;
const BUILD_ID_SIZE = 84;
const NAME = 88;
const BUILD_ID = 96;

const READABLE = 1;
const WRITABLE = 2;
const EXECUTABLE = 4;
const SHARED = 8;
const COVERING_OR_NEXT = 0x10;
const FILE_BACKED = 0x20;
const ALL = 0x3f;

function flagsOf(mapping: MappingInfo): number {
  return (
    (mapping.prot & PROT_READ ? READABLE : 0) |
    (mapping.prot & PROT_WRITE ? WRITABLE : 0) |
    (mapping.prot & PROT_EXEC ? EXECUTABLE : 0) |
    (mapping.shared ? SHARED : 0)
  );
}

function matches(mapping: MappingInfo, address: number, wanted: number): boolean {
  if (mapping.end <= address) return false;
  const flags = flagsOf(mapping) | (mapping.ino !== 0 ? FILE_BACKED : 0);
  return (flags & wanted & ~COVERING_OR_NEXT) === (wanted & ~COVERING_OR_NEXT);
}

/** Answers the question at `argument` about process `pid`; 0 or −errno. Build ids are not told (their size is 0). */
export function queryMapping(t: ThreadContext, pid: number, argument: number): number {
  const size = readU64Big(t, argument);
  if (size > BigInt(MOST_SIZE)) return -E2BIG;
  if (size < BigInt(LEAST_SIZE)) return -EINVAL;
  const given = new Uint8Array(Number(size));
  copyIn(t, argument, given);
  if (given.subarray(SIZE).some((byte) => byte !== 0)) return -E2BIG;
  const bytes = new Uint8Array(SIZE);
  bytes.set(given.subarray(0, SIZE));
  const view = new DataView(bytes.buffer);
  const wanted = view.getBigUint64(8, true);
  if ((wanted & ~BigInt(ALL)) !== 0n) return -EINVAL;
  const room = view.getUint32(NAME_SIZE, true);
  const nameAt = view.getBigUint64(NAME, true);
  if ((room !== 0) !== (nameAt !== 0n)) return -EINVAL;
  if ((view.getUint32(BUILD_ID_SIZE, true) !== 0) !== (view.getBigUint64(BUILD_ID, true) !== 0n))
    return -EINVAL;
  const mappings = withProcess(t, pid, (held) => ({
    list: listMappings(held, (file) => currentMappedPath(t, file)),
    pageSize: targetPageSize(held),
  }));
  if (mappings === undefined) return -ESRCH;
  const address = Number(view.getBigUint64(ADDRESS, true));
  const flags = Number(wanted);
  const next = (flags & COVERING_OR_NEXT) !== 0;
  // Without it, only the mapping that covers the address will do.
  const found = mappings.list.find((one) => (next ? matches(one, address, flags) : one.end > address));
  if (found === undefined || (!next && (found.start > address || !matches(found, address, flags))))
    return -ENOENT;
  const name = Buffer.from(`${found.name}\0`, 'latin1');
  const named = room !== 0 && found.name !== '';
  if (named && name.length > room) return -ENAMETOOLONG;
  if (named) copyOut(t, Number(nameAt), name);
  view.setBigUint64(START, BigInt(found.start), true);
  view.setBigUint64(END, BigInt(found.end), true);
  view.setBigUint64(FLAGS, BigInt(flagsOf(found)), true);
  view.setBigUint64(PAGE_SIZE, BigInt(mappings.pageSize), true);
  view.setBigUint64(OFFSET, BigInt(found.offset), true);
  view.setBigUint64(INODE, BigInt(found.ino), true);
  const [major, minor] = deviceNumbers(found.dev);
  view.setUint32(MAJOR, major, true);
  view.setUint32(MINOR, minor, true);
  view.setUint32(NAME_SIZE, named ? name.length : 0, true);
  view.setUint32(BUILD_ID_SIZE, 0, true);
  copyOut(t, argument, bytes.subarray(0, Math.min(SIZE, given.length)));
  return 0;
}
