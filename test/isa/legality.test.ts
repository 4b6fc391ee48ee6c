import { describe, expect, it } from 'vitest';
import { qemu, type Run, runGuest, runProgram } from '../../bench/hostProgram.js';
import { decode } from '../../src/isa/decoder.js';
import { EXTENSIONS, NO_EXTENSIONS } from '../../src/isa/extensions.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';
import {
  type Batch,
  classifierProgram,
  fullProcessor,
  ILLEGAL,
  plainProcessor,
  RECORD_SLOTS,
  referenceMissing,
  runOnReference,
} from './executor/executor.js';
import { RandomBits } from './floatVectors.js';

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

    describe('executed by the whole of Guesthouse', () => {
      // The same extensions on both sides.
      const model = [
        'rv64',
        ...EXTENSIONS.map(({ name, bit }) => `${name}=${full.extensions & bit ? 'on' : 'off'}`),
      ].join();
      const run = async (words: readonly number[]): Promise<{ theirs: number[]; ours: number[] }> => {
        const stdin = new Uint8Array(Uint32Array.from(words).buffer);
        const theirs = await runProgram(qemu!, ['-cpu', full.cpu, classifierProgram()], { stdin });
        const ours = await runGuest(['-cpu', model], classifierProgram(), [], { stdin });
        return { theirs: legality(theirs), ours: legality(ours) };
      };
      const legality = ({ stdout, code }: Run): number[] => {
        if (code !== 0) throw new Error(`the classifier ended with ${code}`);
        return Array.from(stdout, (c) => c.charCodeAt(0));
      };
      const agree = async (words: readonly number[]): Promise<void> => {
        const { theirs, ours } = await run(words);
        expect([theirs.length, ours.length]).toEqual([words.length, words.length]);
        expect(words.filter((_, i) => ours[i] !== theirs[i]).map((word) => word.toString(16))).toEqual([]);
        expect(new Set(ours)).toEqual(new Set([0, 1]));
      };
      /** Would never come back: jumps to itself or to the instructions just before it. */
      const loops = (word: number): boolean => {
        const decoded = decode(word);
        const { flow } = decoded?.instruction ?? {};
        return (flow === 'jump' || flow === 'branch') && decoded!.immediate <= 0 && decoded!.immediate >= -8;
      };

      it('every compressed encoding', async () => {
        const halves = Array.from({ length: 0x1_0000 }, (_, half) => half);
        await agree(halves.filter((half) => (half & 3) !== 3 && !loops(half)));
      }, 60_000);

      it('random words, and rows with a bit or two changed', async () => {
        const random = new RandomBits(9);
        const words = Array.from({ length: 30_000 }, () => (Number(random.next() >> 32n) | 3) >>> 0);
        for (let i = 0; i < 30_000; i++) {
          const { match, mask } = INSTRUCTIONS[random.below(INSTRUCTIONS.length)];
          const fields = Number(random.next() >> 32n) & ~mask;
          words.push(((match | fields) ^ (4 << random.below(30)) ^ (4 << random.below(40))) >>> 0);
        }
        // qemu 7.2 does some vector moves without the vector extension.
        const OP_V = 0x57;
        await agree(words.filter((word) => (word & 3) === 3 && (word & 0x7f) !== OP_V && !loops(word)));
      }, 60_000);
    });
  },
);
