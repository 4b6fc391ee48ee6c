import { Mutex } from '../../sync/mutex.js';
import type { MutexCode } from '../../sync/mutexCode.js';
import { FRAME_MIXED, FrameDescriptor } from '../../sync/records/frame.js';
import { GuestTree } from '../../sync/records/guestTree.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm, PAGE_TABLE_LOCKS } from '../../sync/records/mm.js';
import { type FunctionRef, type I32, i32, i64, type ModuleBuilder } from '../../wasm/index.js';
import { EXTENT_SHIFT, HOME_SLOTS, LARGEST_GRANT } from '../frames.js';
import { SLICE_SHIFT } from '../pageTables.js';

/** The functions of the page tables and of frames (pageTables.ts and frames.ts say what each does). */
export interface PageCode {
  /** (mm, from, to, owner), (mm, from, to) */
  readonly lockPages: FunctionRef;
  readonly unlockPages: FunctionRef;
  /** (mm, from, to) → page */
  readonly nextPresent: FunctionRef;
  /** (mm, page) → frame, or −1 where more than taking the free home frame is to be done */
  readonly takeHomeFrame: FunctionRef;
  /** (mm, first, count): gives up frames linked by FrameDescriptor.link, the caller's alone and without code. */
  readonly freeFrames: FunctionRef;
}

export const zero = i32.const(0);
export const one = i32.const(1);

/** A field of the Machine record. */
export const machine = (field: number): I32 => i32.load(i32.const(0), MACHINE + field);

/** The lock of a page's slice. */
export const lockOfPage = (mm: I32, page: I32): I32 =>
  lockOfSlice(mm, i32.shr_u(page, i32.const(SLICE_SHIFT)));

const lockOfSlice = (mm: I32, slice: I32): I32 =>
  i32.add(
    i32.add(mm, i32.const(Mm.pageTableLocks)),
    i32.mul(i32.and(slice, i32.const(PAGE_TABLE_LOCKS - 1)), i32.const(Mutex.SIZE)),
  );

/** The entry of `page` in the table whose address the Mm has in `table`. */
export const entryOf = (mm: I32, table: number, page: I32): I32 =>
  i32.add(i32.load(mm, table), i32.shl(page, i32.const(2)));

/** The count of present pages in the slice of `page`. */
export const countOf = (mm: I32, page: I32): I32 =>
  i32.add(i32.load(mm, Mm.sliceCounts), i32.shl(i32.shr_u(page, i32.const(SLICE_SHIFT)), i32.const(2)));

/** Pages that the tables cover. */
export const pagesInReach = (mm: I32): I32 => i32.wrap_i64(i64.shr_u(i64.load(mm, Mm.reach), i64.const(12)));

export const descriptorOf = (frame: I32): I32 =>
  i32.add(machine(Machine.frameDescriptors), i32.mul(frame, i32.const(FrameDescriptor.SIZE)));

/** Machine address of a frame of 4 KiB. */
export const addressOf = (frame: I32): I32 =>
  i32.add(machine(Machine.framesBase), i32.shl(frame, i32.const(12)));

/** Whether the frame's code keeps a private page from being written without a fault. */
export const heldByCode = (descriptor: I32): I32 =>
  i32.and(
    i32.ne(i32.load(descriptor, FrameDescriptor.code), zero),
    i32.eqz(i32.and(i32.load(descriptor, FrameDescriptor.flags), i32.const(FRAME_MIXED))),
  );

const extentUsed = (frame: I32): I32 =>
  i32.add(machine(Machine.extentTable), i32.shl(i32.shr_u(frame, i32.const(EXTENT_SHIFT)), i32.const(2)));

/** Counts `change` more used frames in the extent of `frame`; what was counted before. */
export const extentCount = (frame: I32, change: number): I32 =>
  i32.atomic_rmw_add(extentUsed(frame), i32.const(change), HOME_SLOTS * 4);

/** Writes the functions into `module`. They are for host pages of 4 KiB. */
export function writePageCode(module: ModuleBuilder, mutex: MutexCode): PageCode {
  return {
    lockPages: writeLockPages(module, mutex, true),
    unlockPages: writeLockPages(module, mutex, false),
    nextPresent: nextPresentOf(module),
    takeHomeFrame: writeTakeHomeFrame(module),
    freeFrames: writeFreeFrames(module),
  };
}

function writeLockPages(module: ModuleBuilder, mutex: MutexCode, lock: boolean): FunctionRef {
  const lockPages = module.function({
    params: lock ? ['i32', 'i32', 'i32', 'i32'] : ['i32', 'i32', 'i32'],
    results: [],
  });
  const b = lockPages.builder;
  const [mm, from, to] = [0, 1, 2].map((i) => b.param('i32', i));
  const first = b.hold(i32.shr_u(from, i32.const(SLICE_SHIFT)));
  const last = b.hold(i32.shr_u(i32.sub(to, one), i32.const(SLICE_SHIFT)));
  const turn = (which: I32): void => {
    if (lock) b.call(mutex.lock, lockOfSlice(mm, which), b.param('i32', 3));
    else b.call(mutex.unlock, lockOfSlice(mm, which));
  };
  b.if(i32.eq(first, last), () => {
    turn(first);
    b.return();
  });
  const i = b.local('i32');
  const mask = i32.const(PAGE_TABLE_LOCKS - 1);
  b.loop((again) => {
    // In the order of the locks, and only those whose slices are in the range.
    b.if(i32.le_u(i32.and(i32.sub(i, first), mask), i32.sub(last, first)), () => turn(i));
    b.set(i, i32.add(i, one));
    b.brIf(again, i32.lt_u(i, i32.const(PAGE_TABLE_LOCKS)));
  });
  return lockPages;
}

/** Writes nextPresent (PageCode) into `module`. */
export function nextPresentOf(module: ModuleBuilder): FunctionRef {
  const next = module.function({ params: ['i32', 'i32', 'i32'], results: ['i32'] });
  const b = next.builder;
  const [mm, page, to] = [0, 1, 2].map((i) => b.param('i32', i));
  const end = b.hold(pagesInReach(mm));
  const stop = b.local('i32');
  const nextSlice = i32.shl(i32.add(i32.shr_u(page, i32.const(SLICE_SHIFT)), one), i32.const(SLICE_SHIFT));
  b.if(i32.gt_u(end, to), () => b.set(end, to));
  b.block((none) => {
    b.loop((again) => {
      b.brIf(none, i32.ge_u(page, end));
      b.if(i32.eqz(i32.load(countOf(mm, page))), () => {
        b.set(page, nextSlice);
        b.br(again);
      });
      b.set(stop, nextSlice);
      b.if(i32.gt_u(stop, end), () => b.set(stop, end));
      b.loop((scan) => {
        b.if(i32.load(entryOf(mm, Mm.pageTable, page)), () => b.return(page));
        b.set(page, i32.add(page, one));
        b.brIf(scan, i32.lt_u(page, stop));
      });
      b.br(again);
    });
  });
  b.return(to);
  return next;
}

function writeTakeHomeFrame(module: ModuleBuilder): FunctionRef {
  const take = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  const b = take.builder;
  const mm = b.param('i32', 0);
  const page = b.param('i32', 1);
  const address = b.local('i32');
  const frame = b.local('i32');
  const none = i32.const(-1);
  const bytes = i64.shl(i64.extend_i32_u(page), i64.const(12));
  b.if(i64.ge_u(bytes, i64.load(mm, Mm.homeWindowBytes)), () => b.return(none));
  b.set(address, i32.add(i32.wrap_i64(bytes), i32.load(mm, Mm.homeDelta)));
  b.if(i32.lt_u(address, machine(Machine.framesBase)), () => b.return(none));
  b.set(frame, i32.shr_u(i32.sub(address, machine(Machine.framesBase)), i32.const(12)));
  b.if(i32.ge_u(frame, machine(Machine.frameCount)), () => b.return(none));
  b.if(i32.load(descriptorOf(frame), FrameDescriptor.refs), () => b.return(none));
  b.if(i32.ge_s(i32.atomic_load(mm, Mm.framesHeld), i32.load(mm, Mm.frameLimit)), () => b.return(none));
  b.if(i32.le_s(i32.atomic_rmw_sub(mm, one, Mm.frameBudget), zero), () => {
    b.drop(i32.atomic_rmw_add(mm, one, Mm.frameBudget));
    b.return(none);
  });
  b.if(i32.atomic_rmw_cmpxchg(descriptorOf(frame), zero, one, FrameDescriptor.refs), () => {
    b.drop(i32.atomic_rmw_add(mm, one, Mm.frameBudget));
    b.return(none);
  });
  b.drop(i32.atomic_rmw_add(extentUsed(frame), one, HOME_SLOTS * 4));
  b.return(frame);
  return take;
}

function writeFreeFrames(module: ModuleBuilder): FunctionRef {
  const free = module.function({ params: ['i32', 'i32', 'i32'], results: [] });
  const b = free.builder;
  const [mm, frame, count] = [0, 1, 2].map((i) => b.param('i32', i));
  const descriptor = b.local('i32');
  const next = b.local('i32');
  const now = b.local('i32');
  const excess = b.local('i32');
  b.loop((again) => {
    b.set(descriptor, descriptorOf(frame));
    b.set(next, i32.load(descriptor, FrameDescriptor.link));
    b.store('i32.store', descriptor, zero, FrameDescriptor.link);
    b.store('i32.store', descriptor, zero, FrameDescriptor.flags);
    b.drop(i32.atomic_rmw_sub(extentUsed(frame), one, HOME_SLOTS * 4));
    b.store('i32.atomic.store', descriptor, zero, FrameDescriptor.refs);
    b.if(i32.lt_u(machine(Machine.framesNext), frame), () =>
      b.store('i32.atomic.store', i32.const(0), frame, MACHINE + Machine.framesNext),
    );
    // Linked by index + 1, so that 0 ends the list.
    b.set(frame, i32.sub(next, one));
    b.brIf(again, next);
  });
  // A peak is reached where pages go; two threads at once may miss it by a little.
  b.set(now, i32.atomic_rmw_sub(mm, count, Mm.residentPages));
  b.if(i32.gt_s(now, i32.load(mm, Mm.residentPeak)), () => b.store('i32.store', mm, now, Mm.residentPeak));
  b.drop(i32.atomic_rmw_sub(mm, count, Mm.framesHeld));
  b.set(now, i32.add(i32.atomic_rmw_add(mm, count, Mm.frameBudget), count));
  b.set(excess, i32.sub(now, i32.const(LARGEST_GRANT)));
  // What exceeds a few grants goes back to the machine.
  b.block((end) => {
    b.loop((again) => {
      b.brIf(end, i32.le_s(now, i32.const(2 * LARGEST_GRANT)));
      b.set(next, i32.atomic_rmw_cmpxchg(mm, now, i32.sub(now, excess), Mm.frameBudget));
      b.if(i32.eq(next, now), () => {
        b.drop(i32.atomic_rmw_sub(i32.const(0), excess, MACHINE + Machine.framesUsed));
        b.set(next, i32.load(mm, Mm.memoryTree));
        b.if(next, () => b.drop(i32.atomic_rmw_sub(next, excess, GuestTree.framesGranted)));
        b.br(end);
      });
      b.set(now, next);
      b.set(excess, i32.sub(now, i32.const(LARGEST_GRANT)));
      b.br(again);
    });
  });
  return free;
}

/** (page-table entry, bits of it) → nonzero when one is set. */
export const has = (entry: I32, bits: number): I32 => i32.and(entry, i32.const(bits));
