/** How the rows of the instruction table are put together: the formats of the ISA manual, chapter "RV32/64G Instruction Set Listings". */

/** Major opcodes, with the low bits that mark a 32-bit instruction. */
export const LOAD = 0x03;
export const LOAD_FP = 0x07;
export const MISC_MEM = 0x0f;
export const OP_IMM = 0x13;
export const AUIPC = 0x17;
export const OP_IMM_32 = 0x1b;
export const STORE = 0x23;
export const STORE_FP = 0x27;
export const AMO = 0x2f;
export const OP = 0x33;
export const LUI = 0x37;
export const OP_32 = 0x3b;
export const MADD = 0x43;
export const MSUB = 0x47;
export const NMSUB = 0x4b;
export const NMADD = 0x4f;
export const OP_FP = 0x53;
export const BRANCH = 0x63;
export const JALR = 0x67;
export const JAL = 0x6f;
export const SYSTEM = 0x73;

export const FUNCT3 = 0x7000;
export const FUNCT7 = 0xfe00_0000;
export const FUNCT6 = 0xfc00_0000;
export const RS1 = 0x000f_8000;
export const RS2 = 0x01f0_0000;
export const MAJOR = 0x7f;

/** A row of the table: `extensions` is what it needs beyond RV64GC (extensions.ts), all of them. */
export type Row = readonly [
  mnemonic: string,
  operands: string,
  mask: number,
  match: number,
  extensions?: number,
];

/** Major opcode and funct3. */
export const I = (mnemonic: string, operands: string, major: number, funct3: number): Row => [
  mnemonic,
  operands,
  MAJOR | FUNCT3,
  major | (funct3 << 12),
];
/** Major opcode, funct3 and funct7. */
export const R = (mnemonic: string, operands: string, major: number, funct3: number, funct7: number): Row => [
  mnemonic,
  operands,
  MAJOR | FUNCT3 | FUNCT7,
  major | (funct3 << 12) | (funct7 << 25),
];
/** 64-bit shifts by an immediate: six bits of shift amount leave funct6. */
export const SHIFT = (mnemonic: string, funct3: number, funct6: number): Row => [
  mnemonic,
  'd,s,>',
  MAJOR | FUNCT3 | FUNCT6,
  OP_IMM | (funct3 << 12) | (funct6 << 26),
];
/** OP-FP with a rounding mode in funct3. */
export const F = (mnemonic: string, operands: string, funct7: number): Row => [
  mnemonic,
  operands,
  MAJOR | FUNCT7,
  OP_FP | (funct7 << 25),
];
/** OP-FP with a rounding mode and a code in the rs2 field. */
export const F2 = (mnemonic: string, operands: string, funct7: number, rs2: number): Row => [
  mnemonic,
  operands,
  MAJOR | FUNCT7 | RS2,
  OP_FP | (funct7 << 25) | (rs2 << 20),
];
/** OP-FP with funct3 as an operation, and (rs2 given) a code in the rs2 field. */
export const F3 = (mnemonic: string, operands: string, funct7: number, funct3: number, rs2?: number): Row => [
  mnemonic,
  operands,
  MAJOR | FUNCT7 | FUNCT3 | (rs2 === undefined ? 0 : RS2),
  OP_FP | (funct7 << 25) | (funct3 << 12) | ((rs2 ?? 0) << 20),
];
/** Fused multiply-add: format in bits 25 and 26. */
export const F4 = (mnemonic: string, major: number, format: number): Row => [
  mnemonic,
  'D,S,T,R,m',
  MAJOR | 0x0600_0000,
  major | (format << 25),
];
