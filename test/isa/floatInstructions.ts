import {
  FLOAT_ADD,
  FLOAT_CLASS,
  FLOAT_CONVERT,
  FLOAT_DIV,
  FLOAT_DOUBLE,
  FLOAT_EQ,
  FLOAT_FROM_L,
  FLOAT_FROM_LU,
  FLOAT_FROM_W,
  FLOAT_FROM_WU,
  FLOAT_LE,
  FLOAT_LT,
  FLOAT_MADD,
  FLOAT_MAX,
  FLOAT_MIN,
  FLOAT_MSUB,
  FLOAT_MUL,
  FLOAT_NMADD,
  FLOAT_NMSUB,
  FLOAT_SQRT,
  FLOAT_SUB,
  FLOAT_TO_L,
  FLOAT_TO_LU,
  FLOAT_TO_W,
  FLOAT_TO_WU,
} from '../../src/isa/floatingPointExact.js';
import { RECORD_SLOTS, SLOT_A, SLOT_FA, SLOT_FCSR } from './executor/executor.js';
import { EDGES_32, EDGES_64, interesting, RandomBits, register } from './floatVectors.js';

/** Every F and D instruction that computes: how to encode it over a0-a3/fa0-fa3, and the exact operation it must agree with. */
export interface FloatInstruction {
  readonly name: string;
  /** Encoding with rd = a0/fa0, rs1 = a1/fa1, rs2 = a2/fa2, rs3 = a3/fa3, rm = 0. */
  readonly word: number;
  readonly operation: number;
  readonly width: 32 | 64;
  readonly operands: 1 | 2 | 3;
  readonly rounds: boolean;
  readonly fromInteger: boolean;
  readonly toInteger: boolean;
}

const OP_FP = 0x53;

function opFp(funct5: number, double: boolean, rs2: number, funct3 = 0): number {
  const fmt = double ? 1 : 0;
  return ((funct5 << 27) | (fmt << 25) | (rs2 << 20) | (11 << 15) | (funct3 << 12) | (10 << 7) | OP_FP) >>> 0;
}

function list(): FloatInstruction[] {
  const all: FloatInstruction[] = [];
  for (const double of [false, true]) {
    const suffix = double ? 'd' : 's';
    const width = double ? 64 : 32;
    const fmt = double ? FLOAT_DOUBLE : 0;
    const add = (
      name: string,
      word: number,
      operation: number,
      operands: 1 | 2 | 3,
      rounds: boolean,
      kind: '' | 'from' | 'to' = '',
    ) =>
      all.push({
        name,
        word,
        operation: operation | fmt,
        width,
        operands,
        rounds,
        fromInteger: kind === 'from',
        toInteger: kind === 'to',
      });
    add(`fadd.${suffix}`, opFp(0, double, 12), FLOAT_ADD, 2, true);
    add(`fsub.${suffix}`, opFp(1, double, 12), FLOAT_SUB, 2, true);
    add(`fmul.${suffix}`, opFp(2, double, 12), FLOAT_MUL, 2, true);
    add(`fdiv.${suffix}`, opFp(3, double, 12), FLOAT_DIV, 2, true);
    add(`fsqrt.${suffix}`, opFp(0x0b, double, 0), FLOAT_SQRT, 1, true);
    add(`fmin.${suffix}`, opFp(5, double, 12, 0), FLOAT_MIN, 2, false);
    add(`fmax.${suffix}`, opFp(5, double, 12, 1), FLOAT_MAX, 2, false);
    add(`fle.${suffix}`, opFp(0x14, double, 12, 0), FLOAT_LE, 2, false, 'to');
    add(`flt.${suffix}`, opFp(0x14, double, 12, 1), FLOAT_LT, 2, false, 'to');
    add(`feq.${suffix}`, opFp(0x14, double, 12, 2), FLOAT_EQ, 2, false, 'to');
    add(`fclass.${suffix}`, opFp(0x1c, double, 0, 1), FLOAT_CLASS, 1, false, 'to');
    const to = [FLOAT_TO_W, FLOAT_TO_WU, FLOAT_TO_L, FLOAT_TO_LU];
    const from = [FLOAT_FROM_W, FLOAT_FROM_WU, FLOAT_FROM_L, FLOAT_FROM_LU];
    ['w', 'wu', 'l', 'lu'].forEach((type, i) => {
      add(`fcvt.${type}.${suffix}`, opFp(0x18, double, i), to[i], 1, true, 'to');
      add(`fcvt.${suffix}.${type}`, opFp(0x1a, double, i), from[i], 1, true, 'from');
    });
    const fused = [FLOAT_MADD, FLOAT_MSUB, FLOAT_NMSUB, FLOAT_NMADD];
    ['fmadd', 'fmsub', 'fnmsub', 'fnmadd'].forEach((name, i) => {
      const word =
        ((13 << 27) | ((double ? 1 : 0) << 25) | (12 << 20) | (11 << 15) | (10 << 7) | (0x43 + 4 * i)) >>> 0;
      add(`${name}.${suffix}`, word, fused[i], 3, true);
    });
  }
  // fcvt.s.d and fcvt.d.s carry the destination's format; the operation carries the source's.
  all.push({
    name: 'fcvt.s.d',
    word: opFp(8, false, 1),
    operation: FLOAT_CONVERT | FLOAT_DOUBLE,
    width: 64,
    operands: 1,
    rounds: true,
    fromInteger: false,
    toInteger: false,
  });
  all.push({
    name: 'fcvt.d.s',
    word: opFp(8, true, 0),
    operation: FLOAT_CONVERT,
    width: 32,
    operands: 1,
    rounds: true,
    fromInteger: false,
    toInteger: false,
  });
  return all;
}

export const FLOAT_INSTRUCTIONS: readonly FloatInstruction[] = list();

/** The instruction's word with a rounding mode in its rm field. */
export function withRoundingMode(instruction: FloatInstruction, rm: number): number {
  return (instruction.word | (rm << 12)) >>> 0;
}

/** Operand records of one instruction: edges against edges, then random ones. Flags start clear. */
export function floatRecords(
  instruction: FloatInstruction,
  frm: number,
  randomCount: number,
): BigUint64Array {
  const random = new RandomBits(instruction.word ^ frm);
  const edges = instruction.width === 32 ? EDGES_32 : EDGES_64;
  const rows: bigint[][] = [];
  if (instruction.operands === 1) for (const a of edges) rows.push([a]);
  else for (const a of edges) for (const b of edges) rows.push([a, b]);
  const width = instruction.fromInteger ? 64 : instruction.width;
  for (let i = 0; i < randomCount; i++)
    rows.push([interesting(random, width), interesting(random, width), interesting(random, width)]);
  if (instruction.fromInteger) {
    for (let i = 0; i < 64; i++)
      for (const d of [-1n, 0n, 1n]) rows.push([BigInt.asUintN(64, (1n << BigInt(i)) + d)]);
    for (let i = 0; i < randomCount; i++) rows.push([random.next() >> BigInt(random.below(64))]);
  }
  const records = new BigUint64Array(rows.length * RECORD_SLOTS);
  rows.forEach((row, i) => {
    const at = i * RECORD_SLOTS;
    records[at + SLOT_FCSR] = BigInt(frm << 5);
    for (let k = 0; k < 3; k++) {
      const bits = row[k] ?? interesting(random, width);
      if (instruction.fromInteger) records[at + SLOT_A + 1 + k] = bits;
      else records[at + SLOT_FA + 1 + k] = register(random, instruction.width, bits);
    }
  });
  return records;
}
