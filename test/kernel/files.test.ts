import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  EAGAIN,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  EISDIR,
  EMFILE,
  ENOENT,
  ENOTDIR,
  ENOTTY,
  ENXIO,
  ESPIPE,
} from '../../src/kernel/errno.js';
import { copyFiles, filesForExec, releaseFiles } from '../../src/kernel/files/filesTable.js';
import { setLimit } from '../../src/kernel/guestRecords.js';
import { Files } from '../../src/sync/records/files.js';
import { HostFile } from '../../src/sync/records/hostFile.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { OpenFile } from '../../src/sync/records/openFile.js';
import { Thread } from '../../src/sync/records/thread.js';
import { AT_FDCWD, createFileMachine, createFileThread, FileCaller, type FileMachine } from './fileCaller.js';

const O_RDWR = 2;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const O_TMPFILE = 0o20200000;

let host: string;
let machine: FileMachine;
let c: FileCaller;

beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), 'guesthouse-files-'));
  writeFileSync(join(host, 'a'), 'hello world');
  mkdirSync(join(host, 'd'));
  machine = createFileMachine({ root: host, mounts: [] });
  c = new FileCaller(machine.mem, createFileThread(machine));
});
afterEach(() => rmSync(host, { recursive: true }));

describe('regular files', () => {
  it('reads from its offset, seeks, and reads at positions without moving it', () => {
    const fd = c.open('/a');
    expect(fd).toBe(3);
    expect(c.read(fd, 5)).toBe('hello');
    expect(c.call('lseek', fd, 0, 1)).toBe(5);
    const at = c.buffer(16);
    expect(c.call('pread64', fd, at, 16, 6)).toBe(5);
    expect(c.text(at, 5)).toBe('world');
    expect(c.read(fd)).toBe(' world');
    expect(c.read(fd)).toBe('');
    expect(c.call('lseek', fd, -3, 2)).toBe(8);
    expect(c.read(fd)).toBe('rld');
    expect(c.call('lseek', fd, -1, 0)).toBe(-EINVAL);
    expect(c.call('lseek', fd, 3, 3)).toBe(3);
    expect(c.call('lseek', fd, 3, 4)).toBe(11);
    expect(c.call('lseek', fd, 11, 3)).toBe(-ENXIO);
    expect(c.call('pread64', fd, at, 1, -1)).toBe(-EINVAL);
  });

  it('writes, appends, truncates and keeps the umask', () => {
    const fd = c.open('/new', O_CREAT | O_EXCL | O_RDWR, 0o666);
    expect(c.write(fd, 'abcdef')).toBe(6);
    expect(c.call('pwrite64', fd, Buffer.from('XY'), 2, 1)).toBe(2);
    expect(c.call('ftruncate', fd, 4)).toBe(0);
    expect(readFileSync(join(host, 'new'), 'latin1')).toBe('aXYd');
    expect(c.stat('/new')).toMatchObject({ mode: 0o100644, size: 4 });
    expect(c.open('/new', O_CREAT | O_EXCL | O_RDWR)).toBe(-EEXIST);
    const appender = c.open('/new', O_WRONLY | O_APPEND);
    expect(c.call('lseek', appender, 0, 0)).toBe(0);
    expect(c.write(appender, '++')).toBe(2);
    expect(c.call('lseek', appender, 0, 1)).toBe(6);
    expect(readFileSync(join(host, 'new'), 'latin1')).toBe('aXYd++');
    expect(c.call('umask', 0)).toBe(0o022);
    c.open('/wide', O_CREAT | O_WRONLY, 0o666);
    expect(c.stat('/wide')).toMatchObject({ mode: 0o100666 });
    c.open('/new', O_WRONLY | O_TRUNC);
    expect(c.stat('/new')).toMatchObject({ size: 0 });
  });

  it('checks the access mode and the memory', () => {
    const reader = c.open('/a');
    const writer = c.open('/a', O_WRONLY);
    expect(c.write(reader, 'x')).toBe(-EBADF);
    expect(c.read(writer)).toBe(-EBADF);
    expect(c.call('read', reader, 0, 5)).toBe(-EFAULT);
    expect(c.call('read', reader, -8, 5)).toBe(-EFAULT);
    expect(c.call('read', 99, 0, 5)).toBe(-EBADF);
    expect(c.call('read', -1, 0, 5)).toBe(-EBADF);
    expect(c.call('write', writer, 2 ** 50, 5)).toBe(-EFAULT);
    expect(c.call('openat', AT_FDCWD, 0, 0)).toBe(-EFAULT);
    expect(c.call('lseek', reader, 0, 1)).toBe(0);
    const directory = c.open('/d');
    expect(c.read(directory)).toBe(-EISDIR);
    expect(c.open('/d', O_WRONLY)).toBe(-EISDIR);
    expect(c.call('getdents64', reader, c.buffer(64), 64)).toBe(-ENOTDIR);
  });

  it('scatters and gathers', () => {
    const fd = c.open('/v', O_CREAT | O_RDWR);
    const iovec = (parts: readonly (readonly [number, number])[]): Buffer => {
      const bytes = Buffer.alloc(parts.length * 16);
      parts.forEach(([base, length], i) => {
        bytes.writeBigInt64LE(BigInt(base), i * 16);
        bytes.writeBigInt64LE(BigInt(length), i * 16 + 8);
      });
      return bytes;
    };
    const one = c.buffer(3);
    machine.mem.u8.set(Buffer.from('one'), one);
    const two = c.buffer(5);
    machine.mem.u8.set(Buffer.from('three'), two);
    const vector = iovec([
      [one, 3],
      [0, 0],
      [two, 5],
    ]);
    expect(c.call('writev', fd, vector, 3)).toBe(8);
    expect(readFileSync(join(host, 'v'), 'latin1')).toBe('onethree');
    machine.mem.zero(one, 3);
    machine.mem.zero(two, 5);
    expect(c.call('preadv', fd, vector, 3, 2)).toBe(6);
    expect(c.text(one, 3)).toBe('eth');
    expect(c.text(two, 5)).toBe('ree\0\0');
    // What is before an unmapped stretch is done.
    expect(
      c.call(
        'pwritev',
        fd,
        iovec([
          [one, 3],
          [8, 4],
        ]),
        2,
        0,
      ),
    ).toBe(3);
    expect(c.call('readv', fd, iovec([[one, -1]]), 1)).toBe(-EINVAL);
    expect(c.call('readv', fd, vector, 1025)).toBe(-EINVAL);
  });

  it('copies between files', () => {
    const big = Buffer.alloc(200_000, 'guesthouse ');
    writeFileSync(join(host, 'big'), big);
    const from = c.open('/big');
    const to = c.open('/copy', O_CREAT | O_RDWR);
    const offset = Buffer.alloc(8);
    offset.writeBigInt64LE(50_000n);
    const at = c.buffer(8);
    machine.mem.u8.set(offset, at);
    expect(c.call('sendfile', to, from, at, 100_000)).toBe(100_000);
    expect(machine.mem.getU64(at)).toBe(150_000);
    expect(c.call('lseek', from, 0, 1)).toBe(0);
    expect(c.call('copy_file_range', from, 0, to, 0, 1 << 30, 0)).toBe(200_000);
    expect(readFileSync(join(host, 'copy')).equals(Buffer.concat([big.subarray(50_000, 150_000), big]))).toBe(
      true,
    );
  });

  it('allocates and punches', () => {
    const fd = c.open('/f', O_CREAT | O_RDWR);
    c.write(fd, 'xxxxxxxx');
    expect(c.call('fallocate', fd, 0, 0, 100)).toBe(0);
    expect(c.stat('/f')).toMatchObject({ size: 100 });
    expect(c.call('fallocate', fd, 3, 2, 3)).toBe(0);
    expect(readFileSync(join(host, 'f')).toString('latin1', 0, 8)).toBe('xx\0\0\0xxx');
    expect(c.call('fallocate', fd, 0, 0, 0)).toBe(-EINVAL);
  });

  it('makes files without a name', () => {
    const fd = c.open('/d', O_TMPFILE | O_RDWR, 0o600);
    expect(fd).toBeGreaterThan(2);
    expect(c.write(fd, 'temporary')).toBe(9);
    expect(c.list('/d')).toEqual(['.', '..']);
    expect(c.readAll(`/proc/self/fd/${fd}`)).toBe('temporary');
  });

  it('keeps memory files with seals', () => {
    const fd = c.call('memfd_create', 'name', 2);
    expect(c.write(fd, 'sealed')).toBe(6);
    expect(c.call('ftruncate', fd, 10_000)).toBe(0);
    expect(c.call('fcntl', fd, 1033, 2 | 4)).toBe(0);
    expect(c.call('fcntl', fd, 1034)).toBe(6);
    expect(c.call('ftruncate', fd, 5)).toBe(-1);
    expect(c.call('ftruncate', fd, 20_000)).toBe(-1);
    expect(c.call('lseek', fd, 0, 0)).toBe(0);
    expect(c.read(fd, 8)).toBe('sealed\0\0');
    expect(c.readlink(`/proc/self/fd/${fd}`)).toBe('/memfd:name (deleted)');
  });
});

describe('descriptors', () => {
  it('gives the lowest free one and shares the offset among duplicates', () => {
    const a = c.open('/a');
    const b = c.call('dup', a);
    expect([a, b]).toEqual([3, 4]);
    expect(c.read(a, 3)).toBe('hel');
    expect(c.read(b, 3)).toBe('lo ');
    expect(c.call('close', a)).toBe(0);
    expect(c.read(b, 3)).toBe('wor');
    expect(c.open('/d')).toBe(3);
    expect(c.call('fcntl', b, 0, 10)).toBe(10);
    expect(c.call('dup3', b, 200, O_CLOEXEC)).toBe(200);
    expect(c.call('fcntl', 200, 1)).toBe(1);
    expect(c.call('dup3', b, b, 0)).toBe(-EINVAL);
    expect(c.call('dup3', b, 5000, 0)).toBe(-EBADF);
    expect(c.call('close', 5000)).toBe(-EBADF);
    expect(c.call('close_range', 4, 199, 0)).toBe(0);
    expect(c.list('/proc/self/fd')).toEqual(['.', '..', '0', '1', '2', '200', '3', '4']);
  });

  it('obeys RLIMIT_NOFILE', () => {
    setLimit(machine.mem, machine.guest, 7, 5, 5);
    expect(c.open('/a')).toBe(3);
    expect(c.open('/a')).toBe(4);
    expect(c.open('/a')).toBe(-EMFILE);
    expect(c.call('fcntl', 3, 0, 5)).toBe(-EINVAL);
    expect(c.call('pipe2', c.buffer(8), 0)).toBe(-EMFILE);
  });

  it('closes what is marked at exec, and leaves a shared table to the others', () => {
    const { mem } = machine;
    const kept = c.open('/a');
    const closed = c.open('/a', O_CLOEXEC);
    const copy = copyFiles(mem, machine.files, c.t.thread);
    mem.atomicAdd(copy + Files.refs, 1);
    const own = filesForExec(mem, copy, c.t.thread);
    expect(own).not.toBe(copy);
    mem.setU32(c.t.thread + Thread.files, own);
    c.t.reload();
    expect(c.read(kept, 2)).toBe('he');
    expect(c.read(closed, 2)).toBe(-EBADF);
    mem.setU32(c.t.thread + Thread.files, machine.files);
    c.t.reload();
    // fork shares the offset.
    expect(c.read(kept, 2)).toBe('ll');
    expect(c.read(closed, 2)).toBe('he');
  });

  it('gives everything back: heap and host descriptors', () => {
    const { mem } = machine;
    const used = () => mem.getU64(MACHINE + Machine.heapUsed);
    const round = (): void => {
      const fd = c.open('/a');
      const [r, w] = c.pipe();
      const e = c.call('epoll_create1', 0);
      const event = c.call('eventfd2', 0, 0);
      c.call('epoll_ctl', e, 1, event, Buffer.alloc(16, 1));
      c.call('epoll_ctl', e, 1, r, Buffer.alloc(16, 1));
      c.write(w, 'x');
      const copy = copyFiles(mem, machine.files, c.t.thread);
      c.list('/d');
      c.readAll('/proc/self/status');
      for (const each of [fd, r, w, e, event]) c.call('close', each);
      releaseFiles(mem, copy, c.t.thread);
    };
    round();
    const before = used();
    for (let i = 0; i < 20; i++) round();
    expect(used()).toBe(before);
  });

  it('has flags and ioctls', () => {
    const [r] = c.pipe(O_NONBLOCK);
    expect(c.read(r)).toBe(-EAGAIN);
    expect(c.call('fcntl', r, 3)).toBe(O_NONBLOCK);
    expect(c.call('ioctl', r, 0x5421, c.buffer(4))).toBe(0);
    expect(c.call('fcntl', r, 3)).toBe(0);
    const fd = c.open('/a');
    expect(c.call('ioctl', fd, 0x5401, c.buffer(64))).toBe(-ENOTTY);
    const count = c.buffer(4);
    expect(c.call('ioctl', fd, 0x541b, count)).toBe(0);
    expect(machine.mem.getU32(count)).toBe(11);
    expect(c.call('fcntl', fd, 4, O_APPEND | 3)).toBe(0);
    expect(c.call('fcntl', fd, 3)).toBe(O_APPEND | 0o100000);
    expect(c.call('lseek', r, 0, 0)).toBe(-ESPIPE);
    expect(c.call('pread64', r, c.buffer(4), 4, 0)).toBe(-ESPIPE);
  });

  it('keeps POSIX locks of a process and open file locks apart', () => {
    const lock = (type: number, start: number, length: number): Buffer => {
      const bytes = Buffer.alloc(32);
      bytes.writeUInt16LE(type, 0);
      bytes.writeBigInt64LE(BigInt(start), 8);
      bytes.writeBigInt64LE(BigInt(length), 16);
      return bytes;
    };
    const a = c.open('/a', O_RDWR);
    const b = c.open('/a', O_RDWR);
    expect(c.call('fcntl', a, 37, lock(1, 0, 10))).toBe(0);
    expect(c.call('fcntl', b, 37, lock(0, 5, 1))).toBe(-EAGAIN);
    expect(c.call('fcntl', b, 37, lock(0, 10, 0))).toBe(0);
    expect(c.call('fcntl', a, 37, lock(2, 4, 2))).toBe(0);
    expect(c.call('fcntl', b, 37, lock(1, 4, 2))).toBe(0);
    expect(c.call('fcntl', b, 37, lock(1, 3, 1))).toBe(-EAGAIN);
    const found = c.buffer(32);
    machine.mem.u8.set(lock(1, 0, 100), found);
    expect(c.call('fcntl', b, 36, found)).toBe(0);
    expect(machine.mem.u16[found >>> 1]).toBe(1);
    expect(c.call('close', a)).toBe(0);
    expect(c.call('fcntl', b, 37, lock(1, 0, 0))).toBe(0);
    expect(c.call('flock', b, 2 | 4)).toBe(0);
    const d = c.open('/a');
    expect(c.call('flock', d, 1 | 4)).toBe(-EAGAIN);
    expect(c.call('close', b)).toBe(0);
    expect(c.call('flock', d, 1 | 4)).toBe(0);
  });

  it('lets go of the host descriptor with the last reference', () => {
    const { mem } = machine;
    const fd = c.open('/a');
    const copy = c.call('dup', fd);
    const table = mem.getU32(machine.files + Files.table);
    const hostFile = mem.getU32(mem.getU32(table + fd * 4) + OpenFile.hostFile);
    const hostFd = mem.getI32(hostFile + HostFile.hostFd);
    const names = () => readFileSync(`/proc/self/fdinfo/${hostFd}`, 'latin1');
    expect(names()).toContain('pos:');
    c.call('close', fd);
    expect(names()).toContain('pos:');
    c.call('close', copy);
    expect(names).toThrow();
  });
});

describe('directories', () => {
  it('lists with stable positions while names come and go', () => {
    for (let i = 0; i < 100; i++) writeFileSync(join(host, 'd', `file${i}`), '');
    const fd = c.open('/d');
    const seen: string[] = [];
    const at = c.buffer(256);
    for (let n = 1; n > 0; ) {
      n = c.call('getdents64', fd, at, 256);
      const bytes = c.bytes(at, n);
      for (let o = 0; o < n; o += bytes.readUInt16LE(o + 16)) {
        const name = bytes.toString('latin1', o + 19, bytes.indexOf(0, o + 19));
        seen.push(name);
        expect(bytes[o + 18]).toBe(name.startsWith('file') ? 8 : 4);
        if (name.startsWith('file')) expect(c.call('unlinkat', fd, name, 0)).toBe(0);
      }
    }
    expect(new Set(seen).size).toBe(102);
    expect(seen.length).toBe(102);
    expect(c.call('lseek', fd, 0, 0)).toBe(0);
    expect(c.call('getdents64', fd, at, 256)).toBe(48);
    expect(c.call('getdents64', fd, at, 256)).toBe(0);
    c.call('lseek', fd, 0, 0);
    expect(c.call('getdents64', fd, at, 10)).toBe(-EINVAL);
  });

  it('makes, renames, links and removes', () => {
    expect(c.call('mkdirat', AT_FDCWD, '/d/e/', 0o777)).toBe(0);
    expect(c.stat('/d/e')).toMatchObject({ mode: 0o040755 });
    expect(c.call('mkdirat', AT_FDCWD, '/d/e', 0o777)).toBe(-EEXIST);
    expect(c.call('linkat', AT_FDCWD, '/a', AT_FDCWD, '/d/e/b', 0)).toBe(0);
    expect(c.stat('/a')).toMatchObject({ nlink: 2 });
    expect(c.call('symlinkat', '../a', AT_FDCWD, '/d/link')).toBe(0);
    expect(c.readlink('/d/link')).toBe('../a');
    expect(c.readAll('/d/link')).toBe('hello world');
    expect(c.call('renameat2', AT_FDCWD, '/d/e', AT_FDCWD, '/d/f', 0)).toBe(0);
    expect(c.call('renameat2', AT_FDCWD, '/d/f', AT_FDCWD, '/d/f/g', 0)).toBe(-EINVAL);
    expect(c.call('renameat2', AT_FDCWD, '/a', AT_FDCWD, '/d/link', 1)).toBe(-EEXIST);
    expect(c.call('unlinkat', AT_FDCWD, '/d/f', 0x200)).toBe(-39);
    expect(c.call('unlinkat', AT_FDCWD, '/d/f', 0)).toBe(-EISDIR);
    expect(c.call('unlinkat', AT_FDCWD, '/a', 0x200)).toBe(-ENOTDIR);
    expect(c.call('unlinkat', AT_FDCWD, '/d/link', 0)).toBe(0);
    expect(c.list('/d')).toEqual(['.', '..', 'f']);
    expect(c.call('unlinkat', AT_FDCWD, '/d/.', 0x200)).toBe(-EINVAL);
    expect(c.call('unlinkat', AT_FDCWD, '/nothing', 0)).toBe(-ENOENT);
    expect(c.call('unlinkat', AT_FDCWD, '/', 0x200)).toBe(-16);
  });

  it('keeps a working directory, and descriptors that follow a renamed directory', () => {
    c.call('mkdirat', AT_FDCWD, '/d/sub', 0o755);
    expect(c.call('chdir', '/d/sub')).toBe(0);
    const at = c.buffer(64);
    expect(c.call('getcwd', at, 64)).toBe(7);
    expect(c.text(at, 7)).toBe('/d/sub\0');
    expect(c.call('getcwd', at, 6)).toBe(-34);
    expect(c.readAll('../../a')).toBe('hello world');
    expect(c.call('chdir', '/a')).toBe(-ENOTDIR);
    const directory = c.open('/d');
    expect(c.call('renameat2', AT_FDCWD, '/d', AT_FDCWD, '/moved', 0)).toBe(0);
    expect(c.call('openat', directory, 'x', O_CREAT | O_WRONLY, 0o600)).toBeGreaterThan(2);
    expect(c.list('/moved')).toEqual(['.', '..', 'sub', 'x']);
    expect(c.call('fchdir', directory)).toBe(0);
    expect(c.call('getcwd', at, 64)).toBe(7);
    expect(c.text(at, 7)).toBe('/moved\0');
  });

  it('sets times, modes and tells of file systems', () => {
    const times = Buffer.alloc(32);
    times.writeBigInt64LE(1_000_000_000n, 0);
    times.writeBigInt64LE(0x3ffffffen, 8);
    times.writeBigInt64LE(1_500_000_000n, 16);
    times.writeBigInt64LE(500_000_000n, 24);
    expect(c.call('utimensat', AT_FDCWD, '/a', times, 0)).toBe(0);
    const at = c.buffer(256);
    expect(c.call('statx', AT_FDCWD, '/a', 0, 0x7ff, at)).toBe(0);
    const statx = c.bytes(at, 256);
    expect(Number(statx.readBigInt64LE(112))).toBe(1_500_000_000);
    expect(statx.readUInt32LE(120)).toBe(500_000_000);
    expect(Number(statx.readBigInt64LE(64))).toBeGreaterThan(1_600_000_000);
    // No microsecond is lost to a double's rounding, before 1970 neither.
    for (const [seconds, microseconds] of [
      [4, 5006],
      [1_700_000_000, 1],
      [1_700_000_001, 999_999],
      [1_700_000_002, 123_457],
      [-2, 500_000],
      [-3, 0],
    ]) {
      times.writeBigInt64LE(BigInt(seconds), 16);
      times.writeBigInt64LE(BigInt(microseconds * 1000), 24);
      expect(c.call('utimensat', AT_FDCWD, '/a', times, 0)).toBe(0);
      expect(c.call('statx', AT_FDCWD, '/a', 0, 0x7ff, at)).toBe(0);
      const { mtime, nanoseconds } = {
        mtime: c.bytes(at, 256).readBigInt64LE(112),
        nanoseconds: c.bytes(at, 256).readUInt32LE(120),
      };
      // Where Node keeps nanoseconds a double gives some more.
      expect([Number(mtime), Math.floor(nanoseconds / 1000)]).toEqual([seconds, microseconds]);
    }
    expect(c.call('fchmodat', AT_FDCWD, '/a', 0o4751)).toBe(0);
    expect(c.stat('/a')).toMatchObject({ mode: 0o104751 });
    expect(c.call('faccessat', AT_FDCWD, '/a', 0)).toBe(0);
    expect(c.call('statfs', '/', at)).toBe(0);
    expect(c.call('statfs', '/proc', at)).toBe(0);
    expect(machine.mem.getU32(at)).toBe(0x9fa0);
    expect(c.call('getxattr', '/a', 'user.x', 0, 0)).toBe(-95);
    expect(c.call('truncate', '/a', 3)).toBe(0);
    expect(c.readAll('/a')).toBe('hel');
  });
});
