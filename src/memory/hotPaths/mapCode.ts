import { FrameDescriptor } from '../../sync/records/frame.js';
import { Machine } from '../../sync/records/machine.js';
import {
  MAPPING_GROWSDOWN,
  MAPPING_MAY_SHIFT,
  MAPPING_NORESERVE,
  Mapping,
} from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import {
  call,
  type FunctionBuilder,
  type FunctionRef,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
  type ModuleBuilder,
  select,
} from '../../wasm/index.js';
import { RESERVE_SHIFT } from '../frames.js';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '../linuxMemory.js';
import { MOST_SPARES } from '../mappingRecords.js';
import { STACK_GUARD_PAGES } from '../mappings.js';
import { PTE_EXEC, PTE_OBJECT, PTE_PRESENT, PTE_READ, PTE_WRITE, PTE_WRITER } from '../pageTables.js';
import type { MapLockCode } from './mapLockCode.js';
import {
  addressOf,
  countOf,
  descriptorOf,
  entryOf,
  has,
  heldByCode,
  machine,
  one,
  type PageCode,
  pagesInReach,
  zero,
} from './pageCode.js';
import type { TreeCode } from './treeCode.js';

/**
 * mmap, munmap and mprotect of private anonymous memory that is not executable, each from taking the mmap mutex to giving
 * it back. Before anything is changed they look at all that could make the case another one, and then say so: what they
 * do not do is left to mm/ and mappings.ts.
 */
export interface MapCode {
  /** (mm, thread, pages, prot, MAPPING_* flags) → first page, or −1: not done. Top-down placement. */
  readonly map: FunctionRef;
  /** (mm, thread, from, to) → 1, or 0: not done */
  readonly unmap: FunctionRef;
  /** (mm, thread, from, to, prot) → 1, or 0: not done */
  readonly protect: FunctionRef;
}

const load = i32.load;

/** What the three are made of. */
interface Parts {
  readonly module: ModuleBuilder;
  readonly lock: MapLockCode;
  readonly tree: TreeCode;
  readonly page: PageCode;
  readonly quiesce: FunctionRef;
}

interface Records extends Parts {
  /** (mm) → record; there is one */
  readonly takeRecord: FunctionRef;
  /** (mm, mapping): out of the tree and into the spares */
  readonly retire: FunctionRef;
  /** (mm, mapping, page) → the upper part */
  readonly split: FunctionRef;
  /** (lower, upper) → whether anonymous `upper` continues `lower` */
  readonly continues: FunctionRef;
  /** (mm, mapping) → the mapping that covers it once it is joined with what it continues */
  readonly join: FunctionRef;
}

/** Writes the functions into `module`. */
export function writeMapCode(parts: Parts): MapCode {
  const takeRecord = writeTakeRecord(parts.module);
  const retire = writeRetire(parts);
  const continues = writeContinues(parts.module);
  const records: Records = {
    ...parts,
    takeRecord,
    retire,
    continues,
    split: writeSplit(parts, takeRecord),
    join: writeJoin(parts, retire, continues),
  };
  return { map: writeMap(records), unmap: writeUnmap(records), protect: writeProtect(records) };
}

// --- records; mmapLock ---

function writeTakeRecord(module: ModuleBuilder): FunctionRef {
  const take = module.function({ params: ['i32'], results: ['i32'] });
  const b = take.builder;
  const mm = b.param('i32', 0);
  const record = b.hold(load(mm, Mm.spareMappings));
  b.store('i32.store', mm, load(record, Mapping.nextOfObject), Mm.spareMappings);
  increase(b, mm, Mm.spareMappingCount, i32.const(-1));
  b.return(record);
  return take;
}

function writeRetire({ module, tree }: Parts): FunctionRef {
  const retire = module.function({ params: ['i32', 'i32'], results: [] });
  const b = retire.builder;
  const mm = b.param('i32', 0);
  const mapping = b.param('i32', 1);
  b.call(tree.remove, mm, mapping);
  b.store('i32.store', mapping, load(mm, Mm.spareMappings), Mapping.nextOfObject);
  b.store('i32.store', mm, mapping, Mm.spareMappings);
  increase(b, mm, Mm.spareMappingCount, one);
  return retire;
}

function writeSplit({ module, tree }: Parts, takeRecord: FunctionRef): FunctionRef {
  const split = module.function({ params: ['i32', 'i32', 'i32'], results: ['i32'] });
  const b = split.builder;
  const [mm, mapping, page] = [0, 1, 2].map((i) => b.param('i32', i));
  const upper = b.hold(call(takeRecord, 'i32', mm));
  b.store('i32.store', upper, page, Mapping.start);
  for (const field of [Mapping.end, Mapping.prot, Mapping.flags])
    b.store('i32.store', upper, load(mapping, field), field);
  for (const field of [Mapping.file, Mapping.object, Mapping.offset])
    b.store('i32.store', upper, zero, field);
  b.store('i32.store', mapping, page, Mapping.end);
  b.call(tree.resized, mapping);
  b.call(tree.insert, mm, upper);
  b.return(upper);
  return split;
}

function writeContinues(module: ModuleBuilder): FunctionRef {
  const continues = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const b = continues.builder;
  const lower = b.param('i32', 0);
  const upper = b.param('i32', 1);
  b.return(
    i32.and(
      i32.eq(load(lower, Mapping.end), load(upper, Mapping.start)),
      isLike(lower, load(upper, Mapping.prot), load(upper, Mapping.flags), load(upper, Mapping.object)),
    ),
  );
  return continues;
}

/** Whether an anonymous `mapping` has these attributes; `object` is another's, for which 0 is wanted, too. */
const isLike = (mapping: I32, prot: I32, flags: I32, object: I32): I32 =>
  i32.and(
    i32.eqz(i32.or(load(mapping, Mapping.object), object)),
    i32.and(i32.eq(load(mapping, Mapping.prot), prot), i32.eq(load(mapping, Mapping.flags), flags)),
  );

function writeJoin({ module, tree }: Parts, retire: FunctionRef, continues: FunctionRef): FunctionRef {
  const join = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const b = join.builder;
  const mm = b.param('i32', 0);
  const mapping = b.param('i32', 1);
  const end = b.local('i32');
  const swallow = (lower: I32, upper: I32): void => {
    b.set(end, load(upper, Mapping.end));
    b.call(retire, mm, upper);
    b.store('i32.store', lower, end, Mapping.end);
    b.call(tree.resized, lower);
  };
  const next = b.hold(load(mapping, Mapping.next));
  b.if(next, () => b.if(call(continues, 'i32', mapping, next), () => swallow(mapping, next)));
  const previous = b.hold(load(mapping, Mapping.previous));
  b.if(previous, () =>
    b.if(call(continues, 'i32', previous, mapping), () => {
      swallow(previous, mapping);
      b.return(previous);
    }),
  );
  b.return(mapping);
  return join;
}

// --- checks and accounts ---

function increase(b: FunctionBuilder, record: I32, field: number, by: I32): void {
  b.store('i32.store', record, i32.add(load(record, field), by), field);
}

const toBytes = (pages: I32): I64 => i64.shl(i64.extend_i32_u(pages), i64.const(12));

/** Whether private memory of this protection counts against RLIMIT_DATA, given that it does not grow down. */
const isData = (prot: I32): I32 => i32.and(prot, i32.const(PROT_WRITE));

/** mayExpand and mayExpandData of mm/: `pages` more keep within the limit. */
const within = (mm: I32, count: number, pages: I32, limit: number): I32 =>
  i64.le_u(toBytes(i32.add(load(mm, count), pages)), i64.load(mm, limit));

/** enoughMemory of mm/limits.ts, where no file pages have to go for it: (mm, pages) → whether. */
function writeEnoughMemory(b: FunctionBuilder, mm: I32, pages: I32, slow: Label): void {
  // What a tree of guests has left takes a look at more than this address space.
  b.brIf(slow, load(mm, Mm.memoryTree));
  const total = b.hold(machine(Machine.frameCount));
  const reserve = b.hold(i32.shr_u(total, i32.const(RESERVE_SHIFT)));
  const limit = b.hold(
    i32.sub(total, select(i32.gt_s(i32.atomic_load(mm, Mm.residentPages), reserve), reserve, zero)),
  );
  const positive = (value: Local<'i32'>): I32 => select(i32.gt_s(value, zero), value, zero);
  const free = b.hold(i32.sub(limit, machine(Machine.framesUsed)));
  const budget = b.hold(i32.atomic_load(mm, Mm.frameBudget));
  b.brIf(slow, i32.gt_s(pages, i32.add(positive(free), positive(budget))));
  b.brIf(slow, i32.gt_s(pages, i32.sub(load(mm, Mm.frameLimit), i32.atomic_load(mm, Mm.framesHeld))));
  for (const local of [total, reserve, limit, free, budget]) b.release(local);
}

/** account of mappings.ts, for mappings that neither grow down nor are locked. */
function writeAccount(b: FunctionBuilder, mm: I32, prot: I32, pages: I32): void {
  increase(b, mm, Mm.mappedPages, pages);
  b.if(isData(prot), () => increase(b, mm, Mm.dataPages, pages));
}

/** Mm.mappingsSequence, before a change of the tree and after it. */
function writeStep(b: FunctionBuilder, mm: I32): void {
  b.drop(i32.atomic_rmw_add(mm, one, Mm.mappingsSequence));
}

/** To `slow` unless pages of host and guest have 4 KiB. */
function writePageSizeCheck(b: FunctionBuilder, mm: I32, slow: Label): void {
  const sizes = i32.or(machine(Machine.hostPageShift), load(mm, Mm.targetPageShift));
  b.brIf(slow, i32.ne(sizes, i32.const(12)));
}

// --- the operations ---

/** Attributes that only slow mappings have. */
const PLAIN_FLAGS = (7 << MAPPING_MAY_SHIFT) | MAPPING_NORESERVE;

function writeMap({ module, lock, tree, takeRecord, join }: Records): FunctionRef {
  const map = module.function({ params: ['i32', 'i32', 'i32', 'i32', 'i32'], results: ['i32'] });
  const b = map.builder;
  const [mm, thread, pages, prot, flags] = [0, 1, 2, 3, 4].map((i) => b.param('i32', i));
  const start = b.local('i32');
  const end = b.local('i32');
  const next = b.local('i32');
  const previous = b.local('i32');
  b.call(lock.lockMap, mm, thread);
  b.block((slow) => {
    writePageSizeCheck(b, mm, slow);
    b.brIf(slow, i32.or(load(mm, Mm.placement), load(mm, Mm.lockFuture)));
    b.brIf(slow, i32.gt_u(load(mm, Mm.mappingCount), load(mm, Mm.maxMappings)));
    b.brIf(slow, i32.eqz(load(mm, Mm.spareMappingCount)));
    b.brIf(slow, i32.eqz(within(mm, Mm.mappedPages, pages, Mm.limitAs)));
    b.if(isData(prot), () => {
      b.brIf(slow, i32.eqz(within(mm, Mm.dataPages, pages, Mm.limitData)));
      b.if(i32.eqz(i32.and(flags, i32.const(MAPPING_NORESERVE))), () =>
        writeEnoughMemory(b, mm, pages, slow),
      );
    });
    // As far as the tables reach; what finds no room there is looked for farther up by mm/findVma.ts.
    b.set(end, pagesInReach(mm));
    const task = b.hold(i32.wrap_i64(i64.shr_u(i64.load(mm, Mm.taskSize), i64.const(12))));
    b.if(i32.lt_u(task, end), () => b.set(end, task));
    // The highest gap, or the next one that keeps the distance to a growing stack (highestPlace of mm/findVma.ts).
    b.block((found) => {
      b.loop((again) => {
        const root = load(mm, Mm.mappingsRoot);
        b.set(start, call(tree.highestGap, 'i32', root, load(mm, Mm.mmapMinAddr), end, pages));
        b.brIf(slow, i32.lt_s(start, zero));
        const last = i32.sub(i32.add(start, pages), one);
        b.set(next, call(tree.firstEndingAfter, 'i32', mm, last));
        b.brIf(found, i32.eqz(next));
        b.brIf(found, i32.eqz(i32.and(load(next, Mapping.flags), i32.const(MAPPING_GROWSDOWN))));
        b.set(end, load(next, Mapping.start));
        // The first stack has its room kept (startWithGuard of mm/findVma.ts).
        b.if(i32.eq(load(next, Mapping.end), load(mm, Mm.stackTop)), () =>
          b.if(i32.lt_u(load(mm, Mm.stackFloor), end), () => b.set(end, load(mm, Mm.stackFloor))),
        );
        b.brIf(slow, i32.lt_u(end, i32.const(STACK_GUARD_PAGES)));
        b.set(end, i32.sub(end, i32.const(STACK_GUARD_PAGES)));
        b.brIf(again, i32.gt_s(i32.add(start, pages), end));
      });
    });
    b.set(end, i32.add(start, pages));
    b.if(
      next,
      () => b.set(previous, load(next, Mapping.previous)),
      () => b.set(previous, call(tree.last, 'i32', mm)),
    );
    writeStep(b, mm);
    writeAccount(b, mm, prot, pages);
    b.block((placed) => {
      // Mostly the range continues a neighbour and needs no record.
      const continues = (mapping: I32, edge: number, page: I32): I32 =>
        i32.and(i32.eq(load(mapping, edge), page), isLike(mapping, prot, flags, zero));
      b.if(previous, () =>
        b.if(continues(previous, Mapping.end, start), () => {
          b.store('i32.store', previous, end, Mapping.end);
          b.call(tree.resized, previous);
          b.drop(call(join, 'i32', mm, previous));
          b.br(placed);
        }),
      );
      b.if(next, () =>
        b.if(continues(next, Mapping.start, end), () => {
          b.store('i32.store', next, start, Mapping.start);
          b.call(tree.resized, next);
          b.br(placed);
        }),
      );
      const mapping = next;
      b.set(mapping, call(takeRecord, 'i32', mm));
      b.store('i32.store', mapping, start, Mapping.start);
      b.store('i32.store', mapping, end, Mapping.end);
      b.store('i32.store', mapping, prot, Mapping.prot);
      b.store('i32.store', mapping, flags, Mapping.flags);
      for (const field of [Mapping.file, Mapping.object, Mapping.offset])
        b.store('i32.store', mapping, zero, field);
      b.call(tree.insert, mm, mapping);
    });
    writeStep(b, mm);
    b.call(lock.unlockMap, mm);
    b.return(start);
  });
  b.call(lock.unlockMap, mm);
  b.return(i32.const(-1));
  return map;
}

function writeUnmap({ module, lock, tree, page, quiesce, split, retire }: Records): FunctionRef {
  const unmap = module.function({ params: ['i32', 'i32', 'i32', 'i32'], results: ['i32'] });
  const b = unmap.builder;
  const [mm, thread, from, to] = [0, 1, 2, 3].map((i) => b.param('i32', i));
  const at = b.local('i32');
  const start = b.local('i32');
  const end = b.local('i32');
  const next = b.local('i32');
  const entry = b.local('i32');
  const head = b.local('i32');
  const count = b.local('i32');
  const first = b.local('i32');
  const eachPresent = (body: () => void): void => {
    b.set(at, call(page.nextPresent, 'i32', mm, from, to));
    b.loop((again) => {
      b.if(i32.lt_u(at, to), () => {
        b.set(entry, load(entryOf(mm, Mm.pageTable, at)));
        body();
        b.set(at, call(page.nextPresent, 'i32', mm, i32.add(at, one), to));
        b.br(again);
      });
    });
  };
  b.call(lock.lockMap, mm, thread);
  b.block((slow) => {
    writePageSizeCheck(b, mm, slow);
    b.set(first, call(tree.firstEndingAfter, 'i32', mm, from));
    b.block((mapped) => {
      b.if(first, () => b.brIf(mapped, i32.lt_u(load(first, Mapping.start), to)));
      b.call(lock.unlockMap, mm);
      b.return(one);
    });
    // A mapping cut in two needs a record and may be one too many; those that go are kept for reuse.
    b.if(i32.and(i32.lt_u(load(first, Mapping.start), from), i32.gt_u(load(first, Mapping.end), to)), () => {
      b.brIf(slow, i32.eqz(load(mm, Mm.spareMappingCount)));
      b.brIf(slow, i32.ge_u(load(mm, Mm.mappingCount), load(mm, Mm.maxMappings)));
    });
    b.set(at, first);
    b.set(count, load(mm, Mm.spareMappingCount));
    b.loop((again) => {
      b.brIf(slow, load(at, Mapping.object));
      b.brIf(slow, i32.and(load(at, Mapping.flags), i32.const(~PLAIN_FLAGS)));
      b.brIf(slow, i32.and(load(at, Mapping.prot), i32.const(PROT_EXEC)));
      b.set(count, i32.add(count, one));
      b.set(at, load(at, Mapping.next));
      b.if(at, () => b.brIf(again, i32.lt_u(load(at, Mapping.start), to)));
    });
    b.brIf(slow, i32.gt_u(count, i32.const(MOST_SPARES)));
    b.call(page.lockPages, mm, from, to, thread);
    b.set(count, zero);
    b.block((odd) => {
      eachPresent(() => {
        const descriptor = descriptorOf(i32.shr_u(entry, i32.const(12)));
        // Frames that others refer to as well, or that have code, are settled elsewhere.
        b.brIf(odd, has(entry, PTE_OBJECT | PTE_WRITER | PTE_EXEC));
        b.brIf(odd, i32.ne(i32.atomic_load(descriptor, FrameDescriptor.refs), one));
        b.brIf(odd, load(descriptor, FrameDescriptor.code));
        b.set(count, i32.add(count, one));
      });
      writeStep(b, mm);
      b.set(at, first);
      b.loop((again) => {
        b.set(start, load(at, Mapping.start));
        b.set(end, load(at, Mapping.end));
        b.set(next, load(at, Mapping.next));
        const overlap = i32.sub(
          select(i32.lt_u(start, from), from, start),
          select(i32.lt_u(end, to), end, to),
        );
        // How much was mapped at most shows where it becomes less.
        b.if(i32.gt_u(load(mm, Mm.mappedPages), load(mm, Mm.mappedPeak)), () =>
          b.store('i32.store', mm, load(mm, Mm.mappedPages), Mm.mappedPeak),
        );
        writeAccount(b, mm, load(at, Mapping.prot), overlap);
        b.if(
          i32.lt_u(start, from),
          () => {
            b.if(i32.gt_u(end, to), () => b.drop(call(split, 'i32', mm, at, to)));
            b.store('i32.store', at, from, Mapping.end);
            b.call(tree.resized, at);
          },
          () =>
            b.if(
              i32.gt_u(end, to),
              () => {
                b.store('i32.store', at, to, Mapping.start);
                b.call(tree.resized, at);
              },
              () => b.call(retire, mm, at),
            ),
        );
        b.set(at, next);
        b.if(at, () => b.brIf(again, i32.lt_u(load(at, Mapping.start), to)));
      });
      writeStep(b, mm);
      b.if(count, () =>
        eachPresent(() => {
          b.store('i32.store', entryOf(mm, Mm.pageTable, at), zero);
          b.store('i32.store', entryOf(mm, Mm.readTable, at), zero);
          b.store('i32.store', entryOf(mm, Mm.writeTable, at), zero);
          increase(b, countOf(mm, at), 0, i32.const(-1));
          b.set(entry, i32.shr_u(entry, i32.const(12)));
          b.store('i32.store', descriptorOf(entry), head, FrameDescriptor.link);
          b.set(head, i32.add(entry, one));
        }),
      );
      b.call(page.unlockPages, mm, from, to);
      // Before others can be given the addresses: nobody uses the old pages any more.
      b.if(count, () => b.call(quiesce, mm, thread));
      b.call(lock.unlockMap, mm);
      b.if(count, () => b.call(page.freeFrames, mm, i32.sub(head, one), count));
      b.return(one);
    });
    b.call(page.unlockPages, mm, from, to);
  });
  b.call(lock.unlockMap, mm);
  b.return(zero);
  return unmap;
}

function writeProtect({ module, lock, tree, page, quiesce, split, join }: Records): FunctionRef {
  const protect = module.function({ params: ['i32', 'i32', 'i32', 'i32', 'i32'], results: ['i32'] });
  const b = protect.builder;
  const [mm, thread, from, to, prot] = [0, 1, 2, 3, 4].map((i) => b.param('i32', i));
  const mapping = b.local('i32');
  const now = b.local('i32');
  const edges = b.local('i32');
  const pages = b.hold(i32.sub(to, from));
  const at = b.local('i32');
  const entry = b.local('i32');
  const bits = b.local('i32');
  const delta = b.local('i32');
  const withdrawn = b.local('i32');
  const descriptor = b.local('i32');
  b.call(lock.lockMap, mm, thread);
  b.block((slow) => {
    writePageSizeCheck(b, mm, slow);
    b.set(mapping, call(tree.firstEndingAfter, 'i32', mm, from));
    b.brIf(slow, i32.eqz(mapping));
    // All in one mapping.
    b.brIf(slow, i32.gt_u(load(mapping, Mapping.start), from));
    b.brIf(slow, i32.lt_u(load(mapping, Mapping.end), to));
    b.brIf(slow, load(mapping, Mapping.object));
    b.brIf(slow, i32.and(load(mapping, Mapping.flags), i32.const(~PLAIN_FLAGS)));
    b.set(now, load(mapping, Mapping.prot));
    b.brIf(slow, i32.and(i32.or(now, prot), i32.const(PROT_EXEC)));
    const allowed = i32.shr_u(load(mapping, Mapping.flags), i32.const(MAPPING_MAY_SHIFT));
    b.brIf(slow, i32.and(prot, i32.xor(allowed, i32.const(-1))));
    b.if(i32.eq(now, prot), () => {
      b.call(lock.unlockMap, mm);
      b.return(one);
    });
    const atStart = i32.eq(load(mapping, Mapping.start), from);
    const atEnd = i32.eq(load(mapping, Mapping.end), to);
    b.set(edges, i32.add(i32.eqz(atStart), i32.eqz(atEnd)));
    b.brIf(slow, i32.lt_u(load(mm, Mm.spareMappingCount), edges));
    b.brIf(slow, i32.gt_u(i32.add(load(mm, Mm.mappingCount), edges), load(mm, Mm.maxMappings)));
    // Joining gives back up to two.
    b.brIf(slow, i32.gt_u(load(mm, Mm.spareMappingCount), i32.const(MOST_SPARES - 2)));
    b.if(i32.and(i32.ne(isData(prot), zero), i32.eqz(isData(now))), () => {
      b.brIf(slow, i32.eqz(within(mm, Mm.dataPages, pages, Mm.limitData)));
      b.if(i32.eqz(i32.and(load(mapping, Mapping.flags), i32.const(MAPPING_NORESERVE))), () =>
        writeEnoughMemory(b, mm, pages, slow),
      );
    });
    b.call(page.lockPages, mm, from, to, thread);
    writeStep(b, mm);
    b.if(i32.eqz(atStart), () => b.set(mapping, call(split, 'i32', mm, mapping, from)));
    b.if(i32.gt_u(load(mapping, Mapping.end), to), () => b.drop(call(split, 'i32', mm, mapping, to)));
    writeAccount(b, mm, now, i32.sub(zero, pages));
    writeAccount(b, mm, prot, pages);
    b.store('i32.store', mapping, prot, Mapping.prot);
    b.drop(call(join, 'i32', mm, mapping));
    writeStep(b, mm);
    b.set(at, call(page.nextPresent, 'i32', mm, from, to));
    b.loop((again) => {
      b.if(i32.lt_u(at, to), () => {
        b.set(entry, load(entryOf(mm, Mm.pageTable, at)));
        b.set(descriptor, descriptorOf(i32.shr_u(entry, i32.const(12))));
        b.set(bits, readBits(prot));
        // Ours alone, or not shared since it was last written: no copy is needed.
        b.if(isData(prot), () =>
          b.if(
            i32.or(has(entry, PTE_WRITE), i32.eq(i32.atomic_load(descriptor, FrameDescriptor.refs), one)),
            () => b.set(bits, i32.or(bits, i32.const(PTE_WRITE))),
          ),
        );
        const lost = i32.and(entry, i32.xor(bits, i32.const(-1)));
        b.set(withdrawn, i32.or(withdrawn, has(lost, PTE_READ | PTE_WRITE)));
        const kept = i32.or(i32.and(entry, i32.const(~0xfff)), i32.const(PTE_PRESENT));
        b.store('i32.store', entryOf(mm, Mm.pageTable, at), i32.or(kept, bits));
        b.set(delta, deltaOf(i32.shr_u(entry, i32.const(12)), at));
        const given = (bit: number): I32 => i32.mul(delta, i32.ne(has(bits, bit), zero));
        b.store('i32.atomic.store', entryOf(mm, Mm.readTable, at), given(PTE_READ));
        b.if(heldByCode(descriptor), () => b.set(bits, i32.and(bits, i32.const(~PTE_WRITE))));
        b.store('i32.atomic.store', entryOf(mm, Mm.writeTable, at), given(PTE_WRITE));
        b.set(at, call(page.nextPresent, 'i32', mm, i32.add(at, one), to));
        b.br(again);
      });
    });
    b.call(page.unlockPages, mm, from, to);
    b.if(withdrawn, () => b.call(quiesce, mm, thread));
    b.call(lock.unlockMap, mm);
    b.return(one);
  });
  b.call(lock.unlockMap, mm);
  b.return(zero);
  return protect;
}

/** PTE_READ where the protection gives it; on riscv writable implies readable. */
export const readBits = (prot: I32): I32 =>
  select(i32.and(prot, i32.const(PROT_READ | PROT_WRITE)), i32.const(PTE_READ), zero);

/** What the engine's tables hold for a page in a frame: how far the frame is from it, plus one. */
export const deltaOf = (frame: I32, page: I32): I32 =>
  i32.add(i32.sub(addressOf(frame), i32.shl(page, i32.const(12))), one);
