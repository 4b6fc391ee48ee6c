import { allocateBlock } from './heap.js';
import { lockMutex, unlockMutex, withMutex } from './mutex.js';
import { MACHINE, Machine } from './records/machine.js';
import { Thread } from './records/thread.js';
import {
  MOST_REGIONS,
  MOST_REQUESTS,
  RegionEntry,
  Translation,
  TranslationRequest,
} from './records/translation.js';
import { pushRequest, RequestKind } from './ring.js';
import type { SharedMemory } from './sharedMemory.js';

/** Bytes of modules that a machine keeps at most: V8's code for them takes several times as much. */
const MOST_MODULE_BYTES = 48 * 2 ** 20;

/** The way from a guest thread that finds a hot place to the translator. Translation.lock is a leaf. */

/** A thread that has executed so many instructions (some 5 ms in the interpreter) will go on for long enough that the translator pays. */
const LONG = 1_000_000;

/** When a machine translates. */
export interface TranslationPolicy {
  /** Jumps to a place after which it is translated; 0: never. */
  readonly threshold: number;
  /** Times that places must have been found hot before the translator is started; once is enough in a thread that has run for LONG. */
  readonly patience: number;
  /** 2: a place is translated quickly at first, and well once it is worth that; 1: well at once. */
  readonly tiers: 1 | 2;
  /** Percent of what a translation costs that a place must have cost in the interpreter before; 0: no matter what. */
  readonly share: number;
  /** Bytes of modules that are kept; those of a quarter of the kernel's memory, if that is less. Default 48 MiB. */
  readonly mostBytes?: number;
}

/** Makes the machine's Translation record. */
export function initTranslation(
  mem: SharedMemory,
  { threshold, patience, tiers, share, mostBytes = MOST_MODULE_BYTES }: TranslationPolicy,
  owner: number,
): void {
  const translation = allocateBlock(mem, Translation.SIZE, owner);
  mem.setU32(translation + Translation.threshold, threshold);
  mem.setU32(translation + Translation.patience, patience);
  mem.setU32(translation + Translation.share, share);
  mem.setU32(translation + Translation.tiers, tiers);
  const heap = mem.getU32(MACHINE + Machine.heapEnd) - mem.getU32(MACHINE + Machine.heapNext);
  mem.setU32(translation + Translation.mostBytes, Math.min(mostBytes, Math.floor(heap / 4)));
  if (threshold !== 0) {
    const regions = allocateBlock(mem, MOST_REGIONS * RegionEntry.SIZE, owner);
    mem.setU32(translation + Translation.regions, regions);
    mem.setU32(translation + Translation.indexEnd, MOST_REGIONS);
    const requests = allocateBlock(mem, MOST_REQUESTS * TranslationRequest.SIZE, owner);
    mem.setU32(translation + Translation.requests, requests);
  }
  mem.setU32(MACHINE + Machine.translation, translation);
}

/** Address of the machine's Translation record. */
export function translationOf(mem: SharedMemory): number {
  return mem.getU32(MACHINE + Machine.translation);
}

/** Has nothing more translated: there is no room for more, or the translator has failed. */
export function endTranslation(mem: SharedMemory): void {
  mem.atomicStore(translationOf(mem) + Translation.threshold, 0);
}

/**
 * Asks for a translation of the place at `pc`, where the thread is or has just been, found hot so many `times`. `ring` rings the coordinator's
 * doorbell. The translator is started when that has been so often enough; until then requests wait.
 */
export function requestTranslation(
  mem: SharedMemory,
  thread: number,
  pc: number,
  times: number,
  ring: () => void,
): void {
  const translation = translationOf(mem);
  lockMutex(mem, translation + Translation.lock, thread);
  const written = mem.getU32(translation + Translation.written);
  const waiting = (written - mem.getU32(translation + Translation.read)) >>> 0;
  const room = waiting < MOST_REQUESTS;
  if (room) {
    const request =
      mem.getU32(translation + Translation.requests) + (written % MOST_REQUESTS) * TranslationRequest.SIZE;
    mem.set64(request + TranslationRequest.pc, pc);
    mem.setU32(request + TranslationRequest.codeTable, mem.getU32(thread + Thread.codeTable));
    mem.setU32(request + TranslationRequest.readTable, mem.getU32(thread + Thread.readTable));
    mem.set64(request + TranslationRequest.reach, mem.getU64(thread + Thread.reach));
    mem.setU32(request + TranslationRequest.homeEntry, mem.getU32(thread + Thread.homeEntry));
    mem.setU32(request + TranslationRequest.mm, mem.getU32(thread + Thread.mm));
    mem.setU32(request + TranslationRequest.fflags, mem.getU32(thread + Thread.fflags));
    for (let i = 0; i < 3; i++)
      mem.setU32(
        request + TranslationRequest.codePages + i * 4,
        codePageAt(mem, thread, pc + (i - 1) * 4096),
      );
    mem.setU32(request + TranslationRequest.times, times);
    mem.setU32(request + TranslationRequest.counters, mem.getU32(thread + Thread.hotCounters));
    mem.u8.copyWithin(request + TranslationRequest.x, thread + Thread.x, thread + Thread.x + 32 * 8);
    mem.setU32(translation + Translation.written, written + 1);
  }
  const found = mem.atomicAdd(translation + Translation.found, 1) + 1;
  const wanted =
    found >= mem.getU32(translation + Translation.patience) || mem.getU64(thread + Thread.instret) >= LONG;
  const first = wanted && claimTranslatorLocked(mem, translation);
  unlockMutex(mem, translation + Translation.lock, thread);
  if (first) {
    while (!pushRequest(mem, thread, RequestKind.TranslatorWanted)) ring();
    ring();
  }
  // Otherwise it has been woken already, and is busy or gathers requests until a time that it knows.
  if (waiting === 0) wakeTranslator(mem);
}

/** The CodePage that the thread has for the page at `address`, or 0. */
function codePageAt(mem: SharedMemory, thread: number, address: number): number {
  if (address < 0 || address >= mem.getU64(thread + Thread.reach)) return 0;
  return mem.getU32(mem.getU32(thread + Thread.codeTable) + Math.floor(address / 4096) * 4);
}

/** Whether the caller is the one that has the translator started. `owner` is its lock token. */
export function claimTranslator(mem: SharedMemory, owner: number): boolean {
  const translation = translationOf(mem);
  return withMutex(mem, translation + Translation.lock, owner, () => claimTranslatorLocked(mem, translation));
}

function claimTranslatorLocked(mem: SharedMemory, translation: number): boolean {
  const first = mem.getU32(translation + Translation.wanted) === 0;
  mem.setU32(translation + Translation.wanted, 1);
  return first;
}

/** Wakes the translator: there is a request, or the machine closes. */
export function wakeTranslator(mem: SharedMemory): void {
  const arrived = (translationOf(mem) + Translation.arrived) >>> 2;
  Atomics.add(mem.i32, arrived, 1);
  Atomics.notify(mem.i32, arrived);
}

/** A request, copied out of the queue. */
export interface PlaceToTranslate {
  readonly pc: number;
  readonly codeTable: number;
  readonly readTable: number;
  readonly reach: number;
  /** Thread.homeEntry. */
  readonly homeEntry: number;
  /** The address space, which may be gone. */
  readonly mm: number;
  /** The CodePages that the pages around the pc had then, from the one before its own on. */
  readonly codePages: readonly number[];
  /** Whether all floating-point results of the thread had been exact: NX was clear. */
  readonly isExact: boolean;
  /** How often that worker has found it hot. */
  readonly times: number;
  /** Address of the jump counters of the worker that found it. */
  readonly counters: number;
  readonly registers: readonly number[];
}

/**
 * Takes the requests that wait, waiting for the first, and `gather` milliseconds more for others to come with it; without
 * `gather` those that there are, perhaps none. Undefined when the machine closes. `owner` is the translator's token.
 */
export function takeRequests(
  mem: SharedMemory,
  gather: number | undefined,
  owner: number,
): PlaceToTranslate[] | undefined {
  const translation = translationOf(mem);
  const arrived = (translation + Translation.arrived) >>> 2;
  let deadline = Infinity;
  for (;;) {
    const ticket = Atomics.load(mem.i32, arrived);
    if (mem.atomicLoad(MACHINE + Machine.closing) !== 0) return undefined;
    const now = performance.now();
    lockMutex(mem, translation + Translation.lock, owner);
    try {
      const waiting =
        (mem.getU32(translation + Translation.written) - mem.getU32(translation + Translation.read)) >>> 0;
      if (gather === undefined || (waiting > 0 && now >= deadline))
        return Array.from({ length: waiting }, () => takeRequestLocked(mem, translation));
      if (waiting > 0 && deadline === Infinity) deadline = now + gather;
    } finally {
      unlockMutex(mem, translation + Translation.lock, owner);
    }
    Atomics.wait(mem.i32, arrived, ticket, deadline - now);
  }
}

function takeRequestLocked(mem: SharedMemory, translation: number): PlaceToTranslate {
  const read = mem.getU32(translation + Translation.read);
  mem.setU32(translation + Translation.read, read + 1);
  const request =
    mem.getU32(translation + Translation.requests) + (read % MOST_REQUESTS) * TranslationRequest.SIZE;
  return {
    pc: mem.getU64(request + TranslationRequest.pc),
    codeTable: mem.getU32(request + TranslationRequest.codeTable),
    readTable: mem.getU32(request + TranslationRequest.readTable),
    reach: mem.getU64(request + TranslationRequest.reach),
    homeEntry: mem.getU32(request + TranslationRequest.homeEntry),
    mm: mem.getU32(request + TranslationRequest.mm),
    codePages: [0, 4, 8].map((i) => mem.getU32(request + TranslationRequest.codePages + i)),
    isExact: (mem.getU32(request + TranslationRequest.fflags) & 1) === 0,
    times: mem.getU32(request + TranslationRequest.times),
    counters: mem.getU32(request + TranslationRequest.counters),
    registers: Array.from({ length: 32 }, (_, r) => mem.getU64(request + TranslationRequest.x + r * 8)),
  };
}
