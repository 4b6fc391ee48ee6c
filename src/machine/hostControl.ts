import type { MessagePort } from 'node:worker_threads';

/** The Piscina task that makes a worker a thread host. */
export interface HostTask {
  /** Number of the host. */
  readonly index: number;
  /** Its Host record. */
  readonly host: number;
  readonly memory: WebAssembly.Memory;
  /** The interpreter, compiled once for all. */
  readonly interpreter: WebAssembly.Module;
  /** Comlink port to the coordinator's HostControl. */
  readonly control: MessagePort;
  /** A message here makes the coordinator look at its requests. */
  readonly doorbell: MessagePort;
}

/** The translator's workerData. */
export interface TranslatorTask {
  readonly memory: WebAssembly.Memory;
  readonly options: { readonly hostPageShift: number; readonly fused: boolean; readonly budget: number };
  /** Takes regions of the first tier that are to be kept for other processes: arrays of KeptQuickRegion. */
  readonly kept?: MessagePort;
}

/**
 * The control plane between thread hosts and the coordinator, called through Comlink while a host runs no guest code: at its
 * start and at its end.
 */
export interface HostControl {
  /** The host is ready to run threads; `milliseconds` is what it took from the start of its task. */
  hostStarted(index: number, milliseconds: number): void;
  /** The host leaves for good. */
  hostEnding(index: number): void;
}
