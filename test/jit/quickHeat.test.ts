import { expect, test } from 'vitest';
import { REGION_DEPTH } from '../../src/interpreter/regionDepth.js';
import { INTEGER_REGISTERS } from '../../src/isa/disassembler.js';
import { EXIT_EBREAK } from '../../src/sync/records/thread.js';
import { HOT_AGAIN, QUICK_INSTRUCTIONS } from '../../src/sync/records/translation.js';
import { CODE } from '../interpreter/runCode.js';
import { assemble } from '../isa/assembler.js';
import { TranslatedMachine } from './translatedMachine.js';

/** Calls `sum` a1 times, which goes round its loop a2 times; the loop has three instructions. */
const SOURCE = `
  again:
    mv a3, a2
    jal ra, sum
    addi a1, a1, -1
    bnez a1, again
    ebreak
  sum:
    li a4, 0
  loop:
    add a4, a4, a3
    addi a3, a3, -1
    bnez a3, loop
    add a0, a0, a4
    ret`;
const { bytes, labels } = assemble(SOURCE, CODE);
const SUM = labels.get('sum')!;
const LOOP = labels.get('loop')!;
const ROUNDS = 200;

function machineWith(threshold: number, program: Uint8Array = bytes): TranslatedMachine {
  const machine = new TranslatedMachine({ quick: true, threshold });
  machine.map(CODE, 0x1000, 'rx');
  machine.write(CODE, program);
  return machine;
}

function run(machine: TranslatedMachine, calls: number): void {
  machine.pc = CODE;
  for (const [name, value] of [
    ['a0', 0],
    ['a1', calls],
    ['a2', ROUNDS],
  ] as const)
    machine.setX(INTEGER_REGISTERS.indexOf(name), BigInt(value));
  expect(machine.run()).toBe(EXIT_EBREAK);
  expect(machine.x(INTEGER_REGISTERS.indexOf('a0'))).toBe(BigInt(calls * ((ROUNDS * (ROUNDS + 1)) / 2)));
}

test('a region of the first tier becomes hot by its instructions, however seldom it is entered', () => {
  const threshold = 1000;
  const machine = machineWith(threshold);
  run(machine, 1);
  for (const pc of [SUM, CODE]) expect(machine.translate(pc)).toBe(true);
  const hot = (): number => machine.hotPlaces.filter((pc) => pc === SUM).length;
  const counted = (calls: number): number => (calls * ROUNDS * 3) / QUICK_INSTRUCTIONS;
  const few = Math.floor((threshold * 0.8) / counted(1));
  run(machine, few);
  expect(hot()).toBe(0);
  run(machine, few);
  expect(hot()).toBe(1);
  // And again and again.
  const often = 5;
  run(machine, Math.ceil((often * HOT_AGAIN) / counted(1)));
  // Its entries count as well.
  expect(hot() - 1).toBeGreaterThanOrEqual(often - 1);
  expect(hot() - 1).toBeLessThanOrEqual(often + 1);
});

test('what is done in a loop does not speak for the end of the function that is laid before it', () => {
  const source = SOURCE.replace(
    /loop:.*/s,
    `
    j loop
  done:
    add a0, a0, a4
    ret
  loop:
    beqz a3, done
    add a4, a4, a3
    addi a3, a3, -1
    j loop`,
  );
  const program = assemble(source, CODE);
  const sum = program.labels.get('sum')!;
  const machine = machineWith(1000, program.bytes);
  run(machine, 1);
  for (const pc of [sum, CODE]) expect(machine.translate(pc)).toBe(true);
  run(machine, Math.ceil((2 * 1000 * QUICK_INSTRUCTIONS) / (ROUNDS * 4)));
  expect(machine.hotPlaces).toContain(sum);
  expect(machine.hotPlaces).not.toContain(program.labels.get('done')!);
});

test('a loop that has a region of the second tier is gone on with there', () => {
  const machine = machineWith(0xffff);
  run(machine, 1);
  machine.quick = false;
  expect(machine.translate(LOOP)).toBe(true);
  const set = (name: string, value: number): void =>
    machine.setX(INTEGER_REGISTERS.indexOf(name), BigInt(value));
  set('a0', 0);
  set('a3', 10);
  set('a4', 0);
  set('ra', CODE + 4);
  const round = machine.transfers.round as (
    thread: number,
    depth: number,
    pc: bigint,
    done: number,
  ) => number;
  round(machine.thread, REGION_DEPTH - 1, BigInt(LOOP), 0);
  // It has been to the end of the loop and returned, without the interpreter.
  expect(machine.x(INTEGER_REGISTERS.indexOf('a0'))).toBe(55n);
  expect(machine.pc).toBe(CODE + 4);
});
