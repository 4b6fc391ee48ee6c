import type { MutexCode } from '../../sync/mutexCode.js';
import { FrameDescriptor } from '../../sync/records/frame.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { MAPPING_SHARED, Mapping } from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { call, type FunctionRef, i32, type ModuleBuilder } from '../../wasm/index.js';
import { ACCESS_FETCH, ACCESS_WRITE } from '../caller.js';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '../linuxMemory.js';
import { PTE_EXEC, PTE_OBJECT, PTE_PRESENT, PTE_READ, PTE_WRITE } from '../pageTables.js';
import { deltaOf, readBits } from './mapCode.js';
import { writeMappingSearch } from './mappingSearch.js';
import {
  addressOf,
  countOf,
  descriptorOf,
  entryOf,
  extentCount,
  has,
  lockOfPage,
  machine,
  one,
  type PageCode,
  pagesInReach,
  zero,
} from './pageCode.js';

/** Looks at a tree that is being changed before the fault is left to faults.ts, which sleeps. */
const SEQUENCE_SPINS = 2000;

/**
 * Writes two faults, (mm, thread, page, access) → 1, or 0: not done, nothing changed. A page of private anonymous memory that is
 * not there yet, where its home frame is free; and the first write to a private page that is shared with a file or since a fork, in
 * an address space with one thread. What other threads may do meanwhile: see faults.ts. Pages have 4 KiB.
 */
export function writeFaultCode(module: ModuleBuilder, mutex: MutexCode, page: PageCode): FunctionRef {
  const copyOnWrite = writeCopyOnWrite(module, page);
  const fault = module.function({ params: ['i32', 'i32', 'i32', 'i32'], results: ['i32'] });
  const b = fault.builder;
  const [mm, thread, vpn, access] = [0, 1, 2, 3].map((i) => b.param('i32', i));
  const prot = b.local('i32');
  const object = b.local('i32');
  const frame = b.local('i32');
  const delta = b.local('i32');
  const lock = b.local('i32');
  const present = b.local('i32');
  const flags = b.local('i32');
  b.if(i32.eq(access, i32.const(ACCESS_FETCH)), () => b.return(zero));
  b.if(i32.ge_u(vpn, pagesInReach(mm)), () => b.return(zero));
  b.set(lock, lockOfPage(mm, vpn));
  b.call(mutex.lock, lock, thread);
  b.block((slow) => {
    b.set(present, i32.load(entryOf(mm, Mm.pageTable, vpn)));
    b.if(present, () => {
      b.brIf(slow, i32.ne(access, i32.const(ACCESS_WRITE)));
      b.brIf(slow, has(present, PTE_WRITE | PTE_EXEC));
      b.brIf(slow, i32.gt_s(i32.atomic_load(mm, Mm.threadCount), one));
    });
    const at = writeMappingSearch(b, mm, vpn, {
      spins: SEQUENCE_SPINS,
      giveUp: () => b.br(slow),
      read: (mapping) => {
        b.set(prot, zero);
        b.if(mapping, () => {
          b.set(prot, i32.load(mapping, Mapping.prot));
          b.set(object, i32.load(mapping, Mapping.object));
          b.set(flags, i32.load(mapping, Mapping.flags));
        });
      },
    });
    b.brIf(slow, i32.eqz(at));
    b.brIf(slow, i32.and(prot, i32.const(PROT_EXEC)));
    b.if(present, () => {
      b.brIf(slow, i32.eqz(i32.and(prot, i32.const(PROT_WRITE))));
      b.if(has(flags, MAPPING_SHARED), () => b.brIf(slow, has(present, PTE_OBJECT)));
      b.brIf(slow, i32.eqz(call(copyOnWrite, 'i32', mm, vpn, present)));
      b.call(mutex.unlock, lock);
      b.return(one);
    });
    b.brIf(slow, object);
    b.if(
      i32.eq(access, i32.const(ACCESS_WRITE)),
      () => b.brIf(slow, i32.eqz(i32.and(prot, i32.const(PROT_WRITE)))),
      () => b.brIf(slow, i32.eqz(i32.and(prot, i32.const(PROT_READ | PROT_WRITE)))),
    );
    b.set(frame, call(page.takeHomeFrame, 'i32', mm, vpn));
    b.brIf(slow, i32.lt_s(frame, zero));
    b.memoryFill(addressOf(frame), zero, i32.const(4096));
    const entry = i32.or(i32.shl(frame, i32.const(12)), i32.or(readBits(prot), i32.const(PTE_PRESENT)));
    b.store('i32.store', entryOf(mm, Mm.pageTable, vpn), entry);
    b.store('i32.store', countOf(mm, vpn), i32.add(i32.load(countOf(mm, vpn)), one));
    b.set(delta, deltaOf(frame, vpn));
    b.store('i32.atomic.store', entryOf(mm, Mm.readTable, vpn), delta);
    b.if(i32.and(prot, i32.const(PROT_WRITE)), () => {
      const master = entryOf(mm, Mm.pageTable, vpn);
      b.store('i32.store', master, i32.or(i32.load(master), i32.const(PTE_WRITE)));
      b.store('i32.atomic.store', entryOf(mm, Mm.writeTable, vpn), delta);
    });
    b.drop(i32.atomic_rmw_add(mm, one, Mm.residentPages));
    b.drop(i32.atomic_rmw_add(mm, one, Mm.framesHeld));
    b.call(mutex.unlock, lock);
    b.return(one);
  });
  b.call(mutex.unlock, lock);
  b.return(zero);
  return fault;
}

/** Frames looked at, from where free ones are likely on, before the search is left to frames.ts. */
const MOST_LOOKS = 64;

/**
 * (mm, page, entry) → 1, or 0: not done. The page's lock is held, its mapping may be written, and is private where the frame is an
 * object's. A frame of the page's own takes the place of a shared one.
 */
function writeCopyOnWrite(module: ModuleBuilder, page: PageCode): FunctionRef {
  const takeFrame = writeTakeFrame(module);
  const copy = module.function({ params: ['i32', 'i32', 'i32'], results: ['i32'] });
  const b = copy.builder;
  const [mm, vpn, entry] = [0, 1, 2].map((i) => b.param('i32', i));
  const old = b.hold(i32.shr_u(entry, i32.const(12)));
  const descriptor = b.hold(descriptorOf(old));
  const refs = b.local('i32');
  const frame = b.local('i32');
  const delta = b.local('i32');
  const shared = b.local('i32');
  const bits = i32.const(PTE_PRESENT | PTE_READ | PTE_WRITE);
  // An object's page stays, with its code, which this table does not refer to.
  b.if(
    has(entry, PTE_OBJECT),
    () => b.set(shared, one),
    () => {
      b.if(i32.load(descriptor, FrameDescriptor.code), () => b.return(zero));
      b.set(shared, i32.ne(i32.atomic_load(descriptor, FrameDescriptor.refs), one));
    },
  );
  b.set(frame, old);
  b.if(shared, () => {
    b.set(frame, call(page.takeHomeFrame, 'i32', mm, vpn));
    b.if(i32.lt_s(frame, zero), () => b.set(frame, call(takeFrame, 'i32', mm)));
    b.if(i32.lt_s(frame, zero), () => b.return(zero));
    b.memoryCopy(addressOf(frame), addressOf(old), i32.const(4096));
    b.loop((retry) => {
      b.set(refs, i32.atomic_load(descriptor, FrameDescriptor.refs));
      // The others have let go of it meanwhile.
      b.if(i32.eq(refs, one), () => {
        b.drop(extentCount(frame, -1));
        b.store('i32.atomic.store', descriptorOf(frame), zero, FrameDescriptor.refs);
        b.drop(i32.atomic_rmw_add(mm, one, Mm.frameBudget));
        b.return(zero);
      });
      const less = i32.sub(refs, one);
      b.brIf(retry, i32.ne(i32.atomic_rmw_cmpxchg(descriptor, refs, less, FrameDescriptor.refs), refs));
    });
  });
  b.if(has(entry, PTE_OBJECT), () => b.drop(i32.atomic_rmw_add(mm, one, Mm.framesHeld)));
  b.store('i32.store', entryOf(mm, Mm.pageTable, vpn), i32.or(i32.shl(frame, i32.const(12)), bits));
  b.set(delta, deltaOf(frame, vpn));
  b.store('i32.atomic.store', entryOf(mm, Mm.readTable, vpn), delta);
  b.store('i32.atomic.store', entryOf(mm, Mm.writeTable, vpn), delta);
  b.return(one);
  return copy;
}

/** (mm) → a free frame from near the end, within the budget of `mm`, or −1. */
function writeTakeFrame(module: ModuleBuilder): FunctionRef {
  const take = module.function({ params: ['i32'], results: ['i32'] });
  const b = take.builder;
  const mm = b.param('i32', 0);
  const none = i32.const(-1);
  const frame = b.local('i32');
  const from = b.local('i32');
  const looks = b.local('i32');
  const cursor = i32.const(MACHINE + Machine.framesNext);
  b.if(i32.ge_s(i32.atomic_load(mm, Mm.framesHeld), i32.load(mm, Mm.frameLimit)), () => b.return(none));
  b.block((gone) => {
    b.brIf(gone, i32.le_s(i32.atomic_rmw_sub(mm, one, Mm.frameBudget), zero));
    b.set(from, i32.atomic_load(cursor));
    b.set(frame, from);
    b.brIf(gone, i32.ge_u(frame, machine(Machine.frameCount)));
    b.loop((again) => {
      b.if(i32.eqz(i32.load(descriptorOf(frame), FrameDescriptor.refs)), () => {
        b.if(i32.eqz(i32.atomic_rmw_cmpxchg(descriptorOf(frame), zero, one, FrameDescriptor.refs)), () => {
          b.drop(extentCount(frame, 1));
          b.if(i32.ne(frame, from), () => b.drop(i32.atomic_rmw_cmpxchg(cursor, from, frame)));
          b.return(frame);
        });
      });
      b.set(frame, i32.sub(frame, one));
      b.brIf(gone, i32.lt_s(frame, zero));
      b.set(looks, i32.add(looks, one));
      b.brIf(again, i32.lt_u(looks, i32.const(MOST_LOOKS)));
    });
  });
  b.drop(i32.atomic_rmw_add(mm, one, Mm.frameBudget));
  b.return(none);
  return take;
}
