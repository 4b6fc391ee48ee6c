import type { Caller } from '../memory/caller.js';

/** What is mapped: exactly one of the two records, and what the descriptor allows. */
export interface MappedFile {
  /** HostFile record (a regular file of the host), or 0. */
  readonly file: number;
  /** SharedObject record (memfd, shared memory segment), or 0. */
  readonly object: number;
  /** The descriptor was opened for reading, for writing. */
  readonly readable: boolean;
  readonly writable: boolean;
  /** The file lies on a mount without execution (PROT_EXEC → EPERM). */
  readonly noExec?: boolean;
}

/**
 * mmap(2). `file` is null for MAP_ANONYMOUS (and for /dev/zero, which the caller turns into that); a descriptor that
 * cannot be mapped is the caller's ENODEV. Returns the address or −errno.
 */
export function targetMmap(
  _c: Caller,
  _start: number,
  _length: number,
  _prot: number,
  _flags: number,
  _file: MappedFile | null,
  _offset: number,
): number {
  throw new Error('mmap is not built yet');
}
