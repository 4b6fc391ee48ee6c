import {
  type Interpreter,
  instantiateInterpreter,
  interpreterBytes,
} from '../../src/interpreter/interpreter.js';
import { ALL_EXTENSIONS } from '../../src/isa/extensions.js';
import { CodePage } from '../../src/sync/records/codePage.js';
import { NO_RESERVATION, Thread } from '../../src/sync/records/thread.js';
import { SharedMemory } from '../../src/sync/sharedMemory.js';

/** Where things stand in the little machine's memory. */
const THREAD = 0x1000;
const READ_TABLE = 0x10_0000;
const WRITE_TABLE = 0x20_0000;
const CODE_TABLE = 0x30_0000;
const HEAP = 0x40_0000;

const modules = new Map<number, WebAssembly.Module>();

/** Options of a BareMachine. */
export interface BareOptions {
  readonly bytes?: number;
  readonly hostPageShift?: number;
  readonly reach?: number;
  /** Extensions of the processor beyond RV64GC; default all. */
  readonly extensions?: number;
  /** Makes system calls: InstantiateOptions. */
  readonly systemCall?: (thread: number) => number;
}

/**
 * The interpreter without a kernel: one thread, flat tables made by hand. Guest pages are handed out one by one, never
 * next to one another, so that nothing works by accident.
 */
export class BareMachine {
  readonly mem: SharedMemory;
  readonly thread = THREAD;
  readonly interpreter: Interpreter;
  readonly hostPageShift: number;
  readonly extensions: number;
  #next: number;

  constructor(options: BareOptions = {}) {
    const { bytes = 1 << 26, hostPageShift = 12, reach = 1 << 28 } = options;
    this.mem = SharedMemory.create(bytes);
    this.extensions = options.extensions ?? ALL_EXTENSIONS;
    this.hostPageShift = hostPageShift;
    this.#next = HEAP;
    const { mem } = this;
    mem.setU32(THREAD + Thread.readTable, READ_TABLE);
    mem.setU32(THREAD + Thread.writeTable, WRITE_TABLE);
    mem.setU32(THREAD + Thread.codeTable, CODE_TABLE);
    mem.setU32(THREAD + Thread.hostPageShift, hostPageShift);
    mem.set64(THREAD + Thread.reach, reach);
    mem.u64[(THREAD + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
    let module = modules.get(hostPageShift);
    if (!module) {
      module = new WebAssembly.Module(interpreterBytes({ hostPageShift }) as Uint8Array<ArrayBuffer>);
      modules.set(hostPageShift, module);
    }
    const { systemCall } = options;
    this.interpreter = instantiateInterpreter(mem, module, systemCall === undefined ? {} : { systemCall });
  }

  /**
   * Maps the host pages of [address, address + length), readable and as `access` says. Their frames have gaps between them, so that
   * each page is in another distance from its frame; with `together` all are in the same one.
   */
  map(address: number, length: number, access: 'r' | 'rw' | 'rx' | 'rwx' = 'rw', together = false): void {
    const size = 1 << this.hostPageShift;
    for (let page = Math.floor(address / size); page * size < address + length; page++) {
      const frame = Math.ceil(this.#next / size) * size + (together ? 0 : size);
      this.#next = frame + size;
      const entry = (frame - page * size + 1) >>> 0;
      this.mem.setU32(READ_TABLE + page * 4, entry);
      if (access.includes('w')) this.mem.setU32(WRITE_TABLE + page * 4, entry);
      if (!access.includes('x')) continue;
      for (let at = page * size; at < (page + 1) * size; at += 4096) this.makeExecutable(at);
    }
  }

  /** Gives the mapped target page at `address` a code page. */
  makeExecutable(address: number): void {
    const codePage = Math.ceil(this.#next / 64) * 64;
    this.#next = codePage + CodePage.SIZE;
    this.mem.setU32(codePage + CodePage.source, this.place(address));
    this.mem.setU32(codePage + CodePage.extensions, this.extensions);
    this.mem.setU32(CODE_TABLE + (address >>> 12) * 4, codePage);
  }

  /** Takes access to the host page of `address` away. */
  unmap(address: number, what: 'r' | 'w' | 'x'): void {
    const table = { r: READ_TABLE, w: WRITE_TABLE, x: CODE_TABLE }[what];
    this.mem.setU32(table + (address >>> (what === 'x' ? 12 : this.hostPageShift)) * 4, 0);
  }

  /** The CodePage of a guest address, or 0. */
  codePage(address: number): number {
    return this.mem.getU32(CODE_TABLE + (address >>> 12) * 4);
  }

  setCodePage(address: number, codePage: number): void {
    this.mem.setU32(CODE_TABLE + (address >>> 12) * 4, codePage);
  }

  /** Whether the page of a guest address is mapped. */
  isMapped(address: number): boolean {
    return this.mem.getU32(READ_TABLE + (address >>> this.hostPageShift) * 4) !== 0;
  }

  /** Machine address of a mapped guest address. */
  place(address: number): number {
    const entry = this.mem.getU32(READ_TABLE + (address >>> this.hostPageShift) * 4);
    if (entry === 0) throw new Error(`not mapped: 0x${address.toString(16)}`);
    return (address + entry - 1) >>> 0;
  }

  /** Copies bytes into guest memory. */
  write(address: number, bytes: ArrayLike<number>): void {
    for (let i = 0; i < bytes.length; i++) this.mem.u8[this.place(address + i)] = bytes[i];
  }
  /** Copies bytes out of guest memory. */
  read(address: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => this.mem.u8[this.place(address + i)]);
  }
  write64(address: number, value: bigint): void {
    this.write(address, new Uint8Array(new BigUint64Array([BigInt.asUintN(64, value)]).buffer));
  }
  read64(address: number): bigint {
    return new BigUint64Array(this.read(address, 8).buffer)[0];
  }

  /** Integer registers, as unsigned BigInts. */
  x(number: number): bigint {
    return this.mem.u64[(THREAD + Thread.x) / 8 + number];
  }
  setX(number: number, value: bigint): void {
    this.mem.u64[(THREAD + Thread.x) / 8 + number] = BigInt.asUintN(64, value);
  }
  f(number: number): bigint {
    return this.mem.u64[(THREAD + Thread.f) / 8 + number];
  }
  setF(number: number, value: bigint): void {
    this.mem.u64[(THREAD + Thread.f) / 8 + number] = BigInt.asUintN(64, value);
  }
  get pc(): number {
    return this.mem.getU64(THREAD + Thread.pc);
  }
  set pc(value: number) {
    this.mem.set64(THREAD + Thread.pc, value);
  }
  get instret(): number {
    return this.mem.getU64(THREAD + Thread.instret);
  }
  get exitAddress(): bigint {
    return this.mem.u64[(THREAD + Thread.exitAddress) / 8];
  }
  get exitSize(): number {
    return this.mem.getU32(THREAD + Thread.exitSize);
  }

  /** Runs from the pc to the next exit. */
  run(): number {
    return this.interpreter.run(THREAD);
  }
}
