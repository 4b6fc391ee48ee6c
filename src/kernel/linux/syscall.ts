import type { ThreadContext } from '../threadContext.js';

/**
 * A system call. The arguments are the 64-bit registers a0 … a5 as signed JavaScript numbers: exact within ±2^53, rounded
 * beyond (such an address is never mapped and such a length never valid). A handler narrows `int` arguments with `| 0`.
 * It returns the result, or −errno; an internal restart code (−ERESTARTSYS, …) when a signal interrupted it. It may throw
 * SyscallError and UserFault.
 */
export type SyscallHandler = (
  t: ThreadContext,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
  a4: number,
  a5: number,
) => number;

/** How --strace shows an argument; the kinds are drawn by observe/strace.ts. */
export type ArgKind =
  | 'fd'
  | 'dirfd'
  | 'path'
  | 'string'
  | 'buffer'
  | 'pointer'
  | 'int'
  | 'uint'
  | 'long'
  | 'hex'
  | 'octal'
  | 'size'
  | 'signal'
  | 'openFlags'
  | 'atFlags'
  | 'prot'
  | 'mapFlags'
  | 'cloneFlags'
  | 'futexOp'
  | 'clock'
  | 'timespec'
  | 'sigset';

export interface SyscallEntry {
  /** The kernel's name of the call, without "sys_". */
  readonly name: string;
  readonly handler: SyscallHandler;
  /** The arguments as --strace shows them. */
  readonly args: readonly ArgKind[];
  /** The result is an address and shown in hexadecimal. */
  readonly resultHex?: boolean;
  /** The call may change the memory map: `-d page` reports it. */
  readonly changesMap?: boolean;
}

/** System calls by number. */
export type SyscallTable = Readonly<Record<number, SyscallEntry>>;

/** Declares a call that may change the memory map. */
export function mappingCall(name: string, args: readonly ArgKind[], handler: SyscallHandler): SyscallEntry {
  return { name, handler, args, changesMap: true };
}

/** Declares one system call of a table. */
export function syscall(name: string, args: readonly ArgKind[], handler: SyscallHandler): SyscallEntry {
  return { name, handler, args };
}
