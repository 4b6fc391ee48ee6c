import { describe, expect, it, test } from 'vitest';
import { INTEGER_REGISTERS } from '../../src/isa/disassembler.js';
import { WAY_MASK, WAY_SHIFT } from '../../src/jit/jumpProfile.js';
import { formRegion, type Region } from '../../src/jit/regionGraph.js';
import { EXIT_EBREAK } from '../../src/sync/records/thread.js';
import { CODE } from '../interpreter/runCode.js';
import { assemble } from '../isa/assembler.js';
import { TranslatedMachine } from './translatedMachine.js';

/** Goes round a1 times, to `even` and `odd` in turn through a register, and calls `leaf` or `other` through another one as a2 says. */
const SOURCE = `
  again:
    andi t3, a1, 1
    beqz t3, toEven
    mv a5, s3
    j go
  toEven:
    mv a5, s2
  go:
    jalr zero, 0(a5)
  odd:
    addi a0, a0, 1
    j call
  even:
    addi a0, a0, 3
  call:
    jalr ra, 0(a2)
    addi a1, a1, -1
    bnez a1, again
    ebreak
  leaf:
    addi a0, a0, 5
    jalr zero, 0(s4)
  end:
    addi a0, a0, 7
    ret
  other:
    addi a0, a0, 11
    ret`;
const { bytes, labels } = assemble(SOURCE, CODE);
const at = (label: string): number => labels.get(label)!;
const CALL = at('call');
const GO = at('go');
const TAIL = at('leaf') + 4;

function machineWith(quick: boolean, rounds: number): TranslatedMachine {
  const machine = new TranslatedMachine({ quick });
  machine.map(CODE, 0x1000, 'rx');
  machine.write(CODE, bytes);
  const set = (name: string, value: number): void =>
    machine.setX(INTEGER_REGISTERS.indexOf(name), BigInt(value));
  machine.pc = CODE;
  set('a1', rounds);
  set('a2', at('leaf'));
  set('s2', at('even'));
  set('s3', at('odd'));
  set('s4', at('end'));
  return machine;
}

describe.each([true, false])('jumps through registers, first tier %s', (quick) => {
  test('note where they go, and calls do where that is not known', () => {
    const machine = machineWith(quick, 40);
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(machine.x(INTEGER_REGISTERS.indexOf('a0'))).toBe(40n * 14n);
    expect(new Set(machine.jumps.targetsOf(GO))).toEqual(new Set([at('odd'), at('even')]));
    // The optimised region was formed knowing where the call goes, and has nothing to note.
    expect(machine.jumps.targetsOf(CALL)).toEqual(quick ? [at('leaf')] : []);
    expect(machine.jumps.targetsOf(at('end'))).toEqual([]);
  });

  test('go elsewhere when that is where they go', () => {
    const machine = machineWith(quick, 40);
    expect(machine.run()).toBe(EXIT_EBREAK);
    machine.pc = CODE;
    machine.setX(INTEGER_REGISTERS.indexOf('a1'), 10n);
    machine.setX(INTEGER_REGISTERS.indexOf('a2'), BigInt(at('other')));
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(machine.x(INTEGER_REGISTERS.indexOf('a0'))).toBe(40n * 14n + 10n * 13n);
    expect(machine.jumps.targetsOf(CALL)).toContain(at('other'));
  });
});

test('what was seen is forgotten after a while', () => {
  const machine = machineWith(true, 40);
  machine.run();
  machine.jumps.forget(50);
  expect(machine.jumps.targetsOf(CALL)).toHaveLength(1);
  machine.jumps.forget(150);
  expect(machine.jumps.targetsOf(CALL)).toHaveLength(0);
});

test('a region is followed by others where its jumps go as it expects, of which it notes nothing', () => {
  const { jumps, mem } = machineWith(true, 0);
  const note = (target: number): void => {
    const { address, tag } = jumps.cellsOf(GO);
    mem.set64(address + ((target << WAY_SHIFT) & WAY_MASK), target + tag);
  };
  const [odd, even, call, other] = [CODE, CODE + 4, CODE + 8, CODE + 12];
  expect(jumps.follow(GO)).toEqual([]);
  note(odd);
  expect(jumps.follow(GO)).toEqual([odd]);
  jumps.forget(150);
  expect(jumps.targetsOf(GO)).toEqual([]);
  expect(jumps.follow(GO)).toEqual([odd]);
  note(even);
  note(call);
  expect(new Set(jumps.follow(GO))).toEqual(new Set([odd, even, call]));
  // With too many places what was noted lately counts alone.
  jumps.forget(300);
  note(other);
  expect(jumps.follow(GO)).toEqual([other]);
  expect(jumps.follow(CALL)).toEqual([]);
});

describe('a region', () => {
  const code = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const inside = (pc: number): boolean => pc >= CODE && pc + 2 <= CODE + bytes.byteLength;
  const regionWith = (seen: ReadonlyMap<number, readonly number[]>): Region =>
    formRegion(CODE, {
      fetch: (pc) => (inside(pc) ? code.getUint16(pc - CODE, true) : undefined),
      isWarm: inside,
      load: () => undefined,
      seenFrom: (pc) => seen.get(pc) ?? [],
      registers: new Array(32).fill(0),
      extensions: -1,
    })!;
  const endingAt = ({ blocks }: Region, pc: number) =>
    blocks.find(({ instructions }) => instructions.at(-1)?.pc === pc)?.terminator;

  it('goes where jumps were seen to go', () => {
    expect(endingAt(regionWith(new Map()), GO)?.kind).toBe('indirect');
    const region = regionWith(new Map([[GO, [at('odd'), at('even')]]]));
    expect(endingAt(region, GO)).toMatchObject({ kind: 'switch' });
    expect(region.blocks.map(({ pc }) => pc)).toContain(at('even'));
  });

  it('comes back to the caller from what a copied function ends with', () => {
    const seen = new Map([
      [GO, [at('odd')]],
      [CALL, [at('leaf')]],
    ]);
    const unknown = endingAt(regionWith(seen), TAIL);
    expect(unknown).toMatchObject({ kind: 'call', copies: [], next: { pc: CALL + 4 } });
    const known = endingAt(regionWith(seen.set(TAIL, [at('end')])), TAIL);
    expect(known).toMatchObject({ kind: 'call', copies: [{ pc: at('end') }], next: { pc: CALL + 4 } });
  });
});
