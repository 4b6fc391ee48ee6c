import { allocateBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { FrameDescriptor } from '../sync/records/frame.js';
import { GuestTree } from '../sync/records/guestTree.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm } from '../sync/records/mm.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { dropFrameCode } from './frameCode.js';

/**
 * Frames: who may take one, and which one.
 *
 * How many: Machine.framesUsed counts the frames promised, that is the budgets of all address spaces plus the frames in
 * use; it never exceeds frameCount, so whoever has taken one unit of budget will find a free frame. The last sixteenth is
 * kept for guests that hold less than that, so that one which takes all it can get does not end the others. A thread
 * that finds its budget empty grants itself more. (Not the main thread: the address space could be gone by the time it gets to it,
 * and nothing that a running guest waits for may depend on its event loop.)
 *
 * Which: the home frame of the page when it is free (see "home delta" in README.md), otherwise the free frame that is
 * nearest to the end of the memory, far from the home frames of low addresses. A frame is taken by one
 * compare-exchange of its reference count from 0 to 1; there are no lists, so the two ways never conflict.
 * Counts of used frames per extent keep the search short when memory is nearly full.
 */

/** log2 of the frames in an extent. */
export const EXTENT_SHIFT = 10;
/** Home windows that can be told apart; more guests share them. */
export const HOME_SLOTS = 64;
/** Frames granted at a time: a quarter of what the guest holds, within these bounds. */
const SMALLEST_GRANT = 256;
export const LARGEST_GRANT = 2048;

/** No frame could be had. */
export const NO_FRAME = -1;

/** Sets the frames up; machineMemory.ts. */
export function initFrames(
  mem: SharedMemory,
  descriptors: number,
  framesBase: number,
  frameCount: number,
  owner: number,
): void {
  mem.setU32(MACHINE + Machine.frameDescriptors, descriptors);
  mem.setU32(MACHINE + Machine.framesBase, framesBase);
  mem.setU32(MACHINE + Machine.frameCount, frameCount);
  mem.setU32(MACHINE + Machine.framesNext, frameCount - 1);
  const extents = Math.ceil(frameCount / (1 << EXTENT_SHIFT));
  mem.setU32(MACHINE + Machine.extentTable, allocateBlock(mem, HOME_SLOTS * 4 + extents * 4, owner));
}

/** Address of a frame's descriptor. */
export function frameDescriptor(mem: SharedMemory, frame: number): number {
  return mem.getU32(MACHINE + Machine.frameDescriptors) + frame * FrameDescriptor.SIZE;
}

/** Machine address of a frame's first byte. */
export function frameAddress(mem: SharedMemory, frame: number): number {
  return (
    mem.getU32(MACHINE + Machine.framesBase) + frame * (1 << mem.getU32(MACHINE + Machine.hostPageShift))
  );
}

/** Bytes of a host page. */
export function hostPageSize(mem: SharedMemory): number {
  return 1 << mem.getU32(MACHINE + Machine.hostPageShift);
}

function extentUsed(mem: SharedMemory, frame: number): number {
  return mem.getU32(MACHINE + Machine.extentTable) + HOME_SLOTS * 4 + (frame >>> EXTENT_SHIFT) * 4;
}

// --- budgets ---

/** The part of the machine's frames that guests which hold more than that cannot have: others go on with it. */
export const RESERVE_SHIFT = 4;

/** How many frames may be promised in all when `mm` asks (0: nobody in particular). */
function promiseLimit(mem: SharedMemory, mm: number): number {
  const total = mem.getU32(MACHINE + Machine.frameCount);
  const reserve = total >>> RESERVE_SHIFT;
  return mm !== 0 && mem.atomicLoad(mm + Mm.residentPages) > reserve ? total - reserve : total;
}

/**
 * Grants `mm` up to `wanted` more frames of the machine's; returns how many. Called by a thread of the
 * address space whose budget is empty.
 */
export function grantFrames(mem: SharedMemory, mm: number, wanted: number): number {
  const tree = mem.getU32(mm + Mm.memoryTree);
  const allowed =
    tree === 0
      ? wanted
      : promise(mem, tree + GuestTree.framesGranted, mem.getI32(tree + GuestTree.frameLimit), wanted);
  const granted =
    allowed === 0 ? 0 : promise(mem, MACHINE + Machine.framesUsed, promiseLimit(mem, mm), allowed);
  if (tree !== 0 && granted < allowed) mem.atomicAdd(tree + GuestTree.framesGranted, granted - allowed);
  if (granted > 0) mem.atomicAdd(mm + Mm.frameBudget, granted);
  return granted;
}

/** Adds up to `wanted` to what is promised, which `count` counts, up to `limit`; returns how many. */
function promise(mem: SharedMemory, count: number, limit: number, wanted: number): number {
  const used = count >>> 2;
  for (let now = Atomics.load(mem.i32, used); ; ) {
    const granted = Math.min(wanted, limit - now);
    if (granted <= 0) return 0;
    const seen = Atomics.compareExchange(mem.i32, used, now, now + granted);
    if (seen === now) return granted;
    now = seen;
  }
}

/** How many frames it is sensible to grant `mm` at a time. */
export function grantSize(mem: SharedMemory, mm: number): number {
  const quarter = mem.atomicLoad(mm + Mm.framesHeld) >> 2;
  return Math.max(SMALLEST_GRANT, Math.min(LARGEST_GRANT, quarter));
}

/** Gives up to `frames` of `mm`'s unused budget back to the machine; all of it when `frames` is Infinity. */
export function returnFrames(mem: SharedMemory, mm: number, frames: number): void {
  const budget = (mm + Mm.frameBudget) >>> 2;
  for (let now = Atomics.load(mem.i32, budget); now > 0; ) {
    const back = Math.min(now, frames);
    const seen = Atomics.compareExchange(mem.i32, budget, now, now - back);
    if (seen === now) {
      const tree = mem.getU32(mm + Mm.memoryTree);
      if (tree !== 0) mem.atomicAdd(tree + GuestTree.framesGranted, -back);
      mem.atomicAdd(MACHINE + Machine.framesUsed, -back);
      return;
    }
    now = seen;
  }
}

/** Takes one unit of the budget of `mm`; false when its limit or the machine are exhausted. */
function takeBudget(mem: SharedMemory, mm: number): boolean {
  if (mem.atomicLoad(mm + Mm.framesHeld) >= mem.getI32(mm + Mm.frameLimit)) return false;
  for (;;) {
    const before = mem.atomicAdd(mm + Mm.frameBudget, -1);
    if (before > 0) return true;
    mem.atomicAdd(mm + Mm.frameBudget, 1);
    if (grantFrames(mem, mm, grantSize(mem, mm)) === 0) return false;
  }
}

/** Takes one unit on the machine's account, for a page that is brought in for `mm` (0: nobody in particular). */
function takeForMachine(mem: SharedMemory, mm: number): boolean {
  if (promise(mem, MACHINE + Machine.framesUsed, promiseLimit(mem, mm), 1) === 1) return true;
  if (mm === 0) return false;
  // What the address space has been granted already will do.
  if (mem.atomicAdd(mm + Mm.frameBudget, -1) > 0) return true;
  mem.atomicAdd(mm + Mm.frameBudget, 1);
  return false;
}

/** How many frames `mm` could take at this moment. */
export function grantable(mem: SharedMemory, mm: number): number {
  const tree = mem.getU32(mm + Mm.memoryTree);
  const left =
    tree === 0
      ? Infinity
      : mem.getI32(tree + GuestTree.frameLimit) - mem.atomicLoad(tree + GuestTree.framesGranted);
  const promisable = Math.min(left, promiseLimit(mem, mm) - mem.atomicLoad(MACHINE + Machine.framesUsed));
  const free = Math.max(0, promisable);
  const limit = mem.getI32(mm + Mm.frameLimit) - mem.atomicLoad(mm + Mm.framesHeld);
  return Math.min(limit, free + Math.max(0, mem.atomicLoad(mm + Mm.frameBudget)));
}

/** Returns `count` units of budget after frames became free; what exceeds a few grants goes back to the machine. */
function giveBudget(mem: SharedMemory, mm: number, count: number): void {
  if (mm === 0) {
    mem.atomicAdd(MACHINE + Machine.framesUsed, -count);
    return;
  }
  const now = mem.atomicAdd(mm + Mm.frameBudget, count) + count;
  if (now > 2 * LARGEST_GRANT) returnFrames(mem, mm, now - LARGEST_GRANT);
}

// --- frames ---

/**
 * Takes a frame (reference count 1, contents undefined) for guest page address `va` of `mm`, preferably the home frame.
 * `mm` 0 takes it on the machine's account, `va` −1 has no home. Returns the frame's index, or NO_FRAME.
 */
export function allocateFrame(
  mem: SharedMemory,
  mm: number,
  home: number,
  va: number,
  _owner: number,
): number {
  if (!(mm === 0 ? takeForMachine(mem, home) : takeBudget(mem, mm))) return NO_FRAME;
  if (va >= 0 && home !== 0 && va < mem.getU64(home + Mm.homeWindowBytes)) {
    const address = (va + mem.getI32(home + Mm.homeDelta)) >>> 0;
    const base = mem.getU32(MACHINE + Machine.framesBase);
    const frame = (address - base) >>> mem.getU32(MACHINE + Machine.hostPageShift);
    if (address >= base && frame < mem.getU32(MACHINE + Machine.frameCount)) {
      if (takeFrame(mem, frame)) return frame;
    }
  }
  return searchFrame(mem);
}

function takeFrame(mem: SharedMemory, frame: number): boolean {
  const refs = (frameDescriptor(mem, frame) + FrameDescriptor.refs) >>> 2;
  if (Atomics.compareExchange(mem.i32, refs, 0, 1) !== 0) return false;
  mem.atomicAdd(extentUsed(mem, frame), 1);
  return true;
}

/**
 * The free frame nearest to the end. The caller has budget, so there is one, though others may take it before us.
 * Machine.framesNext is where to start: nothing is free above it, unless it was missed in a race.
 */
function searchFrame(mem: SharedMemory): number {
  const cursor = (MACHINE + Machine.framesNext) >>> 2;
  const top = mem.getU32(MACHINE + Machine.frameCount) - 1;
  const mask = (1 << EXTENT_SHIFT) - 1;
  const from = Atomics.load(mem.i32, cursor);
  for (let frame = from; ; ) {
    if (frame < 0) frame = top;
    const inExtent = frame === top ? (top & mask) + 1 : (frame & mask) + 1;
    if (inExtent > mask || frame === top) {
      if (mem.atomicLoad(extentUsed(mem, frame)) >= inExtent) {
        frame -= inExtent;
        continue;
      }
    }
    if (mem.getI32(frameDescriptor(mem, frame) + FrameDescriptor.refs) === 0 && takeFrame(mem, frame)) {
      if (frame !== from) Atomics.compareExchange(mem.i32, cursor, from, frame);
      return frame;
    }
    frame--;
  }
}

/** One more reference to a frame that the caller has a reference to. */
export function retainFrame(mem: SharedMemory, frame: number): void {
  mem.atomicAdd(frameDescriptor(mem, frame) + FrameDescriptor.refs, 1);
}

/** References to a frame. */
export function frameRefs(mem: SharedMemory, frame: number): number {
  return mem.atomicLoad(frameDescriptor(mem, frame) + FrameDescriptor.refs);
}

/** Gives one reference up without returning budget; says whether the frame became free. See settleFreed. */
export function dropFrame(mem: SharedMemory, frame: number, owner: number): boolean {
  const descriptor = frameDescriptor(mem, frame);
  const refs = (descriptor + FrameDescriptor.refs) >>> 2;
  for (let now = Atomics.load(mem.i32, refs); ; ) {
    if (now === 1) {
      // Ours is the only reference, so nobody else can find the frame: tidy it up before it can be taken again.
      if (mem.getU32(descriptor + FrameDescriptor.code) !== 0) dropFrameCode(mem, descriptor, owner);
      mem.setU32(descriptor + FrameDescriptor.link, 0);
      mem.setI32(descriptor + FrameDescriptor.flags, 0);
      mem.atomicAdd(extentUsed(mem, frame), -1);
      Atomics.store(mem.i32, refs, 0);
      const cursor = (MACHINE + Machine.framesNext) >>> 2;
      if (mem.u32[cursor] < frame) Atomics.store(mem.u32, cursor, frame);
      return true;
    }
    if (now <= 0) throw new Error('frame released more often than taken');
    const seen = Atomics.compareExchange(mem.i32, refs, now, now - 1);
    if (seen === now) return false;
    now = seen;
  }
}

/** Returns the budget of `count` frames that dropFrame made free. */
export function settleFreed(mem: SharedMemory, mm: number, count: number): void {
  if (count > 0) giveBudget(mem, mm, count);
}

/** Gives one reference up; a frame that becomes free goes back to the budget of `mm` (0: the machine). */
export function releaseFrame(mem: SharedMemory, mm: number, frame: number, owner: number): void {
  if (dropFrame(mem, frame, owner)) giveBudget(mem, mm, 1);
}

// --- home windows ---

/**
 * Gives `mm` a home window: its page `va` prefers the frame at va + homeDelta. Windows reach to the end of the frames
 * and start at points spread evenly (0, 1/2, 1/4, 3/4, …), so the first guests have much room each; windows may overlap,
 * since they are preferences only. The coordinator calls this once for a new address space; a forked child copies its
 * parent's instead.
 */
export function grantHomeWindow(mem: SharedMemory, mm: number, owner: number): void {
  lockMutex(mem, MACHINE + Machine.framesLock, owner);
  const table = mem.getU32(MACHINE + Machine.extentTable);
  let slot = 0;
  for (let s = 1; s < HOME_SLOTS; s++) {
    if (mem.getU32(table + s * 4) < mem.getU32(table + slot * 4)) slot = s;
  }
  mem.setU32(table + slot * 4, mem.getU32(table + slot * 4) + 1);
  unlockMutex(mem, MACHINE + Machine.framesLock, owner);

  let reversed = 0;
  for (let bit = 1; bit < HOME_SLOTS; bit <<= 1) reversed = (reversed << 1) | (slot & bit ? 1 : 0);
  const count = mem.getU32(MACHINE + Machine.frameCount);
  const first = Math.floor((count * reversed) / HOME_SLOTS);
  const start = frameAddress(mem, first);
  mem.setU32(mm + Mm.homeSlot, slot + 1);
  mem.setU32(mm + Mm.homeWindow, start);
  mem.set64(mm + Mm.homeWindowBytes, (count - first) * hostPageSize(mem));
  // Guest address 0 goes to the window's start.
  mem.setI32(mm + Mm.homeDelta, start | 0);
}

/** Gives `child` the home window of `parent`, with whom it shares frames: a fork. */
export function shareHomeWindow(mem: SharedMemory, parent: number, child: number, owner: number): void {
  const slot = mem.getU32(parent + Mm.homeSlot);
  if (slot !== 0) {
    lockMutex(mem, MACHINE + Machine.framesLock, owner);
    const entry = mem.getU32(MACHINE + Machine.extentTable) + (slot - 1) * 4;
    mem.setU32(entry, mem.getU32(entry) + 1);
    unlockMutex(mem, MACHINE + Machine.framesLock, owner);
  }
  mem.setU32(child + Mm.homeSlot, slot);
  mem.setU32(child + Mm.homeWindow, mem.getU32(parent + Mm.homeWindow));
  mem.set64(child + Mm.homeWindowBytes, mem.getU64(parent + Mm.homeWindowBytes));
  mem.setI32(child + Mm.homeDelta, mem.getI32(parent + Mm.homeDelta));
}

/** Gives the home window's slot back when the address space ends. */
export function returnHomeWindow(mem: SharedMemory, mm: number, owner: number): void {
  const slot = mem.getU32(mm + Mm.homeSlot);
  if (slot === 0) return;
  mem.setU32(mm + Mm.homeSlot, 0);
  lockMutex(mem, MACHINE + Machine.framesLock, owner);
  const entry = mem.getU32(MACHINE + Machine.extentTable) + (slot - 1) * 4;
  mem.setU32(entry, mem.getU32(entry) - 1);
  unlockMutex(mem, MACHINE + Machine.framesLock, owner);
}

/** What the machine's frames are used for, for statistics and the auditor. */
export interface FrameCounts {
  readonly total: number;
  /** In use or promised. */
  readonly promised: number;
  /** In use. */
  readonly used: number;
}

export function frameCounts(mem: SharedMemory): FrameCounts {
  const total = mem.getU32(MACHINE + Machine.frameCount);
  let used = 0;
  for (let frame = 0; frame < total; frame += 1 << EXTENT_SHIFT)
    used += mem.atomicLoad(extentUsed(mem, frame));
  return { total, promised: mem.atomicLoad(MACHINE + Machine.framesUsed), used };
}
