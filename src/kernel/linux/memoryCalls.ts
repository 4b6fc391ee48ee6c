import { flushCode } from '../../memory/codePages.js';
import { keepFile } from '../../memory/keptFiles.js';
import { MAP_ANONYMOUS, PROT_EXEC } from '../../memory/linuxMemory.js';
import { isUnaligned } from '../../mm/pageRange.js';
import { targetBrk } from '../../mm/targetBrk.js';
import { targetMadvise } from '../../mm/targetMadvise.js';
import { targetMincore } from '../../mm/targetMincore.js';
import {
  targetMlock,
  targetMlock2,
  targetMlockall,
  targetMunlock,
  targetMunlockall,
} from '../../mm/targetMlock.js';
import { type MappedFile, targetMmap } from '../../mm/targetMmap.js';
import { targetMprotect } from '../../mm/targetMprotect.js';
import { targetMremap } from '../../mm/targetMremap.js';
import { targetMsync } from '../../mm/targetMsync.js';
import { targetMunmap } from '../../mm/targetMunmap.js';
import { EINVAL } from '../errno.js';
import { withMappedFile } from '../files/mapping.js';
import type { ThreadContext } from '../threadContext.js';
import { mappingCall, type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** Memory: thin decoders; everything is done in mm/. */
function mmap(
  t: ThreadContext,
  start: number,
  length: number,
  prot: number,
  flags: number,
  fd: number,
  offset: number,
): number {
  if (isUnaligned(t, offset)) return -EINVAL;
  // A negative start is beyond TASK_SIZE; as a hint it is no hint.
  if ((flags & MAP_ANONYMOUS) !== 0) return targetMmap(t, start, length, prot | 0, flags | 0, null, offset);
  return withMappedFile(t, fd | 0, (file) => mapFile(t, start, length, prot | 0, flags | 0, file, offset));
}

function mapFile(
  t: ThreadContext,
  start: number,
  length: number,
  prot: number,
  flags: number,
  file: MappedFile,
  offset: number,
): number {
  const result = targetMmap(t, start, length, prot, flags, file, offset);
  // A shared library: the next process will want it, too.
  if (result >= 0 && (prot & PROT_EXEC) !== 0 && file.file !== 0) keepFile(t.mem, file.file, t.thread);
  return result;
}

/** Flags that the kernel takes as a long, of which no bit beyond 32 has a meaning: such bits become an unknown flag. */
function longFlags(flags: number): number {
  return flags === (flags | 0) ? flags : flags | 0x4000_0000;
}

/** riscv_flush_icache(start, end, flags): like FENCE.I, for all threads or (flag 1) the caller's. */
function riscvFlushIcache(t: ThreadContext, _start: number, _end: number, flags: number): number {
  if ((flags & ~1) !== 0) return -EINVAL;
  flushCode(t);
  return 0;
}

export const memoryCalls: SyscallTable = {
  [SYS.SYS_brk]: { ...mappingCall('brk', ['pointer'], (t, end) => targetBrk(t, end)), resultHex: true },
  [SYS.SYS_mmap]: {
    ...mappingCall('mmap', ['pointer', 'size', 'prot', 'mapFlags', 'int', 'hex'], mmap),
    resultHex: true,
  },
  [SYS.SYS_munmap]: mappingCall('munmap', ['pointer', 'size'], (t, start, length) =>
    targetMunmap(t, start, length),
  ),
  [SYS.SYS_mprotect]: mappingCall('mprotect', ['pointer', 'size', 'prot'], (t, start, length, prot) =>
    targetMprotect(t, start, length, longFlags(prot)),
  ),
  [SYS.SYS_mremap]: {
    ...mappingCall(
      'mremap',
      ['pointer', 'size', 'size', 'hex', 'pointer'],
      (t, old, oldSize, size, flags, to) => targetMremap(t, old, oldSize, size, longFlags(flags), to),
    ),
    resultHex: true,
  },
  [SYS.SYS_msync]: syscall('msync', ['pointer', 'size', 'hex'], (t, start, length, flags) =>
    targetMsync(t, start, length, flags | 0),
  ),
  [SYS.SYS_madvise]: syscall('madvise', ['pointer', 'size', 'int'], (t, start, length, advice) =>
    targetMadvise(t, start, length, advice | 0),
  ),
  [SYS.SYS_mincore]: syscall('mincore', ['pointer', 'size', 'pointer'], (t, start, length, vector) =>
    targetMincore(t, start, length, vector),
  ),
  [SYS.SYS_mlock]: syscall('mlock', ['pointer', 'size'], (t, start, length) => targetMlock(t, start, length)),
  [SYS.SYS_mlock2]: syscall('mlock2', ['pointer', 'size', 'hex'], (t, start, length, flags) =>
    targetMlock2(t, start, length, flags | 0),
  ),
  [SYS.SYS_munlock]: syscall('munlock', ['pointer', 'size'], (t, start, length) =>
    targetMunlock(t, start, length),
  ),
  [SYS.SYS_mlockall]: syscall('mlockall', ['hex'], (t, flags) => targetMlockall(t, flags | 0)),
  [SYS.SYS_munlockall]: syscall('munlockall', [], (t) => targetMunlockall(t)),
  [SYS.SYS_riscv_flush_icache]: syscall(
    'riscv_flush_icache',
    ['pointer', 'pointer', 'hex'],
    riscvFlushIcache,
  ),
};
