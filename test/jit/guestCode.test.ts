import { beforeEach, expect, test } from 'vitest';
import { GuestCode } from '../../src/jit/guestCode.js';
import { frameAddress, frameDescriptor } from '../../src/memory/frames.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { allocateBlock } from '../../src/sync/heap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { CodePage } from '../../src/sync/records/codePage.js';
import { FRAME_OBJECT, FrameDescriptor } from '../../src/sync/records/frame.js';
import { Thread } from '../../src/sync/records/thread.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';
import {
  initTranslation,
  type PlaceToTranslate,
  requestTranslation,
  takeRequests,
} from '../../src/sync/translationQueue.js';

const PC = 0x12_3456;
const PAGE = 0x123;
const REACH = 0x200_0000;

let mem: SharedMemory;
let code: GuestCode;
let table: number;
let codePage: number;
let place: PlaceToTranslate;

/** A thread at PC, in whose code table the page of PC has `codePage`, which is of a file's frame, finds its place hot. */
beforeEach(() => {
  mem = createMachineMemory({ bytes: 64 * 2 ** 20 });
  initTranslation(mem, { threshold: 1000, patience: 100, tiers: 2, share: 100 }, COORDINATOR);
  code = new GuestCode(mem, 4096);
  table = allocateBlock(mem, (REACH / 4096) * 4, COORDINATOR);
  codePage = allocateBlock(mem, CodePage.SIZE, COORDINATOR);
  mem.setU32(codePage + CodePage.source, frameAddress(mem, 5));
  mem.atomicStore(frameDescriptor(mem, 5) + FrameDescriptor.flags, FRAME_OBJECT);
  mem.setU32(table + PAGE * 4, codePage);
  const thread = allocateBlock(mem, Thread.SIZE, COORDINATOR);
  mem.setU32(thread + Thread.codeTable, table);
  mem.set64(thread + Thread.reach, REACH);
  requestTranslation(mem, thread, PC, 1, () => {});
  [place] = takeRequests(mem, undefined, COORDINATOR)!;
});

test('code is what the tables of the address space have', () => {
  expect(place.codePages).toEqual([0, codePage, 0]);
  expect(code.codePageOf(place, PC)).toBe(codePage);
  expect(code.codePageOf(place, PC + 4096)).toBe(0);
  expect(code.isCodeOfLocked(place, PC, codePage)).toBe(true);
  const other = allocateBlock(mem, CodePage.SIZE, COORDINATOR);
  mem.setU32(table + PAGE * 4, other);
  expect(code.codePageOf(place, PC)).toBe(other);
  expect(code.isCodeOfLocked(place, PC, codePage)).toBe(false);
});

test('where the address space has gone, code of files is found as the place had it', () => {
  mem.setU32(table + PAGE * 4, 0);
  expect(code.codePageOf(place, PC)).toBe(codePage);
  expect(code.codePageOf(place, PC + 4096)).toBe(0);
  expect(code.codePageOf(place, PC + 8192)).toBe(0);
  expect(code.isCodeOfLocked(place, PC, codePage)).toBe(true);
  expect(code.isCodeOfLocked(place, PC + 4096, codePage)).toBe(false);
});

test('private code whose address space has gone is not to be entered: nothing keeps it from being written', () => {
  mem.setU32(table + PAGE * 4, 0);
  mem.atomicStore(frameDescriptor(mem, 5) + FrameDescriptor.flags, 0);
  expect(code.isCodeOfLocked(place, PC, codePage)).toBe(false);
});
