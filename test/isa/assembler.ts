import { FLOAT_REGISTERS, INTEGER_REGISTERS } from '../../src/isa/disassembler.js';
import type { Instruction } from '../../src/isa/instruction.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';

/**
 * A small assembler for tests, driven by the same table as the decoder: one instruction a line, `label:` lines, `#`
 * comments, `.half`/`.word`/`.dword` data, `.align`, and a few pseudo-instructions. Registers by ABI name.
 */
export interface Program {
  readonly bytes: Uint8Array;
  readonly labels: ReadonlyMap<string, number>;
}

const registers = new Map<string, number>();
for (const names of [INTEGER_REGISTERS, FLOAT_REGISTERS]) {
  names.forEach((name, i) => {
    registers.set(name, i);
  });
}
registers.set('fp', 8);

const rows = new Map<string, Instruction>();
for (const instruction of INSTRUCTIONS) rows.set(instruction.mnemonic, instruction);

const ROUNDING_MODES = ['rne', 'rtz', 'rdn', 'rup', 'rmm', '5', '6', 'dyn'];

/** Assembles `source` to run at `base`. */
export function assemble(source: string, base = 0): Program {
  const lines = source
    .split('\n')
    .flatMap((line) => line.replace(/#.*/, '').split(';'))
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const labels = new Map<string, number>();
  // Two passes: sizes never depend on operands.
  let bytes: number[] = [];
  for (let pass = 0; pass < 2; pass++) {
    bytes = [];
    for (const line of lines) {
      const label = /^(\w+):$/.exec(line);
      if (label) labels.set(label[1], base + bytes.length);
      else bytes.push(...assembleLine(line, base + bytes.length, labels));
    }
  }
  return { bytes: Uint8Array.from(bytes), labels };
}

function little(value: number | bigint, length: number): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  return Array.from({ length }, () => {
    const byte = Number(rest & 0xffn);
    rest >>= 8n;
    return byte;
  });
}

function assembleLine(line: string, pc: number, labels: ReadonlyMap<string, number>): number[] {
  const space = line.search(/\s/);
  const name = space < 0 ? line : line.slice(0, space);
  const text = space < 0 ? '' : line.slice(space).trim();
  const operands = text === '' ? [] : text.split(/\s*,\s*/);
  switch (name) {
    case '.half':
      return operands.flatMap((value) => little(BigInt(value), 2));
    case '.word':
      return operands.flatMap((value) => little(BigInt(value), 4));
    case '.dword':
      return operands.flatMap((value) => little(BigInt(value), 8));
    case '.org': {
      const to = Number(operands[0]);
      return new Array(to - pc).fill(0);
    }
    case 'nop':
      return assembleLine('addi zero, zero, 0', pc, labels);
    case 'c.nop':
      return little(0x0001, 2);
    case 'li':
      return loadImmediate(operands[0], operands[1]).flatMap((each) => assembleLine(each, pc, labels));
    case 'mv':
      return assembleLine(`addi ${operands[0]}, ${operands[1]}, 0`, pc, labels);
    case 'j':
      return assembleLine(`jal zero, ${operands[0]}`, pc, labels);
    case 'call':
      return assembleLine(`jal ra, ${operands[0]}`, pc, labels);
    case 'ret':
      return assembleLine('jalr zero, 0(ra)', pc, labels);
    case 'beqz':
      return assembleLine(`beq ${operands[0]}, zero, ${operands[1]}`, pc, labels);
    case 'bnez':
      return assembleLine(`bne ${operands[0]}, zero, ${operands[1]}`, pc, labels);
  }
  return little(encode(name, operands, pc, labels), 4);
}

/** li of a 32-bit constant, always two instructions, so that sizes are known. */
function loadImmediate(rd: string, text: string): string[] {
  const value = Number(text);
  if (value !== (value | 0)) throw new Error(`li ${text}: 32 bits only`);
  const low = (value << 20) >> 20;
  return [`lui ${rd}, ${((value - low) >>> 12) & 0xfffff}`, `addiw ${rd}, ${rd}, ${low}`];
}

function encode(
  name: string,
  operands: readonly string[],
  pc: number,
  labels: ReadonlyMap<string, number>,
): number {
  const suffix = /\.(aqrl|aq|rl)$/.exec(name);
  let row = rows.get(suffix ? name.slice(0, -suffix[0].length) : name);
  if (!row && /^csrr/.test(name)) row = rows.get(`${name}:${operands[1]}`);
  if (!row) throw new Error(`unknown instruction ${name}`);
  let word = row.match;
  if (suffix) word |= { aq: 2, rl: 1, aqrl: 3 }[suffix[1] as 'aq'] << 25;
  const kinds = row.operands.replace('A', '').split(',').filter(Boolean);
  let given = 0;
  const register = (text: string): number => {
    const number = registers.get(text);
    if (number === undefined) throw new Error(`${name}: no register ${text}`);
    return number;
  };
  const number = (text: string): number => {
    const value = Number(text);
    if (Number.isNaN(value)) throw new Error(`${name}: not a number: ${text}`);
    return value;
  };
  const target = (text: string): number =>
    (labels.get(text) ?? (/^[-\d]/.test(text) ? pc + number(text) : pc)) - pc;
  for (const kind of kinds) {
    const text = operands[given++];
    if (text === undefined) {
      if (kind === 'm') word |= 7 << 12;
      else if (kind === 'P' || kind === 'Q') word |= kind === 'P' ? 0xf << 24 : 0xf << 20;
      else throw new Error(`${name}: operand missing`);
      continue;
    }
    const memory = /^(.*)\((\w+)\)$/.exec(text);
    switch (kind) {
      case 'd':
      case 'D':
        word |= register(text) << 7;
        break;
      case 's':
      case 'S':
        word |= register(text) << 15;
        break;
      case 't':
      case 'T':
        word |= register(text) << 20;
        break;
      case 'R':
        word |= register(text) << 27;
        break;
      case 'm':
        word |= ROUNDING_MODES.indexOf(text) << 12;
        break;
      case 'j':
        word |= number(text) << 20;
        break;
      case '>':
      case '<':
      case 'Y':
        word |= number(text) << 20;
        break;
      case 'u':
        word |= number(text) << 12;
        break;
      case 'Z':
        word |= number(text) << 15;
        break;
      case 'E':
        break;
      case 'o(s)':
      case '0(s)':
        word |= (register(memory![2]) << 15) | (number(memory![1] || '0') << 20);
        break;
      case 'q(s)': {
        const offset = number(memory![1] || '0');
        word |= (register(memory![2]) << 15) | ((offset & 31) << 7) | ((offset >> 5) << 25);
        break;
      }
      case 'p': {
        const d = target(text);
        word |=
          (((d >> 12) & 1) << 31) | (((d >> 5) & 63) << 25) | (((d >> 1) & 15) << 8) | (((d >> 11) & 1) << 7);
        break;
      }
      case 'a': {
        const d = target(text);
        word |=
          (((d >> 20) & 1) << 31) | (((d >> 1) & 0x3ff) << 21) | (((d >> 11) & 1) << 20) | (d & 0xff000);
        break;
      }
      default:
        throw new Error(`${name}: operand kind ${kind}`);
    }
  }
  return word >>> 0;
}
