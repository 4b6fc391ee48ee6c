import type { Caller } from '../../src/memory/caller.js';
import { EBADF } from '../../src/memory/linuxMemory.js';
import type { MachineMemoryOptions } from '../../src/memory/machineMemory.js';
import type { MmOptions } from '../../src/mm/addressSpace.js';
import { useFreebsdMap } from '../../src/mm/freebsd/freebsdAddressSpace.js';
import { freebsdMmap, type WithFile } from '../../src/mm/freebsd/freebsdMmap.js';
import type { MappedFile } from '../../src/mm/targetMmap.js';
import { Mm } from '../../src/sync/records/mm.js';
import { createCaller } from '../memory/machine.js';

export const MiB = 2 ** 20;
/** Where the text and the data of the pretended program begin. */
export const TEXT = 0x1_0000;
export const DATA = 0x10_0000;
/** The end of the largest heap: 128 MiB beyond the data. */
export const BASE = DATA + 128 * MiB;

/** An address space of FreeBSD's, as it is after exec of a small program. */
export function createFreebsdCaller(machine: MachineMemoryOptions = {}, options: MmOptions = {}): Caller {
  const c = createCaller(machine, options);
  useFreebsdMap(c.mem, c.mm);
  c.mem.set64(c.mm + Mm.startCode, TEXT);
  c.mem.set64(c.mm + Mm.startData, DATA);
  return c;
}

const noFile: WithFile = () => -EBADF;

/** mmap without a file unless one is given, whose descriptor is then 3. */
export function mmap(
  c: Caller,
  start: number,
  length: number,
  prot: number,
  flags: number,
  options: { fd?: number; file?: MappedFile | null; offset?: number } = {},
): number {
  const { file } = options;
  const withFile: WithFile = file === undefined ? noFile : (body) => body(file);
  const fd = options.fd ?? (file === undefined ? -1 : 3);
  return freebsdMmap(c, start, length, prot, flags, fd, options.offset ?? 0, withFile);
}
