import { SyscallError } from '../errno.js';

/** What shmctl(2), semctl(2) and msgctl(2) have in common: their commands, and how what they call says that it has failed. */

export const IPC_RMID = 0;
export const IPC_SET = 1;
export const IPC_STAT = 2;
export const IPC_INFO = 3;

/** The result, unless it is a negated errno: then throws SyscallError. */
export function failed(result: number): number {
  if (result < 0) throw new SyscallError(-result);
  return result;
}
