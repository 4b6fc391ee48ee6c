/**
 * The one memory of a machine and the typed views on it.
 *
 * A machine's memory never grows (its maximum is its initial size: untouched pages cost nothing), so the views
 * never go stale. Every address in Guesthouse that is not called a guest address is a byte offset into it.
 */
export class SharedMemory {
  readonly buffer: SharedArrayBuffer;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly i64: BigInt64Array;
  readonly u64: BigUint64Array;
  readonly f64: Float64Array;
  readonly view: DataView;

  constructor(readonly wasm: WebAssembly.Memory) {
    const buffer = wasm.buffer as unknown as SharedArrayBuffer;
    this.buffer = buffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i64 = new BigInt64Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Creates a zeroed machine memory of `bytes` (a multiple of 64 KiB, at most 4 GiB). */
  static create(bytes: number): SharedMemory {
    const pages = bytes / 65536;
    return new SharedMemory(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }));
  }

  get byteLength(): number {
    return this.buffer.byteLength;
  }

  /** The unsigned 32-bit field at `address` (plain load). */
  getU32(address: number): number {
    return this.u32[address >>> 2];
  }
  /** Stores an unsigned 32-bit field at `address` (plain store). */
  setU32(address: number, value: number): void {
    this.u32[address >>> 2] = value;
  }
  /** The signed 32-bit field at `address` (plain load). */
  getI32(address: number): number {
    return this.i32[address >>> 2];
  }
  setI32(address: number, value: number): void {
    this.i32[address >>> 2] = value;
  }

  /** The unsigned 64-bit field at `address` as a JavaScript number: exact below 2^53, rounded beyond. */
  getU64(address: number): number {
    const i = address >>> 2;
    return this.u32[i] + this.u32[i + 1] * 0x1_0000_0000;
  }
  /** The signed 64-bit field at `address` as a JavaScript number: exact within ±2^53, rounded beyond. */
  getI64(address: number): number {
    const i = address >>> 2;
    return this.u32[i] + this.i32[i + 1] * 0x1_0000_0000;
  }
  /** Stores an integer (−2^63 … 2^64, exact within ±2^53) as a 64-bit field; two's complement for negatives. */
  set64(address: number, value: number): void {
    const i = address >>> 2;
    this.u32[i] = value; // ToUint32 is value modulo 2^32, negatives included
    this.u32[i + 1] = Math.floor(value / 0x1_0000_0000);
  }

  atomicLoad(address: number): number {
    return Atomics.load(this.i32, address >>> 2);
  }
  atomicStore(address: number, value: number): void {
    Atomics.store(this.i32, address >>> 2, value);
  }
  /** Adds and returns the value before the addition. */
  atomicAdd(address: number, value: number): number {
    return Atomics.add(this.i32, address >>> 2, value);
  }
  atomicOr(address: number, bits: number): number {
    return Atomics.or(this.i32, address >>> 2, bits);
  }
  atomicAnd(address: number, bits: number): number {
    return Atomics.and(this.i32, address >>> 2, bits);
  }
  atomicExchange(address: number, value: number): number {
    return Atomics.exchange(this.i32, address >>> 2, value);
  }
  /** Returns the value before; the exchange happened when that equals `expected`. */
  atomicCompareExchange(address: number, expected: number, replacement: number): number {
    return Atomics.compareExchange(this.i32, address >>> 2, expected, replacement);
  }

  /** Zeroes `length` bytes at `address`; use it for records, the wasm `memory.fill` of memory/ for frames. */
  zero(address: number, length: number): void {
    this.u8.fill(0, address, address + length);
  }
}
