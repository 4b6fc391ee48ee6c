import { setFlagsFromString } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { NO_EXTENSIONS } from '../../src/isa/extensions.js';
import { fusedSemantics } from '../../src/isa/floatingPoint.js';
import { probeFusedMultiplyAdd } from '../../src/isa/floatingPointProbe.js';
import type { Instruction } from '../../src/isa/instruction.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';

import { batchesFor, compressedBatches, NOT_EXECUTED } from './differentialPrograms.js';
import {
  type Batch,
  fullProcessor,
  RECORD_SLOTS,
  referenceMissing,
  runOnReference,
} from './executor/executor.js';
import { InterpreterExecutor } from './executor/interpreterExecutor.js';

/** Every instruction of the decoder's table, on both sides: whatever registers, flags and memory come out must be the same. */

const SLOT_NAMES = 'fcsr a0 a1 a2 a3 fa0 fa1 fa2 fa3 m0 m1 m2 m3 m4 m5 m6 m7'.split(' ');

function describeDifference(batch: Batch, at: number, ours: BigUint64Array, theirs: BigUint64Array): string {
  const code = batch.code.map((word) => word.toString(16).padStart(8, '0')).join(' ');
  const row = (values: BigUint64Array) =>
    SLOT_NAMES.map((name, i) => `${name}=${values[at + i].toString(16)}`).join(' ');
  return `code ${code}\n before ${row(batch.records)}\n ours   ${row(ours)}\n qemu   ${row(theirs)}`;
}

function compare(machine: InterpreterExecutor, batches: readonly Batch[]): number {
  const references = runOnReference(batches, reference.cpu);
  let compared = 0;
  batches.forEach((batch, i) => {
    const ours = machine.run(batch);
    const theirs = references[i];
    for (let at = 0; at < ours.length; at += RECORD_SLOTS) {
      for (let slot = 0; slot < RECORD_SLOTS; slot++) {
        if (ours[at + slot] !== theirs[at + slot]) expect.fail(describeDifference(batch, at, ours, theirs));
      }
      compared++;
    }
  });
  return compared;
}

// Before any WebAssembly is compiled, or Node 20 does not heed it.
setFlagsFromString('--experimental-wasm-relaxed-simd');
const fusedHere = probeFusedMultiplyAdd();

const missing = referenceMissing();
const reference = missing === undefined ? fullProcessor() : { cpu: '', extensions: NO_EXTENSIONS };
const note = missing ? ` (skipped: ${missing})` : '';

describe.skipIf(missing !== undefined)(`the interpreter against qemu-riscv64${note}`, () => {
  const machine = new InterpreterExecutor();
  const known = INSTRUCTIONS.filter((row) => (row.extensions & ~reference.extensions) === 0);
  const rows = known.filter((row) => !(row.mnemonic in NOT_EXECUTED));

  it('leaves out only what is listed', () => {
    expect(known.length - rows.length).toBe(Object.keys(NOT_EXECUTED).length);
    expect(INSTRUCTIONS.filter((row: Instruction) => row.semantics === undefined)).toEqual([]);
  });

  it.each(rows.map((row) => [row.mnemonic, row] as const))(
    '%s',
    (_name, row) => {
      expect(compare(machine, batchesFor(row))).toBeGreaterThan(0);
    },
    60_000,
  );

  it('compressed instructions', () => {
    expect(compare(machine, compressedBatches(3, reference.extensions))).toBeGreaterThan(5000);
  }, 60_000);

  it.skipIf(!fusedHere)('fused multiply-add on f64x2.relaxed_madd', () => {
    const fused = new InterpreterExecutor({ fused: true });
    for (const row of rows)
      if (row.mnemonic in fusedSemantics) expect(compare(fused, batchesFor(row))).toBeGreaterThan(0);
  });
});
