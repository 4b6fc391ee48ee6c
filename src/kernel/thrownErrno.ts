import { UserFault } from '../memory/caller.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { EFAULT, EIO, ENOMEM, SyscallError } from './errno.js';

/** The errno of what a system call's handler threw; bugs are thrown on. */
export function errnoOf(error: unknown): number {
  if (error instanceof UserFault) return EFAULT;
  if (error instanceof SyscallError) return error.errno;
  if (error instanceof OutOfKernelMemory) return ENOMEM;
  // What the host's file system says where nobody expected it.
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number' && 'syscall' in error) {
    return error.errno < 0 && error.errno > -4096 ? -error.errno : EIO;
  }
  throw error;
}
