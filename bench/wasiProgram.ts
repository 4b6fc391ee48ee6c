import { readFileSync, writeSync } from 'node:fs';

/**
 * `node wasiProgram.js FILE ARGS`: runs a program that clang has made for WebAssembly, as the peer `wasm`. Of WASI (preview 1) there is
 * what the programs of guests/ use; Node's own often ends in SIGSEGV after the program has ended (Node 20).
 */
const [, , file, ...rest] = process.argv;
const args = [file, ...rest].map((text) => Buffer.from(`${text}\0`));
let memory: WebAssembly.Memory;
const view = (): DataView => new DataView(memory.buffer);
const ENOSYS = 52;

class Exit extends Error {
  constructor(readonly code: number) {
    super();
  }
}

const wasi = {
  args_sizes_get(count: number, size: number): number {
    view().setUint32(count, args.length, true);
    view().setUint32(size, Buffer.concat(args).length, true);
    return 0;
  },
  args_get(pointers: number, text: number): number {
    for (const [i, bytes] of args.entries()) {
      view().setUint32(pointers + i * 4, text, true);
      new Uint8Array(memory.buffer).set(bytes, text);
      text += bytes.length;
    }
    return 0;
  },
  clock_time_get(_clock: number, _precision: bigint, out: number): number {
    view().setBigUint64(out, process.hrtime.bigint(), true);
    return 0;
  },
  fd_write(fd: number, vector: number, count: number, written: number): number {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const [at, length] = [0, 4].map((field) => view().getUint32(vector + i * 8 + field, true));
      sum += writeSync(fd, new Uint8Array(memory.buffer, at, length));
    }
    view().setUint32(written, sum, true);
    return 0;
  },
  /** A character device: standard output is written line by line then, which is as good as any. */
  fd_fdstat_get(_fd: number, out: number): number {
    new Uint8Array(memory.buffer, out, 24).fill(0);
    view().setUint8(out, 2);
    return 0;
  },
  fd_seek: (): number => ENOSYS,
  fd_close: (): number => 0,
  proc_exit(code: number): never {
    throw new Exit(code);
  },
};

const { instance } = await WebAssembly.instantiate(readFileSync(file), { wasi_snapshot_preview1: wasi });
const { exports } = instance;
memory = exports.memory as WebAssembly.Memory;
try {
  (exports._start as () => void)();
} catch (error) {
  if (!(error instanceof Exit)) throw error;
  process.exitCode = error.code;
}
