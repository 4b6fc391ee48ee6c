import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import type { Caller } from '../../src/memory/caller.js';
import { UserFault } from '../../src/memory/caller.js';
import { openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { PAGE_VALID, pageGetFlags } from '../../src/mm/pageFlags.js';
import { targetMadvise } from '../../src/mm/targetMadvise.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMsync } from '../../src/mm/targetMsync.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller } from '../memory/machine.js';
import { BUS_ADRERR, Model, type Outcome, PAGE, type Store } from './model.js';

/** Pages of the arena that the operations work in, and where it is. */
const ARENA = 40;
const BASE = 0x40_0000 / PAGE;
const FILE_PAGES = 6;

const page = fc.integer({ min: 0, max: ARENA - 1 });
const count = fc.integer({ min: 1, max: 12 });
const prot = fc.constantFrom(0, 1, 3, 2, 5, 7);
const operation = fc.oneof(
  fc.record({
    op: fc.constant('map' as const),
    at: page,
    n: count,
    prot,
    kind: fc.constantFrom('private', 'shared', 'filePrivate', 'fileShared'),
    index: fc.integer({ min: 0, max: 4 }),
    how: fc.constantFrom('fixed', 'noreplace', 'hint'),
  }),
  fc.record({ op: fc.constant('unmap' as const), at: page, n: count }),
  fc.record({ op: fc.constant('protect' as const), at: page, n: count, prot }),
  fc.record({
    op: fc.constant('remap' as const),
    at: page,
    n: fc.integer({ min: 0, max: 8 }),
    m: fc.integer({ min: 0, max: 12 }),
    flags: fc.constantFrom(0, 1, 3, 5, 7),
    to: page,
  }),
  fc.record({ op: fc.constant('dontneed' as const), at: page, n: count }),
  fc.record({ op: fc.constant('sync' as const), at: page, n: count }),
  fc.record({ op: fc.constant('write' as const), at: page, value: fc.integer({ min: 1, max: 1e9 }) }),
  fc.record({ op: fc.constant('read' as const), at: page }),
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-model-'));
afterAll(() => rmSync(directory, { recursive: true }));

class System {
  readonly model = new Model();
  readonly file: Store = { kind: 'file', cells: [] };
  readonly path = join(directory, 'file');
  readonly hostFile: number;

  /** `hostPages`: target pages in a host page; protections and shared writes are exact only when that is 1. */
  constructor(
    readonly c: Caller,
    readonly hostPages = 1,
  ) {
    const bytes = Buffer.alloc(FILE_PAGES * PAGE - 1000);
    for (let i = 0; i < FILE_PAGES; i++) {
      bytes.writeUInt32LE(1000 + i, i * PAGE);
      this.file.cells.push(1000 + i);
    }
    writeFileSync(this.path, bytes);
    const fd = openSync(this.path, 'r+');
    this.hostFile = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
  }

  private access(action: () => number): Outcome {
    try {
      return { value: action() };
    } catch (error) {
      if (error instanceof UserFault) return { fault: error.outcome };
      throw error;
    }
  }

  /** Whether a fault that the model expects may not happen: something else is mapped in the host page. */
  private mayPass(at: number): boolean {
    const first = Math.floor(at / this.hostPages) * this.hostPages;
    for (let i = 0; i < this.hostPages; i++)
      if (i !== at - first && this.model.pages.has(first + i)) return this.hostPages > 1;
    return false;
  }

  private expectRead(at: number): void {
    const got = this.access(() => readU32(this.c, at * PAGE));
    const should = this.model.read(at);
    // The end of a file is rounded up to host pages.
    if ('fault' in should && (this.mayPass(at) || (this.hostPages > 1 && should.fault === BUS_ADRERR)))
      return;
    expect(got).toEqual(should);
  }

  run(o: Operation): void {
    const { c, model } = this;
    switch (o.op) {
      case 'map':
        this.map(o);
        return;
      case 'unmap':
        expect(targetMunmap(c, (BASE + o.at) * PAGE, o.n * PAGE)).toBe(0);
        model.unmap(BASE + o.at, o.n);
        return;
      case 'protect': {
        const whole = model.protect(BASE + o.at, o.n, o.prot);
        expect(targetMprotect(c, (BASE + o.at) * PAGE, o.n * PAGE, o.prot)).toBe(whole ? 0 : -12);
        return;
      }
      case 'dontneed': {
        const whole = model.dontNeed(BASE + o.at, o.n);
        expect(targetMadvise(c, (BASE + o.at) * PAGE, o.n * PAGE, 4)).toBe(whole ? 0 : -12);
        return;
      }
      case 'sync': {
        let whole = true;
        for (let i = 0; i < o.n; i++) whole &&= model.pages.has(BASE + o.at + i);
        expect(targetMsync(c, (BASE + o.at) * PAGE, o.n * PAGE, 4)).toBe(whole ? 0 : -12);
        return;
      }
      case 'write': {
        const at = (BASE + o.at) * PAGE;
        if (!model.pages.has(BASE + o.at) && this.mayPass(BASE + o.at)) return;
        const outcome = this.access(() => {
          writeU32(c, at, o.value);
          return o.value;
        });
        const should = model.write(BASE + o.at, o.value);
        if (!('fault' in should && this.hostPages > 1)) expect(outcome).toEqual(should);
        return;
      }
      case 'read':
        this.expectRead(BASE + o.at);
        return;
      case 'remap':
        this.remap(o);
        return;
    }
  }

  private map(o: Extract<Operation, { op: 'map' }>): void {
    const { c, model } = this;
    const onFile = o.kind === 'filePrivate' || o.kind === 'fileShared';
    const shared = o.kind === 'shared' || o.kind === 'fileShared';
    const flags =
      (shared ? 1 : 2) |
      (onFile ? 0 : 0x20) |
      (o.how === 'fixed' ? 0x10 : o.how === 'noreplace' ? 0x10_0000 : 0);
    const file = onFile ? { file: this.hostFile, object: 0, readable: true, writable: true } : null;
    const want = (BASE + o.at) * PAGE;
    const got = targetMmap(c, want, o.n * PAGE, o.prot, flags, file, onFile ? o.index * PAGE : 0);
    const free = model.isFree(BASE + o.at, o.n);
    if (o.how === 'noreplace' && !free) {
      expect(got).toBe(-17);
      return;
    }
    if (o.how !== 'hint' || (free && this.hostPages === 1)) expect(got).toBe(want);
    else expect(got).toBeGreaterThan(0);
    expect(o.how === 'fixed' || model.isFree(got / PAGE, o.n)).toBe(true);
    const memory: Store = { kind: 'memory', cells: new Array(o.n).fill(0) };
    model.map(got / PAGE, o.n, (i) => ({
      prot: o.prot,
      shared,
      store: onFile ? this.file : shared ? memory : undefined,
      index: onFile ? o.index + i : i,
      own: onFile || shared ? undefined : 0,
    }));
  }

  private remap(o: Extract<Operation, { op: 'remap' }>): void {
    const { c, model } = this;
    const old = BASE + o.at;
    const target = BASE + o.to;
    const m = o.flags & 4 ? o.n : o.m;
    const got = targetMremap(c, old * PAGE, o.n * PAGE, m * PAGE, o.flags, target * PAGE);
    const expected = this.expectRemap(old, o.n, m, o.flags, target);
    if (expected !== undefined) {
      expect(got).toBe(expected);
      if (got < 0) return;
    } else expect(got).toBeGreaterThan(0);
    const place = got / PAGE;
    if (place === old && o.n >= m) {
      // Shrinking in place is munmap, whatever lies in the range.
      model.unmap(old + m, o.n - m);
      return;
    }
    const first = { ...model.pages.get(old)! };
    const pages = Array.from({ length: Math.min(o.n, m) }, (_, i) => ({ ...model.pages.get(old + i)! }));
    if (place !== old) {
      if (expected === undefined) expect(model.isFree(place, m)).toBe(true);
      if (o.flags & 2) model.unmap(place, m);
      if (o.flags & 4) {
        for (const p of Array.from({ length: o.n }, (_, i) => model.pages.get(old + i)!))
          if (!p.shared) p.own = p.store === undefined ? 0 : undefined;
      } else if (o.n > 0) model.unmap(old, o.n);
    } else model.unmap(old, o.n);
    model.map(place, m, (i) => {
      if (i < pages.length) return pages[i];
      const fresh = first.store === undefined && !first.shared;
      return { ...first, index: first.index + i, own: fresh ? 0 : undefined };
    });
    // Shared memory that grows beyond its object raises SIGBUS there; the model's store has that length.
  }

  /** The result that mremap must give, or undefined when it is to choose a place. */
  private expectRemap(old: number, n: number, m: number, flags: number, target: number): number | undefined {
    const { model } = this;
    if (m === 0) return -22;
    if (flags & 4 && n !== m) return -22;
    if (flags & 6) {
      if (flags & 2 && (old - target) % this.hostPages !== 0) return -22;
      if (old + n > target && target + m > old) return -22;
    }
    const first = model.pages.get(old);
    if (first === undefined) return -14;
    const inRange = (k: number) => model.run(old) >= k;
    if (flags & 6) {
      if (n === 0 && !first.shared) return -22;
      if (!inRange(Math.min(n, m))) return -14;
      if (flags & 2) return target * PAGE;
      if (this.hostPages > 1) return undefined;
      return model.isFree(target, m) ? target * PAGE : undefined;
    }
    if (n >= m) return old * PAGE;
    if (n === 0 && !first.shared) return -22;
    if (!inRange(n)) return -14;
    if (model.run(old) === n && model.isFree(old + n, m - n)) return old * PAGE;
    return flags & 1 ? undefined : -12;
  }

  /** Every page of model and system agrees; reading through the tables changes nothing that matters. */
  compare(): void {
    const { c, model } = this;
    for (let at = BASE - 1; at <= BASE + ARENA + 12; at++) {
      const there = model.pages.get(at);
      expect(pageGetFlags(c, at * PAGE)).toBe(there === undefined ? 0 : there.prot | PAGE_VALID);
      this.expectRead(at);
    }
  }

  /** What shared mappings wrote is in the host's file once everything is unmapped. */
  compareFile(): void {
    const fd = openSync(this.path, 'r');
    const word = Buffer.alloc(4);
    for (let i = 0; i < FILE_PAGES; i++) {
      readSync(fd, word, 0, 4, i * PAGE);
      expect(word.readUInt32LE(0)).toBe(this.file.cells[i]);
    }
    closeSync(fd);
  }
}

/** Operations that are exact whatever the host page size: private memory that may be read and written. */
function withoutSharing(o: Operation): Operation {
  if (o.op === 'map') return { ...o, prot: 3, kind: o.kind.startsWith('file') ? 'filePrivate' : 'private' };
  return o.op === 'protect' ? { ...o, prot: 3 } : o;
}

function check(hostPageSize: number): void {
  const mem = createMachineMemory({ bytes: 64 * 1024 * 1024, hostPageSize });
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 60 }), (operations) => {
      const mm = createMm(mem, COORDINATOR);
      const c = addCaller(mem, mm);
      const system = new System(c, hostPageSize / PAGE);
      try {
        for (const o of operations) system.run(hostPageSize === PAGE ? o : withoutSharing(o));
        system.compare();
        expect(audit(mem, [mm])).toEqual([]);
      } finally {
        releaseHostFile(mem, c.thread, system.hostFile);
        removeThread(mem, c.thread, c.thread);
        releaseMm(mem, mm, COORDINATOR);
      }
      system.compareFile();
      expect(audit(mem, [])).toEqual([]);
    }),
    { numRuns: Number(process.env.GUESTHOUSE_RUNS ?? 150) },
  );
}

describe('random sequences of memory calls', () => {
  it('do what a simple model does, and the auditor finds nothing', () => check(4096), 120_000);
  it('keep private memory right on host pages of 16 KiB', () => check(16384), 120_000);
  it('keep private memory right on host pages of 64 KiB', () => check(65536), 120_000);
});
