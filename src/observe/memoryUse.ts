import { frameCounts } from '../memory/frames.js';
import { MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { tablesSize } from '../memory/pageTables.js';
import { forEachFileObject } from '../memory/sharedObject.js';
import { COORDINATOR, withMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm } from '../sync/records/mm.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import { Thread } from '../sync/records/thread.js';
import { Translation } from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { translationOf } from '../sync/translationQueue.js';

/** What a guest holds of the machine's memory. All sizes in bytes. */
export interface GuestMemory {
  readonly pid: number;
  /** How much private memory it may hold. */
  readonly limit: number;
  /** Private memory that it holds. */
  readonly used: number;
  /** What it has been granted beyond that and may take without asking; it goes back when the guest needs less. */
  readonly granted: number;
  /** Pages in its tables, those of files and of shared memory included, now and at most. */
  readonly resident: number;
  readonly residentPeak: number;
  /** Addresses that are mapped, and by how many mappings. */
  readonly mapped: number;
  readonly mappings: number;
  /** Its page tables (in the kernel's memory), and the addresses they reach. */
  readonly pageTables: number;
  readonly reach: number;
  /**
   * Its home window: page `va` prefers the frame `va` bytes behind `start`, an offset in the machine's frames. Windows are
   * preferences and may overlap. 0 bytes: none.
   */
  readonly homeWindow: { readonly start: number; readonly bytes: number };
}

/** What the machine holds at the moment. All sizes in bytes. */
export interface MachineMemory {
  /** Size of the machine's memory. */
  readonly total: number;
  /** Page frames in all; in use or granted; in use; granted to guests that have not taken them. */
  readonly frames: number;
  readonly framesUsed: number;
  readonly framesTaken: number;
  readonly granted: number;
  /** Pages of host files in memory: clean ones are given up when nothing else is left. */
  readonly cached: number;
  /** Kernel records, page tables included; translated code is apart. */
  readonly kernel: number;
  /** The kernel's part of the memory: records and translated code together. */
  readonly kernelLimit: number;
  /** Page tables of all guests. */
  readonly pageTables: number;
  /** Regions translated, and given up since; the modules translated, the bytes of those there are, and the time it took, milliseconds. */
  readonly regions: number;
  /** Regions of earlier processes that are known, from the code cache. */
  readonly keptRegions: number;
  readonly evicted: number;
  readonly modules: number;
  readonly moduleBytes: number;
  readonly translating: number;
  /** The guests that have an address space, in order of pid. Those that share one (vfork) each show it. */
  readonly guests: readonly GuestMemory[];
}

/** The machine's memory at the moment, as seen from the main thread. Guests run on meanwhile: figures differ by a little. */
export function machineMemory(mem: SharedMemory): MachineMemory {
  const page = 2 ** mem.getU32(MACHINE + Machine.hostPageShift);
  const translation = translationOf(mem);
  const counts = frameCounts(mem);
  const spaces = new Map<number, GuestMemory>();
  const guests: GuestMemory[] = [];
  withMutex(mem, MACHINE + Machine.guestsLock, COORDINATOR, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest)) {
      const found = withMutex(mem, g + Guest.threadsLock, COORDINATOR, () => guestMemory(mem, g));
      if (found === undefined) continue;
      spaces.set(found.mm, found.memory);
      guests.push(found.memory);
    }
  });
  const sum = (of: (memory: GuestMemory) => number): number =>
    [...spaces.values()].reduce((all, one) => all + of(one), 0);
  return {
    total: mem.getU64(MACHINE + Machine.memoryBytes),
    frames: counts.total * page,
    framesUsed: counts.promised * page,
    framesTaken: counts.used * page,
    granted: sum((one) => one.granted),
    cached: filePages(mem) * page,
    kernel: mem.getU64(MACHINE + Machine.heapUsed) - mem.atomicLoad(translation + Translation.heapBytes),
    kernelLimit: mem.getU32(MACHINE + Machine.heapEnd) - mem.getU32(MACHINE + Machine.heapBegin),
    pageTables: sum((one) => one.pageTables),
    regions: mem.getU32(translation + Translation.translated),
    keptRegions: mem.getU32(translation + Translation.kept),
    evicted: mem.getU32(translation + Translation.evicted),
    modules: mem.getU32(translation + Translation.modules),
    moduleBytes: mem.getU32(translation + Translation.moduleBytes),
    translating: mem.getU32(translation + Translation.microseconds) / 1000,
    guests: guests.sort((a, b) => a.pid - b.pid),
  };
}

/** A guest's address space, if it has one. Guest.threadsLock is held, so that its threads keep theirs. */
function guestMemory(mem: SharedMemory, guest: number): { mm: number; memory: GuestMemory } | undefined {
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest)) {
    const mm = mem.getU32(t + Thread.mm);
    if (mm === 0) continue;
    const page = 2 ** mem.getU32(MACHINE + Machine.hostPageShift);
    const count = (field: number): number => Math.max(0, mem.atomicLoad(mm + field));
    const windowBytes = mem.getU64(mm + Mm.homeWindowBytes);
    const memory: GuestMemory = {
      pid: mem.getU32(guest + Guest.pid),
      limit: mem.getI32(mm + Mm.frameLimit) * page,
      used: count(Mm.framesHeld) * page,
      granted: count(Mm.frameBudget) * page,
      resident: count(Mm.residentPages) * page,
      residentPeak: Math.max(count(Mm.residentPeak), count(Mm.residentPages)) * page,
      mapped: mem.getU32(mm + Mm.mappedPages) * MIN_PAGE_SIZE,
      mappings: mem.getU32(mm + Mm.mappingCount),
      pageTables: tablesSize(mem, mm),
      reach: mem.getU64(mm + Mm.reach),
      homeWindow: {
        start:
          windowBytes === 0 ? 0 : mem.getU32(mm + Mm.homeWindow) - mem.getU32(MACHINE + Machine.framesBase),
        bytes: windowBytes,
      },
    };
    return { mm, memory };
  }
  return undefined;
}

/** Pages of host files that are in memory. */
function filePages(mem: SharedMemory): number {
  let pages = 0;
  withMutex(mem, MACHINE + Machine.filePagesLock, COORDINATOR, () =>
    forEachFileObject(mem, (object) => {
      pages += mem.atomicLoad(object + SharedObject.pageCount);
    }),
  );
  return pages;
}
