import { join } from 'node:path';
import { expect, test } from 'vitest';
import wabt from 'wabt';
import { CODE, DATA } from '../interpreter/runCode.js';
import { assemble } from '../isa/assembler.js';
import { TranslatedMachine } from './translatedMachine.js';

/** The text of what is emitted for small functions: to be read when it changes. */

const FUNCTIONS: Readonly<Record<string, string>> = {
  'sum of an array': `
    loop:
      ld a3, 0(a0)
      addi a0, a0, 8
      add a2, a2, a3
      bne a0, a1, loop
      ret`,
  // The guest code that spectral-norm programs have: entered at the one of the two ways that is gone.
  'two ways round a loop': `
    near:
      lw a4, 0(a0)
      addi a0, a0, 4
      beq a0, a1, out
    both:
      add a2, a2, a4
      bnez a3, near
      lw a4, 0(a0)
      addi a0, a0, 4
      bne a0, a1, both
    out:
      ret`,
  // A branch over what only computes.
  'a checksum': `
    loop:
      xor a5, a0, a1
      andi a5, a5, 1
      srli a0, a0, 1
      srli a1, a1, 1
      beqz a5, over
      xor a0, a0, a3
      slli a0, a0, 48
      srli a0, a0, 48
    over:
      addiw a4, a4, -1
      bnez a4, loop
      ret`,
  'save and restore': `
      addi sp, sp, -32
      sd ra, 24(sp)
      sd s0, 16(sp)
      addi s0, a0, 1
      add a0, s0, a1
      ld s0, 16(sp)
      ld ra, 24(sp)
      addi sp, sp, 32
      ret`,
  factorial: `
    factorial:
      beqz a0, leaf
      addi sp, sp, -16
      sd ra, 8(sp)
      sd a0, 0(sp)
      addi a0, a0, -1
      call factorial
      ld a5, 0(sp)
      mul a0, a0, a5
      ld ra, 8(sp)
      addi sp, sp, 16
      ret
    leaf:
      addi a0, a0, 1
      ret`,
  'an inlined leaf': `
      addi s0, ra, 0
      call leaf
      addi a0, a0, 1
      jalr zero, 0(s0)
    leaf:
      slli a0, a0, 1
      ret`,
  'multiply and add': `
      fmul.d fa0, fa1, fa2
      fadd.d fa0, fa0, fa3
      ret`,
  'a rotated word': `
      slliw a5, a0, 5
      srliw a0, a0, 27
      or a0, a0, a5
      addw a0, a0, a1
      ret`,
  'a function of a table': `
      addi s0, ra, 0
      auipc a5, 0
      addi a5, a5, 20
      jalr ra, 0(a5)
      jalr zero, 0(s0)
    none:
      addi a0, zero, 0
    leaf:
      addi a0, a0, 1
      ret`,
  'a lock': `
    again:
      lr.w.aq a5, (a0)
      bnez a5, again
      sc.w.rl a4, a1, (a0)
      bnez a4, again
      ret`,
};

const { readWasm } = await wabt();

test.each(Object.entries(FUNCTIONS))('%s', async (name, source) => {
  const machine = new TranslatedMachine({ threshold: 1 });
  machine.map(CODE, 0x1000, 'rx');
  machine.map(DATA, 0x1000);
  machine.write(CODE, assemble(source, CODE).bytes);
  // Only what has been executed is translated: here, all of it.
  for (let at = CODE; at < CODE + assemble(source, CODE).bytes.length; at += 4) machine.warm(at);
  expect(machine.translate(CODE)).toBe(true);
  const module = readWasm(machine.compiled[0], { threads: true, tail_call: true });
  module.applyNames();
  const file = `${name.replaceAll(' ', '-')}.wat`;
  await expect(module.toText({ foldExprs: true })).toMatchFileSnapshot(
    join(import.meta.dirname, 'golden', file),
  );
});
