import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { repository } from '../../bench/hostProgram.js';
import { access, FAULTED, type MapCall, type MapEnvironment, makeMapCall } from '../../bench/mapCalls.js';
import { audit } from '../../src/memory/auditor.js';
import type { Caller } from '../../src/memory/caller.js';
import { openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { forkMm } from '../../src/mm/forkMm.js';
import { useFreebsdMap } from '../../src/mm/freebsd/freebsdAddressSpace.js';
import { PAGE_VALID, pageGetFlags } from '../../src/mm/pageFlags.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { allocateBlock, freeBlock } from '../../src/sync/heap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { removeThread } from '../../src/sync/safepoint.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';
import { addCaller } from '../memory/machine.js';
import { isExpected, Model, type Store } from './model.js';

/** Pages of the arena that the operations work in, and of the file. */
const ARENA = 40;
const FILE_PAGES = 6;
/** Beyond where the system places mappings by itself in small address spaces, and within their tables. */
const BASE = 0x40_0000;

const seed = Number(process.env.GUESTHOUSE_SEED ?? Date.now() % 1_000_000_007);
const runs = (quick: number) => Number(process.env.GUESTHOUSE_RUNS ?? quick);

const at = fc.integer({ min: 0, max: ARENA - 1 });
const n = fc.integer({ min: 1, max: 12 });
const prot = fc.constantFrom(0, 1, 3, 3, 2, 5, 7);
const op = <T extends string>(...names: T[]) => fc.constantFrom(...names);

const mapping: fc.Arbitrary<MapCall> = fc.record({
  op: op('map'),
  at,
  n,
  prot,
  kind: fc.constantFrom('private', 'shared', 'filePrivate', 'fileShared'),
  index: fc.integer({ min: 0, max: FILE_PAGES - 2 }),
  how: fc.constantFrom('fixed', 'noreplace', 'hint'),
});
const remapping: fc.Arbitrary<MapCall> = fc.record({
  op: op('remap'),
  at,
  n: fc.integer({ min: 0, max: 8 }),
  m: fc.integer({ min: 0, max: 12 }),
  flags: fc.constantFrom(0, 1, 3, 5, 7),
  to: at,
});
const writing: fc.Arbitrary<MapCall> = fc.record({
  op: op('write'),
  at,
  value: fc.integer({ min: 1, max: 1e9 }),
});
const advice = fc.constantFrom(4, 4, 9, 10, 18, 22, 23);
const truncating: fc.Arbitrary<MapCall> = fc.record({
  op: op('truncate'),
  n: fc.integer({ min: 0, max: FILE_PAGES }),
});

/** What every thread may do at any time. */
const common: fc.WeightedArbitrary<MapCall>[] = [
  { weight: 4, arbitrary: mapping },
  { weight: 2, arbitrary: fc.record({ op: op('unmap'), at, n }) },
  { weight: 3, arbitrary: fc.record({ op: op('protect'), at, n, prot }) },
  { weight: 2, arbitrary: fc.record({ op: op('advise'), at, n, advice }) },
  { weight: 1, arbitrary: fc.record({ op: op('sync'), at, n }) },
  { weight: 5, arbitrary: writing },
  { weight: 3, arbitrary: fc.record({ op: op('read'), at }) },
];
const ofLinux: fc.WeightedArbitrary<MapCall>[] = [
  { weight: 3, arbitrary: remapping },
  { weight: 1, arbitrary: fc.record({ op: op('lock', 'unlock'), at, n }) },
  { weight: 1, arbitrary: fc.record({ op: op('mincore'), at, n }) },
];
const alone: fc.WeightedArbitrary<MapCall>[] = [
  { weight: 1, arbitrary: truncating },
  { weight: 1, arbitrary: fc.constant<MapCall>({ op: 'fork' }) },
];

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-model-'));
afterAll(() => rmSync(directory, { recursive: true }));

interface Kind {
  readonly flavour: 'linux' | 'freebsd';
  readonly page: number;
  readonly hostPage: number;
}

/** An address space, its model, and the file that both map. */
class System {
  readonly mm: number;
  readonly c: Caller;
  readonly model: Model;
  readonly environment: MapEnvironment;
  readonly file: Store = { cells: [] };
  private readonly path = join(directory, 'file');

  constructor(
    readonly mem: SharedMemory,
    readonly kind: Kind,
  ) {
    const { page, flavour } = kind;
    // Small tables are audited quickly; FreeBSD keeps room for a large heap below its mappings.
    const taskSize = flavour === 'linux' ? 2 ** 26 : 2 ** 28;
    this.mm = createMm(mem, COORDINATOR, { pageSize: page, taskSize });
    this.c = addCaller(mem, this.mm);
    if (flavour === 'freebsd') useFreebsdMap(mem, this.mm);
    const hostPages = Math.max(1, kind.hostPage / page);
    this.model = new Model({ flavour, page, base: BASE, file: this.file, hostPages });
    const bytes = Buffer.alloc(FILE_PAGES * page - 1000);
    for (let i = 0; i < FILE_PAGES; i++) {
      bytes.writeUInt32LE(1000 + i, i * page);
      this.file.cells.push(1000 + i);
    }
    writeFileSync(this.path, bytes);
    const fd = openSync(this.path, 'r+');
    const file = openHostFile(mem, this.c.thread, fd, true, fstatSync(fd));
    // Far from the arena, and never touched by a call.
    const vector = targetMmap(this.c, 0x300_0000, 65536, 3, 0x32, null, 0);
    this.environment = { flavour, page, base: BASE, file, fd, vector };
  }

  private readonly done: string[] = [];

  /** Whether the answer is what the model says; the model goes on from there. */
  check(call: MapCall, got: number): void {
    this.done.push(`${JSON.stringify(call)} = ${got > 4096 ? `0x${got.toString(16)}` : got}`);
    const expected = this.model.apply(call, got);
    if (isExpected(expected, got)) return;
    const should = typeof expected === 'object' && 'what' in expected ? expected.what : String(expected);
    expect.fail(`${this.done.slice(-12).join('\n')}\nshould have given ${should}`);
  }

  run(call: MapCall): void {
    if (call.op === 'fork') this.fork();
    else this.check(call, makeMapCall(this.c, this.environment, call));
  }

  /** The child has what it should, and what it writes stays its own. */
  private fork(): void {
    const { mem, kind } = this;
    const mm = forkMm(this.c);
    const child = addCaller(mem, mm);
    const should = this.model.fork();
    try {
      this.compareWith(child, should, 'the child');
      for (let i = 0; i < ARENA; i++) {
        const page = should.pages.get(i);
        if (page === undefined || page.shared || (page.prot & 2) === 0) continue;
        access(() => {
          writeU32(child, BASE + i * kind.page, 5_000_000 + i);
          return 0;
        });
      }
      expect(audit(mem, [this.mm, mm])).toEqual([]);
    } finally {
      removeThread(mem, child.thread, child.thread);
      releaseMm(mem, mm, COORDINATOR);
    }
  }

  private compareWith(c: Caller, model: Model, who: string): void {
    for (let i = -1; i <= ARENA + 12; i++) {
      const there = model.pages.get(i);
      const address = BASE + i * this.kind.page;
      expect(pageGetFlags(c, address), `${who}: page ${i}`).toBe(
        there === undefined ? 0 : there.prot | PAGE_VALID,
      );
      const got = access(() => readU32(c, address));
      const should = model.read(i);
      // A fault may not happen in a larger host page.
      if (got !== should && !(should <= FAULTED && this.model.options.hostPages > 1))
        expect.fail(`${this.done.slice(-12).join('\n')}\n${who}: page ${i} is ${got}, should be ${should}`);
    }
  }

  /** Every page of model and system agrees; reading through the tables changes nothing that matters. */
  compare(): void {
    this.compareWith(this.c, this.model, 'in the end');
    expect(audit(this.mem, [this.mm])).toEqual([]);
  }

  /** Ends everything. What shared mappings wrote is in the host's file then. */
  end(): void {
    const { mem } = this;
    releaseHostFile(mem, this.c.thread, this.environment.file);
    removeThread(mem, this.c.thread, this.c.thread);
    releaseMm(mem, this.mm, COORDINATOR);
  }

  compareFile(): void {
    const fd = openSync(this.path, 'r');
    const word = Buffer.alloc(4);
    for (let i = 0; i < this.file.cells.length; i++) {
      if (readSync(fd, word, 0, 4, i * this.kind.page) < 4) word.fill(0);
      expect(word.readUInt32LE(0), `page ${i} of the file`).toBe(this.file.cells[i]);
    }
    closeSync(fd);
    expect(audit(this.mem, [])).toEqual([]);
  }
}

/** Calls that are exact whatever lies in a larger host page: private memory that may be read and written. */
function withoutSharing(call: MapCall, hostPages: number): MapCall {
  // Pages move only to where they lie alike in their host page.
  if (call.op === 'remap') {
    const off = (call.to - call.at) % hostPages;
    return { ...call, to: call.to - off >= 0 ? call.to - off : call.to - off + hostPages };
  }
  if (call.op === 'map')
    return { ...call, prot: 3, kind: call.kind.startsWith('file') ? 'filePrivate' : 'private' };
  if (call.op === 'advise') return { ...call, advice: 4 };
  // The end of a file is the host page's.
  if (call.op === 'truncate') return { op: 'fork' };
  return call.op === 'protect' ? { ...call, prot: 3 } : call;
}

function checkAlone(kind: Kind, quick: number): void {
  const mem = createMachineMemory({ bytes: 64 * 1024 * 1024, hostPageSize: kind.hostPage });
  const calls = fc.array(fc.oneof(...common, ...alone, ...(kind.flavour === 'linux' ? ofLinux : [])), {
    minLength: 1,
    maxLength: 80,
    size: 'max',
  });
  fc.assert(
    fc.property(calls, (sequence) => {
      const system = new System(mem, kind);
      try {
        for (const call of sequence)
          system.run(kind.hostPage <= kind.page ? call : withoutSharing(call, kind.hostPage / kind.page));
        system.compare();
      } finally {
        system.end();
      }
      system.compareFile();
    }),
    { seed, numRuns: runs(quick) },
  );
}

const sizes = [4096, 16384, 65536];
const kinds: Kind[] = (['linux', 'freebsd'] as const).flatMap((flavour) =>
  sizes.flatMap((page) => sizes.map((hostPage) => ({ flavour, page, hostPage }))),
);

describe('random sequences of memory calls', () => {
  it.each(kinds)(
    'do what a simple model does: $flavour, pages of $page over host pages of $hostPage',
    (kind) => checkAlone(kind, kind.page === 4096 && kind.hostPage === 4096 ? 40 : 8),
    600_000,
  );
});

/** Threads that make calls for the test: test/mm/modelWorker.js. */
class Crew {
  readonly workers: Worker[];

  constructor(mem: SharedMemory, count: number) {
    const dist = pathToFileURL(join(repository, 'dist/')).href;
    this.workers = Array.from(
      { length: count },
      () =>
        new Worker(join(repository, 'test/mm/modelWorker.js'), {
          workerData: { dist, memory: mem.wasm },
          trackUnmanagedFds: false,
        }),
    );
  }

  /** What each made, in the order in which the mmap mutex let them. */
  async run(system: System, sequences: MapCall[][]): Promise<{ call: MapCall; got: number }[]> {
    const { mem, mm } = system;
    const ticket = allocateBlock(mem, 16, COORDINATOR);
    const callers = sequences.map(() => addCaller(mem, mm));
    try {
      const answers = await Promise.all(
        sequences.map(
          (calls, i) =>
            new Promise<{ order: number; call: MapCall; got: number }[]>((resolve, reject) => {
              const worker = this.workers[i];
              const timer = setTimeout(() => reject(new Error('the threads do not end')), 60_000);
              worker.once('message', (answer: { error?: string; log: never[] }) => {
                clearTimeout(timer);
                if (answer.error !== undefined) reject(new Error(answer.error));
                else resolve(answer.log);
              });
              const { environment } = system;
              worker.postMessage({ mm, thread: callers[i].thread, ticket, environment, calls, pages: ARENA });
            }),
        ),
      );
      return answers.flat().sort((a, b) => a.order - b.order);
    } finally {
      for (const caller of callers) removeThread(mem, caller.thread, COORDINATOR);
      freeBlock(mem, ticket, COORDINATOR);
    }
  }

  end(): Promise<unknown> {
    return Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}

async function checkTogether(kind: Kind): Promise<void> {
  const mem = createMachineMemory({ bytes: 64 * 1024 * 1024, hostPageSize: kind.hostPage });
  const crew = new Crew(mem, 4);
  const calls = fc.array(fc.oneof(...common, ...(kind.flavour === 'linux' ? ofLinux : [])), {
    minLength: 1,
    maxLength: 60,
    size: 'max',
  });
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(calls, { minLength: 2, maxLength: 4 }), async (sequences) => {
        const system = new System(mem, kind);
        try {
          const exact = kind.hostPage <= kind.page;
          const made = await crew.run(
            system,
            sequences.map((calls) =>
              exact ? calls : calls.map((c) => withoutSharing(c, kind.hostPage / kind.page)),
            ),
          );
          for (const { call, got } of made) system.check(call, got);
          system.compare();
        } finally {
          system.end();
        }
        system.compareFile();
      }),
      // What depends on who came first cannot be made smaller: the first failure is the one to see.
      { seed, numRuns: runs(4), endOnFailure: true },
    );
  } finally {
    await crew.end();
  }
}

describe('random sequences of memory calls by up to four threads, which fault all the time', () => {
  const some = kinds.filter(({ page, hostPage }) => page === hostPage || hostPage === 16384);
  it.each(some)(
    'do one after another what a simple model does: $flavour, pages of $page over host pages of $hostPage',
    async (kind) => {
      expect(existsSync(join(repository, 'dist/src')), 'npm run build comes first').toBe(true);
      await checkTogether(kind);
    },
    600_000,
  );
});
