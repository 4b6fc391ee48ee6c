import type { PlacementName } from '../mm/findVma.js';
import { allocateBlock } from '../sync/heap.js';
import { Guest } from '../sync/records/guest.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** Forms of a memory map: /proc/PID/maps, /proc/PID/smaps, QEMU's page_dump. */
export const MAP_FORMATS = ['maps', 'smaps', 'pages'] as const;
export type MapFormat = (typeof MAP_FORMATS)[number];

/** When and where the memory map of a guest is reported. */
export interface MapReport {
  /** When it ends; before the first instruction, none of which is then executed; whenever it has made the call `call`. */
  readonly at: 'exit' | 'start' | 'call';
  readonly call?: string;
  readonly format: MapFormat;
  /** Descriptor of the Node process that it is written to; absent: where the log goes. */
  readonly fd?: number;
  /** Of the processes that the guest starts, too. */
  readonly children: boolean;
  /** Say which process it is. */
  readonly header: boolean;
}

/** What the embedder says about a guest; the same for all its threads, constant. Kept as JSON in Guest.optionsText. */
export interface GuestOptions {
  /** Report system calls and signals on stderr, as `qemu-riscv64 -strace` does. */
  readonly strace: boolean;
  /** Report unknown system calls once each. */
  readonly verbose: boolean;
  /** The kernel release of uname(2). */
  readonly unameRelease: string;
  /** RLIMIT_STACK's soft limit, bytes. */
  readonly stackSize: number;
  /** End of the guest's addresses (TASK_SIZE), bytes. */
  readonly reservedVa: number;
  /** The guest's page size (AT_PAGESZ), bytes. */
  readonly pageSize: number;
  /** argv[0] when it is not the program's path. */
  readonly argv0?: string;
  /** Where mappings without an address go, and the seed of 'random' (0: one drawn when the address space is made). */
  readonly placement: PlacementName;
  readonly placementSeed: number;
  /** Print every mapping call and the map it leaves on stderr, as `qemu-riscv64 -d page` does. */
  readonly logPage: boolean;
  /** When the memory map is to be reported; undefined: never. */
  readonly mapReport?: MapReport;
}

/** TASK_SIZE: page tables can reach this far. */
export const DEFAULT_TASK_SIZE = 64 * 2 ** 30;

export const defaultGuestOptions: GuestOptions = {
  strace: false,
  verbose: false,
  unameRelease: '6.12.0-guesthouse',
  stackSize: 8 << 20,
  reservedVa: DEFAULT_TASK_SIZE,
  pageSize: 4096,
  placement: 'top-down',
  placementSeed: 0,
  logPage: false,
};

/** Stores the options with the guest. */
export function writeGuestOptions(
  mem: SharedMemory,
  guest: number,
  options: Partial<GuestOptions>,
  owner: number,
): void {
  const text = new TextEncoder().encode(JSON.stringify(options));
  const block = allocateBlock(mem, Math.max(text.length, 1), owner);
  mem.u8.set(text, block);
  mem.setU32(guest + Guest.optionsText, block);
  mem.setU32(guest + Guest.optionsLength, text.length);
}

/** The options of the guest, defaults filled in. */
export function readGuestOptions(mem: SharedMemory, guest: number): GuestOptions {
  const at = mem.getU32(guest + Guest.optionsText);
  if (at === 0) return defaultGuestOptions;
  const end = at + mem.getU32(guest + Guest.optionsLength);
  // Guests that take turns on a worker mostly are of one family, with the same options.
  const length = end - at;
  let same = length === lastText.length;
  for (let i = 0; same && i < length; i++) same = mem.u8[at + i] === lastText[i];
  if (same) return lastOptions;
  lastText = mem.u8.slice(at, end);
  lastOptions = {
    ...defaultGuestOptions,
    ...(JSON.parse(new TextDecoder().decode(lastText)) as Partial<GuestOptions>),
  };
  return lastOptions;
}

/** What this worker has read last. */
let lastText = new Uint8Array(0);
let lastOptions = defaultGuestOptions;
