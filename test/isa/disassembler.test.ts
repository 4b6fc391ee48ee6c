import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decode } from '../../src/isa/decoder.js';
import { disassemble } from '../../src/isa/disassembler.js';
import { ALL_EXTENSIONS, ZCB, ZFA, ZICOND } from '../../src/isa/extensions.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';
import { type DumpLine, hasObjdump, objdumpBytes, objdumpFile } from './objdump.js';

test.each([
  [0x00000013, 'nop'],
  [0x0001, 'nop'],
  [0x4505, 'li a0,1'],
  [0x852e, 'mv a0,a1'],
  [0x8082, 'ret'],
  [0x1101, 'addi sp,sp,-32'],
  [0x00008067, 'ret'],
  [0x00050067, 'jr a0'],
  [0x010500e7, 'jalr 16(a0)'],
  [0x0100006f, 'j 0x10010'],
  [0xff9ff0ef, 'jal 0xfff8'],
  [0x00b50463, 'beq a0,a1,0x10008'],
  [0xfe051ee3, 'bnez a0,0xfffc'],
  [0x00012537, 'lui a0,0x12'],
  [0x0005051b, 'sext.w a0,a0'],
  [0xfff54513, 'not a0,a0'],
  [0x40a00533, 'neg a0,a0'],
  [0x00153513, 'seqz a0,a0'],
  [0x0005b503, 'ld a0,0(a1)'],
  [0xfea5bc23, 'sd a0,-8(a1)'],
  [0x00d6262f, 'amoadd.w a2,a3,(a2)'],
  [0x06d6262f, 'amoadd.w.aqrl a2,a3,(a2)'],
  [0x1006252f, 'lr.w a0,(a2)'],
  [0x0ff0000f, 'fence'],
  [0x0310000f, 'fence rw,w'],
  [0xc0102573, 'rdtime a0'],
  [0x00301573, 'fscsr a0,zero'],
  [0x02b57553, 'fadd.d fa0,fa0,fa1'],
  [0xc2051553, 'fcvt.w.d a0,fa0,rtz'],
  [0x22b58553, 'fmv.d fa0,fa1'],
  [0x00000073, 'ecall'],
  [0x0000, '.2byte 0x0'],
  [0xffffffff, '.4byte 0xffffffff'],
])('%#x is shown as %s', (raw, text) => {
  expect(disassemble(raw, 0x10000)).toBe(text);
});

/**
 * objdump's text in our terms. Binutils before 2.42 names immediate forms like the register forms (`add a0,a0,1`), shows
 * hints by their compressed names, rejects what it does not know to be assembled, and takes any CSR number.
 */
function comparable({ text }: DumpLine): string | undefined {
  if (/^c\.|unknown|^csr\w+ .*0x|^(csr|fs|rd)/.test(text)) return undefined;
  return immediateForm(text).replace(/\b0x/g, '');
}

function immediateForm(text: string): string {
  if (/^(0x|\.[24]byte|\.half|\.short|\.word|unimp)/.test(text)) return 'illegal';
  return text
    .replace(/^(\w+) (\w+),(\w+),(-?\d+|0x[0-9a-f]+)$/, (whole, name: string, ...rest: string[]) => {
      if (!/^((add|xor|or|and|sll|srl|sra|slt|sltu|ror)w?|bclr|bext|binv|bset)$/.test(name)) return whole;
      const form = name === 'sltu' ? 'sltiu' : name.endsWith('w') ? `${name.slice(0, -1)}iw` : `${name}i`;
      return `${form} ${rest[0]},${rest[1]},${rest[2]}`;
    })
    .replace(/^mv (\w+),\1$/, 'addi $1,$1,0');
}

/** Legal here, as in QEMU and by the manual, though old binutils do not disassemble them. */
const MORE_THAN_OBJDUMP = /^(fence|fcvt\.d\.(s|h|w|wu)|fcvt\.s\.h|wrs)/;

/** What binutils knows since 2.41 or later: Zfa, Zicond, Zcb. */
const NEWER = ZFA | ZICOND | ZCB;
const newer = (raw: number): boolean =>
  decode(raw) !== undefined && decode(raw, ALL_EXTENSIONS & ~NEWER) === undefined;

function differences(lines: readonly DumpLine[]): string[] {
  const found: string[] = [];
  for (const line of lines) {
    const theirs = comparable(line);
    const ours = disassemble(line.raw, line.address);
    if (theirs === undefined || (theirs === 'illegal' && MORE_THAN_OBJDUMP.test(ours))) continue;
    if (theirs === 'illegal' && newer(line.raw)) continue;
    if (line.raw === 0x6101) continue; // c.addi16sp 0: reserved, shown all the same
    if (immediateForm(ours).replace(/\b0x/g, '') !== theirs) {
      found.push(`${line.raw.toString(16)}: ${ours} | ${line.text}`);
    }
  }
  return found;
}

function codeOf(words: readonly number[], size: 2 | 4): Uint8Array {
  return Uint8Array.from(
    words.flatMap((word) => [word, word >>> 8, word >>> 16, word >>> 24].slice(0, size).map((b) => b & 255)),
  );
}

describe.skipIf(!hasObjdump)('against riscv64-linux-gnu-objdump', () => {
  test('all compressed instructions', () => {
    const halves = Array.from({ length: 0x1_0000 }, (_, half) => half).filter((half) => (half & 3) !== 3);
    const lines = objdumpBytes(codeOf(halves, 2), 0x1000);
    expect(lines.length).toBe(halves.length);
    expect(differences(lines)).toEqual([]);
  });

  test('random operands of every instruction, and random words', () => {
    let seed = 1;
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return (seed ^ (seed >>> 15) ^ Math.imul(seed, 69069)) >>> 0;
    };
    const words = INSTRUCTIONS.flatMap(({ mask, match }) =>
      Array.from({ length: 50 }, () => ((random() & ~mask) | match) >>> 0),
    );
    for (let i = 0; i < 20_000; i++) words.push((random() | 3) >>> 0);
    const lines = objdumpBytes(codeOf(words, 4), 0x10_0000);
    expect(lines.length).toBeGreaterThan(INSTRUCTIONS.length * 50);
    expect(differences(lines)).toEqual([]);
  });

  const libc = '/usr/riscv64-linux-gnu/lib/libc.so.6';
  test.skipIf(!existsSync(libc))('a whole libc', () => {
    const lines = objdumpFile(libc);
    expect(lines.length).toBeGreaterThan(100_000);
    expect(differences(lines).slice(0, 20)).toEqual([]);
  });
});
