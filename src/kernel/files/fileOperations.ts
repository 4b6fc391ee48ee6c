import type { SharedMemory } from '../../sync/sharedMemory.js';
import type { ThreadContext } from '../threadContext.js';
import type { FileStatus } from './fileStatus.js';
import type { ByteVector } from './userVector.js';

/**
 * What a kind of open file can do (Linux: struct file_operations). Operations return a result or −errno, and may throw
 * SyscallError and UserFault; the caller holds a reference to `file` and no lock. An operation that is missing answers as
 * Linux does for files without it.
 */
export interface FileOperations {
  /** Reads into guest memory. `offset` is undefined for read(2), which uses and moves the file's own. */
  read?(t: ThreadContext, file: number, into: ByteVector, offset: number | undefined): number;
  /** Writes from guest memory. `offset` as for read. */
  write?(t: ThreadContext, file: number, from: ByteVector, offset: number | undefined): number;
  /** POLL* bits that hold now. Missing: always readable and writable. Takes no part in waiting. */
  poll?(mem: SharedMemory, file: number, owner: number): number;
  /** Address of the EventSource that tells of changes of poll's answer; 0 when it never changes. */
  eventSource?(mem: SharedMemory, file: number): number;
  /** Monotonic milliseconds at which poll's answer changes by itself; Infinity when it does not. */
  deadline?(mem: SharedMemory, file: number, owner: number): number;
  /** lseek(2). Missing: ESPIPE. */
  seek?(t: ThreadContext, file: number, offset: number, whence: number): number;
  /** fstat(2). */
  status(t: ThreadContext, file: number): FileStatus;
  /** What /proc/PID/fdinfo says of this kind beyond what it says of all: whole lines. */
  describe?(mem: SharedMemory, file: number): string;
  /** ioctl(2) requests of this kind; undefined: not known, ENOTTY. */
  ioctl?(t: ThreadContext, file: number, request: number, argument: number): number | undefined;
  /** ftruncate(2). Missing: EINVAL. */
  truncate?(t: ThreadContext, file: number, length: number): number;
  /** fallocate(2), `offset` and `length` checked. Missing: done with write and truncate for files of the host. */
  allocate?(t: ThreadContext, file: number, mode: number, offset: number, length: number): number;
  /** fchmod(2) of what is no file of the host. Missing: EPERM. */
  changeMode?(t: ThreadContext, file: number, mode: number): number;
  /** fchown(2) of what is no file of the host; −1 leaves an id alone. Missing: EPERM. */
  changeOwner?(t: ThreadContext, file: number, uid: number, gid: number): number;
  /** fsync(2), fdatasync(2). Missing: EINVAL. */
  sync?(t: ThreadContext, file: number, dataOnly: boolean): number;
  /** getdents64(2). Missing: ENOTDIR. */
  list?(t: ThreadContext, file: number, address: number, length: number): number;
  /** Somebody is about to wait for the file to become readable (poll, epoll_wait): starts what feeds it. */
  interest?(t: ThreadContext, file: number): void;
  /** Bytes that can be read without waiting (FIONREAD). */
  available?(mem: SharedMemory, file: number): number;
  /** A descriptor of the caller's has been closed (Linux: flush). */
  flush?(t: ThreadContext, file: number): void;
  /** The last reference is gone: frees what the kind owns. Also runs on the main thread; `owner` is the lock token. */
  release?(mem: SharedMemory, file: number, owner: number): void;
}
