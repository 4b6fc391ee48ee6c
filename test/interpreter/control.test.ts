import { describe, expect, test } from 'vitest';
import {
  ATTENTION_SIGNAL,
  EXIT_ATTENTION,
  EXIT_EBREAK,
  EXIT_ECALL,
  EXIT_FENCE_I,
  EXIT_FETCH,
  EXIT_ILLEGAL,
  Thread,
} from '../../src/sync/records/thread.js';
import { assemble } from '../isa/assembler.js';
import { BareMachine } from './bareMachine.js';
import { CODE, DATA, machineWith, register } from './runCode.js';

const BRANCHES: readonly (readonly [string, (a: bigint, b: bigint) => boolean])[] = [
  ['beq', (a, b) => a === b],
  ['bne', (a, b) => a !== b],
  ['blt', (a, b) => BigInt.asIntN(64, a) < BigInt.asIntN(64, b)],
  ['bge', (a, b) => BigInt.asIntN(64, a) >= BigInt.asIntN(64, b)],
  ['bltu', (a, b) => a < b],
  ['bgeu', (a, b) => a >= b],
];
const VALUES = [0n, 1n, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn];

describe('branches', () => {
  describe.each(BRANCHES)('%s', (name, taken) => {
    test.each([
      ['forward', CODE, CODE + 64],
      ['backward', CODE + 64, CODE],
      ['to the next page', CODE + 0xf00, CODE + 0x1004],
      ['to the page before', CODE + 0x1004, CODE + 0xf00],
    ])('%s', (_where, from, to) => {
      const machine = new BareMachine();
      machine.map(CODE, 0x2000, 'rx');
      machine.write(from, assemble(`${name} a1, a2, ${to - from}\necall`).bytes);
      machine.write(to, assemble('addi a0, a0, 1\nebreak').bytes);
      let retired = 0;
      for (const a of VALUES) {
        for (const b of VALUES) {
          machine.pc = from;
          machine.setX(10, 0n);
          machine.setX(11, a);
          machine.setX(12, b);
          const exit = machine.run();
          const goes = taken(a, b);
          expect(exit, `${a} ${b}`).toBe(goes ? EXIT_EBREAK : EXIT_ECALL);
          expect(machine.pc).toBe(goes ? to + 4 : from + 4);
          expect(machine.x(10)).toBe(goes ? 1n : 0n);
          retired += goes ? 2 : 1;
          expect(machine.instret).toBe(retired);
        }
      }
    });
  });

  test('compressed ones too: c.beqz, c.bnez, c.j', () => {
    // c.li a0,3; loop: c.addi a0,-1; c.bnez a0,loop; c.beqz a0,+4; c.ebreak; c.j +4; c.ebreak; c.ebreak
    const machine = machineWith('.half 0x450d, 0x157d, 0xfd7d, 0xc111, 0x9002, 0xa011, 0x9002, 0x9002');
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(machine.pc).toBe(CODE + 14);
    expect(machine.instret).toBe(1 + 6 + 2);
  });
});

describe('jumps', () => {
  test('jal links and jumps, near and far, forward and back', () => {
    const machine = machineWith(`
      jal ra, near
    back:
      jal s0, far
      ebreak
    near:
      jal t0, back
      .org ${CODE + 0x1800}
    far:
      ecall`);
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.pc).toBe(CODE + 0x1800);
    expect(register(machine, 'ra')).toBe(BigInt(CODE + 4));
    expect(register(machine, 't0')).toBe(BigInt(CODE + 16));
    expect(register(machine, 's0')).toBe(BigInt(CODE + 8));
    expect(machine.instret).toBe(3);
  });

  test('jalr clears bit 0, adds its offset, and reads rs1 before it links', () => {
    const machine = machineWith('jalr a0, 9(a0)\nebreak\necall\nebreak');
    machine.setX(10, BigInt(CODE));
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.pc).toBe(CODE + 8);
    expect(machine.x(10)).toBe(BigInt(CODE + 4));
  });

  test('c.jalr links two bytes on', () => {
    const machine = machineWith('.half 0x9582, 0x9002\necall');
    machine.setX(11, BigInt(CODE + 4));
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(register(machine, 'ra')).toBe(BigInt(CODE + 2));
  });

  test.each([
    ['a page without code', BigInt(DATA)],
    ['beyond the reach', 1n << 28n],
    ['the upper half', 0xffff_ffff_ffff_fffen],
    ['the low 32 bits of mapped code', (1n << 32n) + BigInt(CODE)],
  ])('to %s is a fetch exit at the target', (_name, target) => {
    const machine = machineWith('jalr ra, 0(a1)');
    machine.setX(11, target);
    expect(machine.run()).toBe(EXIT_FETCH);
    expect(machine.mem.u64[(machine.thread + Thread.pc) / 8]).toBe(target);
    expect(machine.exitAddress).toBe(target);
    expect(register(machine, 'ra')).toBe(BigInt(CODE + 4));
    expect(machine.instret).toBe(1);
  });

  test('run starts with a fetch exit where there is no code', () => {
    const machine = machineWith('');
    machine.pc = DATA;
    expect(machine.run()).toBe(EXIT_FETCH);
    expect(machine.exitAddress).toBe(BigInt(DATA));
  });
});

describe('from page to page', () => {
  const END = CODE + 0x1000;

  test('falls through, whatever the last instruction', () => {
    const machine = new BareMachine();
    machine.map(CODE, 0x2000, 'rx');
    machine.write(END - 8, assemble('addi a0, a0, 1\naddi a0, a0, 2\naddi a0, a0, 4\necall').bytes);
    machine.pc = END - 8;
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(10)).toBe(7n);
    expect(machine.pc).toBe(END + 4);
    expect(machine.instret).toBe(3);
  });

  test('falls off the end of code', () => {
    const machine = new BareMachine();
    machine.map(CODE, 0x1000, 'rx');
    machine.write(END - 4, assemble('addi a0, a0, 1').bytes);
    machine.pc = END - 4;
    expect(machine.run()).toBe(EXIT_FETCH);
    expect([machine.pc, machine.exitAddress, machine.instret]).toEqual([END, BigInt(END), 1]);
  });

  test.each([
    ['addi a0, a0, 1', END + 2],
    ['jal a0, 18', END + 16],
    ['beq zero, zero, 18', END + 16],
    ['bne zero, zero, 18', END + 2],
    ['jal a0, -62', END - 64],
    ['jalr a0, 0(a1)', CODE],
  ])('%s straddling two pages that are not neighbours in memory', (text, to) => {
    const machine = new BareMachine();
    machine.map(CODE, 0x2000, 'rx');
    machine.setX(11, BigInt(CODE));
    const ebreak = [0x02, 0x90];
    machine.write(END + 2, ebreak);
    machine.write(to, ebreak);
    machine.write(END - 4, [0x01, 0x00, ...assemble(text).bytes]); // c.nop before it
    for (let time = 1; time <= 2; time++) {
      machine.pc = END - 4;
      expect(machine.run()).toBe(EXIT_EBREAK);
      expect(machine.pc).toBe(to);
      expect(machine.instret).toBe(2 * time);
      if (/a0/.test(text) && text.startsWith('jal')) expect(machine.x(10)).toBe(BigInt(END + 2));
    }
    if (text.startsWith('addi')) expect(machine.x(10)).toBe(2n);
  });

  test('a straddling instruction whose second page is missing, then comes, then changes', () => {
    const machine = new BareMachine();
    machine.map(CODE, 0x1000, 'rx');
    const first = assemble('addi a0, a0, 1\necall').bytes;
    machine.write(END - 2, first.subarray(0, 2));
    machine.pc = END - 2;
    expect(machine.run()).toBe(EXIT_FETCH);
    expect([machine.pc, machine.exitAddress, machine.instret]).toEqual([END - 2, BigInt(END), 0]);
    machine.map(END, 0x1000, 'rx');
    machine.write(END, first.subarray(2));
    expect(machine.run()).toBe(EXIT_ECALL);
    expect(machine.x(10)).toBe(1n);
    expect(machine.pc).toBe(END + 2);
    // Another mapping behind it: the same first half becomes another instruction.
    machine.map(END, 0x1000, 'rx');
    machine.write(END, assemble('addi a0, a0, 100\nebreak').bytes.subarray(2));
    machine.pc = END - 2;
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(machine.x(10)).toBe(101n);
  });

  test('a straddling access that faults leaves the pc at its first half', () => {
    const machine = new BareMachine();
    machine.map(CODE, 0x2000, 'rx');
    machine.write(END - 2, assemble('ld a0, 0(a1)').bytes);
    machine.setX(11, BigInt(DATA));
    machine.pc = END - 2;
    expect(machine.run()).toBe(4);
    expect(machine.pc).toBe(END - 2);
  });

  test('a straddling illegal instruction', () => {
    const machine = new BareMachine();
    machine.map(CODE, 0x2000, 'rx');
    machine.write(END - 2, [0xff, 0xff, 0xff, 0xff]);
    machine.pc = END - 2;
    expect(machine.run()).toBe(EXIT_ILLEGAL);
    expect([machine.pc, machine.exitAddress, machine.exitSize]).toEqual([END - 2, 0xffff_ffffn, 4]);
  });
});

describe('jumping into the middle', () => {
  test('of a 32-bit instruction finds what is there', () => {
    // addi a0, a0, imm with the imm and rs1 halfword spelling c.li a1, 7 (0x459d).
    const word = 0x459d_0513;
    const machine = machineWith(`.word ${word}\nebreak`);
    expect(machine.run()).toBe(EXIT_EBREAK);
    machine.pc = CODE + 2;
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(register(machine, 'a1')).toBe(7n);
    expect(machine.instret).toBe(2);
  });
});

describe('exits', () => {
  test.each([
    ['ecall', EXIT_ECALL, 0],
    ['ebreak', EXIT_EBREAK, 0],
    ['fence.i', EXIT_FENCE_I, 4],
  ])('%s', (text, exit, past) => {
    const machine = machineWith(`nop\n${text}`);
    expect(machine.run()).toBe(exit);
    expect(machine.pc).toBe(CODE + 4 + past);
    expect(machine.instret).toBe(past === 0 ? 1 : 2);
  });

  test.each([
    ['.word 0xffffffff', 0xffff_ffffn, 4],
    ['.word 0x30200073', 0x3020_0073n, 4],
    ['.half 0, 0', 0n, 2],
    ['.half 0x8002, 0', 0x8002n, 2],
  ])('illegal: %s', (text, word, size) => {
    const machine = machineWith(`nop\n${text}`);
    for (let time = 0; time < 2; time++) {
      expect(machine.run()).toBe(EXIT_ILLEGAL);
      expect([machine.pc, machine.exitAddress, machine.exitSize]).toEqual([CODE + 4, word, size]);
      expect(machine.instret).toBe(1);
    }
  });

  test('new code is seen when its slots are cleared', () => {
    const machine = machineWith('addi a0, a0, 1\nfence.i\necall');
    machine.run();
    machine.write(CODE, assemble('addi a0, a0, 16').bytes);
    machine.makeExecutable(CODE);
    machine.pc = CODE;
    machine.run();
    expect(machine.x(10)).toBe(17n);
  });
});

describe('attention', () => {
  const raise = (machine: BareMachine): void => {
    machine.mem.atomicStore(machine.thread + Thread.attention, ATTENTION_SIGNAL);
  };

  test('is seen at the next run, before anything is done', () => {
    const machine = machineWith('addi a0, a0, 1\necall');
    raise(machine);
    expect(machine.run()).toBe(EXIT_ATTENTION);
    expect([machine.pc, machine.instret]).toEqual([CODE, 0]);
  });

  test.each([
    ['a backward branch', 'loop:\naddi a0, a0, 1\nsw a4, 0(a3)\nbeq zero, zero, loop', CODE, 3],
    ['a backward jal', 'loop:\naddi a0, a0, 1\nsw a4, 0(a3)\njal zero, loop', CODE, 3],
    ['jalr', 'sw a4, 0(a3)\njalr ra, 0(a5)', CODE + 0x100, 2],
    ['a far branch', `sw a4, 0(a3)\nbeq zero, zero, 4092\n`, CODE + 0x1000, 2],
  ])('is seen at %s, with the pc at the target', (_name, source, target, retired) => {
    // The program raises its own attention by a store to its own record, mapped for the purpose.
    const machine = machineWith(source);
    machine.map(DATA + 0x8000, 4096);
    const { mem, thread } = machine;
    const page = (DATA + 0x8000) >>> 12;
    const entry = (thread - (thread & 4095) - (DATA + 0x8000) + 1) >>> 0;
    mem.setU32(mem.getU32(thread + Thread.writeTable) + page * 4, entry);
    machine.setX(13, BigInt(DATA + 0x8000 + (thread & 4095) + Thread.attention));
    machine.setX(14, BigInt(ATTENTION_SIGNAL));
    machine.setX(15, BigInt(CODE + 0x100));
    expect(machine.run()).toBe(EXIT_ATTENTION);
    expect([machine.pc, machine.instret]).toEqual([target, retired]);
    mem.atomicStore(thread + Thread.attention, 0);
  });
});

test('a long loop is left and entered again on the way, and counts right', () => {
  const machine = machineWith(`
      lui a0, 0x100
    loop:
      addi a0, a0, -1
      bnez a0, loop
      ecall`);
  expect(machine.run()).toBe(EXIT_ECALL);
  expect(machine.instret).toBe(1 + 2 * 0x10_0000);
});
