import { fstatSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { PassThrough, Readable } from 'node:stream';
import { DEFAULT_CPU, parseCpuModel } from '../isa/cpuModel.js';
import { createFilesTable } from '../kernel/files/filesTable.js';
import { createFs } from '../kernel/files/fsRecord.js';
import { isTerminal } from '../kernel/files/isTerminal.js';
import { toByteString } from '../kernel/files/mountTable.js';
import { installStandardStreams, type StandardStream } from '../kernel/files/standardStreams.js';
import { DEFAULT_TASK_SIZE, type MapReport } from '../kernel/guestOptions.js';
import { initKernel } from '../kernel/initKernel.js';
import { signalNumber } from '../kernel/signals/signalNumbers.js';
import { killGroup, reapGuest, spawnGuest, terminateAllGuests } from '../kernel/spawn.js';
import { giveConsole } from '../kernel/terminals/consoleInput.js';
import { createMachineMemory } from '../memory/machineMemory.js';
import { type Activity, ActivitySampler, sideExits } from '../observe/activity.js';
import { type MachineMemory, machineMemory } from '../observe/memoryUse.js';
import { observeRegions, type RegionStatistics, regionStatistics } from '../observe/regionProfile.js';
import type { GuestStatistics } from '../observe/statistics.js';
import type { TreeLimits } from '../sync/guestTree.js';
import { reserveHost, setHostDoorbell, startThread, unreserveHost } from '../sync/hosts.js';
import { type LockTimes, lockTimes, measureLocks } from '../sync/lockHistogram.js';
import { COORDINATOR } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import {
  MACHINE,
  Machine as MachineRecord,
  NETWORK_HOST,
  NETWORK_LOOPBACK,
  NETWORK_NONE,
} from '../sync/records/machine.js';
import { Thread } from '../sync/records/thread.js';
import { LOG_EXEC, LOG_IN_ASM, LOG_OUT_WASM, OBSERVE_EXITS } from '../sync/records/translation.js';
import { Tty } from '../sync/records/tty.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { claimTranslator, initTranslation, type TranslationPolicy } from '../sync/translationQueue.js';
import { CodeCache, checkCodeCache } from './codeCache.js';
import { Coordinator } from './coordinator.js';
import { GuestProcess } from './guestProcess.js';
import { HostNetwork } from './hostNetwork.js';
import { loadInterpreter } from './interpreterModule.js';
import {
  type InputSource,
  type MachineOptions,
  type NetworkName,
  type OutputSink,
  SpawnError,
  type SpawnOptions,
  type TranslationLogItem,
} from './options.js';
import { planSandbox } from './sandbox.js';
import {
  InputPump,
  letGoOfBorrowed,
  letGoOfOwn,
  letGoOfStdin,
  OutputPump,
  outputPipe,
  type StreamPump,
} from './streamPumps.js';
import { TemporaryFolder } from './temporaryFolder.js';
import { HostTerminal } from './terminal.js';
import { ThreadHosts } from './threadHosts.js';

const DEFAULT_MAX_THREADS = 512;
/** As many workers for each processor, and no fewer in all: see MachineOptions.workers. */
const WORKERS_A_PROCESSOR = 4;
const FEWEST_WORKERS = 16;
/** What `dumpMaps: true` means. */
const REPORT_AT_EXIT: MapReport = { at: 'exit', format: 'maps', children: true, header: true };
const EAGAIN = 11;
/** Milliseconds that guests get to end when the machine closes; on a busy computer a worker may not even have started. */
const END_TIMEOUT = 10_000;
const PAGE_SIZES = [4096, 16384, 65536];
const SMALLEST_VA = 16 * 2 ** 20;

/** Guesthouse itself failed; the message is one line. */
export class InternalError extends Error {
  override name = 'InternalError';
}

/** A machine's statistics: its memory, hosts and guests. */
export interface MachineStatistics {
  readonly memory: MachineMemory;
  /** Workers started, and guest threads alive. */
  readonly hosts: number;
  readonly guests: readonly GuestStatistics[];
}

function defaultWorkers(): number {
  return Math.max(FEWEST_WORKERS, WORKERS_A_PROCESSOR * availableParallelism());
}

/** Creates a machine: its memory, its first workers, and the kernel's state. Guests are started with `spawn`. */
export async function createMachine(options: MachineOptions = {}): Promise<Machine> {
  return new Machine(options);
}

/** One shared memory, one kernel, one pool of workers, any number of guests. */
export class Machine {
  private readonly mem: SharedMemory;
  private readonly hosts: ThreadHosts;
  private readonly coordinator: Coordinator;
  private readonly network: HostNetwork;
  private readonly guests = new Map<number, GuestProcess>();
  private readonly pumps = new Map<number, StreamPump>();
  private readonly temporary = new TemporaryFolder();
  /** The host's terminal once a guest has been given it, and its device number. */
  private terminal: HostTerminal | undefined;
  private terminalDevice: number | undefined;
  private closing: Promise<void> | undefined;
  private readonly verbose: boolean;
  private readonly sampler: ActivitySampler | undefined;
  private readonly codeCache: CodeCache | undefined;
  /** The first program's file on the host. */
  private program: string | undefined;

  /** @internal Use createMachine. */
  constructor(options: MachineOptions) {
    this.verbose = options.verbose ?? process.env.GUESTHOUSE_DEBUG !== undefined;
    // Regions that are watched are made for this machine alone.
    const watched = options.statistics === true;
    const ownRegions = watched || options.profile === true || (options.log ?? []).length > 0;
    const codeCache = ownRegions ? undefined : options.codeCache;
    if (codeCache !== undefined) checkCodeCache(codeCache);
    const startTranslator = (): void =>
      this.hosts.startTranslator(options.hostPageSize ?? 4096, this.codeCache?.outgoing);
    this.mem = createMachineMemory({
      ...(options.memory !== undefined && { bytes: options.memory }),
      ...(options.hostPageSize !== undefined && { hostPageSize: options.hostPageSize }),
    });
    initTranslation(this.mem, translationPolicy(options), COORDINATOR);
    if (codeCache !== undefined && options.jit === undefined)
      this.codeCache = new CodeCache(this.mem, codeCache);
    if (options.logFile !== undefined)
      this.mem.setI32(MACHINE + MachineRecord.logFd, openSync(options.logFile, 'w'));
    const logged = (options.log ?? []).reduce((bits, item) => bits | LOG_ITEMS[item], 0);
    if (watched) measureLocks(this.mem, COORDINATOR);
    observeRegions(
      this.mem,
      logged | (watched ? OBSERVE_EXITS : 0),
      logged !== 0 || options.profile === true,
      COORDINATOR,
    );
    initKernel(this.mem, COORDINATOR, options.seed === undefined ? {} : { seed: options.seed });
    this.coordinator = new Coordinator(this.mem, {
      guestEnded: (guest) => this.guestEnded(guest),
      hostsWanted: (count) => this.hosts.addSoon(count),
      queueWaits: () => this.hosts.watchQueue(),
      streamReady: (stream) => this.pumps.get(stream)?.ready(),
      terminalChanged: () => this.terminal?.changed(),
      terminalWanted: () => this.terminal?.wanted(),
      terminalOutput: () => this.terminal?.output(),
      guestStopped: (guest) => this.guests.get(guest)?.stopped(),
      translatorWanted: startTranslator,
      socketWants: (socket, operation, argument) => this.network.request(socket, operation, argument),
    });
    this.network = new HostNetwork(this.mem);
    this.mem.setU32(MACHINE + MachineRecord.network, NETWORKS[options.network ?? 'none']);
    const limit = options.maxThreads ?? DEFAULT_MAX_THREADS;
    this.hosts = new ThreadHosts(
      this.mem,
      {
        onStarted: () => {
          // Whoever asks for translation gets the translator before the first hot place, but not before the first guest.
          if (options.jit !== undefined && options.jit !== false && claimTranslator(this.mem, COORDINATOR))
            startTranslator();
          this.loadImage();
        },
        onDoorbell: () => this.coordinator.answer(),
        onFailure: (error, thread) => this.hostFailed(error, thread),
        onTranslatorFailure: (error) => {
          if (this.verbose) process.stderr.write(`translation ends: ${error.stack ?? error.message}\n`);
        },
      },
      limit,
      Math.min(options.threads ?? 1, limit),
      Math.min(limit, Math.max(options.threads ?? 1, options.workers ?? defaultWorkers())),
      // Loaded while the first worker starts.
      () => loadInterpreter(options.hostPageSize ?? 4096),
    );
    setHostDoorbell(this.mem, () => setImmediate(() => this.coordinator.answer()));
    if (watched) this.sampler = new ActivitySampler(this.mem, () => this.hosts.records);
  }

  /**
   * Starts a program as a new guest. `program` is a file of the host or, with `root`, else a path in there. Throws
   * SpawnError when there is nothing to start, CpuModelError when there is no such processor, RangeError for impossible sizes; what is wrong with the file itself rejects `guest.exited`.
   */
  async spawn(program: string, options: SpawnOptions = {}): Promise<GuestProcess> {
    if (this.closing) throw new InternalError('the machine is closed');
    const { mem } = this;
    const extensions = parseCpuModel(options.cpu ?? DEFAULT_CPU);
    checkSizes(options);
    const sandbox = planSandbox(program, options, this.temporary);
    const fs = createFs(mem, COORDINATOR, {
      mounts: { root: sandbox.root, mounts: sandbox.mounts },
      cwd: toByteString(sandbox.cwd),
    });
    const files = createFilesTable(mem, COORDINATOR);
    const pumps: StreamPump[] = [];
    const input = this.input(options.stdin ?? 'ignore', pumps);
    const output = this.output(options.stdout ?? 'ignore', 1, pumps);
    const errors = this.output(options.stderr ?? 'ignore', 2, pumps);
    installStandardStreams(mem, files, COORDINATOR, {
      stdin: input.stream,
      stdout: output.stream,
      stderr: errors.stream,
    });

    if (!reserveHost(mem, COORDINATOR))
      throw new SpawnError(EAGAIN, 'the machine runs as many threads as it may');
    let record: number;
    try {
      const encoder = new TextEncoder();
      record = spawnGuest(mem, COORDINATOR, {
        path: encoder.encode(sandbox.program),
        argv: [options.argv0 ?? sandbox.name, ...(options.args ?? [])].map((s) => encoder.encode(s)),
        envp: Object.entries(options.env ?? {})
          .filter(([, value]) => value !== undefined)
          .map(([name, value]) => encoder.encode(`${name}=${value}`)),
        files,
        fs,
        options: {
          strace: options.strace ?? false,
          verbose: this.verbose,
          logPage: options.logPage ?? false,
          ...(options.dumpMaps && {
            mapReport: options.dumpMaps === true ? REPORT_AT_EXIT : options.dumpMaps,
          }),
          ...(options.placement !== undefined && { placement: options.placement }),
          ...(options.placementSeed !== undefined && { placementSeed: options.placementSeed }),
          ...(options.unameRelease !== undefined && { unameRelease: options.unameRelease }),
          ...(options.stackSize !== undefined && { stackSize: options.stackSize }),
          ...(options.reservedVa !== undefined && { reservedVa: options.reservedVa }),
          ...(options.pageSize !== undefined && { pageSize: options.pageSize }),
        },
        mm: { extensions, ...(options.memory !== undefined && { memoryLimit: options.memory }) },
        ...treeLimits(options, 2 ** mem.getU32(MACHINE + MachineRecord.hostPageShift)),
      });
    } catch (error) {
      unreserveHost(mem, COORDINATOR);
      throw error;
    }
    for (const pump of pumps) this.pumps.set(pump.stream, pump);
    const terminal = [input, output, errors].some(({ stream }) => stream.kind === 'console')
      ? this.terminal
      : undefined;
    if (terminal !== undefined) {
      terminal.retain();
      giveConsole(mem, record, terminal.tty);
    }
    const pipes = { stdin: input.pipe, stdout: output.pipe, stderr: errors.pipe };
    const closing = (): boolean => this.closing !== undefined;
    const guest = new GuestProcess(mem, record, pumps, terminal !== undefined, pipes, closing);
    this.guests.set(record, guest);
    this.program ??= sandbox.file;
    if (this.hosts.started > 0) this.loadImage();
    startThread(mem, mem.getU32(record + Guest.threads), COORDINATOR, () => this.coordinator.answer());
    return guest;
  }

  /** How long the mutexes of memory maps were waited for and held, with the option `statistics`; otherwise undefined. */
  lockTimes(): LockTimes | undefined {
    return lockTimes(this.mem);
  }

  /** What the machine's memory holds at the moment. */
  memory(): MachineMemory {
    return machineMemory(this.mem);
  }

  /** Figures about the machine and its running guests. */
  statistics(): MachineStatistics {
    return {
      memory: this.memory(),
      hosts: this.hosts.started,
      guests: [...this.guests.values()].map((guest) => guest.statistics()),
    };
  }

  /** Where the time of guest threads goes, and why regions are left; undefined unless the option `statistics` is given. */
  activity(): Activity | undefined {
    return this.sampler && { ...this.sampler.times(), sideExits: sideExits(this.mem) };
  }

  /** The regions that were translated and what they have done; empty unless the option `profile` or `log` is given. */
  translatedRegions(): RegionStatistics[] {
    return regionStatistics(this.mem);
  }

  /**
   * Kills the guests that still run, ends the workers and removes the machine's temporary files. Afterwards nothing of the
   * machine keeps the Node process alive.
   */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  /** Resolves when what guests have sent to the network is with the host, or when `milliseconds` are over. */
  flushNetwork(milliseconds: number): Promise<void> {
    return this.network.flush(milliseconds);
  }

  /**
   * For a process that exits right now: gives the terminal back and removes the temporary files, and leaves the workers to
   * the end of the process, which is some 30 ms sooner than `close`.
   */
  abandon(): void {
    this.codeCache?.save();
    this.terminal?.close();
    this.temporary.removeNow();
  }

  private async shutDown(): Promise<void> {
    const running = [...this.guests.values()];
    terminateAllGuests(this.mem, COORDINATOR);
    for (const guest of running) guest.terminate();
    const ended = Promise.allSettled(running.map((guest) => guest.exited));
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, END_TIMEOUT).unref());
    await Promise.race([ended, timeout]);
    this.coordinator.close();
    this.network.close();
    this.sampler?.stop();
    const removed = this.temporary.remove();
    await this.hosts.close();
    this.codeCache?.save();
    for (const guest of this.guests.values()) await guest.fail(new InternalError('the machine was closed'));
    this.guests.clear();
    this.terminal?.close();
    await removed;
  }

  /** Loads what is kept for the first program: once its thread has a host, which starts while nothing keeps this thread busy. */
  private loadImage(): void {
    if (this.program !== undefined) this.codeCache?.load(this.program);
  }

  private guestEnded(record: number): void {
    const guest = this.guests.get(record);
    const announce = guest?.collect();
    this.guests.delete(record);
    reapGuest(this.mem, record, COORDINATOR);
    if (guest === undefined) return;
    if (guest.onConsole) this.terminal?.release();
    void announce?.().finally(() => {
      for (const [stream, pump] of this.pumps) {
        if (!guest.usesPump(pump)) continue;
        this.pumps.delete(stream);
        pump.free();
      }
    });
  }

  private hostFailed(error: Error, thread: number): void {
    if (this.verbose) process.stderr.write(`${error.stack ?? error.message}\n`);
    const failure = new InternalError(`internal error: ${error.message.split('\n')[0]}`);
    const record = thread === 0 ? 0 : this.mem.getU32(thread + Thread.guest);
    // Whoever waits for a guest that a guest has made would wait for ever.
    const own = this.guests.get(record);
    const guests = own === undefined ? [...this.guests.values()] : [own];
    for (const guest of guests) {
      // The thread that failed cannot end properly, so that the guest is given up here.
      this.guests.delete(guest.record);
      void guest.fail(failure);
    }
  }

  /** The process group in the foreground of the guests' console; 0 when there is none. */
  foregroundGroup(): number {
    return this.terminal === undefined ? 0 : this.mem.getU32(this.terminal.tty + Tty.foreground);
  }

  /** Sends a signal to a process group of guests. Throws RangeError. */
  killGroup(group: number, signal: number | string): void {
    const number = signalNumber(signal);
    if (number === undefined) throw new RangeError(`no such signal: ${signal}`);
    killGroup(this.mem, group, number, COORDINATOR);
  }

  /** The Node process is about to be stopped by a signal: the host's terminal is put as it was found… */
  suspendTerminal(): void {
    this.terminal?.suspend();
  }

  /** … and as the guests want it, when the Node process goes on. */
  resumeTerminal(): void {
    this.terminal?.resume();
  }

  /** The console for a standard descriptor that is a terminal; undefined for any other, and for a second terminal. */
  private consoleAt(fd: number): StandardStream | undefined {
    if (!isTerminal(fd)) return undefined;
    const device = fstatSync(fd).rdev;
    this.terminalDevice ??= device;
    if (device !== this.terminalDevice) return undefined;
    try {
      this.terminal ??= new HostTerminal(this.mem, fd);
    } catch {
      // A terminal that cannot be opened is a stream like any other.
      return undefined;
    }
    return { kind: 'console', tty: this.terminal.tty };
  }

  private input(
    source: InputSource,
    pumps: StreamPump[],
  ): { stream: StandardStream; pipe: PassThrough | null } {
    if (source === 'ignore') return { stream: { kind: 'null' }, pipe: null };
    let pump: InputPump;
    let pipe: PassThrough | null = null;
    if (source === 'inherit') {
      const console = this.consoleAt(0);
      if (console !== undefined) return { stream: console, pipe: null };
      if (readsAsFile(0)) return { stream: { kind: 'host', fd: 0 }, pipe: null };
      pump = new InputPump(this.mem, () => process.stdin, letGoOfStdin);
    } else if (source === 'pipe') {
      pipe = new PassThrough();
      const end = pipe;
      pump = new InputPump(this.mem, () => end, letGoOfOwn);
    } else if (typeof source === 'string' || source instanceof Uint8Array) {
      pump = new InputPump(this.mem, () => Readable.from([Buffer.from(source)]), letGoOfOwn);
    } else {
      pump = new InputPump(this.mem, () => source, letGoOfBorrowed);
    }
    pumps.push(pump);
    return { stream: { kind: 'stream', stream: pump.stream }, pipe };
  }

  private output(
    sink: OutputSink,
    fd: number,
    pumps: StreamPump[],
  ): { stream: StandardStream; pipe: Readable | null } {
    if (sink === 'ignore') return { stream: { kind: 'null' }, pipe: null };
    if (sink === 'inherit') {
      return { stream: this.consoleAt(fd) ?? { kind: 'host', fd }, pipe: null };
    }
    let pipe: Readable | null = null;
    let pump: OutputPump;
    if (sink === 'pipe') {
      const made = outputPipe(this.mem);
      pump = made.pump;
      pipe = made.readable;
    } else {
      pump = new OutputPump(this.mem, sink, false);
    }
    pumps.push(pump);
    return { stream: { kind: 'stream', stream: pump.stream }, pipe };
  }
}

const NETWORKS: Readonly<Record<NetworkName, number>> = {
  none: NETWORK_NONE,
  loopback: NETWORK_LOOPBACK,
  host: NETWORK_HOST,
};

const LOG_ITEMS: Readonly<Record<TranslationLogItem, number>> = {
  in_asm: LOG_IN_ASM,
  out_wasm: LOG_OUT_WASM,
  exec: LOG_EXEC,
};

/** Jumps to a place after which it asks to be translated, where it is translated with care at once: half a millisecond in the interpreter. */
const CAREFUL_THRESHOLD = 20_000;
/** The same where it is translated quickly first: some ten microseconds. */
const QUICK_THRESHOLD = 1000;
/**
 * Times that places must have been found hot before the translator is started for threads that have not run for long: for single short programs it
 * does not earn back what it costs to start, and for a hundred of them not soon.
 */
const DEFAULT_PATIENCE = 400;
/**
 * Percent of what a place's translation with care costs that it has to cost before: more than all of it, since it is not interpreted any more by then,
 * and since the translator's own code is cold in short programs.
 */
const DEFAULT_SHARE = 150;

function translationPolicy({
  jit,
  translationBytes,
}: Pick<MachineOptions, 'jit' | 'translationBytes'>): TranslationPolicy {
  const mostBytes = translationBytes === undefined ? {} : { mostBytes: translationBytes };
  if (jit === undefined)
    return {
      threshold: QUICK_THRESHOLD,
      patience: DEFAULT_PATIENCE,
      tiers: 2,
      share: DEFAULT_SHARE,
      ...mostBytes,
    };
  if (jit === false) return { threshold: 0, patience: 0, tiers: 1, share: 0 };
  const threshold = jit === true ? CAREFUL_THRESHOLD : Math.min(65535, Math.max(1, jit.threshold));
  return { threshold, patience: 0, tiers: 1, share: 0, ...mostBytes };
}

/** The limits of a guest and its descendants, if there are any. */
function treeLimits({ maxProcesses, maxThreads, memory }: SpawnOptions, page: number): { tree?: TreeLimits } {
  if (maxProcesses === undefined && maxThreads === undefined && memory === undefined) return {};
  return {
    tree: {
      ...(maxProcesses !== undefined && { processes: maxProcesses }),
      ...(maxThreads !== undefined && { threads: maxThreads }),
      ...(memory !== undefined && { frames: Math.floor(memory / page) }),
    },
  };
}

/** Sizes that an address space can have. Throws RangeError. */
function checkSizes({ pageSize, reservedVa, maxProcesses, maxThreads }: SpawnOptions): void {
  for (const [name, count] of Object.entries({ maxProcesses, maxThreads }))
    if (count !== undefined && !(Number.isInteger(count) && count >= 1))
      throw new RangeError(`${name} must be a whole number from 1 on, not ${count}`);
  if (pageSize !== undefined && !PAGE_SIZES.includes(pageSize))
    throw new RangeError(`pageSize must be 4096, 16384 or 65536, not ${pageSize}`);
  if (reservedVa === undefined) return;
  if (!(reservedVa >= SMALLEST_VA && reservedVa <= DEFAULT_TASK_SIZE && reservedVa % 65536 === 0))
    throw new RangeError(`reservedVa must be a multiple of 64 KiB from 16 MiB to 64 GiB, not ${reservedVa}`);
}

/** Whether a descriptor never makes its reader wait: a regular file or /dev/null. */
function readsAsFile(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() || (stat.isCharacterDevice() && !isTerminal(fd));
  } catch {
    return false;
  }
}
