import { expandCompressed } from '../../src/isa/compressed.js';
import { decode } from '../../src/isa/decoder.js';
import type { Decoded, Instruction } from '../../src/isa/instruction.js';
import { type Batch, RECORD_SLOTS, SLOT_A, SLOT_FA, SLOT_FCSR, SLOT_MEMORY } from './executor/executor.js';
import { FLOAT_INSTRUCTIONS, floatRecords } from './floatInstructions.js';
import { EDGES_32, EDGES_64, edgesOf, interesting, RandomBits, register } from './floatVectors.js';

/** Makes, from the rows of the decoder's table, the code and operands that differential tests run on both sides. */

const ALL = 0xffff_ffff_ffff_ffffn;
const INTEGER_EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  31n,
  32n,
  33n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0x7fffn,
  0x8000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0x8000_0001n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x5555_5555_5555_5555n,
  0xaaaa_aaaa_aaaa_aaaan,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0x8000_0000_0000_0001n,
  0xffff_ffff_7fff_ffffn,
  0xffff_ffff_8000_0000n,
  ALL - 1n,
  ALL,
];
const IMMEDIATE_EDGES = [0, 1, 2, 7, 8, 31, 32, 1023, 1024, 2047, -1, -2, -8, -1024, -2047, -2048];

/** Register numbers: rd, rs1, rs2, rs3 are a0 … a3 (fa0 … fa3) unless a variant says otherwise; a4 is memory. */
const RD = 10;
const RS1 = 11;
const RS2 = 12;
const RS3 = 13;
const BASE = 14;

const iType = (opcode: number, funct3: number, rd: number, rs1: number, immediate: number): number =>
  (opcode | (rd << 7) | (funct3 << 12) | (rs1 << 15) | (immediate << 20)) >>> 0;
const addi = (rd: number, rs1: number, immediate: number) => iType(0x13, 0, rd, rs1, immediate);
const sub = (rd: number, rs1: number, rs2: number) =>
  (0x4000_0033 | (rd << 7) | (rs1 << 15) | (rs2 << 20)) >>> 0;
const auipc = (rd: number) => (0x17 | (rd << 7)) >>> 0;
const jump = (distance: number) => encodeImmediate('J', distance) | 0x6f;

/** The bits of an immediate, placed as the kind says. */
export function encodeImmediate(kind: Instruction['immediate'], value: number): number {
  switch (kind) {
    case 'I':
      return (value << 20) >>> 0;
    case 'S':
      return (((value >> 5) << 25) | ((value & 31) << 7)) >>> 0;
    case 'B':
      return (
        (((value >> 12) << 31) |
          (((value >> 5) & 63) << 25) |
          (((value >> 1) & 15) << 8) |
          (((value >> 11) & 1) << 7)) >>>
        0
      );
    case 'U':
      return (value & 0xffff_f000) >>> 0;
    case 'J':
      return (
        (((value >> 20) << 31) |
          (((value >> 1) & 0x3ff) << 21) |
          (((value >> 11) & 1) << 20) |
          (((value >> 12) & 0xff) << 12)) >>>
        0
      );
    case 'shift6':
      return (value & 63) << 20;
    case 'shift5':
      return (value & 31) << 20;
    case 'csrImmediate':
      return (value & 31) << 15;
    case 'none':
      return 0;
  }
}

export interface Registers {
  readonly rd?: number;
  readonly rs1?: number;
  readonly rs2?: number;
}

/** The word of `row` with registers, immediate and rounding mode filled in. */
export function encode(row: Instruction, registers: Registers, immediate: number, rm: number): number {
  const { rd = RD, rs1 = RS1, rs2 = RS2 } = registers;
  return (
    (row.match |
      (row.usesRd ? rd << 7 : 0) |
      (row.usesRs1 ? rs1 << 15 : 0) |
      (row.usesRs2 ? rs2 << 20 : 0) |
      (row.usesRs3 ? RS3 << 27 : 0) |
      (row.usesRm ? rm << 12 : 0) |
      encodeImmediate(row.immediate, immediate)) >>>
    0
  );
}

/** Rows that no batch is made of, and why. */
export const NOT_EXECUTED: Readonly<Record<string, string>> = {
  ecall: 'a system call: kernel tests',
  ebreak: 'a signal: kernel tests',
  ctzw: 'qemu before 8.0 counts too far where the low word is zero: bitManipulation.test.ts',
};

/** Rows that only make sense in a sequence of their own. */
const isCounter = (row: Instruction) => /:(cycle|time|instret)$/.test(row.mnemonic);
const isLoadReserved = (row: Instruction) => row.mnemonic.startsWith('lr.');
const isStoreConditional = (row: Instruction) => row.mnemonic.startsWith('sc.');

function immediates(row: Instruction, random: RandomBits): number[] {
  switch (row.immediate) {
    case 'I':
    case 'S':
      return [...IMMEDIATE_EDGES, ...Array.from({ length: 6 }, () => random.below(4096) - 2048)];
    case 'U':
      return [0, 0x1000, 0x7fff_f000, -0x8000_0000, -0x1000, (random.below(1 << 20) << 12) | 0];
    case 'shift6':
      return [0, 1, 31, 32, 33, 62, 63, random.below(64)];
    case 'shift5':
      return [0, 1, 15, 30, 31, random.below(32)];
    case 'csrImmediate':
      return [0, 1, 2, 8, 15, 16, 31];
    default:
      return [0];
  }
}

/** Operand records for integer rows: edges against edges (a1, a2), then random ones; memory and f registers random. */
export function integerRecords(random: RandomBits, randomCount: number, edges = true): BigUint64Array {
  const pairs: [bigint, bigint][] = [];
  if (edges) for (const a of INTEGER_EDGES) for (const b of INTEGER_EDGES) pairs.push([a, b]);
  for (let i = 0; i < randomCount; i++)
    pairs.push([
      random.next() >> BigInt(random.below(64)),
      BigInt.asUintN(64, -(random.next() >> BigInt(random.below(64)))),
    ]);
  const records = new BigUint64Array(pairs.length * RECORD_SLOTS);
  pairs.forEach(([a, b], i) => {
    fillRecord(records.subarray(i * RECORD_SLOTS), random, a, b);
  });
  return records;
}

function fillRecord(record: BigUint64Array, random: RandomBits, a: bigint, b: bigint): void {
  record[SLOT_FCSR] = random.next() & 0x9fn; // frm 0 … 4 (3 of 8 become 4)
  record[SLOT_A] = random.next();
  record[SLOT_A + 1] = a;
  record[SLOT_A + 2] = b;
  record[SLOT_A + 3] = random.next();
  for (let i = 0; i < 4; i++) {
    const choice = random.below(4);
    record[SLOT_FA + i] =
      choice === 0
        ? random.next()
        : choice === 1
          ? 0xffff_ffff_0000_0000n | EDGES_32[random.below(EDGES_32.length)]
          : EDGES_64[random.below(EDGES_64.length)];
  }
  for (let i = 0; i < 8; i++)
    record[SLOT_MEMORY + i] =
      random.below(3) === 0 ? INTEGER_EDGES[random.below(INTEGER_EDGES.length)] : random.next();
}

/** Every batch for one row of the table. */
export function batchesFor(row: Instruction): Batch[] {
  const random = new RandomBits(row.index + 1);
  if (isCounter(row)) return counterBatches(row, random);
  if (isLoadReserved(row) || isStoreConditional(row)) return reservationBatches(row, random);
  if (row.flow === 'branch') return branchBatches(row, random);
  if (row.flow === 'jump' || row.flow === 'jumpRegister' || row.mnemonic === 'auipc')
    return addressBatches(row, random);
  if (row.memory) return memoryBatches(row, random);
  const float = FLOAT_INSTRUCTIONS.find(({ name }) => name === row.mnemonic);
  if (float) return floatBatches(row, float, random);
  if (/[DST]/.test(row.operands)) return otherFloatBatches(row, random);
  return plainBatches(row, random);
}

/** rd = x0, all registers the same, x0 as a source: what decoders and interpreters get wrong. */
const ALIASES: readonly Registers[] = [
  {},
  { rd: RS1 },
  { rd: RS2 },
  { rd: RD, rs1: RD, rs2: RD },
  { rs2: RS1 },
];
const X0_ALIASES: readonly Registers[] = [{ rd: 0 }, { rs1: 0 }, { rs2: 0 }, { rs1: 0, rs2: 0 }];

/** f0 is a register like any other, and not among those that records hold. */
function namesIntegers({ operands }: Instruction, { rd, rs1, rs2 }: Registers): boolean {
  return (
    (rd === undefined || operands.includes('d')) &&
    (rs1 === undefined || operands.includes('s')) &&
    (rs2 === undefined || operands.includes('t'))
  );
}

function plainBatches(row: Instruction, random: RandomBits): Batch[] {
  const batches: Batch[] = [];
  for (const immediate of immediates(row, random))
    for (const registers of [...ALIASES, ...X0_ALIASES.filter((alias) => namesIntegers(row, alias))]) {
      const whole = registers === ALIASES[0] && immediate === 0;
      const records = integerRecords(random, whole ? 400 : 40, whole);
      batches.push({ code: [encode(row, registers, immediate, 0)], records });
    }
  return batches;
}

function floatBatches(
  row: Instruction,
  float: (typeof FLOAT_INSTRUCTIONS)[number],
  random: RandomBits,
): Batch[] {
  const batches: Batch[] = [];
  const sprinkle = (records: BigUint64Array, frm?: number): BigUint64Array => {
    for (let at = 0; at < records.length; at += RECORD_SLOTS) {
      const mode = frm ?? random.below(5);
      records[at + SLOT_FCSR] = BigInt(
        (mode << 5) | (random.below(3) === 0 ? random.below(32) : random.below(2)),
      );
      records[at + SLOT_A] = random.next();
      records[at + SLOT_FA] = random.next();
    }
    return records;
  };
  const modes = row.usesRm ? [0, 1, 2, 3, 4, 7] : [0];
  for (const rm of modes) {
    batches.push({ code: [encode(row, {}, 0, rm)], records: sprinkle(floatRecords(float, 0, 300)) });
    for (const registers of ALIASES.slice(1)) {
      // Sources move to fa0 with the destination: the record's fa0 is made one of the operands.
      const records = sprinkle(floatRecords(float, 0, 100).slice(-100 * RECORD_SLOTS));
      for (let at = 0; at < records.length; at += RECORD_SLOTS) {
        records[at + SLOT_A] = records[at + SLOT_A + 1];
        records[at + SLOT_FA] = records[at + SLOT_FA + 1];
      }
      batches.push({ code: [encode(row, registers, 0, rm)], records });
    }
  }
  if (float.toInteger)
    batches.push({ code: [encode(row, { rd: 0 }, 0, 0)], records: sprinkle(floatRecords(float, 0, 20)) });
  if (row.usesRm) {
    // Reserved modes, static and dynamic.
    const few = () => floatRecords(float, 0, 4).slice(-4 * RECORD_SLOTS);
    for (const rm of [5, 6]) batches.push({ code: [encode(row, {}, 0, rm)], records: sprinkle(few()) });
    for (const frm of [5, 6, 7])
      batches.push({ code: [encode(row, {}, 0, 7)], records: sprinkle(few(), frm) });
  }
  return batches;
}

/** Rows of Zfa and Zfh, of any format: which one a source has is the last part of the mnemonic. */
function otherFloatBatches(row: Instruction, random: RandomBits): Batch[] {
  const width = ({ s: 32, d: 64, h: 16 } as const)[row.mnemonic.at(-1) as 's' | 'd' | 'h'] ?? 32;
  const edges = edgesOf(width);
  const batches: Batch[] = [];
  for (const rm of row.usesRm ? [0, 1, 2, 3, 4, 7] : [0])
    for (const registers of ALIASES.filter((alias) => row.usesRs2 || alias.rs2 === undefined)) {
      const records = integerRecords(random, registers === ALIASES[0] ? 700 : 100, registers === ALIASES[0]);
      for (let at = 0, i = 0; at < records.length; at += RECORD_SLOTS, i++) {
        const frm = BigInt(random.below(5) << 5);
        records[at + SLOT_FCSR] = frm | BigInt(random.below(3) === 0 ? random.below(32) : random.below(2));
        for (let k = 0; k < 4; k++) {
          const bits =
            registers === ALIASES[0] && k === 1 && i < edges.length
              ? edges[i]
              : random.below(3) === 0
                ? edges[random.below(edges.length)]
                : interesting(random, width);
          records[at + SLOT_FA + k] = register(random, width, bits);
        }
      }
      batches.push({ code: [encode(row, registers, 0, rm)], records });
    }
  return batches;
}

/** The base register is set to a4 minus the immediate, so that every immediate hits the record's memory, at any alignment. */
function memoryBatches(row: Instruction, random: RandomBits): Batch[] {
  const batches: Batch[] = [];
  const atomic = row.mnemonic.startsWith('amo');
  const size = memorySize(row);
  for (const immediate of immediates(row, random)) {
    if (immediate === -2048) continue; // its negation is not an immediate
    const offsets = atomic ? [0, size, -size] : [0, 1, 2, 3, 4, 5, 6, 7, -1, -8];
    for (const offset of offsets) {
      if (Math.abs(offset - immediate) > 2047) continue;
      const variants: Registers[] = atomic ? [{}, { rd: 0 }, { rd: RS1 }, { rd: RS2 }] : [{}];
      if (!atomic && /^[dD]/.test(row.operands))
        variants.push(row.operands[0] === 'd' ? { rd: 0 } : { rd: RS1 });
      if (!atomic && row.operands[0] === 't') variants.push({ rs2: 0 });
      for (const registers of variants) {
        const code = [addi(RS1, BASE, offset - immediate), encode(row, registers, immediate, 0)];
        if (atomic) code[1] |= random.below(4) << 25; // aq, rl
        // a1 holds an address, which differs between the machines.
        code.push(sub(RS1, RS1, registers.rd === RS1 && row.operands.includes('d') ? 0 : BASE));
        batches.push({ code, records: integerRecords(random, 12, atomic && offset === 0) });
      }
    }
  }
  return batches;
}

function memorySize(row: Instruction): number {
  return row.mnemonic.endsWith('.w') ? 4 : 8;
}

function reservationBatches(row: Instruction, random: RandomBits): Batch[] {
  const width = memorySize(row) === 4 ? 2 : 3;
  const aqrl = () => random.below(4) << 25;
  const at = BASE << 15;
  const lr = (rd: number) => (0x1000_002f | aqrl() | (width << 12) | at | (rd << 7)) >>> 0;
  const sc = (rd: number, rs2: number) =>
    (0x1800_002f | aqrl() | (width << 12) | at | (rd << 7) | (rs2 << 20)) >>> 0;
  const store = (rs2: number) => (0x23 | (width << 12) | at | (rs2 << 20)) >>> 0;
  const records = () => integerRecords(random, 200, false);
  return [
    { code: [lr(RD), sc(RS1, RS2)], records: records() },
    { code: [lr(RD), store(RS3), sc(RS1, RS2)], records: records() },
    { code: [lr(RD), store(RD), sc(RS1, RS2)], records: records() },
    { code: [lr(0), sc(0, 0)], records: records() },
    // The reservation is gone after any sc.
    { code: [lr(RD), sc(RS1, RS2), sc(RS3, RD)], records: records() },
    // Another address: fails, and ends the reservation.
    {
      code: [lr(RD), addi(BASE, BASE, 8), sc(RS1, RS2), addi(BASE, BASE, -8), sc(RS3, RS2)],
      records: records(),
    },
    { code: [sc(RD, RS1)], records: records() },
  ];
}

function branchBatches(row: Instruction, random: RandomBits): Batch[] {
  const skip = (registers: Registers, distance: number) => encode(row, registers, distance, 0);
  const far = 64;
  return [
    // Forwards over one instruction, and further.
    { code: [skip({}, 8), addi(RD, RD, 1), addi(RD, RD, 2)], records: integerRecords(random, 200) },
    {
      code: [skip({}, far * 4), ...new Array(far - 1).fill(addi(RD, RD, 1)), addi(RD, RD, 2)],
      records: integerRecords(random, 50),
    },
    // Backwards.
    {
      code: [jump(12), addi(RD, RD, 4), jump(12), skip({}, -8), addi(RD, RD, 1)],
      records: integerRecords(random, 200),
    },
    { code: [skip({ rs2: 0 }, 8), addi(RD, RD, 1)], records: integerRecords(random, 100) },
    { code: [skip({ rs1: 0 }, 8), addi(RD, RD, 1)], records: integerRecords(random, 100) },
    { code: [skip({ rs2: RS1 }, 8), addi(RD, RD, 1)], records: integerRecords(random, 10) },
  ];
}

/** Results that are addresses are made relative to one taken nearby. */
function addressBatches(row: Instruction, random: RandomBits): Batch[] {
  const few = () => integerRecords(random, 8, false);
  if (row.mnemonic === 'auipc')
    return immediates(row, random).map((immediate) => ({
      code: [encode(row, {}, immediate, 0), auipc(RS1), sub(RD, RD, RS1), addi(RS1, 0, 0)],
      records: few(),
    }));
  if (row.flow === 'jump')
    return [RD, 0].map((rd) => ({
      code: [
        encode(row, { rd }, 8, 0),
        addi(RS2, RS2, 1),
        auipc(RS1),
        ...(rd === 0 ? [] : [sub(RD, RD, RS1)]),
        addi(RS1, 0, 0),
      ],
      records: few(),
    }));
  const batches: Batch[] = [];
  for (const distance of [16, 17, 2047, -2048, -1]) {
    // a1 = pc + 16 − distance: the target is the instruction behind the next one, whatever its lowest bit.
    const first = [auipc(RS1), addi(RS1, RS1, 2000), addi(RS1, RS1, 20 - 2000 - (distance & ~1))];
    if (Math.abs(20 - 2000 - (distance & ~1)) > 2047) {
      first[1] = addi(RS1, RS1, distance < 0 ? 1000 : -1000);
      first[2] = addi(RS1, RS1, 20 - (distance < 0 ? 1000 : -1000) - (distance & ~1));
      if (Math.abs(20 - (distance < 0 ? 1000 : -1000) - (distance & ~1)) > 2047) continue;
    }
    for (const rd of [RD, RS1, 0])
      batches.push({
        code: [
          ...first,
          encode(row, { rd }, distance, 0),
          addi(RS2, RS2, 1),
          auipc(RS3),
          ...(rd === 0 ? [] : [sub(rd, rd, RS3)]),
          ...(rd === RS1 ? [] : [addi(RS1, 0, 0)]),
          addi(RS3, 0, 0),
        ],
        records: few(),
      });
  }
  return batches;
}

function counterBatches(row: Instruction, random: RandomBits): Batch[] {
  // What they count differs: all that is compared is that they are legal, and do not run backwards.
  const read = encode(row, {}, 0, 0);
  const again = encode(row, { rd: RS1 }, 0, 0);
  const sltu = (0x3033 | (RD << 7) | (RS1 << 15) | (RD << 20)) >>> 0;
  return [{ code: [read, again, sltu, addi(RS1, 0, 0)], records: integerRecords(random, 4, false) }];
}

const USABLE = new Set([2, 10, 11, 12, 13]);

/**
 * Batches for compressed instructions: of every encoding that stays within sp and a0 … a3 (fa0 … fa3) one in `stride`.
 * sp, if it is used, stands for a4. `extensions` is what the processor has beyond RV64GC.
 */
export function compressedBatches(stride: number, extensions: number): Batch[] {
  const random = new RandomBits(77);
  const batches: Batch[] = [];
  let count = 0;
  for (let half = 0; half < 0x1_0000; half++) {
    if ((half & 3) === 3) continue;
    const decoded = decode(half, extensions);
    if (!decoded || !isSelfContained(decoded)) continue;
    if (count++ % stride !== 0) continue;
    batches.push({ code: compressedProgram(half, decoded), records: integerRecords(random, 6, false) });
  }
  return batches;
}

function isSelfContained({ instruction, rd, rs1, rs2 }: Decoded): boolean {
  const { flow, memory, operands, mnemonic } = instruction;
  if (flow !== 'next') return false;
  const inX = (letter: string, register: number) =>
    !operands.includes(letter) || register === 0 || USABLE.has(register);
  const inF = (letter: string, register: number) =>
    !operands.includes(letter) || (register >= 10 && register <= 13);
  if (!inX('d', rd) || !inX('s', rs1) || !inX('t', rs2) || !inF('D', rd) || !inF('T', rs2)) return false;
  const fromSp =
    (operands.includes('s') && rs1 === 2 ? 1 : 0) + (operands.includes('t') && rs2 === 2 ? 1 : 0);
  if (memory) {
    // Addresses must not be stored, nor sp be loaded.
    if (operands.includes('t') && (rs1 === rs2 || rs2 === 2)) return false;
    return rs1 !== 0 && !(operands[0] === 'd' && rd === 2);
  }
  // What is made of sp must be an address plus something.
  return fromSp === 0 || (fromSp === 1 && (mnemonic === 'addi' || mnemonic === 'add'));
}

/** t1 keeps sp; sp becomes a4; afterwards a change of sp is seen in a3. */
function compressedProgram(half: number, decoded: Decoded): number[] {
  const { instruction, rd, rs1, immediate } = decoded;
  const pair = ((NOP_HALF << 16) | half) >>> 0;
  const T1 = 6;
  const before = [addi(T1, 2, 0), addi(2, BASE, 0)];
  if (instruction.memory) before.push(addi(rs1, BASE, -immediate));
  const after: number[] = [];
  // Results that depend on sp are addresses: make them relative.
  const usesSp = (instruction.usesRs1 && rs1 === 2) || (instruction.usesRs2 && decoded.rs2 === 2);
  const intoX = instruction.operands.includes('d');
  if (instruction.memory && rs1 !== 2 && !(intoX && rd === rs1)) after.push(sub(rs1, rs1, BASE));
  else if (!instruction.memory && intoX && rd === 2) after.push(sub(RS3, 2, usesSp ? BASE : 0));
  else if (!instruction.memory && intoX && usesSp && rd !== 0) after.push(sub(rd, rd, BASE));
  after.push(addi(2, T1, 0));
  return [...before, pair, ...after];
}

const NOP_HALF = 0x0001;

/** The 32-bit form of every legal compressed encoding. */
export function expansions(): Map<number, number> {
  const all = new Map<number, number>();
  for (let half = 0; half < 0x1_0000; half++)
    if ((half & 3) !== 3 && decode(half)) all.set(half, expandCompressed(half));
  return all;
}
