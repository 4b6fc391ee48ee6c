import { describe, expect, test } from 'vitest';
import { expandCompressed } from '../../src/isa/compressed.js';
import { decode } from '../../src/isa/decoder.js';
import {
  ALL_EXTENSIONS,
  NO_EXTENSIONS,
  USUAL_EXTENSIONS,
  WITHOUT_C,
  withImplied,
  ZBB,
  ZBKB,
} from '../../src/isa/extensions.js';
import type { Instruction } from '../../src/isa/instruction.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';
import { assemble } from './assembler.js';

/** Zbb's zext.h is Zbkb's packw with x0. */
const isPack = ({ mnemonic }: Instruction): boolean => mnemonic === 'packw' || mnemonic === 'zext.h';

const mnemonicOf = (raw: number): string | undefined => decode(raw)?.instruction.mnemonic;

describe('the instruction table', () => {
  test('has semantics for every row', () => {
    expect(INSTRUCTIONS.filter((row) => !row.semantics).map((row) => row.mnemonic)).toEqual([]);
  });

  test('has match bits only under the mask, and no two rows for one word', () => {
    for (const a of INSTRUCTIONS) {
      expect((a.match & ~a.mask) >>> 0, a.mnemonic).toBe(0);
      for (const b of INSTRUCTIONS) {
        if (a === b || (isPack(a) && isPack(b))) continue;
        const common = a.mask & b.mask;
        expect(((a.match ^ b.match) & common) === 0, `${a.mnemonic} and ${b.mnemonic}`).toBe(false);
      }
    }
  });

  test('decodes each row as itself, whatever the operands', () => {
    for (const row of INSTRUCTIONS) {
      for (const fill of [0x0000_0000, 0xffff_ffff, 0x5555_5555, 0xaaaa_aaaa, 0x1234_5678]) {
        const word = ((fill & ~row.mask) | row.match) >>> 0;
        const rm = (word >>> 12) & 7;
        const named = isPack(row) && ((word >>> 20) & 31) === 0 ? 'zext.h' : row.mnemonic;
        const expected = row.usesRm && (rm === 5 || rm === 6) ? undefined : named;
        expect(mnemonicOf(word), word.toString(16)).toBe(expected);
      }
    }
  });
});

describe('extensions that share instructions', () => {
  const decoded = (text: string, extensions: number): boolean =>
    decode(new DataView(assemble(text).bytes.buffer).getUint32(0, true), extensions) !== undefined;

  test('either brings them', () => {
    for (const text of ['rol a0, a1, a2', 'andn a0, a1, a2', 'rev8 a0, a1']) {
      expect(decoded(text, withImplied(ZBB)), text).toBe(true);
      expect(decoded(text, withImplied(ZBKB)), text).toBe(true);
      expect(decoded(text, withImplied(USUAL_EXTENSIONS & ~ZBB)), text).toBe(false);
    }
    expect(decoded('pack a0, a1, a2', withImplied(ZBB))).toBe(false);
    expect(decoded('max a0, a1, a2', withImplied(ZBKB))).toBe(false);
  });

  test('without C, no halfword is an instruction', () => {
    for (let half = 0; half < 0x1_0000; half++)
      if ((half & 3) !== 3 && decode(half, ALL_EXTENSIONS | WITHOUT_C) !== undefined)
        throw new Error(half.toString(16));
    expect(decoded('addi a0, a1, 1', WITHOUT_C)).toBe(true);
  });
});

describe('immediates', () => {
  test.each([
    ['addi a0, a1, -2048', -2048],
    ['addi a0, a1, 2047', 2047],
    ['sd a0, -2048(a1)', -2048],
    ['sd a0, 2047(a1)', 2047],
    ['sd a0, 1365(a1)', 1365],
    ['lui a0, 0x80000', -0x8000_0000],
    ['auipc a0, 0x7ffff', 0x7fff_f000],
    ['beq a0, a1, -4096', -4096],
    ['beq a0, a1, 4094', 4094],
    ['beq a0, a1, 2730', 2730],
    ['jal a0, -1048576', -1048576],
    ['jal a0, 1048574', 1048574],
    ['jal a0, 699050', 699050],
    ['slli a0, a1, 63', 63],
    ['sraiw a0, a1, 31', 31],
    ['csrrwi a0, fcsr, 31', 31],
  ])('%s', (text, immediate) => {
    const word = new DataView(assemble(text).bytes.buffer).getUint32(0, true);
    expect(decode(word)?.immediate).toBe(immediate);
  });
});

describe('reserved and illegal encodings', () => {
  test.each([
    ['all zeros', 0x0000_0000],
    ['all ones', 0xffff_ffff],
    ['slliw with bit 25 of the shift amount', 0x0200_101b],
    ['srli with a bit above the shift amount', 0x0800_5013],
    ['lr.w with rs2', 0x1010_202f],
    ['amo of 8 bits', 0x0000_002f],
    ['fadd.s with rm 5', 0x0000_5053],
    ['fadd.s with rm 6', 0x0000_6053],
    ['fmadd of format 2', 0x0400_0043],
    ['csrrw to cycle', 0xc000_1073],
    ['csrrs to cycle from a register', 0xc000_a073],
    ['a CSR that is not there', 0x3000_2073],
    ['mret', 0x3020_0073],
    ['wfi', 0x1050_0073],
    ['a load of 16 bytes', 0x0000_7003],
    ['branch funct3 2', 0x0000_2063],
    ['jalr funct3 1', 0x0000_1067],
    ['48-bit encoding', 0x0000_001f],
  ])('%s', (_name, word) => {
    expect(decode(word, NO_EXTENSIONS)).toBeUndefined();
  });

  test.each([
    ['c.addi4spn of 0', 0x0000],
    ['c.addi4spn of 0 to a1', 0x000c],
    ['quadrant 0, funct3 4', 0x8000],
    ['c.addiw to x0', 0x2005],
    ['c.addi16sp of 0', 0x6101],
    ['c.lui of 0', 0x6081],
    ['c.lwsp to x0', 0x4002],
    ['c.ldsp to x0', 0x6002],
    ['c.jr x0', 0x8002],
    ['arithmetic with bit 12, funct2 2', 0x9c41],
    ['arithmetic with bit 12, funct2 3', 0x9c61],
  ])('%s', (_name, half) => {
    expect(decode(half, NO_EXTENSIONS)).toBeUndefined();
  });

  test('a compressed instruction ignores the halfword behind it', () => {
    expect(decode(0xffff_0001)).toEqual(decode(0x0001));
  });
});

describe('compressed instructions', () => {
  test('expand to instructions that exist, or to nothing', () => {
    for (let half = 0; half < 0x1_0000; half++) {
      if ((half & 3) === 3) continue;
      const word = expandCompressed(half);
      if (word !== 0) expect(decode(word), half.toString(16)).toBeDefined();
    }
  });

  // From `riscv64-linux-gnu-as` with the 32-bit forms written out.
  test.each([
    [0x1141, 'addi sp, sp, -16'],
    [0x0808, 'addi a0, sp, 16'],
    [0x1ffc, 'addi a5, sp, 1020'],
    [0x717d, 'addi sp, sp, -16'],
    [0x6139, 'addi sp, sp, 448'],
    [0x4501, 'addi a0, zero, 0'],
    [0x557d, 'addi a0, zero, -1'],
    [0x6505, 'lui a0, 1'],
    [0x757d, 'lui a0, 0xfffff'],
    [0x2505, 'addiw a0, a0, 1'],
    [0x852e, 'addi a0, a1, 0'],
    [0x952e, 'add a0, a0, a1'],
    [0x8d0d, 'sub a0, a0, a1'],
    [0x8d2d, 'xor a0, a0, a1'],
    [0x8d4d, 'or a0, a0, a1'],
    [0x8d6d, 'and a0, a0, a1'],
    [0x9d0d, 'subw a0, a0, a1'],
    [0x9d2d, 'addw a0, a0, a1'],
    [0x1502, 'slli a0, a0, 32'],
    [0x9101, 'srli a0, a0, 32'],
    [0x957d, 'srai a0, a0, 63'],
    [0x997d, 'andi a0, a0, -1'],
    [0x41c8, 'lw a0, 4(a1)'],
    [0x7dec, 'ld a1, 248(a1)'],
    [0x3de8, 'fld fa0, 248(a1)'],
    [0xc1c8, 'sw a0, 4(a1)'],
    [0xfdec, 'sd a1, 248(a1)'],
    [0xbde8, 'fsd fa0, 248(a1)'],
    [0x50fe, 'lw ra, 252(sp)'],
    [0x70fe, 'ld ra, 504(sp)'],
    [0x357e, 'fld fa0, 504(sp)'],
    [0xdf86, 'sw ra, 252(sp)'],
    [0xff86, 'sd ra, 504(sp)'],
    [0xbfaa, 'fsd fa0, 504(sp)'],
    [0xa001, 'jal zero, 0'],
    [0xb001, 'jal zero, -2048'],
    [0xaffd, 'jal zero, 2046'],
    [0xc101, 'beq a0, zero, 0'],
    [0xd101, 'beq a0, zero, -256'],
    [0xed7d, 'bne a0, zero, 254'],
    [0x8082, 'jalr zero, 0(ra)'],
    [0x9502, 'jalr ra, 0(a0)'],
    [0x9002, 'ebreak'],
  ])('%#x is %s', (half, text) => {
    const word = new DataView(assemble(text).bytes.buffer).getUint32(0, true);
    expect(expandCompressed(half).toString(16)).toBe(word.toString(16));
  });

  test('hints do nothing but decode', () => {
    for (const half of [0x0005, 0x4005, 0x6005, 0x0006, 0x800a, 0x9006]) {
      expect(decode(half)?.rd, half.toString(16)).toBe(0);
    }
  });
});
