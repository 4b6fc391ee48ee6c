import { describe, expect, it } from 'vitest';
import { decode } from '../../src/isa/decoder.js';
import { NO_EXTENSIONS } from '../../src/isa/extensions.js';
import {
  type Batch,
  fullProcessor,
  ILLEGAL,
  plainProcessor,
  RECORD_SLOTS,
  referenceMissing,
  runOnReference,
} from './executor/executor.js';

/**
 * Which encodings are instructions at all: everything in the major opcodes that only compute, with all extensions beyond RV64GC
 * taken away from qemu.
 */

const MAJORS = {
  'MISC-MEM': 0x0f,
  'OP-IMM': 0x13,
  'OP-IMM-32': 0x1b,
  OP: 0x33,
  'OP-32': 0x3b,
  'OP-FP': 0x53,
  AMO: 0x2f,
} as const;

/** rd = a0, rs1 = a1 (a4, memory, for AMO), every funct7, funct3 and a few values of rs2. */
function encodings(major: number): number[] {
  const words: number[] = [];
  const rs1 = major === MAJORS.AMO ? 14 : 11;
  const rs2s = major === MAJORS['OP-FP'] ? [0, 1, 2, 3, 4, 12] : [0, 12];
  for (let funct7 = 0; funct7 < 128; funct7++)
    for (let funct3 = 0; funct3 < 8; funct3++)
      for (const rs2 of rs2s)
        words.push(((funct7 << 25) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | (10 << 7) | major) >>> 0);
  return words;
}

const missing = referenceMissing();
describe.skipIf(missing !== undefined)(
  `legal encodings as qemu-riscv64 sees them${missing ? ` (skipped: ${missing})` : ''}`,
  () => {
    const full = missing ? { cpu: '', extensions: NO_EXTENSIONS } : fullProcessor();
    const processors = {
      'RV64GC alone': { cpu: missing ? '' : plainProcessor(), extensions: NO_EXTENSIONS },
      'with the extensions that it has': full,
    };
    it.each(
      Object.entries(processors).flatMap(([name, processor]) =>
        Object.entries(MAJORS).map(([majorName, major]) => [majorName, name, major, processor] as const),
      ),
    )(
      '%s, %s',
      (_majorName, _name, major, { cpu, extensions }) => {
        const words = encodings(major);
        const batches: Batch[] = words.map((word) => ({
          code: [word],
          records: new BigUint64Array(RECORD_SLOTS),
        }));
        const results = runOnReference(batches, cpu);
        const differing = words.filter(
          (word, i) => (decode(word, extensions) === undefined) !== (results[i][0] === ILLEGAL),
        );
        expect(differing.map((word) => word.toString(16))).toEqual([]);
        expect(results.filter((result) => result[0] === ILLEGAL).length).toBeGreaterThan(0);
      },
      60_000,
    );
  },
);
