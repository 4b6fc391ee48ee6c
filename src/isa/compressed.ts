/**
 * The C extension of RV64: every compressed instruction as the 32-bit instruction it stands for (unprivileged ISA manual,
 * chapter "C"). Reserved encodings have none; HINTs expand to instructions that write x0.
 */

/** Encoders of the 32-bit formats. */
const iType = (opcode: number, funct3: number, rd: number, rs1: number, immediate: number): number =>
  (opcode | (rd << 7) | (funct3 << 12) | (rs1 << 15) | (immediate << 20)) >>> 0;
const rType = (
  opcode: number,
  funct3: number,
  funct7: number,
  rd: number,
  rs1: number,
  rs2: number,
): number => (opcode | (rd << 7) | (funct3 << 12) | (rs1 << 15) | (rs2 << 20) | (funct7 << 25)) >>> 0;
const sType = (opcode: number, funct3: number, rs1: number, rs2: number, immediate: number): number =>
  (opcode |
    ((immediate & 31) << 7) |
    (funct3 << 12) |
    (rs1 << 15) |
    (rs2 << 20) |
    ((immediate >> 5) << 25)) >>>
  0;
const uType = (opcode: number, rd: number, immediate: number): number =>
  (opcode | (rd << 7) | (immediate & 0xffff_f000)) >>> 0;
const bType = (funct3: number, rs1: number, rs2: number, offset: number): number =>
  (0x63 |
    (((offset >> 11) & 1) << 7) |
    (((offset >> 1) & 15) << 8) |
    (funct3 << 12) |
    (rs1 << 15) |
    (rs2 << 20) |
    (((offset >> 5) & 63) << 25) |
    (((offset >> 12) & 1) << 31)) >>>
  0;
const jType = (rd: number, offset: number): number =>
  (0x6f |
    (rd << 7) |
    (((offset >> 12) & 0xff) << 12) |
    (((offset >> 11) & 1) << 20) |
    (((offset >> 1) & 0x3ff) << 21) |
    (((offset >> 20) & 1) << 31)) >>>
  0;

const LOAD = 0x03;
const LOAD_FP = 0x07;
const OP_IMM = 0x13;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const STORE_FP = 0x27;
const OP = 0x33;
const LUI = 0x37;
const OP_32 = 0x3b;
const EBREAK = 0x0010_0073;

/** Bits `high`…`low` of `half`, moved to stand at bit `at`. */
const field = (half: number, high: number, low: number, at: number): number =>
  ((half >> low) & ((1 << (high - low + 1)) - 1)) << at;
const signExtend = (value: number, bits: number): number => (value << (32 - bits)) >> (32 - bits);

/** The immediates of the formats, named as in the manual's figures. */
const imm6 = (h: number): number => signExtend(field(h, 12, 12, 5) | field(h, 6, 2, 0), 6);
const shamt = (h: number): number => field(h, 12, 12, 5) | field(h, 6, 2, 0);
const wordOffset = (h: number): number => field(h, 12, 10, 3) | field(h, 6, 6, 2) | field(h, 5, 5, 6);
const doubleOffset = (h: number): number => field(h, 12, 10, 3) | field(h, 6, 5, 6);
const wordStackLoad = (h: number): number => field(h, 12, 12, 5) | field(h, 6, 4, 2) | field(h, 3, 2, 6);
const doubleStackLoad = (h: number): number => field(h, 12, 12, 5) | field(h, 6, 5, 3) | field(h, 4, 2, 6);
const wordStackStore = (h: number): number => field(h, 12, 9, 2) | field(h, 8, 7, 6);
const doubleStackStore = (h: number): number => field(h, 12, 10, 3) | field(h, 9, 7, 6);
const jumpOffset = (h: number): number =>
  signExtend(
    field(h, 12, 12, 11) |
      field(h, 11, 11, 4) |
      field(h, 10, 9, 8) |
      field(h, 8, 8, 10) |
      field(h, 7, 7, 6) |
      field(h, 6, 6, 7) |
      field(h, 5, 3, 1) |
      field(h, 2, 2, 5),
    12,
  );
const branchOffset = (h: number): number =>
  signExtend(
    field(h, 12, 12, 8) | field(h, 11, 10, 3) | field(h, 6, 5, 6) | field(h, 4, 3, 1) | field(h, 2, 2, 5),
    9,
  );

/**
 * The 32-bit instruction that the compressed instruction `half` (low two bits not 11) stands for, or 0 when it is
 * reserved.
 */
export function expandCompressed(half: number): number {
  switch (half & 3) {
    case 0:
      return expandQuadrant0(half);
    case 1:
      return expandQuadrant1(half);
    default:
      return expandQuadrant2(half);
  }
}

function expandQuadrant0(h: number): number {
  const rd = 8 + ((h >> 2) & 7);
  const rs1 = 8 + ((h >> 7) & 7);
  switch (h >> 13) {
    case 0: {
      const immediate = field(h, 12, 11, 4) | field(h, 10, 7, 6) | field(h, 6, 6, 2) | field(h, 5, 5, 3);
      return immediate === 0 ? 0 : iType(OP_IMM, 0, rd, 2, immediate); // c.addi4spn
    }
    case 1:
      return iType(LOAD_FP, 3, rd, rs1, doubleOffset(h)); // c.fld
    case 2:
      return iType(LOAD, 2, rd, rs1, wordOffset(h)); // c.lw
    case 3:
      return iType(LOAD, 3, rd, rs1, doubleOffset(h)); // c.ld
    case 5:
      return sType(STORE_FP, 3, rs1, rd, doubleOffset(h)); // c.fsd
    case 6:
      return sType(STORE, 2, rs1, rd, wordOffset(h)); // c.sw
    case 7:
      return sType(STORE, 3, rs1, rd, doubleOffset(h)); // c.sd
    default:
      return 0;
  }
}

function expandQuadrant1(h: number): number {
  const rd = (h >> 7) & 31;
  switch (h >> 13) {
    case 0:
      return iType(OP_IMM, 0, rd, rd, imm6(h)); // c.addi, c.nop
    case 1:
      return rd === 0 ? 0 : iType(OP_IMM_32, 0, rd, rd, imm6(h)); // c.addiw
    case 2:
      return iType(OP_IMM, 0, rd, 0, imm6(h)); // c.li
    case 3: {
      if (rd === 2) {
        const immediate = signExtend(
          field(h, 12, 12, 9) | field(h, 6, 6, 4) | field(h, 5, 5, 6) | field(h, 4, 3, 7) | field(h, 2, 2, 5),
          10,
        );
        return immediate === 0 ? 0 : iType(OP_IMM, 0, 2, 2, immediate); // c.addi16sp
      }
      const immediate = imm6(h);
      return immediate === 0 ? 0 : uType(LUI, rd, immediate << 12); // c.lui
    }
    case 4:
      return expandArithmetic(h);
    case 5:
      return jType(0, jumpOffset(h)); // c.j
    case 6:
      return bType(0, 8 + (rd & 7), 0, branchOffset(h)); // c.beqz
    default:
      return bType(1, 8 + (rd & 7), 0, branchOffset(h)); // c.bnez
  }
}

function expandArithmetic(h: number): number {
  const rd = 8 + ((h >> 7) & 7);
  const rs2 = 8 + ((h >> 2) & 7);
  switch ((h >> 10) & 3) {
    case 0:
      return iType(OP_IMM, 5, rd, rd, shamt(h)); // c.srli
    case 1:
      return iType(OP_IMM, 5, rd, rd, shamt(h) | 0x400); // c.srai
    case 2:
      return iType(OP_IMM, 7, rd, rd, imm6(h)); // c.andi
  }
  switch (((h >> 10) & 4) | ((h >> 5) & 3)) {
    case 0:
      return rType(OP, 0, 0x20, rd, rd, rs2); // c.sub
    case 1:
      return rType(OP, 4, 0, rd, rd, rs2); // c.xor
    case 2:
      return rType(OP, 6, 0, rd, rd, rs2); // c.or
    case 3:
      return rType(OP, 7, 0, rd, rd, rs2); // c.and
    case 4:
      return rType(OP_32, 0, 0x20, rd, rd, rs2); // c.subw
    case 5:
      return rType(OP_32, 0, 0, rd, rd, rs2); // c.addw
    default:
      return 0;
  }
}

function expandQuadrant2(h: number): number {
  const rd = (h >> 7) & 31;
  const rs2 = (h >> 2) & 31;
  switch (h >> 13) {
    case 0:
      return iType(OP_IMM, 1, rd, rd, shamt(h)); // c.slli
    case 1:
      return iType(LOAD_FP, 3, rd, 2, doubleStackLoad(h)); // c.fldsp
    case 2:
      return rd === 0 ? 0 : iType(LOAD, 2, rd, 2, wordStackLoad(h)); // c.lwsp
    case 3:
      return rd === 0 ? 0 : iType(LOAD, 3, rd, 2, doubleStackLoad(h)); // c.ldsp
    case 4:
      if (((h >> 12) & 1) === 0) {
        if (rs2 !== 0) return iType(OP_IMM, 0, rd, rs2, 0); // c.mv, as the addi that mv also is
        return rd === 0 ? 0 : iType(0x67, 0, 0, rd, 0); // c.jr
      }
      if (rs2 !== 0) return rType(OP, 0, 0, rd, rd, rs2); // c.add
      return rd === 0 ? EBREAK : iType(0x67, 0, 1, rd, 0); // c.ebreak, c.jalr
    case 5:
      return sType(STORE_FP, 3, 2, rs2, doubleStackStore(h)); // c.fsdsp
    case 6:
      return sType(STORE, 2, 2, rs2, wordStackStore(h)); // c.swsp
    default:
      return sType(STORE, 3, 2, rs2, doubleStackStore(h)); // c.sdsp
  }
}
