/** A growing byte buffer with WebAssembly's number encodings. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    const count = values.length;
    if (this.#length + count > this.#bytes.length) this.#grow(count);
    // A typed array's `set` takes longer to start than a handful of bytes take.
    if (count > 32) this.#bytes.set(values, this.#length);
    else for (let i = 0; i < count; i++) this.#bytes[this.#length + i] = values[i];
    this.#length += count;
  }

  /** Writes `value` in place of a byte that has been written. */
  patch(at: number, value: number): void {
    this.#bytes[at] = value;
  }

  /** Writes a number of 32 bits in place of `bytes` that have been written, as LEB128 of that length; signed, if it is negative. */
  patchNumber(at: number, value: number, bytes: number): void {
    for (let i = 0; i < bytes - 1; i++) {
      this.#bytes[at + i] = (value & 0x7f) | 0x80;
      value >>= 7;
    }
    this.#bytes[at + bytes - 1] = value & 0x7f;
  }

  /** An unsigned integer below 2^32 as unsigned LEB128. */
  unsigned(value: number): void {
    value >>>= 0;
    while (value >= 0x80) {
      this.byte((value & 0x7f) | 0x80);
      value >>>= 7;
    }
    this.byte(value);
  }

  /** A signed 32-bit integer as signed LEB128. */
  signed32(value: number): void {
    value |= 0;
    for (;;) {
      const low = value & 0x7f;
      value >>= 7;
      if ((value === 0 && (low & 0x40) === 0) || (value === -1 && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  /** A signed 64-bit integer as signed LEB128. */
  signed64(value: bigint): void {
    value = BigInt.asIntN(64, value);
    if (value >= -0x8000_0000n && value <= 0x7fff_ffffn) {
      this.signed32(Number(value));
      return;
    }
    for (;;) {
      const low = Number(value & 0x7fn);
      value >>= 7n;
      if ((value === 0n && (low & 0x40) === 0) || (value === -1n && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  /** A length-prefixed UTF-8 name. */
  name(text: string): void {
    const encoded = new TextEncoder().encode(text);
    this.unsigned(encoded.length);
    this.bytes(encoded);
  }

  /** Another writer's bytes, preceded by their length. */
  sized(content: ByteWriter): void {
    this.unsigned(content.length);
    this.bytes(content.view());
  }

  /** What has been written so far, without a copy; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What has been written so far, as a copy of its own. */
  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(more: number): void {
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
