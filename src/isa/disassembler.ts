import { decode } from './decoder.js';
import { ALL_EXTENSIONS, EXTENSIONS, withImplied } from './extensions.js';
import { loadableConstants } from './floatingPointAdditional.js';
import type { Decoded } from './instruction.js';

/** ABI names of x0 … x31. */
export const INTEGER_REGISTERS: readonly string[] = (
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 ' + 's2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'
).split(' ');

/** ABI names of f0 … f31. */
export const FLOAT_REGISTERS: readonly string[] = (
  'ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 ' +
  'fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11'
).split(' ');

const ROUNDING_MODES = ['rne', 'rtz', 'rdn', 'rup', 'rmm', '?', '?', 'dyn'];

/**
 * The instruction `raw` (32 bits, or a compressed one in the low 16) at guest address `pc` in assembler syntax, as
 * `objdump -d` shows it: ABI names, pseudo-instructions, branch targets as absolute addresses. An illegal one is shown
 * as data: `.4byte 0x…` or `.2byte 0x…`.
 */
export function disassemble(raw: number, pc: number): string {
  const decoded = decode(raw);
  if (!decoded) {
    return (raw & 3) === 3 ? `.4byte ${hex(raw >>> 0)}` : `.2byte ${hex(raw & 0xffff)}`;
  }
  return pseudo(decoded, pc) ?? plain(decoded, pc);
}

/**
 * Names of the extensions that the instruction `raw` needs and a processor with `extensions` does not have, one where any of several
 * will do; none when it is legal there, or nowhere.
 */
export function missingExtensions(raw: number, extensions: number): string[] {
  if (decode(raw, extensions) !== undefined || decode(raw) === undefined) return [];
  const one = EXTENSIONS.find(({ bit }) => decode(raw, withImplied(extensions | bit)) !== undefined);
  if (one !== undefined) return [one.name];
  return EXTENSIONS.filter(
    ({ bit }) => decode(raw, ALL_EXTENSIONS & ~bit) === undefined && !(extensions & bit),
  ).map(({ name }) => name);
}

const x = (register: number): string => INTEGER_REGISTERS[register];
const f = (register: number): string => FLOAT_REGISTERS[register];
const hex = (value: number): string => `0x${value.toString(16)}`;
/** A branch target, modulo 2^64 where it wraps. */
const address = (value: number): string =>
  value < 0 ? `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}` : hex(value);

/** The instruction as it is, operand by operand. */
function plain(decoded: Decoded, pc: number): string {
  const { instruction, word } = decoded;
  let [mnemonic, csr] = instruction.mnemonic.split(':');
  let operands = instruction.operands;
  if (operands.startsWith('A')) {
    operands = operands.slice(1);
    mnemonic += ['', '.rl', '.aq', '.aqrl'][(word >>> 25) & 3];
  }
  if (operands === '') return mnemonic;
  const shown: string[] = [];
  for (const kind of operands.split(',')) {
    const text = operand(kind, decoded, pc, csr);
    if (text !== '') shown.push(text);
  }
  return `${mnemonic} ${shown.join(',')}`;
}

function operand(kind: string, decoded: Decoded, pc: number, csr: string | undefined): string {
  const { instruction, rd, rs1, rs2, rs3, rm, immediate, word } = decoded;
  switch (kind) {
    case 'd':
      return x(rd);
    case 's':
      return x(rs1);
    case 't':
      return x(rs2);
    case 'D':
      return f(rd);
    case 'S':
      return f(rs1);
    case 'T':
      return f(rs2);
    case 'R':
      return f(rs3);
    case 'j':
    case 'Z':
      return String(immediate);
    case '>':
    case '<':
      return hex(immediate);
    case 'Y':
      return hex(immediate & 15);
    case 'u':
      return hex((immediate >>> 12) & 0xfffff);
    case 'V':
      return constant(
        loadableConstants(instruction.mnemonic.at(-1) as 's' | 'd' | 'h')[immediate],
        immediate,
      );
    case 'p':
    case 'a':
      return address(pc + immediate);
    case 'm':
      return rm === 7 || widens(decoded) ? '' : ROUNDING_MODES[rm];
    case '0(s)':
      return `(${x(rs1)})`;
    case 'o(s)':
    case 'q(s)':
      return `${immediate}(${x(rs1)})`;
    case 'E':
      return csr ?? '?';
    case 'P':
      return fenceSet(word >>> 24);
    default:
      return fenceSet(word >>> 20);
  }
}

/** A constant of fli: the least normal number has a name, others stand as C's %a and small ones as decimals would. */
function constant(value: number, number: number): string {
  if (number === 1) return 'min';
  if (number === 31) return 'nan';
  if (value === Infinity) return 'inf';
  return number >= 2 && number < 6
    ? `0x1p${Math.log2(value)}`
    : value.toFixed(Number.isInteger(value) ? 1 : 4).replace(/0+$/, '');
}

/** Conversions that never round: objdump does not show their rounding mode when it is the customary 0. */
function widens({ instruction, rm }: Decoded): boolean {
  return rm === 0 && /^fcvt\.(d\.(s|h|w|wu)|s\.h)$/.test(instruction.mnemonic);
}

function fenceSet(bits: number): string {
  const set = ['i', 'o', 'r', 'w'].filter((_, i) => bits & (8 >> i)).join('');
  return set === '' ? 'unknown' : set;
}

/** The customary shorter form, where there is one. */
function pseudo(decoded: Decoded, pc: number): string | undefined {
  const { instruction, rd, rs1, rs2, immediate, word } = decoded;
  const [mnemonic, csr] = instruction.mnemonic.split(':');
  const target = () => address(pc + immediate);
  switch (mnemonic) {
    case 'addi':
      if (word === 0x13) return 'nop';
      if (rs1 === 0) return `li ${x(rd)},${immediate}`;
      if (immediate === 0) return `mv ${x(rd)},${x(rs1)}`;
      return undefined;
    case 'addiw':
      return immediate === 0 ? `sext.w ${x(rd)},${x(rs1)}` : undefined;
    case 'ori': {
      // Zicbop's prefetches.
      const kind = { 0: 'i', 1: 'r', 3: 'w' }[immediate & 31];
      if (rd !== 0 || kind === undefined) return undefined;
      return `prefetch.${kind} ${immediate & ~31}(${x(rs1)})`;
    }
    case 'add.uw':
      return rs2 === 0 ? `zext.w ${x(rd)},${x(rs1)}` : undefined;
    case 'xori':
      return immediate === -1 ? `not ${x(rd)},${x(rs1)}` : undefined;
    case 'andi':
      return immediate === 255 ? `zext.b ${x(rd)},${x(rs1)}` : undefined;
    case 'sltiu':
      return immediate === 1 ? `seqz ${x(rd)},${x(rs1)}` : undefined;
    case 'sltu':
      return rs1 === 0 ? `snez ${x(rd)},${x(rs2)}` : undefined;
    case 'slt':
      if (rs2 === 0) return `sltz ${x(rd)},${x(rs1)}`;
      return rs1 === 0 ? `sgtz ${x(rd)},${x(rs2)}` : undefined;
    case 'sub':
      return rs1 === 0 ? `neg ${x(rd)},${x(rs2)}` : undefined;
    case 'subw':
      return rs1 === 0 ? `negw ${x(rd)},${x(rs2)}` : undefined;
    case 'beq':
    case 'bne':
      return rs2 === 0 ? `${mnemonic}z ${x(rs1)},${target()}` : undefined;
    case 'blt':
      if (rs2 === 0) return `bltz ${x(rs1)},${target()}`;
      return rs1 === 0 ? `bgtz ${x(rs2)},${target()}` : undefined;
    case 'bge':
      if (rs1 === 0) return `blez ${x(rs2)},${target()}`;
      return rs2 === 0 ? `bgez ${x(rs1)},${target()}` : undefined;
    case 'jal':
      if (rd === 0) return `j ${target()}`;
      return rd === 1 ? `jal ${target()}` : undefined;
    case 'jalr': {
      if (rd === 0 && rs1 === 1 && immediate === 0) return 'ret';
      const where = immediate === 0 ? x(rs1) : `${immediate}(${x(rs1)})`;
      if (rd === 0) return `jr ${where}`;
      if (rd === 1) return `jalr ${where}`;
      return immediate === 0 ? `jalr ${x(rd)},${where}` : undefined;
    }
    case 'fence':
      if (word === 0x0ff0000f) return 'fence';
      if (word === 0x8330000f) return 'fence.tso';
      return word === 0x0100000f ? 'pause' : undefined;
    case 'fsgnj.s':
    case 'fsgnj.d':
    case 'fsgnjn.s':
    case 'fsgnjn.d':
    case 'fsgnjx.s':
    case 'fsgnjx.d':
    case 'fsgnj.h':
    case 'fsgnjn.h':
    case 'fsgnjx.h': {
      const [operation, format] = mnemonic.split('.');
      const short = { fsgnj: 'fmv', fsgnjn: 'fneg', fsgnjx: 'fabs' }[operation];
      return rs1 === rs2 ? `${short}.${format} ${f(rd)},${f(rs1)}` : undefined;
    }
    case 'csrrs':
    case 'csrrw':
    case 'csrrc':
    case 'csrrsi':
    case 'csrrwi':
    case 'csrrci':
      return csrPseudo(decoded, mnemonic, csr);
  }
  return undefined;
}

/** frcsr, fsflags, rdtime, csrr and their kin. */
function csrPseudo(decoded: Decoded, mnemonic: string, csr: string): string | undefined {
  const { rd, rs1, immediate } = decoded;
  const float = { fflags: 'flags', frm: 'rm', fcsr: 'csr' }[csr];
  if (mnemonic === 'csrrs' && rs1 === 0) {
    return `${float ? `fr${float}` : `rd${csr}`} ${x(rd)}`;
  }
  if (mnemonic === 'csrrw') {
    return rd === 0 ? `fs${float} ${x(rs1)}` : `fs${float} ${x(rd)},${x(rs1)}`;
  }
  if (mnemonic === 'csrrwi' && float !== 'csr') {
    return rd === 0 ? `fs${float}i ${immediate}` : `fs${float}i ${x(rd)},${immediate}`;
  }
  if (rd !== 0) return undefined;
  const short = { csrrs: 'csrs', csrrc: 'csrc', csrrwi: 'csrwi', csrrsi: 'csrsi', csrrci: 'csrci' }[mnemonic];
  return `${short} ${csr},${mnemonic.endsWith('i') ? immediate : x(rs1)}`;
}
