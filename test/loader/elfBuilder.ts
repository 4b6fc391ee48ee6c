import type { ProgramFile } from '../../src/loader/programFile.js';

/** A program header to be built; what is left out is taken from a small valid PT_LOAD. */
export interface BuiltSegment {
  type?: number;
  flags?: number;
  offset?: number | bigint;
  vaddr?: number | bigint;
  fileSize?: number | bigint;
  memorySize?: number | bigint;
  align?: number | bigint;
}

/** An ELF file to be built; what is left out is valid. */
export interface BuiltElf {
  class?: number;
  data?: number;
  version?: number;
  osabi?: number;
  type?: number;
  machine?: number;
  entry?: number | bigint;
  phoff?: number | bigint;
  phentsize?: number;
  phnum?: number;
  flags?: number;
  segments?: BuiltSegment[];
  /** Bytes of the whole file; default 8192. */
  size?: number;
  /** Bytes put at an offset. */
  put?: { at: number; bytes: Uint8Array }[];
}

/** Builds an ELF64 file for the tests of the loader. */
export function buildElf(elf: BuiltElf = {}): Uint8Array {
  const segments = elf.segments ?? [{}];
  const bytes = new Uint8Array(elf.size ?? 8192);
  const view = new DataView(new ArrayBuffer(Math.max(bytes.length, 64 + segments.length * 56)));
  const whole = new Uint8Array(view.buffer);
  whole.set([0x7f, 0x45, 0x4c, 0x46, elf.class ?? 2, elf.data ?? 1, elf.version ?? 1, elf.osabi ?? 0]);
  view.setUint16(16, elf.type ?? 2, true);
  view.setUint16(18, elf.machine ?? 243, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(elf.entry ?? 0x10000), true);
  view.setBigUint64(32, BigInt(elf.phoff ?? 64), true);
  view.setUint32(48, elf.flags ?? 5, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, elf.phentsize ?? 56, true);
  view.setUint16(56, elf.phnum ?? segments.length, true);
  segments.forEach((s, i) => {
    const at = 64 + i * 56;
    view.setUint32(at, s.type ?? 1, true);
    view.setUint32(at + 4, s.flags ?? 5, true);
    view.setBigUint64(at + 8, BigInt(s.offset ?? 0), true);
    view.setBigUint64(at + 16, BigInt(s.vaddr ?? 0x10000), true);
    view.setBigUint64(at + 32, BigInt(s.fileSize ?? 4096), true);
    view.setBigUint64(at + 40, BigInt(s.memorySize ?? s.fileSize ?? 4096), true);
    view.setBigUint64(at + 48, BigInt(s.align ?? 4096), true);
  });
  for (const { at, bytes: put } of elf.put ?? []) whole.set(put, at);
  bytes.set(whole.subarray(0, bytes.length));
  return bytes;
}

/** The file as the loader sees it. */
export function programFile(bytes: Uint8Array, path = '/program'): ProgramFile {
  return {
    path,
    size: bytes.length,
    read: (offset, into) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    mapped: { file: 0, object: 0, readable: true, writable: false },
  };
}
