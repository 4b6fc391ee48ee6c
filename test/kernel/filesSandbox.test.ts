import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  EACCES,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EROFS,
  EXDEV,
} from '../../src/kernel/errno.js';
import { AT_FDCWD, createFileMachine, createFileThread, FileCaller } from './fileCaller.js';

const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_DIRECTORY = 0o200000;
const O_NOFOLLOW = 0o400000;
const O_PATH = 0o10000000;
const RESOLVE_NO_SYMLINKS = 4;
const RESOLVE_BENEATH = 8;

let base: string;
let root: string;
let c: FileCaller;

/** Outside: what no guest may reach. */
const SECRET = 'secret of the host';

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'guesthouse-sandbox-'));
  root = join(base, 'root');
  mkdirSync(join(root, 'd', 'e'), { recursive: true });
  mkdirSync(join(base, 'rw'));
  mkdirSync(join(base, 'ro'));
  writeFileSync(join(base, 'secret'), SECRET);
  writeFileSync(join(root, 'd', 'inside'), 'inside');
  writeFileSync(join(base, 'ro', 'file'), 'read me');
  writeFileSync(join(base, 'program'), 'binary');
  const machine = createFileMachine({
    root,
    mounts: [
      { guest: '/mnt/rw', host: join(base, 'rw'), readOnly: false },
      { guest: '/mnt/ro', host: join(base, 'ro'), readOnly: true },
      { guest: '/opt/program', host: join(base, 'program'), readOnly: true, file: true },
    ],
  });
  c = new FileCaller(machine.mem, createFileThread(machine));
});
afterEach(() => rmSync(base, { recursive: true }));

describe('escapes', () => {
  it('stays in the root whatever the path and whatever the links', () => {
    symlinkSync('../../secret', join(root, 'relative'));
    symlinkSync(join(base, 'secret'), join(root, 'absolute'));
    symlinkSync('/', join(root, 'slash'));
    symlinkSync('..', join(root, 'd', 'up'));
    symlinkSync(base, join(root, 'hostdir'));
    writeFileSync(join(root, 'secret'), 'harmless');
    for (const path of [
      '/../secret',
      '/d/../../secret',
      '/d/e/../../../../../secret',
      '/relative',
      '/slash/../secret',
      '/d/up/../secret',
      '/d/up/up/secret',
      '/proc/self/root/../secret',
      '/proc/self/cwd/../../secret',
      '/mnt/rw/../../../secret',
    ]) {
      expect([path, c.readAll(path)]).toEqual([path, path.includes('up/up') ? -ENOENT : 'harmless']);
    }
    expect(c.readAll('/absolute')).toBe(-ENOENT);
    expect(c.readAll('/hostdir/secret')).toBe(-ENOENT);
    expect(c.open('/hostdir', O_CREAT | O_WRONLY)).toBe(-ENOENT);
    expect(c.call('mkdirat', AT_FDCWD, '/slash/../../made', 0o755)).toBe(0);
    expect(existsSync(join(root, 'made'))).toBe(true);
    const directory = c.open('/d', O_DIRECTORY);
    expect(c.call('openat', directory, '../../../secret', 0)).toBeGreaterThan(2);
    expect(c.readlink(`/proc/self/fd/${directory}`)).toBe('/d');
    expect(c.readAll(`/proc/self/fd/${directory}/../secret`)).toBe('harmless');
  });

  it('never shows a host path', () => {
    const fd = c.open('/d/inside');
    expect(c.readlink(`/proc/self/fd/${fd}`)).toBe('/d/inside');
    const ro = c.open('/mnt/ro/file');
    expect(c.readlink(`/proc/self/fd/${ro}`)).toBe('/mnt/ro/file');
    expect(c.readAll('/proc/self/mounts')).not.toContain(base);
    expect(c.readAll('/proc/self/environ')).toBe('');
  });

  it('follows no link that is put in the way between the look and the call', async () => {
    // Somebody outside swaps a directory for a link to the outside and back, as fast as it goes.
    const swap = join(root, 'swap');
    const parked = join(root, 'parked');
    const link = join(root, 'link');
    mkdirSync(swap);
    symlinkSync(base, link);
    const stop = new Int32Array(new SharedArrayBuffer(8));
    const swapper = new Worker(
      `const { renameSync } = require('node:fs');
       const { workerData: { swap, parked, link, stop } } = require('node:worker_threads');
       while (Atomics.load(stop, 0) === 0) {
         renameSync(swap, parked); renameSync(link, swap);
         renameSync(swap, link); renameSync(parked, swap);
         Atomics.add(stop, 1, 1);
       }`,
      { eval: true, workerData: { swap, parked, link, stop } },
    );
    const outside = readdirSync(base).sort();
    try {
      while (Atomics.load(stop, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      let inside = 0;
      const until = Date.now() + 1500;
      for (let i = 0; Date.now() < until; i++) {
        const secret = c.readAll('/swap/secret');
        expect(typeof secret).toBe('number');
        const fd = c.open(`/swap/new${i % 7}`, O_CREAT | O_WRONLY);
        if (fd >= 0) {
          c.write(fd, 'made by the guest');
          c.call('close', fd);
          inside++;
        }
        c.call('mkdirat', AT_FDCWD, `/swap/dir${i % 7}`, 0o755);
        c.call('symlinkat', 'x', AT_FDCWD, `/swap/sym${i % 7}`);
        c.call('fchmodat', AT_FDCWD, '/swap/secret', 0);
        c.call('truncate', '/swap/secret', 0);
        c.call('utimensat', AT_FDCWD, '/swap/secret', 0, 0);
        c.call('renameat2', AT_FDCWD, '/swap/secret', AT_FDCWD, '/d/stolen', 0);
        c.call('linkat', AT_FDCWD, '/swap/secret', AT_FDCWD, '/d/stolen', 0);
        c.call('unlinkat', AT_FDCWD, '/swap/secret', 0);
        c.call('unlinkat', AT_FDCWD, `/swap/new${i % 7}`, 0);
      }
      // The race was on: some calls met the directory.
      expect(inside).toBeGreaterThan(0);
      expect(Atomics.load(stop, 1)).toBeGreaterThan(100);
    } finally {
      Atomics.store(stop, 0, 1);
      await new Promise((resolve) => swapper.once('exit', resolve));
    }
    expect(readdirSync(base).sort()).toEqual(outside);
    expect(readFileSync(join(base, 'secret'), 'latin1')).toBe(SECRET);
    expect(statSync(join(base, 'secret')).mode & 0o777).not.toBe(0);
    expect(existsSync(join(root, 'd', 'stolen'))).toBe(false);
    expect(c.open('/link', O_NOFOLLOW)).toBe(-ELOOP);
    expect(c.open('/link', O_NOFOLLOW | O_DIRECTORY)).toBe(-ENOTDIR);
    expect(c.open('/link', O_NOFOLLOW | O_PATH)).toBeGreaterThan(2);
  });

  it('holds for any tree of links', () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const step = fc.constantFrom('a', 'b', 'c', '..', '.', '');
    const target = fc.tuple(fc.boolean(), fc.array(step, { minLength: 1, maxLength: 5 }));
    const entry = fc.tuple(fc.array(name, { minLength: 1, maxLength: 3 }), fc.option(target));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 12 }), fc.array(step, { maxLength: 6 }), (entries, steps) => {
        const tree = join(root, 'tree');
        rmSync(tree, { recursive: true, force: true });
        mkdirSync(tree);
        writeFileSync(join(tree, 'marker'), 'here');
        for (const [path, link] of entries) {
          const at = join(tree, ...path);
          try {
            mkdirSync(dirname(at), { recursive: true });
            if (link === null) mkdirSync(at);
            else symlinkSync((link[0] ? '/' : '') + (link[1].join('/') || '.'), at);
          } catch {
            // In the way of an earlier one, or through a dangling link: leave it out.
          }
        }
        const machine = createFileMachine({ root: tree, mounts: [] });
        const guest = new FileCaller(machine.mem, createFileThread(machine));
        const path = `/${steps.join('/')}`;
        const fd = guest.open(path, O_DIRECTORY);
        if (fd < 0) {
          expect([-ENOENT, -ENOTDIR, -ELOOP]).toContain(fd);
          return;
        }
        // Wherever it has led: it is a directory of the tree, and its names are that directory's.
        const where = guest.readlink(`/proc/self/fd/${fd}`);
        expect(typeof where).toBe('string');
        expect(posix.normalize(where as string)).toBe(where);
        expect(existsSync(join(tree, where as string))).toBe(true);
        const markers = guest.list(where as string) as string[];
        expect(markers.includes('marker')).toBe(where === '/');
        expect(markers).not.toContain('secret');
      }),
      { numRuns: 150 },
    );
  });
});

describe('mounts', () => {
  it('appear in the tree and are read-only when they say so', () => {
    expect(c.list('/')).toEqual(['.', '..', 'd', 'dev', 'mnt', 'opt', 'proc', 'sys']);
    expect(c.list('/mnt')).toEqual(['.', '..', 'ro', 'rw']);
    expect(c.readAll('/mnt/ro/file')).toBe('read me');
    expect(c.readAll('/opt/program')).toBe('binary');
    expect(c.open('/mnt/ro/file', O_WRONLY)).toBe(-EROFS);
    expect(c.open('/mnt/ro/new', O_WRONLY | O_CREAT)).toBe(-EROFS);
    expect(c.open('/opt/program', O_WRONLY)).toBe(-EROFS);
    expect(c.call('unlinkat', AT_FDCWD, '/mnt/ro/file', 0)).toBe(-EROFS);
    expect(c.call('mkdirat', AT_FDCWD, '/mnt/ro/d', 0o755)).toBe(-EROFS);
    expect(c.call('truncate', '/mnt/ro/file', 0)).toBe(-EROFS);
    expect(c.call('fchmodat', AT_FDCWD, '/mnt/ro/file', 0o777)).toBe(-EROFS);
    expect(c.call('utimensat', AT_FDCWD, '/mnt/ro/file', 0, 0)).toBe(-EROFS);
    expect(c.call('faccessat', AT_FDCWD, '/mnt/ro/file', 2)).toBe(-EROFS);
    expect(c.call('fchmod', c.open('/mnt/ro/file'), 0o777)).toBe(-EROFS);
    expect(c.call('renameat2', AT_FDCWD, '/mnt/rw', AT_FDCWD, '/x', 0)).toBe(-EBUSY);
    expect(c.call('linkat', AT_FDCWD, '/d/inside', AT_FDCWD, '/mnt/rw/l', 0)).toBe(-EXDEV);
    expect(c.open('/mnt/rw/new', O_WRONLY | O_CREAT)).toBeGreaterThan(2);
    expect(existsSync(join(base, 'rw', 'new'))).toBe(true);
    expect(c.call('unlinkat', AT_FDCWD, '/opt/program', 0)).toBe(-EBUSY);
    expect(readFileSync(join(base, 'ro', 'file'), 'latin1')).toBe('read me');
    expect(c.open(`/proc/self/fd/${c.open('/mnt/ro/file')}`, O_WRONLY)).toBe(-EROFS);
  });

  it('without a root there is nothing but mounts', () => {
    const machine = createFileMachine({
      root: null,
      mounts: [{ guest: '/a/b', host: join(base, 'rw'), readOnly: false }],
    });
    const guest = new FileCaller(machine.mem, createFileThread(machine));
    expect(guest.list('/')).toEqual(['.', '..', 'a', 'dev', 'proc', 'sys']);
    expect(guest.open('/etc/passwd')).toBe(-ENOENT);
    expect(guest.open('/new', O_CREAT | O_WRONLY)).toBe(-EROFS);
    expect(guest.call('mkdirat', AT_FDCWD, '/a/x', 0o755)).toBe(-EROFS);
    expect(guest.open('/a/b/x', O_CREAT | O_WRONLY)).toBe(3);
  });
});

describe('names', () => {
  it('are checked as the kernel does', () => {
    symlinkSync('loop2', join(root, 'loop1'));
    symlinkSync('loop1', join(root, 'loop2'));
    symlinkSync('nowhere', join(root, 'dangling'));
    symlinkSync('d', join(root, 'link'));
    expect(c.open('')).toBe(-ENOENT);
    expect(c.open('/loop1')).toBe(-ELOOP);
    expect(c.open('/loop1/x')).toBe(-ELOOP);
    expect(c.open('/dangling')).toBe(-ENOENT);
    expect(c.open('/dangling', O_CREAT | O_WRONLY)).toBeGreaterThan(2);
    expect(existsSync(join(root, 'nowhere'))).toBe(true);
    expect(c.open('/dangling', O_CREAT | 0o200 | O_WRONLY)).toBe(-EEXIST);
    expect(c.open('/d/inside/')).toBe(-ENOTDIR);
    expect(c.open('/d/inside/x')).toBe(-ENOTDIR);
    expect(c.open('/d/inside/..')).toBe(-ENOTDIR);
    expect(c.open('/new/', O_CREAT | O_WRONLY)).toBe(-EISDIR);
    expect(c.open(`/${'n'.repeat(256)}`)).toBe(-ENAMETOOLONG);
    expect(c.open(`/${'n/'.repeat(2050)}`)).toBe(-ENAMETOOLONG);
    expect(c.stat('/link', true)).toMatchObject({ mode: 0o120777 });
    expect(c.stat('/link/', true)).toMatchObject({ mode: 0o040755 });
    expect(c.readlink('/link')).toBe('d');
    expect(c.readlink('/d')).toBe(-EINVAL);
    expect(c.call('openat', 77, 'x', 0)).toBe(-9);
    expect(c.call('openat', c.open('/d/inside'), 'x', 0)).toBe(-ENOTDIR);
    expect(c.call('openat', 77, '/d/inside', 0)).toBeGreaterThan(2);
    expect(c.open('/d/caf\xe9\xff', O_CREAT | O_WRONLY)).toBeGreaterThan(2);
    expect(c.list('/d')).toEqual(['.', '..', 'caf\xe9\xff', 'e', 'inside']);
  });

  it('obey openat2 and AT_EMPTY_PATH', () => {
    symlinkSync('d/inside', join(root, 'link'));
    const how = (flags: number, resolve: number): Buffer => {
      const bytes = Buffer.alloc(24);
      bytes.writeBigUInt64LE(BigInt(flags), 0);
      bytes.writeBigUInt64LE(BigInt(resolve), 16);
      return bytes;
    };
    expect(c.call('openat2', AT_FDCWD, '/link', how(0, RESOLVE_NO_SYMLINKS), 24)).toBe(-ELOOP);
    const directory = c.open('/d');
    expect(c.call('openat2', directory, '../link', how(0, RESOLVE_BENEATH), 24)).toBe(-EXDEV);
    expect(c.call('openat2', directory, 'e/../inside', how(0, RESOLVE_BENEATH), 24)).toBeGreaterThan(2);
    expect(c.call('openat2', directory, 'inside', how(0, 64), 24)).toBe(-EINVAL);
    const path = c.open('/d/inside', O_PATH);
    expect(c.read(path)).toBe(-9);
    const at = c.buffer(128);
    expect(c.call('newfstatat', path, '', at, 0x1000)).toBe(0);
    expect(c.mem.getU64(at + 48)).toBe(6);
    expect(c.call('newfstatat', path, '', at, 0)).toBe(-ENOENT);
  });

  it('leave what the host forbids forbidden', () => {
    if (process.getuid?.() === 0) return;
    chmodSync(join(root, 'd'), 0);
    expect(c.open('/d/inside')).toBe(-EACCES);
    chmodSync(join(root, 'd'), 0o755);
  });
});
