import { setFlagsFromString } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { floatingPointSemantics, fusedSemantics } from '../../src/isa/floatingPoint.js';
import { executeFloat } from '../../src/isa/floatingPointExact.js';
import { probeFusedMultiplyAdd } from '../../src/isa/floatingPointProbe.js';
import { RECORD_SLOTS, SLOT_A, SLOT_FA } from './executor/executor.js';
import { FLOAT_INSTRUCTIONS, type FloatInstruction, floatRecords } from './floatInstructions.js';
import { compileTiers, DONE, GAVE_UP, ILLEGAL_ROUNDING } from './floatTiers.js';

// Before any WebAssembly is compiled, or Node 20 does not heed it.
setFlagsFromString('--experimental-wasm-relaxed-simd');
const usable = probeFusedMultiplyAdd();

// How many random operands an instruction gets; GUESTHOUSE_FLOAT_VECTORS=1000000 for a thorough run.
const RANDOM = Number(process.env.GUESTHOUSE_FLOAT_VECTORS ?? 3000);

/** Runs both tiers on every operand and flag state against the exact reference; returns how often the fast tier did it. */
function compareTiers(
  instruction: FloatInstruction,
  semantics: Parameters<typeof compileTiers>[0],
  records: BigUint64Array,
): { runs: number; fast: number } {
  const tiers = compileTiers(semantics);
  const { registers, words } = tiers;
  const source = instruction.fromInteger ? SLOT_A : SLOT_FA;
  let runs = 0;
  let fast = 0;
  for (let at = 0; at < records.length; at += RECORD_SLOTS) {
    const operands = records.subarray(at + source + 1, at + source + 4);
    for (const rm of [0, 0, 1, 2, 3, 4].slice(0, at % 4 === 0 ? 6 : 3)) {
      const status = { flags: 0 };
      const [a, b, c] = operands;
      const result = executeFloat(instruction.operation, rm, a, b, c, status);
      for (const before of [0, 1]) {
        for (const run of [tiers.fast, tiers.exact]) {
          registers.set(operands);
          registers[3] = 0xdeadn;
          words[8] = before;
          words[9] = rm;
          const outcome = run();
          if (run === tiers.fast) {
            runs++;
            if (outcome === GAVE_UP) {
              // Nothing may have changed: the exact tier begins anew.
              if (words[8] === before && registers[3] === 0xdeadn) continue;
            } else fast++;
          }
          if (outcome !== DONE || registers[3] !== result || words[8] !== (before | status.flags))
            expect.fail(
              `${instruction.name} rm ${rm} flags ${before} of ${[a, b, c].map((v) => v.toString(16))} ` +
                `${run === tiers.fast ? 'fast' : 'exact'}: outcome ${outcome}, ${registers[3].toString(16)} ` +
                `flags ${words[8]}, not ${result.toString(16)} flags ${before | status.flags}`,
            );
        }
      }
    }
  }
  return { runs, fast };
}

describe('the tiers of floating-point semantics against the exact slow path', () => {
  it.each(FLOAT_INSTRUCTIONS.map((i) => [i.name, i] as const))('%s', (name, instruction) => {
    const counted = compareTiers(
      instruction,
      floatingPointSemantics[name],
      floatRecords(instruction, 0, RANDOM),
    );
    // Else the comparison of the fast tier compared nothing.
    expect(counted.fast).toBeGreaterThan(counted.runs / 50);
  });

  it.each(['fadd', 'fsub', 'fmul', 'fmadd', 'fmsub', 'fnmsub', 'fnmadd'])(
    '%s never leaves the fast tier on small whole numbers, zero among them, whether NX is set or not',
    (operation) => {
      const view = new DataView(new ArrayBuffer(8));
      for (const suffix of ['s', 'd']) {
        const variants = [floatingPointSemantics[`${operation}.${suffix}`]];
        if (usable && `${operation}.${suffix}` in fusedSemantics)
          variants.push(fusedSemantics[`${operation}.${suffix}`]);
        for (const { fast, registers, words } of variants.map(compileTiers)) {
          for (let i = 0; i < 9 ** 3 * 2; i++) {
            [i % 9, Math.floor(i / 9) % 9, Math.floor(i / 81) % 9].forEach((number, k) => {
              if (suffix === 'd') view.setFloat64(0, number - 4);
              else view.setBigUint64(0, 0xffff_ffff_0000_0000n);
              if (suffix === 's') view.setFloat32(4, number - 4);
              registers[k] = view.getBigUint64(0);
            });
            words[8] = i & 1;
            words[9] = 0;
            expect(fast()).toBe(DONE);
            expect(words[8]).toBe(i & 1);
          }
        }
      }
    },
  );

  it('has semantics for every instruction that computes', () => {
    for (const { name } of FLOAT_INSTRUCTIONS) expect(floatingPointSemantics).toHaveProperty([name]);
  });

  it.each(FLOAT_INSTRUCTIONS.filter((i) => i.rounds).map((i) => [i.name, i] as const))(
    '%s refuses reserved dynamic rounding modes',
    (name, instruction) => {
      const tiers = compileTiers(floatingPointSemantics[name]);
      for (const rm of [5, 6, 7]) {
        for (const run of [tiers.fast, tiers.exact]) {
          tiers.words[9] = rm;
          // 3.0 or a boxed 3.0f, which no instruction finds extreme.
          tiers.registers.fill(instruction.width === 64 ? 0x4008_0000_0000_0000n : 0xffff_ffff_4040_0000n);
          expect(run()).toBe(ILLEGAL_ROUNDING);
        }
      }
    },
  );
});

describe.skipIf(!usable)(
  `semantics on f64x2.relaxed_madd${usable ? '' : ' (skipped: not fused here)'}`,
  () => {
    const fused = FLOAT_INSTRUCTIONS.filter((i) => i.name in fusedSemantics);
    it('covers fmul.d, fmadd.d and its kin', () => {
      expect(fused.map((i) => i.name)).toEqual(['fmul.d', 'fmadd.d', 'fmsub.d', 'fnmsub.d', 'fnmadd.d']);
    });
    it.each(fused.map((i) => [i.name, i] as const))('%s', (name, instruction) => {
      const counted = compareTiers(instruction, fusedSemantics[name], floatRecords(instruction, 0, RANDOM));
      expect(counted.fast).toBeGreaterThan(counted.runs / 50);
    });
  },
);
