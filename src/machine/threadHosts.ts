import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, type Transferable, Worker } from 'node:worker_threads';
import { type Endpoint, expose } from 'comlink';
import { forgetKeptFiles } from '../memory/keptFiles.js';
import {
  addHosts,
  closeHosts,
  forgetHost,
  hostsForQueue,
  initHosts,
  queueWeight,
  registerHost,
  relieveQueue,
  stillWanted,
  threadOfHost,
} from '../sync/hosts.js';
import { monotonicNow } from '../sync/monotonicNow.js';
import { COORDINATOR } from '../sync/mutex.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { endTranslation, wakeTranslator } from '../sync/translationQueue.js';
import type { HostControl, HostTask, TranslatorTask } from './hostControl.js';
import { type HostPool, takePool, WORKER_OPTIONS } from './hostPool.js';
import type { LoadedInterpreter } from './interpreterModule.js';
import { workerStarts } from './optimizationDelay.js';
import { translatorFile } from './packageFiles.js';

/** What the pool tells the coordinator. */
export interface ThreadHostEvents {
  /** A host is ready to run threads. */
  onStarted(): void;
  /** A host has rung: there are requests in the ring. */
  onDoorbell(): void;
  /** A host's code threw while it ran `thread` (0: none): an error of ours. */
  onFailure(error: Error, thread: number): void;
  /** The translator has failed: guests go on without it. */
  onTranslatorFailure(error: Error): void;
}

/** How many milliseconds the hosts of a closing machine get to leave by themselves. */
const CLOSE_TIMEOUT = 2000;
/** How many milliseconds to wait before a host is started, and between the first looks at the queue. */
const PATIENCE = 1;
/** How many milliseconds lie between two looks at the queue of threads that wait for hosts. */
const WATCH_INTERVAL = 5;
/** So many looks follow sooner upon another. */
const FIRST_LOOKS = 8;
/** When it has not moved for so long, threads are busy or wait where they cannot leave their hosts: more are started. */
const LONGEST_STANDSTILL = 50;

/**
 * The machine's pool of thread hosts. Each is one long-lived Piscina task; threads are handed to it through shared memory
 * (sync/hosts.ts), and a Comlink control port and a doorbell port connect it with the main thread.
 */
export class ThreadHosts {
  private readonly pool: HostPool;
  private readonly ports = new Set<MessagePort>();
  private readonly running = new Set<Promise<void>>();
  private translatorWorker: Worker | undefined;
  private nextIndex = 0;
  /** The Host records of all that were ever started. */
  readonly records: number[] = [];
  private closing = false;
  private asked = 0;
  private adding: NodeJS.Timeout | undefined;
  private watching: NodeJS.Timeout | undefined;
  /** How many threads had been taken out of the queue when it was looked at last, and when that was another number. */
  private taken = -1;
  private movedAt = 0;
  /** How often the queue has been looked at since somebody asked for that. */
  private looks = 0;
  /** What has been seen of who put the threads there since the queue moved (sync/hosts.ts). */
  private seen = 0;
  /** Hosts that have started, and the slowest and mean start, for statistics. */
  started = 0;
  startMilliseconds = 0;

  constructor(
    private readonly mem: SharedMemory,
    private readonly events: ThreadHostEvents,
    limit: number,
    present: number,
    ahead: number,
    private readonly interpreter: () => Promise<LoadedInterpreter>,
  ) {
    this.pool = takePool(present);
    this.pool.on('error', (error: Error) => events.onFailure(error, 0));
    initHosts(mem, limit, present, ahead);
    this.add(present);
  }

  /**
   * Starts as many of `count` more hosts (they are counted already) as are still wanted a moment later: a thread that has
   * just ended may leave its host to the one that wants it, in microseconds instead of tens of milliseconds.
   */
  addSoon(count: number): void {
    this.asked += count;
    this.adding ??= setTimeout(() => {
      this.adding = undefined;
      const { asked } = this;
      this.asked = 0;
      this.add(stillWanted(this.mem, COORDINATOR, asked));
    }, PATIENCE);
  }

  /** Threads wait for hosts, and none is idle: looks at the queue until it is empty, and starts hosts where nothing else helps. */
  watchQueue(): void {
    if (this.watching !== undefined || this.closing) return;
    this.movedAt = monotonicNow();
    this.looks = this.seen = 0;
    this.lookLater();
  }

  private lookLater(): void {
    const interval = this.looks < FIRST_LOOKS ? PATIENCE : WATCH_INTERVAL;
    this.watching = setTimeout(() => {
      this.watching = undefined;
      const taken = relieveQueue(this.mem, this.taken);
      if (taken === undefined) return;
      const now = monotonicNow();
      const moved = taken !== this.taken;
      if (moved) this.movedAt = now;
      this.seen = (moved ? 0 : this.seen) + queueWeight(this.mem);
      this.add(hostsForQueue(this.mem, this.seen));
      this.looks++;
      this.taken = taken;
      const starting = this.nextIndex - this.started;
      if (now - this.movedAt > LONGEST_STANDSTILL && starting < availableParallelism()) {
        this.add(addHosts(this.mem, availableParallelism() - starting));
        this.movedAt = now;
      }
      this.lookLater();
    }, interval);
  }

  /** Starts `count` more hosts; they are counted already (Machine.hostCount). */
  add(count: number): void {
    for (let i = 0; i < count; i++) {
      const host = this.host().finally(() => this.running.delete(host));
      this.running.add(host);
    }
  }

  /** Starts the machine's translator. `kept`: takes regions that are to be kept for other processes. */
  startTranslator(hostPageSize: number, kept?: MessagePort): void {
    if (this.closing) return;
    const translator = this.translator(hostPageSize, kept)
      .catch((error: Error) => {
        if (this.closing) return;
        endTranslation(this.mem);
        this.events.onTranslatorFailure(error);
      })
      .finally(() => this.running.delete(translator));
    this.running.add(translator);
  }

  private async translator(hostPageSize: number, kept?: MessagePort): Promise<void> {
    const { fused } = await this.interpreter();
    if (this.closing) return;
    const task: TranslatorTask = {
      memory: this.mem.wasm,
      options: { hostPageShift: Math.log2(hostPageSize), fused, budget: 1_000_000 },
      ...(kept !== undefined && { kept }),
    };
    const loaded = workerStarts();
    // Until the machine closes, it keeps nobody waiting.
    const worker = new Worker(translatorFile(), {
      ...WORKER_OPTIONS,
      workerData: task,
      transferList: kept === undefined ? [] : [kept],
    });
    worker.once('message', loaded);
    worker.once('exit', loaded);
    worker.unref();
    this.translatorWorker = worker;
    await new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', () => resolve());
    });
  }

  /** Sends every host home and ends the pool. Guests must have ended. */
  async close(): Promise<void> {
    this.closing = true;
    clearTimeout(this.adding);
    clearTimeout(this.watching);
    closeHosts(this.mem, COORDINATOR);
    this.translatorWorker?.ref();
    wakeTranslator(this.mem);
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_TIMEOUT).unref());
    await Promise.race([Promise.allSettled([...this.running]), timeout]);
    await Promise.all([this.pool.destroy(), this.translatorWorker?.terminate()]);
    forgetKeptFiles(this.mem, COORDINATOR);
    for (const port of this.ports) port.close();
    this.ports.clear();
  }

  private async host(): Promise<void> {
    const { mem } = this;
    const record = registerHost(mem, this.nextIndex++);
    this.records.push(record);
    const control = new MessageChannel();
    const doorbell = new MessageChannel();
    const ports = [control.port1, doorbell.port1];
    const loaded = workerStarts();
    const api: HostControl = {
      hostStarted: (_index, milliseconds) => {
        loaded();
        this.started++;
        this.startMilliseconds += milliseconds;
        this.events.onStarted();
      },
      hostEnding: () => {},
    };
    expose(api, control.port1 as unknown as Endpoint);
    doorbell.port1.on('message', () => this.events.onDoorbell());
    for (const port of ports) {
      port.unref();
      this.ports.add(port);
    }
    try {
      const task: HostTask = {
        index: this.nextIndex - 1,
        host: record,
        memory: mem.wasm,
        interpreter: (await this.interpreter()).module,
        control: control.port2,
        doorbell: doorbell.port2,
      };
      await this.pool.run(task, { transferList: [control.port2, doorbell.port2] as Transferable[] as never });
    } catch (error) {
      const thread = threadOfHost(mem, record);
      this.add(forgetHost(mem, COORDINATOR, thread !== 0));
      this.events.onFailure(error instanceof Error ? error : new Error(String(error)), thread);
    } finally {
      loaded();
      for (const port of ports) {
        port.close();
        this.ports.delete(port);
      }
    }
  }
}
