import { EINVAL } from '../errno.js';
import type { SyscallHandler } from '../linux/syscall.js';
import { linuxSyscalls } from '../linux/syscallTable.js';
import { errnoOf } from '../thrownErrno.js';
import { freebsdErrno } from './errno.js';

/**
 * The handler of a call that means the same on both systems, by Linux's number: what a FreeBSD call does once its arguments
 * have been put into Linux's numbers.
 */
export function linuxCall(number: number): SyscallHandler {
  const entry = linuxSyscalls[number];
  if (entry === undefined) throw new Error(`Linux system call ${number} is not built`);
  return entry.handler;
}

/** Calls that give their error as their result (kern_posix_error), as posix_fallocate(2) does. */
export function posixError(handler: SyscallHandler): SyscallHandler {
  return (t, ...args) => {
    let result: number;
    try {
      result = handler(t, ...args);
    } catch (error) {
      result = -errnoOf(error);
    }
    return result < 0 && result > -512 ? freebsdErrno(-result) : result;
  };
}

/** Puts flags into other numbers by a table of [from, to]; `undefined` when there are others than the table has. */
export function translateFlags(
  flags: number,
  table: readonly (readonly [number, number])[],
): number | undefined {
  let result = 0;
  let rest = flags;
  for (const [from, to] of table) {
    if ((flags & from) === 0) continue;
    result |= to;
    rest &= ~from;
  }
  return rest === 0 ? result : undefined;
}

export const INVALID = -EINVAL;
