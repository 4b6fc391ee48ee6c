import { describe, expect, test } from 'vitest';
import { INTEGER_REGISTERS } from '../../src/isa/disassembler.js';
import { analyse } from '../../src/jit/controlFlow.js';
import { guardLoops } from '../../src/jit/loopGuards.js';
import { EXIT_EBREAK, Thread } from '../../src/sync/records/thread.js';
import { BareMachine } from '../interpreter/bareMachine.js';
import { CODE, DATA } from '../interpreter/runCode.js';
import { assemble } from '../isa/assembler.js';
import { TranslatedMachine } from './translatedMachine.js';

/** Loops that go through several pages: their copies ask for pages only where those end, and do what the interpreter does. */

const PAGES = 6;

type Registers = Readonly<Record<string, number>>;

/** What the third page is: like the others; at another distance from its frame; read-only; absent. */
type Third = 'home' | 'elsewhere' | 'read-only' | 'absent';

function prepare(machine: BareMachine, source: string, third: Third, registers: Registers): void {
  const page = DATA + 0x2000;
  machine.map(CODE, 0x1000, 'rx');
  machine.map(DATA, PAGES * 0x1000, 'rw', true);
  if (third === 'elsewhere') machine.map(page, 0x1000);
  if (third === 'read-only' || third === 'absent') machine.unmap(page, 'w');
  if (third === 'absent') machine.unmap(page, 'r');
  for (let i = 0; i < PAGES * 0x1000; i += 8)
    if (machine.isMapped(DATA + i)) machine.write64(DATA + i, BigInt(i) * 0x9e37_79b9_7f4a_7c15n);
  machine.write(CODE, assemble(source, CODE).bytes);
  for (const [name, value] of Object.entries(registers))
    machine.setX(INTEGER_REGISTERS.indexOf(name), BigInt(value));
  machine.pc = CODE;
}

function stateOf(machine: BareMachine): unknown {
  return {
    pc: machine.pc.toString(16),
    x: Array.from({ length: 31 }, (_, i) => machine.x(i + 1).toString(16)),
    instret: machine.instret,
    exitAddress: machine.exitAddress.toString(16),
  };
}

/** Runs the source in both machines, one of which translates it, and compares what they have done. */
function compare(source: string, third: Third, registers: Registers, budget = 1000): void {
  const plain = new BareMachine();
  const translated = new TranslatedMachine({ budget });
  prepare(plain, source, third, registers);
  prepare(translated, source, third, registers);
  translated.homeEntry = translated.place(DATA) - DATA + 1;
  const exit = plain.run();
  const where = `${third}, ${JSON.stringify(registers)}\n${source}`;
  expect(translated.run(), where).toBe(exit);
  expect(translated.regions.length, where).toBeGreaterThan(0);
  if (exit !== EXIT_EBREAK) expect(plain.exitAddress).not.toBe(0n);
  expect(stateOf(translated), where).toEqual(stateOf(plain));
  for (let page = 0; page < PAGES; page++) {
    const at = DATA + page * 0x1000;
    if (plain.isMapped(at)) expect(translated.read(at, 0x1000), where).toEqual(plain.read(at, 0x1000));
  }
}

const THIRDS: readonly Third[] = ['home', 'elsewhere', 'read-only', 'absent'];

describe.each(THIRDS)('with a third page that is %s', (third) => {
  test.each([
    // Bytes at a time, and how far a round goes with each of two pointers, from where.
    [1, 1, 1, 0, 1],
    [1, -1, 1, 0x4fff, 3],
    [1, 3, 7, 5, 0],
    [2, 2, -2, 0x10, 0x4000],
    [4, 12, 4, 4, 8],
    [8, 8, 8, 0xff0, 0xff8],
    [8, -8, -8, 0x4008, 0x4010],
    [8, 40, 0, 0x18, 0x1000],
    [8, 256, -264, 0, 0x4ff8],
    [8, 1024, 8, 0x100, 0x200],
    // Not aligned once in a while.
    [4, 6, 4, 0, 0x800],
    [8, 0, 20, 0x1ff8, 0x4],
  ])('loops of %i bytes that go %i and %i from %i and %i', (size, one, other, from, to) => {
    const letter = { 1: 'b', 2: 'h', 4: 'w', 8: 'd' }[size];
    const source = `
      loop:
        l${letter} a2, 0(a0)
        add a3, a3, a2
        s${letter} a3, 0(a4)
        addi a0, a0, ${one}
        addi a4, a4, ${other}
        addi a1, a1, -1
        bnez a1, loop
        ebreak`;
    const farthest = Math.max(Math.abs(one), Math.abs(other));
    const rounds = Math.min(3000, Math.floor(0x3f00 / farthest));
    compare(source, third, { a0: DATA + from, a4: DATA + to, a1: rounds });
    compare(source, third, { a0: DATA + from, a4: DATA + to, a1: rounds }, 100_000);
  });

  test.each([0, 8, 0xfc8, 0xfe8, 0xff8])('loops whose rounds touch 56 bytes, from %i', (from) => {
    const source = `
      loop:
        ld a2, 0(a0)
        ld a3, 48(a0)
        add a5, a5, a2
        xor a5, a5, a3
        sd a5, 24(a0)
        addi a0, a0, 16
        addi a1, a1, -1
        bnez a1, loop
        ebreak`;
    compare(source, third, { a0: DATA + from, a1: 1000 });
  });

  test('loops with a pointer that a register moves, and one that moves now and then', () => {
    const source = `
      loop:
        ld a2, 0(a0)
        ld a3, 0(a4)
        sd a3, 0(a6)
        add a0, a0, t0
        addi a4, a4, 8
        andi a5, a2, 1
        beqz a5, over
        addi a6, a6, 8
        sub a7, a7, a2
        sub a7, a7, a3
        mul a7, a7, a3
      over:
        addi a1, a1, -1
        bnez a1, loop
        ebreak`;
    for (const t0 of [0, 24, -8, 2048])
      compare(source, third, {
        a0: DATA + (t0 < 0 ? 0x5000 : 0x40),
        a4: DATA + 0x18,
        a6: DATA + 0x1800,
        a1: t0 === 2048 ? 7 : 600,
        t0,
      });
  });
});

test.each([0, 1])('loops that read and set the flags their copies rely on, which were %i', (nx) => {
  // Now and then NX is cleared; then an addition that is not exact must set it again, and one that is must not.
  const source = `
    loop:
      fld fa0, 0(a0)
      fadd.d fa1, fa1, fa0
      csrrs a2, fflags, zero
      add a3, a3, a2
      and a5, a1, a6
      csrrw zero, fflags, a5
      fmul.d fa2, fa0, fa0
      csrrs a2, fflags, zero
      xor a3, a3, a2
      slli a3, a3, 1
      addi a0, a0, 8
      addi a1, a1, -1
      bnez a1, loop
      ebreak`;
  for (const a6 of [1, 9, 31])
    for (const exact of [true, false]) {
      const plain = new BareMachine();
      const translated = new TranslatedMachine();
      for (const machine of [plain, translated]) {
        prepare(machine, source, 'home', { a0: DATA, a1: 500, a6 });
        machine.mem.setU32(machine.thread + Thread.fflags, nx);
        const doubles = new Float64Array(500).map((_, i) => (exact ? i : i / 7));
        machine.write(DATA, new Uint8Array(doubles.buffer));
      }
      translated.homeEntry = translated.place(DATA) - DATA + 1;
      expect(plain.run()).toBe(EXIT_EBREAK);
      expect(translated.run()).toBe(EXIT_EBREAK);
      expect(translated.regions.length).toBeGreaterThan(0);
      expect(stateOf(translated)).toEqual(stateOf(plain));
      const flags = [plain, translated].map(({ mem, thread }) => mem.getU32(thread + Thread.fflags));
      expect(flags[1]).toBe(flags[0]);
    }
});

describe('nests of loops', () => {
  /** Sums of rows: what is hot first is where the inner loop begins, or where it has ended. */
  const source = `
    outer:
      slli a5, a4, 3
      add a5, a5, a0
      addi a6, a5, 96
    inner:
      ld a2, 0(a5)
      addi a5, a5, 8
      add a3, a3, a2
      sd a3, 0(a7)
      bne a5, a6, inner
    behind:
      addi a7, a7, 8
      addi a4, a4, 12
      addi a1, a1, -1
      bnez a1, outer
      ebreak`;
  const { labels } = assemble(source, CODE);

  test.each(['outer', 'inner', 'behind'])('that are entered at %s', (label) => {
    const registers = { a0: DATA, a4: 0, a7: DATA + 0x4000, a1: 150 };
    const plain = new BareMachine();
    const translated = new TranslatedMachine({ threshold: 1_000_000 });
    for (const machine of [plain, translated]) prepare(machine, source, 'home', registers);
    translated.homeEntry = translated.place(DATA) - DATA + 1;
    // All of it has been executed once.
    for (const label of labels.values()) translated.warm(label);
    expect(translated.translate(labels.get(label)!)).toBe(true);
    expect(plain.run()).toBe(EXIT_EBREAK);
    expect(translated.run()).toBe(EXIT_EBREAK);
    expect(stateOf(translated)).toEqual(stateOf(plain));
    expect(translated.read(DATA, 0x5000)).toEqual(plain.read(DATA, 0x5000));
    // Whichever way the region is entered the inner loop has its copies, in which the two accesses ask nothing.
    const { order } = analyse(guardLoops(translated.regions[0].entry, true));
    const inner = order.filter(({ pc }) => pc === labels.get('inner'));
    const asked = inner.map(({ steady }) => steady?.accesses.filter((access) => access !== undefined).length);
    expect(asked.filter((accesses) => accesses === 2).length).toBe(4);
  });

  test('whose inner loop has two ways round, one of which the region begins with', () => {
    // What spectral-norm programs are: the loop around it must not be taken for the inner one.
    const source = `
      outer:
        addi a5, a0, 0
        addi a4, zero, 12
        j both
      near:
        ld a2, 0(a5)
        addi a5, a5, 8
        add a3, a3, a2
        beqz a4, done
      again:
        addi a4, a4, -1
      both:
        add a7, a7, a4
        bnez a6, near
        ld a2, 8(a5)
        addi a5, a5, 8
        xor a3, a3, a2
        bnez a4, again
      done:
        sd a3, 0(a0)
        addi a0, a0, 8
        addi a1, a1, -1
        bnez a1, outer
        ebreak`;
    const { labels } = assemble(source, CODE);
    const near = labels.get('near')!;
    for (const a6 of [0, 1])
      for (const label of labels.keys()) {
        const plain = new BareMachine();
        const translated = new TranslatedMachine({ threshold: 1_000_000 });
        for (const machine of [plain, translated])
          prepare(machine, source, 'home', { a0: DATA, a1: 150, a6 });
        translated.homeEntry = translated.place(DATA) - DATA + 1;
        // The way that is not gone has not been executed.
        for (const [name, at] of labels) if (name !== 'near' || a6 === 1) translated.warm(at);
        if (a6 === 0 && label === 'near') continue;
        expect(translated.translate(labels.get(label)!), label).toBe(true);
        expect(plain.run()).toBe(EXIT_EBREAK);
        expect(translated.run()).toBe(EXIT_EBREAK);
        expect(stateOf(translated), label).toEqual(stateOf(plain));
        if (label !== 'near') continue;
        const { order } = analyse(guardLoops(translated.regions[0].entry, true));
        const copies = order.filter(({ pc, steady }) => pc === near && steady !== undefined);
        expect(copies.length).toBeGreaterThan(1);
      }
  });
});
