import type { Readable, Writable } from 'node:stream';
import type { MapFormat } from '../kernel/guestOptions.js';
import { signalName, signalNumber } from '../kernel/signals/signalNumbers.js';
import { killFamily, killGroup, killGuest, terminateGuest } from '../kernel/spawn.js';
import { explainInstructions } from '../observe/crashInstruction.js';
import { mapOfGuest } from '../observe/mapReport.js';
import { type GuestStatistics, guestStatistics, NOTHING_USED } from '../observe/statistics.js';
import { COORDINATOR, tryLockMutex, unlockMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { type ExitStatus, SpawnError } from './options.js';

import type { StreamPump } from './streamPumps.js';

/** The ends of a guest's standard streams that the embedder holds: null unless 'pipe' was asked for. */
export interface GuestPipes {
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
}

/** A guest process, as the embedder sees it. */
export class GuestProcess {
  /** The guest's process id. */
  readonly pid: number;
  /** What to write the guest's input to, where stdin was 'pipe'. */
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /**
   * How the guest ended; its output has been handed over by then. Rejects with SpawnError when the program could not be
   * started, and with another error when Guesthouse itself failed.
   */
  readonly exited: Promise<ExitStatus>;

  private readonly family: number;
  private resolve!: (status: ExitStatus) => void;
  private reject!: (error: Error) => void;
  private settled = false;
  private last: GuestStatistics | undefined;
  private stopListener: (() => void) | undefined;

  /** @internal */
  constructor(
    private readonly mem: SharedMemory,
    /** The Guest record; gone once the guest has been reaped. */
    readonly record: number,
    private readonly pumps: readonly StreamPump[],
    /** One of its standard streams is the console. */
    readonly onConsole: boolean,
    pipes: GuestPipes,
    /** The machine is being closed, or is. */
    private readonly isClosing: () => boolean,
  ) {
    this.family = mem.getU32(record + Guest.family);
    this.pid = mem.getU32(record + Guest.pid);
    this.stdin = pipes.stdin;
    this.stdout = pipes.stdout;
    this.stderr = pipes.stderr;
    this.exited = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Whoever does not ask how the guest ended is not to be told by an unhandled rejection.
    this.exited.catch(() => {});
  }

  /** Sends the guest a signal, by number or name; default SIGTERM. Returns false when it has ended. Throws RangeError. */
  kill(signal: number | string = 'SIGTERM'): boolean {
    const number = signalNumber(signal);
    if (number === undefined) throw new RangeError(`no such signal: ${signal}`);
    if (this.settled) return false;
    killGuest(this.mem, this.record, number, COORDINATOR);
    return true;
  }

  /** kill for every guest of this one's process group: what a key of its terminal does. */
  killGroup(signal: number | string): boolean {
    const number = signalNumber(signal);
    if (number === undefined) throw new RangeError(`no such signal: ${signal}`);
    if (this.settled) return false;
    killGroup(this.mem, this.mem.getU32(this.record + Guest.pgid), number, COORDINATOR);
    return true;
  }

  /**
   * Ends the guest and all processes that it or its descendants have started, those included whose parents are gone, as SIGKILL does.
   * Resolves when none of them runs any more; also after the guest's own end, when it may have left some behind.
   */
  async killTree(): Promise<void> {
    while (!this.isClosing() && killFamily(this.mem, this.family, COORDINATOR) > 0)
      await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** Calls `listener` whenever a signal has stopped the guest, which goes on with SIGCONT. */
  onStopped(listener: () => void): void {
    this.stopListener = listener;
  }

  /** @internal A signal has stopped the guest. */
  stopped(): void {
    if (!this.settled) this.stopListener?.();
  }

  /** The guest's process group; 0 after its end. */
  processGroup(): number {
    return this.settled ? 0 : this.mem.getU32(this.record + Guest.pgid);
  }

  /** @internal Ends the guest whatever it does. */
  terminate(): void {
    if (!this.settled) terminateGuest(this.mem, this.record, COORDINATOR);
  }

  /** What the guest has used so far; after its end, in all. */
  statistics(): GuestStatistics {
    return this.last ?? guestStatistics(this.mem, this.record);
  }

  /**
   * The guest's memory map at this moment, as /proc/PID/maps, its smaps, or QEMU's page_dump; undefined until its program is loaded and after
   * its end.
   */
  memoryMap(format: MapFormat = 'maps'): string | undefined {
    return this.settled ? undefined : mapOfGuest(this.mem, this.record, COORDINATOR, format);
  }

  /** @internal Whether the pump serves this guest. */
  usesPump(pump: StreamPump): boolean {
    return this.pumps.includes(pump);
  }

  /** @internal The guest is a zombie: note how it ended before its record goes. Returns how to announce it. */
  collect(): () => Promise<void> {
    const { mem, record } = this;
    this.last = guestStatistics(mem, record);
    this.settled = true;
    const text = (pointer: number, length: number): string | undefined =>
      pointer === 0 ? undefined : new TextDecoder().decode(mem.u8.slice(pointer, pointer + length));
    const execErrno = mem.getU32(record + Guest.execErrno);
    const execMessage = text(
      mem.getU32(record + Guest.execMessage),
      mem.getU32(record + Guest.execMessageLength),
    );
    const crashReport = text(
      mem.getU32(record + Guest.crashMessage),
      mem.getU32(record + Guest.crashMessageLength),
    );
    const word = mem.getU32(record + Guest.exitStatus);
    const signal = word & 0x7f;
    return async () => {
      await Promise.all(this.pumps.map((pump) => pump.close()));
      if (execErrno !== 0) this.reject(new SpawnError(execErrno, execMessage ?? `error ${execErrno}`));
      else
        this.resolve({
          code: signal === 0 ? (word >>> 8) & 0xff : null,
          signal: signal === 0 ? null : signalName(signal),
          signalNumber: signal,
          ...(crashReport !== undefined && { crashReport: await explainInstructions(crashReport) }),
        });
    };
  }

  /**
   * @internal Guesthouse has failed to run the guest. Whoever failed may hold any lock, so that none is waited for here;
   * the guest's other threads are told to end if that is possible.
   */
  async fail(error: Error): Promise<void> {
    if (this.settled) return;
    const lock = this.record + Guest.threadsLock;
    if (tryLockMutex(this.mem, lock, COORDINATOR)) {
      unlockMutex(this.mem, lock, COORDINATOR);
      this.last = guestStatistics(this.mem, this.record);
      this.terminate();
    } else this.last = { ...NOTHING_USED, pid: this.pid };
    this.settled = true;
    await Promise.race([
      Promise.all(this.pumps.map((pump) => pump.close())),
      new Promise((resolve) => setTimeout(resolve, 200)),
    ]);
    this.reject(error);
  }
}
