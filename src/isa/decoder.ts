import { expandCompressed } from './compressed.js';
import { ALL_EXTENSIONS } from './extensions.js';
import type { Decoded, ImmediateKind, Instruction } from './instruction.js';
import { INSTRUCTIONS } from './instructions.js';

/** Says whether a 16-bit parcel begins a 32-bit instruction (wider ones do not exist here: they are illegal). */
export const isFullLength = (half: number): boolean => (half & 3) === 3;

/** Rows by major opcode (bits 6 to 2) and funct3, so that a search looks at a handful. */
const buckets: Instruction[][] = Array.from({ length: 256 }, () => []);
for (const instruction of INSTRUCTIONS) {
  for (let funct3 = 0; funct3 < 8; funct3++) {
    const f3Mask = (instruction.mask >>> 12) & 7;
    if ((funct3 & f3Mask) === ((instruction.match >>> 12) & f3Mask)) {
      buckets[(((instruction.match >>> 2) & 31) << 3) | funct3].push(instruction);
    }
  }
}

/**
 * Decodes `raw`: a 32-bit instruction, or a compressed one in the low 16 bits (the rest is ignored). Undefined when the
 * encoding is illegal or reserved on a processor with `extensions` beyond RV64GC. Hints decode to the instruction they
 * are encoded as, which does nothing.
 */
export function decode(raw: number, extensions = ALL_EXTENSIONS): Decoded | undefined {
  const full = isFullLength(raw);
  const word = full ? raw >>> 0 : expandCompressed(raw & 0xffff, extensions);
  const bucket = buckets[(((word >>> 2) & 31) << 3) | ((word >>> 12) & 7)];
  for (const instruction of bucket) {
    if ((word & instruction.mask) >>> 0 !== instruction.match) continue;
    if ((instruction.extensions & ~extensions) !== 0) continue;
    const rm = instruction.usesRm ? (word >>> 12) & 7 : 0;
    if (rm === 5 || rm === 6) return undefined;
    return {
      instruction,
      length: full ? 4 : 2,
      word,
      raw: full ? word : raw & 0xffff,
      rd: instruction.usesRd ? (word >>> 7) & 31 : 0,
      rs1: instruction.usesRs1 ? (word >>> 15) & 31 : 0,
      rs2: instruction.usesRs2 ? (word >>> 20) & 31 : 0,
      rs3: instruction.usesRs3 ? word >>> 27 : 0,
      rm,
      immediate: immediateValue(instruction.immediate, word),
    };
  }
  return undefined;
}

/** The immediate of `word`, sign extended to 32 bits. */
function immediateValue(kind: ImmediateKind, word: number): number {
  switch (kind) {
    case 'I':
      return word >> 20;
    case 'S':
      return ((word >> 25) << 5) | ((word >>> 7) & 31);
    case 'B':
      return (
        ((word >> 31) << 12) |
        (((word >>> 7) & 1) << 11) |
        (((word >>> 25) & 63) << 5) |
        (((word >>> 8) & 15) << 1)
      );
    case 'U':
      return word & 0xffff_f000;
    case 'J':
      return (
        ((word >> 31) << 20) |
        (word & 0xf_f000) |
        (((word >>> 20) & 1) << 11) |
        (((word >>> 21) & 0x3ff) << 1)
      );
    case 'shift6':
      return (word >>> 20) & 63;
    case 'shift5':
      return (word >>> 20) & 31;
    case 'csrImmediate':
      return (word >>> 15) & 31;
    case 'none':
      return 0;
  }
}
