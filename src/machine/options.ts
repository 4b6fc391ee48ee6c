import type { Readable, Writable } from 'node:stream';
import type { MapReport } from '../kernel/guestOptions.js';
import type { PlacementName } from '../mm/findVma.js';

/** How much memory a machine may have, bytes. */
export const SMALLEST_MACHINE = 64 * 2 ** 20;
export const LARGEST_MACHINE = 4 * 2 ** 30;

export type TranslationLogItem = 'in_asm' | 'out_wasm' | 'exec';

/**
 * What network guests have: `none`, one of their own, in which those of a machine reach each other on the loopback; `loopback`, the
 * host's loopback as well; `host`, all that the host reaches.
 */
export type NetworkName = 'none' | 'loopback' | 'host';

/** What a machine is made of. All sizes in bytes. */
export interface MachineOptions {
  /** The machine's physical memory, shared by all its guests; at most (and by default) 4 GiB. Untouched memory costs nothing. */
  readonly memory?: number;
  /** The machine's host page size: 4096 (default), 16384 or 65536. */
  readonly hostPageSize?: number;
  /** How many guest threads may be alive at once in all guests; default 512. */
  readonly maxThreads?: number;
  /** How many workers to start at once; default 1. More are started as guests start threads. */
  readonly threads?: number;
  /**
   * How many workers guest threads get by themselves; when there are more threads, those that wait in system calls give theirs
   * to others, and more workers are started only for threads that are busy. Default: 4 for each processor, at least 16. A worker
   * holds some 14 MiB.
   */
  readonly workers?: number;
  /**
   * Translate hot code to WebAssembly: yes, no, or after this many jumps to a place (at most 65535). Default: when guests have
   * been busy in the same places for some 10 ms.
   */
  readonly jit?: boolean | { readonly threshold: number };
  /** Bytes of translated modules to keep, the oldest give way; at least 64 KiB; default 48 MiB, or a quarter of the kernel's memory. */
  readonly translationBytes?: number;
  /**
   * Folder in which translated code is kept from one process to the next, made if need be: what is in there is run, so that it must
   * be the user's own (else CodeCacheError). Not used together with `profile`, `statistics` or `log`.
   */
  readonly codeCache?: string;
  /** Have translated regions count what they do, for Machine.translatedRegions. */
  readonly profile?: boolean;
  /** Watch where the time of guest threads goes and why translated regions are left, for Machine.activity, and how long memory maps are locked, for Machine.lockTimes. */
  readonly statistics?: boolean;
  /** What of translation is logged: guest code, modules, each entry of a region; as QEMU's -d in_asm,out_asm,exec. */
  readonly log?: readonly TranslationLogItem[];
  /** File that logs go to (of guests as well), truncated first; default: standard error. */
  readonly logFile?: string;
  /** What network its guests have; default: none. */
  readonly network?: NetworkName;
  /** Seed of every pseudo-random choice; without it the host's entropy is used. */
  readonly seed?: number;
  /** Report internal errors with their stack, and more, on stderr. */
  readonly verbose?: boolean;
}

/** A host directory (or file) that a guest sees. */
export interface DirectoryMount {
  /** Absolute host path. */
  readonly host: string;
  /** Absolute guest path. */
  readonly guest: string;
  readonly readOnly?: boolean;
}

/** Where a guest's input comes from: the Node process's own stdin, nothing, a stream, bytes, or a pipe to write to. */
export type InputSource = 'inherit' | 'ignore' | 'pipe' | Readable | Uint8Array | string;

/** Where a guest's output goes: the Node process's own descriptor, nowhere, a stream, a function, or a pipe to read from. */
export type OutputSink = 'inherit' | 'ignore' | 'pipe' | Writable | ((bytes: Uint8Array) => void);

/** How to start a guest. All sizes in bytes. */
export interface SpawnOptions {
  /** Arguments after argv[0]. */
  readonly args?: readonly string[];
  /** argv[0]; default: the program as given. */
  readonly argv0?: string;
  /** The guest's environment; default: empty. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: InputSource;
  readonly stdout?: OutputSink;
  readonly stderr?: OutputSink;
  /** Host directory that is the guest's root. Without it the guest sees its executable, /dev, /proc, /tmp and `dirs` only. */
  readonly root?: string;
  /** More host directories for the guest. */
  readonly dirs?: readonly DirectoryMount[];
  /** Guest path to start in; default: the host's working directory where the guest can see it, otherwise "/". */
  readonly cwd?: string;
  /** RLIMIT_STACK and the size of the first thread's stack; default 8 MiB. */
  readonly stackSize?: number;
  /** The end of the guest's address space; default 64 GiB. */
  readonly reservedVa?: number;
  /** The page size that the guest believes in: 4096 (default), 16384 or 65536. Its executable must be aligned for it. */
  readonly pageSize?: number;
  /** How much of the machine's memory the guest and its descendants may hold together; default: all of it. */
  readonly memory?: number;
  /** How many processes (zombies included) and threads the guest and its descendants may be; default: no limit of their own. */
  readonly maxProcesses?: number;
  readonly maxThreads?: number;
  /**
   * The processor, as qemu-riscv64's option -cpu names it: `rv64` (default) or `max`, with switches for extensions
   * ('rv64,zba=off,zfh=on'). CpuModelError from `spawn` when there is none like that.
   */
  readonly cpu?: string;
  /** The kernel release uname(2) reports. */
  readonly unameRelease?: string;
  /** Print system calls and signals on stderr, as qemu-user's -strace does. */
  readonly strace?: boolean;
  /**
   * Where mappings go for which the program names no address: as Linux places them ('top-down', default), as qemu-user
   * does, at the lowest place, or at random ones. A number after 'random' in `placementSeed` makes the places repeatable.
   */
  readonly placement?: PlacementName;
  readonly placementSeed?: number;
  /** Print every call that changes the memory map, and the map it leaves, on stderr, as qemu-user's -d page does. */
  readonly logPage?: boolean;
  /**
   * Print the memory map of the guest and its children on stderr when they end, in the form of /proc/PID/maps; or report it
   * as it says. GuestProcess.memoryMap gives it at any moment.
   */
  readonly dumpMaps?: boolean | MapReport;
}

/** How a guest ended: with an exit code, or by a signal. */
export interface ExitStatus {
  /** Exit code, or null when a signal ended the guest. */
  readonly code: number | null;
  /** Name of the signal ("SIGSEGV"), or null. */
  readonly signal: string | null;
  /** Number of the signal, or 0. */
  readonly signalNumber: number;
  /** Registers, instruction and mappings when the guest died of a fault; text of several lines. */
  readonly crashReport?: string;
}

/** A guest that could not be started. */
export class SpawnError extends Error {
  override name = 'SpawnError';

  /**
   * @param errno the Linux error number of the execve that failed
   * @param message one line
   */
  constructor(
    readonly errno: number,
    message: string,
  ) {
    super(message);
  }
}
