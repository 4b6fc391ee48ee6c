import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { type Caller, UserFault } from '../../src/memory/caller.js';
import { fetchFault } from '../../src/memory/codePages.js';
import { resolveFault } from '../../src/memory/faults.js';
import { frameCounts } from '../../src/memory/frames.js';
import { openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { freeSpareMappings } from '../../src/memory/mappingRecords.js';
import { createMemoryObject, releaseObject } from '../../src/memory/sharedObject.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { forkMm } from '../../src/mm/forkMm.js';
import { listMappings } from '../../src/mm/pageDump.js';
import { setBrk, targetBrk } from '../../src/mm/targetBrk.js';
import { targetMadvise } from '../../src/mm/targetMadvise.js';
import { targetMlock, targetMlockall, targetMunlockall } from '../../src/mm/targetMlock.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMsync } from '../../src/mm/targetMsync.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { targetShmat } from '../../src/mm/targetShm.js';
import { freeBlock, OutOfKernelMemory } from '../../src/sync/heap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller, PAGE } from '../memory/machine.js';

/** Which allocation from now on fails, counting from 1; every later one succeeds again. 0: none. */
const fail = vi.hoisted(() => ({ record: 0, frame: 0, forGood: false }));

/** Counts down; says whether this one fails. */
const due = vi.hoisted(() => (kind: 'record' | 'frame', counts: typeof fail): boolean => {
  if (counts[kind] === 0) return false;
  if (counts[kind] > 1) {
    counts[kind]--;
    return false;
  }
  if (!counts.forGood) counts[kind] = 0;
  return true;
});

vi.mock('../../src/sync/heap.js', async (original) => {
  const heap = await original<typeof import('../../src/sync/heap.js')>();
  return {
    ...heap,
    allocateBlock: (...args: Parameters<typeof heap.allocateBlock>) => {
      if (due('record', fail)) throw new heap.OutOfKernelMemory('as the test wants it');
      return heap.allocateBlock(...args);
    },
  };
});

vi.mock('../../src/memory/frames.js', async (original) => {
  const frames = await original<typeof import('../../src/memory/frames.js')>();
  return {
    ...frames,
    allocateFrame: (...args: Parameters<typeof frames.allocateFrame>) =>
      due('frame', fail) ? frames.NO_FRAME : frames.allocateFrame(...args),
  };
});

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-exhaustion-'));
const path = join(directory, 'file');
writeFileSync(path, Buffer.alloc(24 * PAGE - 100, 'x'));
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(() => {
  fail.record = 0;
  fail.frame = 0;
});

const BASE = 0x40_0000;
const HIGH = 0x1800_0000;
const RW = 3;
const FIXED = 0x10;
const SHARED = 0x21;
const PRIVATE = 0x22;

/** An address space in which everything is mapped that an operation may meet, host pages apart. */
class Scene {
  readonly mem;
  readonly c: Caller;
  readonly file: number;
  readonly object: number;
  /** Address spaces made by the operation. */
  readonly children: number[] = [];
  private readonly atStart;

  constructor(hostPageSize: number, high: boolean) {
    this.mem = createMachineMemory({ bytes: 64 * 1024 * 1024, hostPageSize });
    this.atStart = this.mem.getU64(MACHINE + Machine.heapUsed);
    // Small tables are audited quickly.
    this.c = addCaller(this.mem, createMm(this.mem, COORDINATOR, { taskSize: high ? 2 * HIGH : 2 ** 26 }));
    const { c } = this;
    const fd = openSync(path, 'r+');
    this.file = openHostFile(this.mem, c.thread, fd, true, fstatSync(fd));
    this.object = createMemoryObject(this.mem, 16 * PAGE, 'object', c.thread);
    const mapped = { file: this.file, object: 0, readable: true, writable: true };
    const map = (at: number, pages: number, flags: number, file: typeof mapped | null) =>
      expect(targetMmap(c, at, pages * PAGE, RW, flags | FIXED, file, 0)).toBe(at);
    map(this.privates, 32, PRIVATE, null);
    map(this.sharedFile, 16, 1, mapped);
    map(this.privateFile, 16, 2, mapped);
    map(this.sharedMemory, 16, SHARED, null);
    map(this.stack, 4, PRIVATE | 0x100, null);
    map(this.code, 2, PRIVATE, null);
    targetMprotect(c, this.code, 2 * PAGE, 7);
    // Far above the reach of the tables.
    if (high) map(HIGH, 4, PRIVATE, null);
    setBrk(c, this.heap);
    targetBrk(c, this.heap + 3 * PAGE);
    for (let i = 0; i < 32; i += 2) writeU32(c, this.privates + i * PAGE, 1000 + i);
    for (let i = 0; i < 16; i += 4) {
      writeU32(c, this.sharedFile + i * PAGE, 2000 + i);
      writeU32(c, this.sharedMemory + i * PAGE, 3000 + i);
    }
  }

  readonly privates = BASE;
  readonly sharedFile = BASE + 0x10_0000;
  readonly privateFile = BASE + 0x20_0000;
  readonly sharedMemory = BASE + 0x30_0000;
  readonly stack = BASE + 0x90_0000;
  readonly code = BASE + 0x50_0000;
  readonly heap = BASE + 0x60_0000;

  get mapped() {
    return { file: this.file, object: 0, readable: true, writable: true };
  }

  /** Mappings and what they hold. */
  snapshot(): string[] {
    const { c } = this;
    const lines: string[] = [];
    for (const m of listMappings(c)) {
      lines.push(JSON.stringify({ ...m, ino: 0 }));
      for (let at = m.start; at < Math.min(m.end, HIGH); at += PAGE) {
        try {
          lines.push(`${at}: ${readU32(c, at)}`);
        } catch (error) {
          if (!(error instanceof UserFault)) throw error;
          lines.push(`${at}: fault ${error.outcome}`);
        }
      }
    }
    return lines;
  }

  audit(): string[] {
    return audit(this.mem, [this.c.mm, ...this.children], [this.object]);
  }

  /** Ends everything; says what is left over. */
  end(): string[] {
    const { mem, c } = this;
    for (const child of this.children) releaseMm(mem, child, c.thread);
    removeThread(mem, c.thread, COORDINATOR);
    releaseMm(mem, c.mm, COORDINATOR);
    releaseHostFile(mem, COORDINATOR, this.file);
    releaseObject(mem, this.object, COORDINATOR);
    freeBlock(mem, c.thread, COORDINATOR);
    const left = audit(mem, []);
    if (frameCounts(mem).used !== 0) left.push(`${frameCounts(mem).used} frames left`);
    const heap = mem.getU64(MACHINE + Machine.heapUsed) - this.atStart;
    if (heap !== 0) left.push(`${heap} bytes of records left`);
    return left;
  }
}

const ENOMEM = -12;
const EAGAIN = -11;

interface Operation {
  readonly before?: (s: Scene) => void;
  readonly run: (s: Scene) => number;
  /** It may be done in part when it fails. */
  readonly partly?: true;
  /** It needs something mapped beyond the reach of the tables. */
  readonly high?: true;
}

/** Every operation; `before` prepares what it alone needs. A negative result or a throw counts as failed. */
const operations: Record<string, Operation> = {
  'mmap of private memory': { run: ({ c }) => targetMmap(c, 0, 4 * PAGE, 1, PRIVATE, null, 0) },
  'mmap of shared memory': { run: ({ c }) => targetMmap(c, 0, 4 * PAGE, RW, SHARED, null, 0) },
  'mmap of a file': { run: ({ c, mapped }) => targetMmap(c, 0, 4 * PAGE, RW, 1, mapped, 0) },
  'mmap into private memory': {
    run: ({ c, privates }) => targetMmap(c, privates + 16 * PAGE, PAGE, 1, PRIVATE | FIXED, null, 0),
  },
  'mmap of shared memory into a file': {
    run: ({ c, sharedFile }) => targetMmap(c, sharedFile + 3 * PAGE, PAGE, RW, SHARED | FIXED, null, 0),
  },
  'mmap of a private file over everything': {
    run: ({ c, mapped, privates }) =>
      targetMmap(c, privates + 16 * PAGE, 0x30_0000, RW, 2 | FIXED, mapped, 0),
  },
  'mmap with MAP_POPULATE': {
    run: ({ c }) => targetMmap(c, 0, 20 * PAGE, RW, PRIVATE | 0x8000, null, 0),
  },
  'munmap of the middle of private memory': {
    run: ({ c, privates }) => targetMunmap(c, privates + 5 * PAGE, PAGE),
  },
  'munmap of the middle of a file': {
    run: ({ c, sharedFile }) => targetMunmap(c, sharedFile + 5 * PAGE, PAGE),
  },
  'mprotect of the middle': { run: ({ c, privates }) => targetMprotect(c, privates + 5 * PAGE, PAGE, 1) },
  'mprotect of a part of a file': {
    run: ({ c, sharedFile }) => targetMprotect(c, sharedFile + 2 * PAGE, 3 * PAGE, 1),
  },
  'mremap in place': { run: ({ c, privates }) => targetMremap(c, privates, 32 * PAGE, 40 * PAGE, 0, 0) },
  'mremap to another place': {
    run: ({ c, privates }) => targetMremap(c, privates + 4 * PAGE, 5 * PAGE, 50 * PAGE, 1, 0),
  },
  'mremap of a file': {
    run: ({ c, sharedFile }) => targetMremap(c, sharedFile + 4 * PAGE, 5 * PAGE, 8 * PAGE, 1, 0),
  },
  'mremap to a fixed place': {
    run: ({ c, privates, sharedFile }) =>
      targetMremap(c, privates + 4 * PAGE, 5 * PAGE, 5 * PAGE, 3, sharedFile + 4 * PAGE),
  },
  'mremap to a place beyond the reach': {
    run: ({ c, privates }) => targetMremap(c, privates + 4 * PAGE, 4 * PAGE, 4 * PAGE, 3, HIGH),
    high: true,
  },
  'mremap with MREMAP_DONTUNMAP': {
    run: ({ c, privates }) => targetMremap(c, privates + 4 * PAGE, 5 * PAGE, 5 * PAGE, 5, 0),
  },
  'mremap with an old size of 0': {
    run: ({ c, sharedMemory }) => targetMremap(c, sharedMemory + 4 * PAGE, 0, 5 * PAGE, 1, 0),
  },
  'madvise with MADV_DONTFORK': {
    run: ({ c, privates }) => targetMadvise(c, privates + 5 * PAGE, PAGE, 10),
  },
  'madvise with MADV_DONTNEED': {
    run: ({ c, privates }) => targetMadvise(c, privates + 5 * PAGE, 7 * PAGE, 4),
    partly: true,
  },
  'madvise with MADV_POPULATE_WRITE': {
    run: ({ c, privates }) => targetMadvise(c, privates, 32 * PAGE, 23),
  },
  'madvise with MADV_POPULATE_READ of a file': {
    run: ({ c, privateFile }) => targetMadvise(c, privateFile, 16 * PAGE, 22),
  },
  'madvise with MADV_REMOVE': {
    run: ({ c, sharedMemory }) => targetMadvise(c, sharedMemory, 6 * PAGE, 9),
    partly: true,
  },
  mlock: { run: ({ c, privates }) => targetMlock(c, privates + 5 * PAGE, 4 * PAGE), partly: true },
  mlockall: { run: ({ c }) => targetMlockall(c, 3), partly: true },
  munlockall: {
    before: ({ c }) => targetMlockall(c, 1),
    run: ({ c }) => targetMunlockall(c),
    partly: true,
  },
  brk: {
    run: ({ c, heap }) => (targetBrk(c, heap + 9 * PAGE) === heap + 9 * PAGE ? 0 : ENOMEM),
  },
  'brk down': { run: ({ c, heap }) => (targetBrk(c, heap + PAGE) === heap + PAGE ? 0 : ENOMEM) },
  msync: { run: ({ c, sharedFile }) => targetMsync(c, sharedFile, 16 * PAGE, 4) },
  shmat: { run: ({ c, object }) => targetShmat(c, object, 16 * PAGE, 0, 0) },
  'a first write': { run: ({ c, privates }) => resolveFault(c, privates + 5 * PAGE, 2) },
  'a write below the stack': {
    run: ({ c, stack }) => resolveFault(c, stack - 2 * PAGE, 2),
    partly: true,
  },
  'a read of a file': { run: ({ c, privateFile }) => resolveFault(c, privateFile + 9 * PAGE, 1) },
  'a write to a private file': { run: ({ c, privateFile }) => resolveFault(c, privateFile + 9 * PAGE, 2) },
  'a write to shared memory': { run: ({ c, sharedMemory }) => resolveFault(c, sharedMemory + 9 * PAGE, 2) },
  'a write beyond the reach': { run: ({ c }) => resolveFault(c, HIGH + PAGE, 2), high: true },
  'a fetch': { run: ({ c, code }) => fetchFault(c, code + 8) },
  fork: {
    run: (s) => {
      s.children.push(forkMm(s.c));
      return 0;
    },
  },
  'a write after fork': {
    before: (s) => s.children.push(forkMm(s.c)),
    run: ({ c, privates }) => resolveFault(c, privates + 4 * PAGE, 2),
  },
  'making an address space': {
    run: (s) => {
      s.children.push(createMm(s.mem, COORDINATOR));
      return 0;
    },
  },
  'making shared memory': {
    run: ({ mem, c }) => {
      releaseObject(mem, createMemoryObject(mem, PAGE, 'a name', c.thread), c.thread);
      return 0;
    },
  },
  'opening a host file': {
    run: ({ mem, c }) => {
      const fd = openSync('/dev/null', 'r');
      try {
        const file = openHostFile(mem, c.thread, fd, false, { dev: 9, ino: 9, size: 0 });
        releaseHostFile(mem, c.thread, file);
        return 0;
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    },
  },
};

/** What each operation may answer when there is no room. */
const REFUSALS = [ENOMEM, EAGAIN, 9 << 8];

/** What the operation leaves when nothing fails. */
function successOf(name: string, hostPageSize: number): string[] {
  const operation = operations[name];
  const scene = new Scene(hostPageSize, operation.high === true);
  operation.before?.(scene);
  operation.run(scene);
  const after = scene.snapshot();
  expect(scene.end()).toEqual([]);
  return after;
}

/** Runs the operation with its n-th allocation of `kind` failing; whether it got so far. */
function runWithFailure(
  name: string,
  hostPageSize: number,
  kind: 'record' | 'frame',
  n: number,
  forGood: boolean,
  success: readonly string[],
): boolean {
  const operation = operations[name];
  const scene = new Scene(hostPageSize, operation.high === true);
  operation.before?.(scene);
  const before = scene.snapshot();
  freeSpareMappings(scene.c, 0);
  const what = `${name}, ${kind} ${n} fails${forGood ? ' and all later ones' : ''}`;
  fail.forGood = forGood;
  fail[kind] = n;
  let result: number;
  try {
    result = operation.run(scene);
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    result = ENOMEM;
  }
  const reached = fail[kind] === 0 || (forGood && fail[kind] === 1);
  fail.record = 0;
  fail.frame = 0;
  if (!reached) expect(REFUSALS, what).not.toContain(result);
  expect(scene.audit(), what).toEqual([]);
  if (!REFUSALS.includes(result)) expect(scene.snapshot(), what).toEqual(success);
  else if (operation.partly !== true) expect(scene.snapshot(), what).toEqual(before);
  expect(scene.end(), what).toEqual([]);
  return reached;
}

describe('an allocation that fails in the middle of', () => {
  for (const name of Object.keys(operations)) {
    it(`${name} leaves nothing half done and nothing behind`, () => {
      for (const hostPageSize of [4096, 16384]) {
        const success = successOf(name, hostPageSize);
        for (const kind of ['record', 'frame'] as const)
          for (const forGood of [false, true])
            for (let n = 1; runWithFailure(name, hostPageSize, kind, n, forGood, success); n++)
              expect(n, 'an operation without end').toBeLessThan(200);
      }
    });
  }
});
