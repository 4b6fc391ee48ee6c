import { describe, expect, test } from 'vitest';
import { INTEGER_REGISTERS } from '../../src/isa/disassembler.js';
import {
  ATTENTION_SIGNAL,
  EXIT_ATTENTION,
  EXIT_EBREAK,
  EXIT_ECALL,
  EXIT_FENCE_I,
  EXIT_FETCH,
  EXIT_READ_FAULT,
  EXIT_WRITE_FAULT,
  Thread,
} from '../../src/sync/records/thread.js';
import { CODE, DATA, register } from '../interpreter/runCode.js';
import { assemble } from '../isa/assembler.js';
import { TranslatedMachine, type TranslatedOptions } from './translatedMachine.js';

/** A machine with `source` at CODE (three pages) and data at DATA (four), all of whose jumps are hot at once. */
function machineWith(source: string, options?: TranslatedOptions): TranslatedMachine {
  const machine = new TranslatedMachine(options);
  machine.map(CODE, 0x3000, 'rx');
  machine.map(DATA, 0x4000);
  machine.write(CODE, assemble(source, CODE).bytes);
  machine.pc = CODE;
  return machine;
}

function set(machine: TranslatedMachine, name: string, value: number | bigint): void {
  machine.setX(INTEGER_REGISTERS.indexOf(name), BigInt(value));
}

const address = (source: string, label: string): number => assemble(source, CODE).labels.get(label)!;

describe('a hot place', () => {
  test.each([3, 20_000, 50_000])(
    'that is not translated at threshold %i is found hot again after 20,000 jumps',
    (threshold) => {
      class Untranslated extends TranslatedMachine {
        readonly found: number[] = [];
        override translate(): boolean {
          this.found.push(100_000 - Number(this.x(INTEGER_REGISTERS.indexOf('a1'))));
          return false;
        }
      }
      const machine = new Untranslated({ threshold });
      machine.map(CODE, 0x1000, 'rx');
      machine.write(CODE, assemble('loop:\n addi a1, a1, -1\n bnez a1, loop\n ebreak', CODE).bytes);
      machine.pc = CODE;
      set(machine, 'a1', 100_000);
      expect(machine.run()).toBe(EXIT_EBREAK);
      // Going on is a jump to the place as well.
      const expected: number[] = [];
      for (let at = threshold - 1; at < 100_000; at += 19_999) expected.push(at);
      expect(machine.found).toEqual(expected);
    },
  );
});

describe('loops', () => {
  const source = `
    loop:
      addi a0, a0, 1
      addi a1, a1, -1
      bnez a1, loop
      ebreak`;

  test('leave when their budget is used up, and come back', () => {
    const machine = machineWith(source, { budget: 100 });
    set(machine, 'a1', 100_000);
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(machine.regions.length).toBe(1);
    expect(register(machine, 'a0')).toBe(100_000n);
    expect(machine.instret).toBe(300_000);
  });

  test('with attention raised do nothing', () => {
    const machine = machineWith(source);
    set(machine, 'a1', 1000);
    expect(machine.run()).toBe(EXIT_EBREAK);
    machine.pc = CODE;
    set(machine, 'a1', 1000);
    machine.mem.atomicOr(machine.thread + Thread.attention, ATTENTION_SIGNAL);
    expect(machine.run()).toBe(EXIT_ATTENTION);
    expect(machine.pc).toBe(CODE);
    expect(register(machine, 'a1')).toBe(1000n);
  });
});

describe('a loop that adds and multiplies doubles', () => {
  const NUMBERS = 400;
  const source = `
    loop:
      fld fa1, 0(a0)
      fmul.d fa2, fa1, fa3
      fmadd.d fa0, fa1, fa3, fa0
      fsd fa2, 0(a0)
      addi a0, a0, 8
      bne a0, a1, loop
      ebreak`;

  /** The sum, flags and products when number `at` is no whole one, in rounding mode `frm`. */
  const results = (threshold: number, at: number, frm: number): unknown => {
    const machine = machineWith(source, { threshold, budget: 100_000 });
    const { mem, thread } = machine;
    for (let i = 0; i < NUMBERS; i++) mem.f64[machine.place(DATA + i * 8) / 8] = i === at ? 0.1 : (i % 9) - 4;
    set(machine, 'a0', DATA);
    set(machine, 'a1', DATA + NUMBERS * 8);
    mem.f64[(thread + Thread.f + 13 * 8) / 8] = 3;
    mem.setU32(thread + Thread.frm, frm);
    expect(machine.run()).toBe(EXIT_EBREAK);
    return {
      sum: machine.f(10),
      flags: mem.getU32(thread + Thread.fflags),
      products: Array.from({ length: NUMBERS }, (_, i) => mem.f64[machine.place(DATA + i * 8) / 8]),
      instructions: machine.instret,
    };
  };

  test.each([
    [NUMBERS, 0],
    [0, 0],
    [150, 0],
    [151, 0],
    [152, 0],
    [153, 0],
    [150, 1],
    [151, 3],
  ])('is right whether they are exact or not: number %i is not, mode %i', (at, frm) => {
    const expected = results(100_000, at, frm);
    expect(results(2, at, frm)).toEqual(expected);
    expect(expected).toMatchObject({ flags: at < NUMBERS ? 1 : 0 });
  });
});

describe('branches over a few instructions that only compute', () => {
  /** How many of the numbers below `rounds` have a bit set, and what is done for those. */
  const source = (branch: string): string => `
    loop:
      andi a5, a1, 4
      mv a6, a5
      ${branch}
      addi a0, a0, 1
      addiw a2, a2, -3
      addi a6, zero, 7
    over:
      add a3, a3, a6
      addi a1, a1, -1
      bnez a1, loop
      ebreak`;

  test.each([
    ['beqz a5, over', (n: number) => (n & 4) !== 0],
    ['bnez a5, over', (n: number) => (n & 4) === 0],
    // What it compares is written behind it.
    ['beqz a6, over', (n: number) => (n & 4) !== 0],
    ['bge a2, a5, over', undefined],
  ] as const)('%s', (branch, isDone) => {
    const rounds = 1003;
    const machine = machineWith(source(branch), { budget: 500 });
    set(machine, 'a1', rounds);
    set(machine, 'a2', 2n ** 40n);
    expect(machine.run()).toBe(EXIT_EBREAK);
    let [done, a2, a3] = [0, 2n ** 40n, 0];
    for (let n = rounds; n > 0; n--) {
      const a5 = n & 4;
      if (isDone === undefined ? a2 < BigInt(a5) : isDone(n)) {
        done++;
        a2 = BigInt.asIntN(32, a2 - 3n);
        a3 += 7;
      } else a3 += a5;
    }
    expect(machine.regions.length).toBe(1);
    expect(register(machine, 'a0')).toBe(BigInt(done));
    expect(register(machine, 'a2')).toBe(BigInt.asUintN(64, a2));
    expect(register(machine, 'a3')).toBe(BigInt(a3));
    expect(machine.instret).toBe(6 * rounds + 3 * done);
  });

  test('do not count what they skip when an access behind them faults', () => {
    const machine = machineWith(`
    loop:
      andi a5, a1, 1
      beqz a5, over
      addi a0, a0, 1
      addi a0, a0, 1
    over:
      ld a2, 0(a3)
      addi a3, a3, 8
      addi a1, a1, 1
      j loop`);
    set(machine, 'a3', DATA);
    expect(machine.run()).toBe(EXIT_READ_FAULT);
    const rounds = 0x4000 / 8;
    expect(register(machine, 'a0')).toBe(BigInt(rounds));
    expect(machine.instret).toBe(rounds * 7 + 2);
  });
});

test('cache blocks are zeroed by regions that access nothing else', () => {
  const source = `
    loop:
      cbo.zero (a0)
      addi a0, a0, 64
      bne a0, a4, loop
      ebreak`;
  const machine = machineWith(source);
  machine.write(DATA, new Uint8Array(0x1000).fill(0xff));
  set(machine, 'a0', DATA + 5);
  set(machine, 'a4', DATA + 5 + 0xf00);
  expect(machine.run()).toBe(EXIT_EBREAK);
  expect(machine.regions.length).toBe(1);
  expect(machine.read(DATA, 0x1000)).toEqual(new Uint8Array(0x1000).fill(0xff, 0xf00));
});

describe('faults', () => {
  const source = `
    loop:
      ld a2, 0(a0)
      add a3, a3, a2
      sd a3, 8(a0)
      addi a0, a0, 8
      addi a1, a1, 1
      bne a0, a4, loop
      ebreak`;

  test('leave the registers as they are before the instruction that faults', () => {
    const machine = machineWith(source);
    set(machine, 'a0', DATA);
    set(machine, 'a4', DATA + 0x5000);
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    // The last load stands in the last eight bytes, the store would be behind them.
    expect(machine.regions.length).toBeGreaterThan(0);
    expect(machine.pc).toBe(CODE + 8);
    expect(register(machine, 'a0')).toBe(BigInt(DATA + 0x3ff8));
    expect(register(machine, 'a1')).toBe(0x7ffn);
    expect(machine.exitAddress).toBe(BigInt(DATA + 0x4000));
    expect(machine.exitSize).toBe(8);
    expect(machine.instret).toBe(0x7ff * 6 + 2);
  });

  test('of pages that can only be read', () => {
    const machine = machineWith(source);
    set(machine, 'a0', DATA);
    set(machine, 'a4', DATA + 0x5000);
    machine.unmap(DATA + 0x1000, 'w');
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect(machine.exitAddress).toBe(BigInt(DATA + 0x1000));
    machine.unmap(DATA + 0x1000, 'r');
    set(machine, 'a0', DATA + 0x1000);
    machine.pc = CODE;
    expect(machine.run()).toBe(EXIT_READ_FAULT);
    expect(machine.pc).toBe(CODE);
  });

  test('between accesses that are translated together', () => {
    const frame = `
      loop:
        sd a0, 8(sp)
        sd a1, 16(sp)
        sd a2, 24(sp)
        ld a3, 8(sp)
        addi a1, a1, -1
        bnez a1, loop
        ebreak`;
    // The second store is the first in a page that is not there.
    const machine = machineWith(frame);
    set(machine, 'sp', DATA + 0x2000);
    set(machine, 'a1', 100);
    expect(machine.run()).toBe(EXIT_EBREAK);
    machine.unmap(DATA + 0x2000, 'w');
    machine.unmap(DATA + 0x2000, 'r');
    set(machine, 'sp', DATA + 0x2000 - 16);
    set(machine, 'a0', 0x1234);
    set(machine, 'a1', 100);
    machine.pc = CODE;
    expect(machine.run()).toBe(EXIT_WRITE_FAULT);
    expect(machine.pc).toBe(CODE + 4);
    expect(machine.read64(DATA + 0x2000 - 8)).toBe(0x1234n);
    expect(machine.exitAddress).toBe(BigInt(DATA + 0x2000));
  });

  test.each([0, 8, 0xff8, 0x1000 - 16, 0x1000 - 24, 4, 1])('frames at %i of a page', (offset) => {
    const frame = `
      loop:
        sd a0, 0(sp)
        sd a1, 8(sp)
        sw a1, 20(sp)
        ld a2, 0(sp)
        ld a3, 8(sp)
        lw a4, 20(sp)
        add a5, a5, a2
        add a5, a5, a3
        add a5, a5, a4
        addi a0, a0, 3
        addi a1, a1, -1
        bnez a1, loop
        ebreak`;
    const machine = machineWith(frame);
    set(machine, 'sp', DATA + 0x1000 + offset);
    set(machine, 'a1', 50);
    expect(machine.run()).toBe(EXIT_EBREAK);
    // Σ 3i + 2·Σ (50 − i)
    expect(register(machine, 'a5')).toBe(BigInt(3 * ((49 * 50) / 2) + 2 * ((50 * 51) / 2)));
  });
});

describe('calls', () => {
  const fibonacci = `
      call fib
      ebreak
    fib:
      addi a5, zero, 2
      blt a0, a5, leaf
      addi sp, sp, -16
      sd ra, 8(sp)
      sd a0, 0(sp)
      addi a0, a0, -1
      call fib
      ld a5, 0(sp)
      sd a0, 0(sp)
      addi a0, a5, -2
      call fib
      ld a5, 0(sp)
      add a0, a0, a5
      ld ra, 8(sp)
      addi sp, sp, 16
    leaf:
      ret`;

  test('that recurse', () => {
    const machine = machineWith(fibonacci);
    set(machine, 'sp', DATA + 0x3000);
    set(machine, 'a0', 20);
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(register(machine, 'a0')).toBe(6765n);
    expect(register(machine, 'sp')).toBe(BigInt(DATA + 0x3000));
  });

  test('that recurse deeper than regions may', () => {
    const source = `
        call down
        ebreak
      down:
        addi sp, sp, -16
        sd ra, 8(sp)
        addi a1, a1, 1
        addi a0, a0, -1
        beqz a0, up
        call down
      up:
        ld ra, 8(sp)
        addi a2, a2, 1
        addi sp, sp, 16
        ret`;
    const machine = machineWith(source);
    machine.map(DATA + 0x4000, 0x4_0000);
    for (const depth of [10, 199, 200, 201, 500, 10_000]) {
      machine.pc = CODE;
      set(machine, 'sp', DATA + 0x4_0000);
      set(machine, 'a0', depth);
      set(machine, 'a1', 0);
      set(machine, 'a2', 0);
      expect(machine.run()).toBe(EXIT_EBREAK);
      expect(machine.pc).toBe(CODE + 4);
      expect([register(machine, 'a1'), register(machine, 'a2')]).toEqual([BigInt(depth), BigInt(depth)]);
    }
    expect(machine.regions.length).toBeGreaterThan(0);
  });

  test('that come back somewhere else, past their callers', () => {
    const source = `
      again:
        addi s0, sp, 0
        call outer
      landing:
        addi a1, a1, 1
        addi a0, a0, -1
        bnez a0, again
        ebreak
      outer:
        addi sp, sp, -16
        sd ra, 0(sp)
        call inner
        addi a2, a2, 1
        ld ra, 0(sp)
        addi sp, sp, 16
        ret
      inner:
        addi sp, sp, -16
        sd ra, 0(sp)
        andi a3, a0, 1
        beqz a3, jump
        call leaf
        ld ra, 0(sp)
        addi sp, sp, 16
        ret
      jump:
        addi sp, s0, 0
        jalr zero, 0(s1)
      leaf:
        addi sp, sp, -16
        sd ra, 0(sp)
        ld ra, 0(sp)
        addi sp, sp, 16
        ret`;
    const machine = machineWith(source);
    set(machine, 'sp', DATA + 0x2000);
    set(machine, 's1', address(source, 'landing'));
    set(machine, 'a0', 1000);
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(register(machine, 'a1')).toBe(1000n);
    expect(register(machine, 'a2')).toBe(500n);
    expect(register(machine, 'sp')).toBe(BigInt(DATA + 0x2000));
  });
});

describe('switches', () => {
  // Far from each other the cases get no table of their own.
  for (const [distance, apart] of [
    ['', 'close together'],
    ['\nnop'.repeat(150), 'far from each other'],
  ])
    switches(distance, apart);
});

function switches(distance: string, apart: string): void {
  const source = `
    loop:
      andi a2, a0, 3
      slli a3, a2, 2
      add a3, s0, a3
      lw a3, 0(a3)
      add a3, a3, s0
      jalr zero, 0(a3)
    case0:
      addi a1, a1, 1
      j next${distance}
    case1:
      addi a1, a1, 10
      j next${distance}
    case2:
      addi a1, a1, 100
      j next${distance}
    case3:
      addi a1, a1, 1000
    next:
      addi a0, a0, -1
      bnez a0, loop
      ebreak`;

  const writeTable = (machine: TranslatedMachine, cases: readonly string[]): void => {
    const table = cases.map((label) => address(source, label) - DATA);
    machine.write(DATA, new Uint8Array(new Int32Array(table).buffer));
  };

  test(`whose cases are ${apart} go through their tables, also when those change`, () => {
    const machine = machineWith(source);
    // Close enough for the distances to be taken for a table.
    set(machine, 's0', DATA);
    writeTable(machine, ['case0', 'case1', 'case2', 'case3']);
    const run = (): bigint => {
      machine.pc = CODE;
      set(machine, 'a0', 400);
      set(machine, 'a1', 0);
      expect(machine.run()).toBe(EXIT_EBREAK);
      return register(machine, 'a1');
    };
    expect(run()).toBe(111_100n);
    expect(machine.regions.length).toBeGreaterThan(0);
    writeTable(machine, ['case3', 'case3', 'case0', 'next']);
    expect(run()).toBe(200_100n);
    writeTable(machine, ['case0', 'case1', 'case2', 'case3']);
    expect(run()).toBe(111_100n);
  });
}

describe('code that changes', () => {
  const source = `
    loop:
      addi a0, a0, 1
      addi a1, a1, -1
      bnez a1, loop
      ebreak`;
  const run = (machine: TranslatedMachine): bigint => {
    machine.pc = CODE;
    set(machine, 'a0', 0);
    set(machine, 'a1', 100);
    expect(machine.run()).toBe(EXIT_EBREAK);
    return register(machine, 'a0');
  };

  test('is translated anew when its page has been forgotten', () => {
    const machine = machineWith(source);
    expect(run(machine)).toBe(100n);
    const before = machine.regions.length;
    for (let step = 2; step < 6; step++) {
      machine.write(CODE, assemble(`addi a0, a0, ${step}`).bytes);
      machine.forgetCode(CODE);
      expect(run(machine)).toBe(BigInt(100 * step));
    }
    expect(machine.regions.length).toBe(before + 4);
  });

  test('is not run from a region that was made for another page', () => {
    const machine = machineWith(source);
    expect(run(machine)).toBe(100n);
    // The same CodePage at another address: its slots have the region, which is not for there.
    machine.alias(CODE, CODE + 0x10_0000);
    machine.pc = CODE + 0x10_0000;
    set(machine, 'a0', 0);
    set(machine, 'a1', 100);
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(machine.pc).toBe(CODE + 0x10_0000 + 12);
    expect(register(machine, 'a0')).toBe(100n);
  });

  test('leaves at fence.i and at system calls', () => {
    const machine = machineWith(`
      loop:
        addi a0, a0, 1
        fence.i
        ecall
        addi a1, a1, -1
        bnez a1, loop
        ebreak`);
    set(machine, 'a1', 50);
    for (let i = 0; i < 50; i++) {
      expect(machine.run()).toBe(EXIT_FENCE_I);
      expect(machine.pc).toBe(CODE + 8);
      expect(machine.run()).toBe(EXIT_ECALL);
      expect(machine.pc).toBe(CODE + 8);
      machine.pc += 4;
    }
    expect(machine.run()).toBe(EXIT_EBREAK);
    expect(register(machine, 'a0')).toBe(50n);
  });

  test('that straddles two pages, the second of which goes', () => {
    const at = CODE + 0xff6;
    const body = `
      loop:
        addi a0, a0, 1
        addi a1, a1, -1
        bnez a1, loop
        ebreak`;
    const machine = machineWith('nop');
    machine.write(at, assemble(body, at).bytes);
    const go = (): number => {
      machine.pc = at;
      set(machine, 'a0', 0);
      set(machine, 'a1', 100);
      return machine.run();
    };
    expect(go()).toBe(EXIT_EBREAK);
    expect(machine.regions.length).toBeGreaterThan(0);
    const second = machine.codePage(CODE + 0x1000);
    machine.unmap(CODE + 0x1000, 'x');
    expect(go()).toBe(EXIT_FETCH);
    expect(machine.pc).toBe(at + 8);
    expect(machine.exitAddress).toBe(BigInt(CODE + 0x1000));
    machine.setCodePage(CODE + 0x1000, second);
    expect(go()).toBe(EXIT_EBREAK);
    expect(register(machine, 'a0')).toBe(100n);
  });
});
