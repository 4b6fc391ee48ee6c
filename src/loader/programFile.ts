import type { MappedFile } from '../mm/targetMmap.js';
import type { ElfImage } from './elf.js';

/** An executable, as the loader sees it: kernel/files opens it, within the guest's sandbox. */
export interface ProgramFile {
  /** The path it was opened by; for messages only. */
  readonly path: string;
  /** Bytes it holds. */
  readonly size: number;
  /** Reads at `offset` into the whole of `into`; returns how many bytes there were. */
  read(offset: number, into: Uint8Array): number;
  /** What has been parsed of it, kept from one start to the next where that is possible: by role and page size. */
  readonly images?: Map<string, ElfImage>;
  /** What targetMmap maps for it. */
  readonly mapped: MappedFile;
}

/** Reads exactly [offset, offset + length) or returns undefined where the file ends before. */
export function readExactly(file: ProgramFile, offset: number, length: number): Uint8Array | undefined {
  if (offset + length > file.size) return undefined;
  const bytes = new Uint8Array(length);
  return file.read(offset, bytes) === length ? bytes : undefined;
}
