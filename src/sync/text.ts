import { allocateBlock, freeBlock } from './heap.js';
import { record, u32 } from './record.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * Immutable byte strings in shared memory: paths, JSON, rendered files. In JavaScript they are `Uint8Array`s or *byte
 * strings*: strings whose every character stands for one byte (latin1), so that any file name survives unchanged.
 */
export const Text = record({
  /** Bytes that follow the record; constant. */
  length: u32,
});

/** Allocates a text; freed with `freeText`. `owner` is the caller's lock token. */
export function allocateText(mem: SharedMemory, bytes: Uint8Array | string, owner: number): number {
  const data = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
  const text = allocateBlock(mem, Text.SIZE + data.length, owner);
  mem.setU32(text + Text.length, data.length);
  mem.u8.set(data, text + Text.SIZE);
  return text;
}

/** Frees a text; 0 is allowed and ignored. */
export function freeText(mem: SharedMemory, text: number, owner: number): void {
  if (text !== 0) freeBlock(mem, text, owner);
}

/** Number of bytes of a text. */
export function textLength(mem: SharedMemory, text: number): number {
  return mem.getU32(text + Text.length);
}

/** A copy of the text's bytes; empty for address 0. */
export function textBytes(mem: SharedMemory, text: number): Uint8Array {
  if (text === 0) return new Uint8Array(0);
  return mem.u8.slice(text + Text.SIZE, text + Text.SIZE + mem.getU32(text + Text.length));
}

/** The text as a byte string (latin1); empty for address 0. */
export function textString(mem: SharedMemory, text: number): string {
  if (text === 0) return '';
  const from = text + Text.SIZE;
  const length = mem.getU32(text + Text.length);
  return Buffer.from(mem.buffer, from, length).toString('latin1');
}
