import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EACCES, EINVAL, ENOENT, ENOSPC, ENXIO } from '../../src/kernel/errno.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { Guest } from '../../src/sync/records/guest.js';
import { Mm } from '../../src/sync/records/mm.js';
import { Thread } from '../../src/sync/records/thread.js';
import { allocateText } from '../../src/sync/text.js';
import { createFileMachine, createFileThread, FileCaller, type FileMachine } from './fileCaller.js';

let host: string;
let machine: FileMachine;
let c: FileCaller;

beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), 'guesthouse-proc-'));
  writeFileSync(join(host, 'prog'), '');
  machine = createFileMachine({ root: host, mounts: [] });
  c = new FileCaller(machine.mem, createFileThread(machine));
});
afterEach(() => rmSync(host, { recursive: true }));

describe('/proc', () => {
  it('tells of the process and its threads', () => {
    const { mem } = machine;
    const pid = mem.getU32(machine.guest + Guest.pid);
    const second = createFileThread(machine);
    mem.u8.set(Buffer.from('worker\0'), second + Thread.comm);
    mem.u8.set(Buffer.from('prog\0'), c.t.thread + Thread.comm);
    mem.setU32(machine.mm + Mm.exe, allocateText(mem, '/prog', COORDINATOR));
    const argv = c.buffer(16);
    mem.u8.set(Buffer.from('prog\0-x\0'), argv);
    mem.set64(machine.mm + Mm.argStart, argv);
    mem.set64(machine.mm + Mm.argEnd, argv + 8);

    expect(c.readlink('/proc/self')).toBe(String(pid));
    expect(c.readlink('/proc/self/exe')).toBe('/prog');
    expect(c.stat('/proc/self/exe')).toMatchObject({ mode: 0o100644 });
    expect(c.readlink('/proc/self/cwd')).toBe('/');
    expect(c.readAll('/proc/self/cmdline')).toBe('prog\0-x\0');
    const status = c.readAll(`/proc/${pid}/status`) as string;
    expect(status).toMatch(/^Name:\tprog$/m);
    expect(status).toMatch(/^Threads:\t2$/m);
    const stat = (c.readAll('/proc/self/stat') as string).trim().split(' ');
    expect(stat.length).toBe(52);
    expect(stat.slice(0, 3)).toEqual([String(pid), '(prog)', 'R']);
    expect(stat[19]).toBe('2');
    const tid = mem.getU32(second + Thread.tid);
    expect(c.list('/proc/self/task')).toEqual(['.', '..', String(pid), String(tid)].sort());
    expect(c.readAll(`/proc/self/task/${tid}/comm`)).toBe('worker\n');
    expect(c.readAll(`/proc/self/task/${tid}/status`)).toMatch(/^Pid:\t\d+$/m);
    const comm = c.open(`/proc/self/task/${tid}/comm`, 1);
    expect(c.write(comm, 'renamed by a long name')).toBe(22);
    expect(c.readAll(`/proc/self/task/${tid}/comm`)).toBe('renamed by a lo\n');
    expect(c.readAll('/proc/self/task/99999/comm')).toBe(-ENOENT);
    expect(c.readAll('/proc/99999/status')).toBe(-ENOENT);
    expect(c.readAll('/proc/self/limits')).toMatch(/^Max open files +1024 +1048576 +files/m);
    expect(c.readlink('/proc/thread-self')).toBe(`${pid}/task/${pid}`);
  });

  it('leads through descriptors to the very files', () => {
    writeFileSync(join(host, 'gone'), 'still here');
    const fd = c.open('/gone');
    expect(c.call('unlinkat', -100, '/gone', 0)).toBe(0);
    expect(c.readlink(`/proc/self/fd/${fd}`)).toBe('/gone (deleted)');
    expect(c.readAll(`/proc/self/fd/${fd}`)).toBe('still here');
    expect(c.readAll(`/dev/fd/${fd}`)).toBe('still here');
    expect(c.stat(`/dev/fd/${fd}`)).toMatchObject({ size: 10 });
    expect(c.call('faccessat', -100, `/dev/fd/${fd}`, 4)).toBe(0);
    const [r, w] = c.pipe();
    expect(c.readlink(`/proc/self/fd/${r}`)).toMatch(/^pipe:\[\d+\]$/);
    const again = c.open(`/proc/self/fd/${w}`, 1);
    c.call('close', w);
    expect(c.write(again, 'reopened')).toBe(8);
    expect(c.read(r)).toBe('reopened');
    expect(c.readAll(`/proc/self/fdinfo/${fd}`)).toMatch(/^pos:\t0\nflags:\t0/);
    expect(c.open('/proc/self/fd/77')).toBe(-ENOENT);
    expect(c.call('fstat', c.open('/proc/self/fd'), c.buffer(128))).toBe(0);
  });

  it('tells of the machine', () => {
    expect(c.readAll('/proc/cpuinfo')).toMatch(/^processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdc/);
    expect(c.readAll('/proc/meminfo')).toMatch(/^MemTotal: +\d+ kB\nMemFree: /);
    expect(c.readAll('/proc/uptime')).toMatch(/^\d+\.\d\d \d+\.\d\d\n$/);
    expect(c.readAll('/proc/sys/kernel/osrelease')).toMatch(/^\d+\.\d+/);
    expect(c.readAll('/sys/devices/system/cpu/online')).toBe('0-1\n');
    expect(c.list('/sys/devices/system/cpu')).toContain('cpu1');
    expect(c.readAll('/proc/sys/kernel/random/uuid')).toMatch(
      /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\n$/,
    );
    expect(c.open('/proc/cpuinfo', 1)).toBe(-EACCES);
    expect(c.open('/proc/new', 0o101)).toBe(-ENOENT);
    // What is open shows what was when it was opened, at any offset.
    const fd = c.open('/proc/cpuinfo');
    expect(c.call('lseek', fd, 10, 0)).toBe(10);
    expect(c.read(fd, 4)).toBe((c.readAll('/proc/cpuinfo') as string).slice(10, 14));
    expect(c.call('lseek', fd, -1, 0)).toBe(-EINVAL);
  });
});

describe('/dev', () => {
  it('has the usual devices', () => {
    const zero = c.open('/dev/zero', 2);
    expect(c.read(zero, 5)).toBe('\0\0\0\0\0');
    expect(c.write(zero, 'gone')).toBe(4);
    expect(c.readAll('/dev/null')).toBe('');
    const full = c.open('/dev/full', 2);
    expect(c.write(full, 'x')).toBe(-ENOSPC);
    const random = c.open('/dev/urandom');
    const one = c.read(random, 32) as string;
    expect(one.length).toBe(32);
    expect(c.read(random, 32)).not.toBe(one);
    expect(c.open('/dev/tty', 2)).toBe(-ENXIO);
    expect(c.open('/dev/ptmx', 2)).toBeGreaterThan(0);
    expect(c.open('/dev/pts/1', 2)).toBe(-ENOENT);
    expect(c.stat('/dev/null')).toMatchObject({ mode: 0o020666 });
    expect(c.readlink('/dev/stdin')).toBe('/proc/self/fd/0');
    expect(c.write(c.open('/dev/stdout', 1), 'to null')).toBe(7);
  });
});
