import { type Caller, FAULT_MAPERR, UserFault } from '../../memory/caller.js';
import { copyIn, copyOut, forEachSpan, probe, readI64 } from '../../memory/userAccess.js';
import { EINVAL, SyscallError } from '../errno.js';

/** The kernel moves at most this much in one read or write (MAX_RW_COUNT). */
export const MAX_TRANSFER = 0x7fff_f000;
/** IOV_MAX. */
const MAX_SEGMENTS = 1024;
const PAGE = 4096;

/** Where the bytes of a read go, or those of a write come from. */
export interface ByteVector {
  /** Bytes in all. */
  readonly length: number;
  /** Copies `bytes` to the vector from its byte `at` on; returns how many fitted and could be written. */
  copyOut(c: Caller, at: number, bytes: Uint8Array): number;
  /** Copies bytes of the vector from its byte `at` on into `into`; returns how many there were and could be read. */
  copyIn(c: Caller, at: number, into: Uint8Array): number;
  /**
   * Runs `transfer(machineAddress, length, done)` on the vector's bytes, in order, span by span, until it moves less than
   * asked or the vector ends; returns the bytes moved. `transfer` must not wait.
   */
  forEachSpan(
    c: Caller,
    access: 'read' | 'write',
    transfer: (machineAddress: number, length: number, done: number) => number,
  ): number;
  /** The vector's first `length` bytes. */
  slice(length: number): ByteVector;
  /** The vector without its first `count` bytes. */
  from(count: number): ByteVector;
  /** Throws UserFault unless the vector's first byte may be accessed. */
  probe(c: Caller, access: 'read' | 'write'): void;
}

/** A vector in a block of the kernel's own heap, for calls that move bytes from file to file. */
export class KernelVector implements ByteVector {
  constructor(
    private readonly address: number,
    readonly length: number,
  ) {}

  copyOut(c: Caller, at: number, bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.length - at);
    c.mem.u8.set(bytes.subarray(0, count), this.address + at);
    return count;
  }

  copyIn(c: Caller, at: number, into: Uint8Array): number {
    const count = Math.min(into.length, this.length - at);
    into.set(c.mem.u8.subarray(this.address + at, this.address + at + count));
    return count;
  }

  forEachSpan(
    _c: Caller,
    _access: 'read' | 'write',
    transfer: (machineAddress: number, length: number, done: number) => number,
  ): number {
    return this.length === 0 ? 0 : transfer(this.address, this.length, 0);
  }

  slice(length: number): KernelVector {
    return new KernelVector(this.address, Math.min(length, this.length));
  }

  from(count: number): KernelVector {
    const skip = Math.min(count, this.length);
    return new KernelVector(this.address + skip, this.length - skip);
  }

  probe(): void {}
}

/**
 * The guest memory of a read or write: one buffer or an iovec. A copy that meets an unmapped page does what is before
 * it and says how much; only when that is nothing it throws UserFault. Copies enter GUEST mode: hold no lock.
 */
export class UserVector implements ByteVector {
  private constructor(
    private readonly addresses: readonly number[],
    private readonly lengths: readonly number[],
    /** Bytes in all, at most MAX_TRANSFER. */
    readonly length: number,
  ) {}

  /** A buffer of read(2) or write(2). Throws UserFault for a length beyond any address space, as access_ok does. */
  static single(address: number, length: number): UserVector {
    if (length < 0) throw new UserFault(address, FAULT_MAPERR);
    const bytes = Math.min(length, MAX_TRANSFER);
    return new UserVector([address], [bytes], bytes);
  }

  /** The struct iovec array of readv(2) and its like. Throws SyscallError(EINVAL) and UserFault. */
  static fromIovec(c: Caller, address: number, count: number): UserVector {
    if (count < 0 || count > MAX_SEGMENTS) throw new SyscallError(EINVAL);
    const addresses: number[] = [];
    const lengths: number[] = [];
    let total = 0;
    for (let i = 0; i < count; i++) {
      const base = readI64(c, address + i * 16);
      const length = readI64(c, address + i * 16 + 8);
      if (length < 0) throw new SyscallError(EINVAL);
      const bytes = Math.min(length, MAX_TRANSFER - total);
      addresses.push(base);
      lengths.push(bytes);
      total += bytes;
    }
    return new UserVector(addresses, lengths, total);
  }

  /** Copies `bytes` to the vector from its byte `at` on; returns how many fitted and could be written. */
  copyOut(c: Caller, at: number, bytes: Uint8Array): number {
    return this.pieces(at, bytes.length, (address, length, done) => {
      const piece = bytes.subarray(done, done + length);
      try {
        copyOut(c, address, piece);
        return length;
      } catch (fault) {
        if (!(fault instanceof UserFault)) throw fault;
        const prefix = accessiblePrefix(c, address, length, 'write');
        if (prefix === 0 && done === 0) throw fault;
        if (prefix > 0) copyOut(c, address, piece.subarray(0, prefix));
        return prefix;
      }
    });
  }

  /** Copies bytes of the vector from its byte `at` on into `into`; returns how many there were and could be read. */
  copyIn(c: Caller, at: number, into: Uint8Array): number {
    return this.pieces(at, into.length, (address, length, done) => {
      const piece = into.subarray(done, done + length);
      try {
        copyIn(c, address, piece);
        return length;
      } catch (fault) {
        if (!(fault instanceof UserFault)) throw fault;
        const prefix = accessiblePrefix(c, address, length, 'read');
        if (prefix === 0 && done === 0) throw fault;
        if (prefix > 0) copyIn(c, address, piece.subarray(0, prefix));
        return prefix;
      }
    });
  }

  /**
   * Runs `transfer(machineAddress, length, done)` on the vector's bytes, in order, span by span, in GUEST mode, until it
   * moves less than asked or the vector ends; returns the bytes moved. `transfer` must not wait.
   */
  forEachSpan(
    c: Caller,
    access: 'read' | 'write',
    transfer: (machineAddress: number, length: number, done: number) => number,
  ): number {
    return this.pieces(0, this.length, (address, length, done) => {
      let here = 0;
      const move = (machineAddress: number, bytes: number): number => {
        const moved = transfer(machineAddress, bytes, done + here);
        here += moved;
        return moved;
      };
      try {
        forEachSpan(c, address, length, access, move);
      } catch (fault) {
        if (!(fault instanceof UserFault) || done + here === 0) throw fault;
      }
      return here;
    });
  }

  /** The vector's first `length` bytes. */
  slice(length: number): UserVector {
    const lengths: number[] = [];
    let left = length;
    for (const bytes of this.lengths) {
      lengths.push(Math.min(bytes, left));
      left -= Math.min(bytes, left);
    }
    return new UserVector(this.addresses, lengths, Math.min(length, this.length));
  }

  /** The vector without its first `count` bytes. */
  from(count: number): UserVector {
    const addresses: number[] = [];
    const lengths: number[] = [];
    let skip = count;
    for (let i = 0; i < this.lengths.length; i++) {
      const gone = Math.min(skip, this.lengths[i]);
      addresses.push(this.addresses[i] + gone);
      lengths.push(this.lengths[i] - gone);
      skip -= gone;
    }
    return new UserVector(addresses, lengths, Math.max(0, this.length - count));
  }

  /** Throws UserFault unless the vector's first byte may be accessed. */
  probe(c: Caller, access: 'read' | 'write'): void {
    for (let i = 0; i < this.lengths.length; i++) {
      if (this.lengths[i] === 0) continue;
      if (!probe(c, this.addresses[i], 1, access)) throw new UserFault(this.addresses[i], FAULT_MAPERR);
      return;
    }
  }

  private pieces(
    at: number,
    length: number,
    move: (address: number, length: number, done: number) => number,
  ): number {
    let done = 0;
    let skip = at;
    for (let i = 0; i < this.lengths.length && done < length; i++) {
      const available = this.lengths[i] - skip;
      if (available <= 0) {
        skip = -available;
        continue;
      }
      const wanted = Math.min(available, length - done);
      const moved = move(this.addresses[i] + skip, wanted, done);
      skip = 0;
      done += moved;
      if (moved < wanted) break;
    }
    return done;
  }
}

/** How many bytes from `address` on can be accessed, at most `length`. */
function accessiblePrefix(c: Caller, address: number, length: number, access: 'read' | 'write'): number {
  let done = 0;
  while (done < length) {
    const piece = Math.min(length - done, PAGE - ((address + done) % PAGE));
    if (piece <= 0 || !probe(c, address + done, piece, access)) break;
    done += piece;
  }
  return done;
}
