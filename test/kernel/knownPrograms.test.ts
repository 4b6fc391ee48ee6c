import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EACCES, ENOENT, SyscallError } from '../../src/kernel/errno.js';
import { openExecutable } from '../../src/kernel/files/executable.js';
import { takeKnownProgram } from '../../src/kernel/files/knownPrograms.js';
import { releaseHostFile } from '../../src/memory/hostFile.js';
import { forgetKeptFiles, keepFile } from '../../src/memory/keptFiles.js';
import { Cred } from '../../src/sync/records/cred.js';
import { AT_FDCWD, createFileMachine, createFileThread, FileCaller } from './fileCaller.js';

let root: string;
let c: FileCaller;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'guesthouse-programs-'));
  mkdirSync(join(root, 'v1'));
  mkdirSync(join(root, 'v2'));
  for (const version of ['v1', 'v2']) program(join(root, version, 'tool'), version);
  symlinkSync('v1', join(root, 'current'));
  const machine = createFileMachine({ root, mounts: [] });
  const thread = createFileThread(machine);
  c = new FileCaller(machine.mem, thread);
  c.mem.setU32(c.t.cred + Cred.capabilities, 0xffff_ffff);
  // What has been changed just now is not remembered.
  await sleep(1100);
});

afterEach(() => {
  forgetKeptFiles(c.mem, c.t.thread);
  rmSync(root, { recursive: true });
});

function program(path: string, contents: string): void {
  writeFileSync(path, contents);
  chmodSync(path, 0o755);
}

/** Opens a program as execve does, keeps it, and closes it: what it holds, or the error's number. */
function open(path: string): string | number {
  try {
    const file = openExecutable(c.t, Buffer.from(path, 'latin1'));
    const bytes = Buffer.alloc(file.size);
    file.read(0, bytes);
    keepFile(c.mem, file.mapped.file, c.t.thread);
    file.release();
    return `${file.path}: ${bytes.toString()}`;
  } catch (error) {
    if (error instanceof SyscallError) return error.errno;
    throw error;
  }
}

function isKnown(path: string): boolean {
  const taken = takeKnownProgram(c.t, AT_FDCWD, path);
  if (taken !== undefined) releaseHostFile(c.mem, c.t.thread, taken.hostFile);
  return taken !== undefined;
}

/** Descriptors that the process has of files of the folder. */
function descriptors(): string[] {
  if (!existsSync('/proc/self/fd')) return [];
  const found: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      if (path.startsWith(`${root}/`)) found.push(path.slice(root.length));
    } catch {
      // The one that the folder was read by.
    }
  }
  return found;
}

describe('programs that are started again', () => {
  it('are known by the paths that led to them, without another descriptor', () => {
    for (const path of ['/v1/tool', '/current/tool', 'v1/tool', './current/tool']) {
      expect(open(path)).toBe('/v1/tool: v1');
      expect(isKnown(path)).toBe(true);
      expect(open(path)).toBe('/v1/tool: v1');
    }
    expect(descriptors()).toEqual(existsSync('/proc/self/fd') ? ['/v1/tool'] : []);
    expect(isKnown('/v1/../v1/tool')).toBe(false);
    forgetKeptFiles(c.mem, c.t.thread);
    expect(descriptors()).toEqual([]);
    expect(isKnown('/v1/tool')).toBe(false);
  });

  it('are looked at again when the host has replaced them, links to them, or their permissions', async () => {
    open('/v1/tool');
    open('/current/tool');
    program(join(root, 'new'), 'newer');
    renameSync(join(root, 'new'), join(root, 'v1/tool'));
    expect(open('/v1/tool')).toBe('/v1/tool: newer');
    expect(open('/current/tool')).toBe('/v1/tool: newer');
    await sleep(1100);
    open('/current/tool');
    expect(isKnown('/current/tool')).toBe(true);
    unlinkSync(join(root, 'current'));
    expect(open('/current/tool')).toBe(ENOENT);
    symlinkSync('v2', join(root, 'current'));
    expect(open('/current/tool')).toBe('/v2/tool: v2');
    chmodSync(join(root, 'v2/tool'), 0o644);
    expect(open('/current/tool')).toBe(EACCES);
    writeFileSync(join(root, 'v2/tool'), 'written anew');
    chmodSync(join(root, 'v2/tool'), 0o755);
    expect(open('/v2/tool')).toBe('/v2/tool: written anew');
    expect(readFileSync(join(root, 'v2/tool'), 'utf8')).toBe('written anew');
  });

  it('are looked at again when a guest has renamed what is on the way, and given up when it removes them', () => {
    open('/v1/tool');
    expect(c.call('renameat2', AT_FDCWD, '/v1', AT_FDCWD, '/old', 0)).toBe(0);
    expect(open('/v1/tool')).toBe(ENOENT);
    expect(c.call('symlinkat', 'old', AT_FDCWD, '/v1')).toBe(0);
    expect(open('/v1/tool')).toBe('/old/tool: v1');
    // The link is too new.
    expect(isKnown('/v1/tool')).toBe(false);
    expect(c.call('unlinkat', AT_FDCWD, '/old/tool', 0)).toBe(0);
    expect(open('/v1/tool')).toBe(ENOENT);
    expect(descriptors()).toEqual([]);
  });
});
