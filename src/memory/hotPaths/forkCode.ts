import { FRAME_DIRTY, FrameDescriptor } from '../../sync/records/frame.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import { call, type FunctionRef, type I32, i32, type ModuleBuilder } from '../../wasm/index.js';
import { PTE_EXEC, PTE_OBJECT, PTE_WRITE, PTE_WRITER } from '../pageTables.js';
import {
  countOf,
  descriptorOf,
  entryOf,
  extentCount,
  has,
  machine,
  one,
  type PageCode,
  zero,
} from './pageCode.js';

/** The page tables of a process that forks, and of one that ends. Pages have 4 KiB. */
export interface ForkCode {
  /** (mm, child, from, to): the present pages of a mapping into the child's tables, copy on write; see forkMappings.ts. */
  readonly copyPages: FunctionRef;
  /**
   * (mm, from, to) → `to`, or the first page whose frame has code that goes with it: that one is not done. Empties the tables of
   * an address space that has no thread any more and gives its frames up; their budget stays with the address space.
   */
  readonly dropPages: FunctionRef;
}

/** Writes the functions into `module`. The locks of the pages are held. */
export function writeForkCode(module: ModuleBuilder, page: PageCode): ForkCode {
  return { copyPages: writeCopyPages(module, page), dropPages: writeDropPages(module, page) };
}

const without = (value: I32, bits: number): I32 => i32.and(value, i32.const(~bits));

function writeCopyPages(module: ModuleBuilder, page: PageCode): FunctionRef {
  const copy = module.function({ params: ['i32', 'i32', 'i32', 'i32'], results: [] });
  const b = copy.builder;
  const [mm, child, at, to] = [0, 1, 2, 3].map((i) => b.param('i32', i));
  const entry = b.local('i32');
  const descriptor = b.local('i32');
  const resident = b.local('i32');
  const held = b.local('i32');
  const pass = (table: number): void =>
    b.store('i32.store', entryOf(child, table, at), i32.load(entryOf(mm, table, at)));
  b.block((end) => {
    b.loop((again) => {
      b.set(at, call(page.nextPresent, 'i32', mm, at, to));
      b.brIf(end, i32.ge_u(at, to));
      b.set(entry, i32.load(entryOf(mm, Mm.pageTable, at)));
      b.set(descriptor, descriptorOf(i32.shr_u(entry, i32.const(12))));
      b.if(
        has(entry, PTE_OBJECT),
        () => {
          b.if(has(entry, PTE_WRITER), () => {
            b.drop(i32.atomic_rmw_add(descriptor, one, FrameDescriptor.link));
            b.drop(i32.atomic_rmw_or(descriptor, i32.const(FRAME_DIRTY), FrameDescriptor.flags));
          });
          pass(Mm.writeTable);
        },
        () => {
          b.if(has(entry, PTE_WRITE), () => {
            b.set(entry, without(entry, PTE_WRITE));
            b.store('i32.store', entryOf(mm, Mm.pageTable, at), entry);
            b.store('i32.atomic.store', entryOf(mm, Mm.writeTable, at), zero);
          });
          b.set(held, i32.add(held, one));
        },
      );
      b.drop(i32.atomic_rmw_add(descriptor, one, FrameDescriptor.refs));
      b.store('i32.store', entryOf(child, Mm.pageTable, at), entry);
      pass(Mm.readTable);
      b.if(has(entry, PTE_EXEC), () => pass(Mm.codeTable));
      b.store('i32.store', countOf(child, at), i32.add(i32.load(countOf(child, at)), one));
      b.set(resident, i32.add(resident, one));
      b.set(at, i32.add(at, one));
      b.br(again);
    });
  });
  b.drop(i32.atomic_rmw_add(child, resident, Mm.residentPages));
  b.drop(i32.atomic_rmw_add(child, held, Mm.framesHeld));
  return copy;
}

function writeDropPages(module: ModuleBuilder, page: PageCode): FunctionRef {
  const drop = module.function({ params: ['i32', 'i32', 'i32'], results: ['i32'] });
  const b = drop.builder;
  const [mm, at, to] = [0, 1, 2].map((i) => b.param('i32', i));
  const entry = b.local('i32');
  const frame = b.local('i32');
  const descriptor = b.local('i32');
  const refs = b.local('i32');
  const gone = b.local('i32');
  const held = b.local('i32');
  const freed = b.local('i32');
  const freedOfObjects = b.local('i32');
  const increase = (count: typeof gone): void => b.set(count, i32.add(count, one));
  b.block((end) => {
    b.loop((again) => {
      b.set(at, call(page.nextPresent, 'i32', mm, at, to));
      b.brIf(end, i32.ge_u(at, to));
      b.set(entry, i32.load(entryOf(mm, Mm.pageTable, at)));
      b.set(frame, i32.shr_u(entry, i32.const(12)));
      b.set(descriptor, descriptorOf(frame));
      b.if(has(entry, PTE_WRITER), () => {
        b.drop(i32.atomic_rmw_sub(descriptor, one, FrameDescriptor.link));
        b.set(entry, without(entry, PTE_WRITER));
        b.store('i32.store', entryOf(mm, Mm.pageTable, at), entry);
      });
      b.loop((retry) => {
        b.set(refs, i32.atomic_load(descriptor, FrameDescriptor.refs));
        b.if(
          i32.eq(refs, one),
          () => {
            // Ours is the only reference, so nobody else can find the frame.
            b.brIf(end, i32.load(descriptor, FrameDescriptor.code));
            b.store('i32.store', descriptor, zero, FrameDescriptor.link);
            b.store('i32.store', descriptor, zero, FrameDescriptor.flags);
            b.drop(extentCount(frame, -1));
            b.store('i32.atomic.store', descriptor, zero, FrameDescriptor.refs);
            b.if(i32.lt_u(machine(Machine.framesNext), frame), () =>
              b.store('i32.atomic.store', zero, frame, MACHINE + Machine.framesNext),
            );
            b.if(
              has(entry, PTE_OBJECT),
              () => increase(freedOfObjects),
              () => increase(freed),
            );
          },
          () => {
            const less = i32.sub(refs, one);
            b.brIf(retry, i32.ne(i32.atomic_rmw_cmpxchg(descriptor, refs, less, FrameDescriptor.refs), refs));
          },
        );
      });
      b.store('i32.store', entryOf(mm, Mm.pageTable, at), zero);
      b.store('i32.store', entryOf(mm, Mm.readTable, at), zero);
      b.store('i32.store', entryOf(mm, Mm.writeTable, at), zero);
      b.if(has(entry, PTE_EXEC), () => b.store('i32.store', entryOf(mm, Mm.codeTable, at), zero));
      b.store('i32.store', countOf(mm, at), i32.sub(i32.load(countOf(mm, at)), one));
      increase(gone);
      b.if(i32.eqz(has(entry, PTE_OBJECT)), () => increase(held));
      b.set(at, i32.add(at, one));
      b.br(again);
    });
  });
  // A peak is reached where pages go.
  b.set(refs, i32.atomic_rmw_sub(mm, gone, Mm.residentPages));
  b.if(i32.gt_s(refs, i32.load(mm, Mm.residentPeak)), () => b.store('i32.store', mm, refs, Mm.residentPeak));
  b.drop(i32.atomic_rmw_sub(mm, held, Mm.framesHeld));
  b.drop(i32.atomic_rmw_add(mm, freed, Mm.frameBudget));
  b.drop(i32.atomic_rmw_sub(zero, freedOfObjects, MACHINE + Machine.framesUsed));
  b.return(at);
  return drop;
}
