import { EFAULT, SyscallError } from '../../src/kernel/errno.js';
import { createFilesTable } from '../../src/kernel/files/filesTable.js';
import { createFs } from '../../src/kernel/files/fsRecord.js';
import type { MountOptions } from '../../src/kernel/files/mountTable.js';
import { installStandardStreams } from '../../src/kernel/files/standardStreams.js';
import * as SYS from '../../src/kernel/linux/syscallNumbers.js';
import { linuxSyscalls } from '../../src/kernel/linux/syscallTable.js';
import type { ThreadContext } from '../../src/kernel/threadContext.js';
import { UserFault } from '../../src/memory/caller.js';
import { initFrames } from '../../src/memory/frames.js';
import { createObjectTable } from '../../src/memory/sharedObject.js';
import { allocateBlock } from '../../src/sync/heap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { FrameDescriptor } from '../../src/sync/records/frame.js';
import { Thread } from '../../src/sync/records/thread.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';
import {
  type BareMachine,
  bindContext,
  createBareMachine,
  createBareThread,
  GUEST_MEMORY,
} from './bareMachine.js';

export const AT_FDCWD = -100;
const AREA = 1 << 20;
const AREAS = 12;
const FRAMES = 1024;

/** A bare machine whose guest has files: null standard streams and the given mounts. */
export interface FileMachine extends BareMachine {
  readonly files: number;
  readonly fs: number;
}

export function createFileMachine(mounts: MountOptions, cwd = '/'): FileMachine {
  const machine = createBareMachine();
  const { mem } = machine;
  createObjectTable(mem, COORDINATOR);
  // Memory files need frames: 4 MiB of them, beyond what callers use as guest memory.
  const descriptors = allocateBlock(mem, FRAMES * FrameDescriptor.SIZE, COORDINATOR);
  initFrames(mem, descriptors, GUEST_MEMORY + AREAS * AREA, FRAMES, COORDINATOR);
  const files = createFilesTable(mem, COORDINATOR);
  installStandardStreams(mem, files, COORDINATOR, {
    stdin: { kind: 'null' },
    stdout: { kind: 'null' },
    stderr: { kind: 'null' },
  });
  return { ...machine, files, fs: createFs(mem, COORDINATOR, { mounts, cwd }) };
}

/** Makes a thread of the machine with its files; its record. */
export function createFileThread(machine: FileMachine): number {
  const thread = createBareThread(machine);
  machine.mem.setU32(thread + Thread.files, machine.files);
  machine.mem.setU32(thread + Thread.fs, machine.fs);
  return thread;
}

type Argument = number | string | Uint8Array;

/**
 * Makes system calls as a guest thread would: strings and byte arrays are put into guest memory first. Each caller has a
 * stretch of guest memory of its own (`area`).
 */
export class FileCaller {
  readonly t: ThreadContext;
  private next: number;
  private readonly base: number;

  constructor(
    readonly mem: SharedMemory,
    thread: number,
    area = 0,
  ) {
    this.t = bindContext(mem, thread);
    this.base = GUEST_MEMORY + area * AREA;
    this.next = this.base;
  }

  /** Guest memory for results, zeroed. */
  buffer(size: number): number {
    const at = this.next;
    this.next += Math.ceil((size + 1) / 16) * 16;
    if (this.next > this.base + AREA) {
      this.next = this.base;
      return this.buffer(size);
    }
    this.mem.zero(at, size);
    return at;
  }

  bytes(at: number, length: number): Buffer {
    return Buffer.from(this.mem.u8.slice(at, at + length));
  }

  text(at: number, length: number): string {
    return this.bytes(at, length).toString('latin1');
  }

  private place(argument: Argument): number {
    if (typeof argument === 'number') return argument;
    const data = typeof argument === 'string' ? Buffer.from(`${argument}\0`, 'latin1') : argument;
    const at = this.buffer(data.length);
    this.mem.u8.set(data, at);
    return at;
  }

  /** The result of system call `name`, as the dispatcher would give it. */
  call(name: string, ...args: Argument[]): number {
    const number = (SYS as Record<string, number>)[`SYS_${name}`];
    const entry = linuxSyscalls[number];
    if (entry === undefined) throw new Error(`no system call ${name}`);
    const a = args.map((argument) => this.place(argument));
    try {
      return entry.handler(this.t, a[0] ?? 0, a[1] ?? 0, a[2] ?? 0, a[3] ?? 0, a[4] ?? 0, a[5] ?? 0);
    } catch (error) {
      if (error instanceof SyscallError) return -error.errno;
      if (error instanceof UserFault) return -EFAULT;
      throw error;
    }
  }

  open(path: string, flags = 0, mode = 0o644): number {
    return this.call('openat', AT_FDCWD, path, flags, mode);
  }

  write(fd: number, text: string): number {
    return this.call('write', fd, Buffer.from(text, 'latin1'), text.length);
  }

  /** What read gives, as a byte string, or its −errno. */
  read(fd: number, size = 4096): string | number {
    const at = this.buffer(size);
    const n = this.call('read', fd, at, size);
    return n < 0 ? n : this.text(at, n);
  }

  /** The whole text of a file, or the −errno of its open. */
  readAll(path: string): string | number {
    const fd = this.open(path);
    if (fd < 0) return fd;
    let all = '';
    for (;;) {
      const piece = this.read(fd);
      if (typeof piece === 'number') return piece;
      if (piece === '') break;
      all += piece;
    }
    this.call('close', fd);
    return all;
  }

  /** Names in a directory, sorted, or −errno. */
  list(path: string): string[] | number {
    const fd = this.open(path, 0o200000);
    if (fd < 0) return fd;
    const names: string[] = [];
    const at = this.buffer(1024);
    for (;;) {
      const n = this.call('getdents64', fd, at, 1024);
      if (n < 0) return n;
      if (n === 0) break;
      const bytes = this.bytes(at, n);
      for (let o = 0; o < n; o += bytes.readUInt16LE(o + 16)) {
        names.push(bytes.toString('latin1', o + 19, bytes.indexOf(0, o + 19)));
      }
    }
    this.call('close', fd);
    return names.sort();
  }

  /** st_mode, st_size and st_ino of a path (not following a link with `noFollow`), or −errno. */
  stat(path: string, noFollow = false): { mode: number; size: number; ino: bigint; nlink: number } | number {
    const at = this.buffer(128);
    const result = this.call('newfstatat', AT_FDCWD, path, at, noFollow ? 0x100 : 0);
    if (result < 0) return result;
    const bytes = this.bytes(at, 128);
    return {
      mode: bytes.readUInt32LE(16),
      nlink: bytes.readUInt32LE(20),
      size: Number(bytes.readBigInt64LE(48)),
      ino: bytes.readBigUInt64LE(8),
    };
  }

  readlink(path: string): string | number {
    const at = this.buffer(4096);
    const n = this.call('readlinkat', AT_FDCWD, path, at, 4096);
    return n < 0 ? n : this.text(at, n);
  }

  /** pipe2; its two descriptors. */
  pipe(flags = 0): readonly [number, number] {
    const at = this.buffer(8);
    const result = this.call('pipe2', at, flags);
    if (result < 0) throw new Error(`pipe2: ${result}`);
    return [this.mem.getU32(at), this.mem.getU32(at + 4)];
  }
}
