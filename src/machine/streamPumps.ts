import { PassThrough, type Readable, type Writable } from 'node:stream';
import {
  beginStreamTurn,
  createStream,
  endStream,
  freeStream,
  pushStreamBytes,
  streamEnded,
  takeStreamBytes,
} from '../kernel/files/stream.js';
import { COORDINATOR } from '../sync/mutex.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/**
 * The coordinator's pumps between Node's streams, which only the main thread has, and the kernel's streams, which guests read
 * and write in shared memory. A pump moves bytes when the kernel says that its stream is ready (StreamReady): an input
 * stream that somebody wants to read, an output stream that holds bytes or has ended.
 */
export interface StreamPump {
  /** The kernel's stream record. */
  readonly stream: number;
  /** The stream has room (input), or bytes or an end (output). */
  ready(): void;
  /** Moves what is left and lets go of the Node stream. Resolves when everything has been handed over. */
  close(): Promise<void>;
  /** Gives the kernel's stream up; nothing may name it afterwards. */
  free(): void;
}

const CHUNK = 65536;

/** What becomes of an input's Node stream: the process's own stdin must not keep the process alive… */
export function letGoOfStdin(source: Readable): void {
  source.pause();
  (source as Readable & { unref?: () => void }).unref?.();
}

/** … the embedder's is left to the embedder… */
export function letGoOfBorrowed(source: Readable): void {
  source.pause();
}

/** … and one of our own goes. */
export function letGoOfOwn(source: Readable): void {
  source.on('error', () => {});
  source.destroy();
}

/** Feeds a guest's input from a Node stream. Nothing is read from it before the guest reads. */
export class InputPump implements StreamPump {
  readonly stream: number;
  private pending: Uint8Array | undefined;
  private attached = false;
  /** The Node stream has ended; the kernel's has. */
  private sourceEnded = false;
  private ended = false;
  private closed = false;

  /**
   * @param open gives the Node stream when the guest first reads
   * @param letGo what to do with it when the guest has ended
   */
  constructor(
    private readonly mem: SharedMemory,
    private readonly open: () => Readable,
    private readonly letGo: (source: Readable) => void,
  ) {
    this.stream = createStream(mem, COORDINATOR, 'input');
  }

  private source: Readable | undefined;
  private readonly onData = (chunk: Uint8Array | string): void => {
    this.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  };
  private readonly onEnd = (): void => {
    this.sourceEnded = true;
    // What has not fitted goes first, when there is room.
    if (this.ended || this.closed || this.pending !== undefined) return;
    this.ended = true;
    endStream(this.mem, this.stream, COORDINATOR);
  };

  ready(): void {
    if (this.closed || this.ended) return;
    beginStreamTurn(this.mem, this.stream, COORDINATOR);
    if (!this.attached) {
      this.attached = true;
      this.source = this.open();
      this.source.on('data', this.onData);
      this.source.once('end', this.onEnd);
      this.source.once('close', this.onEnd);
      this.source.once('error', this.onEnd);
    }
    const pending = this.pending;
    this.pending = undefined;
    if (pending !== undefined) this.push(pending);
    if (this.pending !== undefined) return;
    if (this.sourceEnded) this.onEnd();
    else this.source?.resume();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    const { source } = this;
    if (source === undefined) return;
    source.off('data', this.onData);
    source.off('end', this.onEnd);
    source.off('close', this.onEnd);
    source.off('error', this.onEnd);
    this.letGo(source);
  }

  free(): void {
    freeStream(this.mem, this.stream, COORDINATOR);
  }

  private push(bytes: Uint8Array): void {
    if (this.closed) return;
    if (this.pending !== undefined) {
      this.pending = Buffer.concat([this.pending, bytes]);
      return;
    }
    const taken = pushStreamBytes(this.mem, this.stream, bytes, COORDINATOR);
    if (taken < bytes.length) {
      // The kernel says when there is room again.
      this.pending = bytes.subarray(taken);
      this.source?.pause();
    }
  }
}

/** Takes a guest's output to a Node stream or a function. */
export class OutputPump implements StreamPump {
  readonly stream: number;
  private draining = false;
  private done = false;
  private broken = false;
  private closed: (() => void) | undefined;

  /** @param owned end the Node stream when the guest's output ends. */
  constructor(
    private readonly mem: SharedMemory,
    private readonly sink: Writable | ((bytes: Uint8Array) => void),
    private readonly owned: boolean,
  ) {
    this.stream = createStream(mem, COORDINATOR, 'output');
    if (typeof sink !== 'function') {
      sink.on('error', this.onError);
    }
  }

  private readonly onError = (): void => {
    this.broken = true;
    this.draining = false;
    // The guest gets EPIPE, as if the reader of its pipe had gone.
    endStream(this.mem, this.stream, COORDINATOR);
    this.ready();
  };

  ready(): void {
    if (this.done) return;
    beginStreamTurn(this.mem, this.stream, COORDINATOR);
    // What is left when the guest has ended is little, and whoever waits for the guest before reading shall get both.
    while ((!this.draining || this.closed) && !this.done) {
      const bytes = takeStreamBytes(this.mem, this.stream, CHUNK, COORDINATOR);
      if (bytes.length === 0) break;
      if (this.broken) continue;
      if (typeof this.sink === 'function') this.sink(bytes);
      else if (!this.sink.write(bytes) && !this.draining) {
        this.draining = true;
        this.sink.once('drain', () => {
          this.draining = false;
          this.ready();
        });
      }
    }
    if (this.done) return;
    if (this.closed || (!this.draining && streamEnded(this.mem, this.stream))) this.finish();
  }

  close(): Promise<void> {
    if (this.done) return Promise.resolve();
    return new Promise((resolve) => {
      this.closed = resolve;
      this.ready();
    });
  }

  free(): void {
    freeStream(this.mem, this.stream, COORDINATOR);
  }

  private finish(): void {
    this.done = true;
    if (typeof this.sink !== 'function') {
      this.sink.off('error', this.onError);
      if (this.owned) this.sink.end();
    }
    this.closed?.();
  }
}

/** A pipe for the embedder to read a guest's output from. */
export function outputPipe(mem: SharedMemory): { pump: OutputPump; readable: Readable } {
  const pipe = new PassThrough();
  return { pump: new OutputPump(mem, pipe, true), readable: pipe };
}
