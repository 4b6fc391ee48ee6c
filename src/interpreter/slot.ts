/*
 * A slot: one predecoded instruction in 64 bits, laid out so that the interpreter's hot fields cost least.
 *
 *   low half    31…22 opcode   21…16 rd (0 … 32)   15…11 rs2   10…8 rm   7…3 rs1   2, 1 zero   0 ends a run
 *   high half   the immediate, sign extended by one 64-bit shift; for FMA rs3 × 8; for near branches the distance to the
 *               target in bytes of slots (four times the distance in bytes of code)
 *
 * rs1 stands at bit 3, so that masking it gives the register's offset at once; the others need one shift more. rd of x0
 * is 32, the register that swallows. Opcode 0 (hence a zero slot, and one of which only the high half is written)
 * means "not decoded". Bit 0 is for the predecoder: control never falls through the instruction.
 */
export const OPCODE_SHIFT = 22;
/** Shift that leaves a register offset (× 8), and the mask that selects it. */
export const RD_SHIFT = 13;
export const RD_MASK = 0x1f8;
export const RS2_SHIFT = 8;
export const RS_MASK = 0xf8;
export const RM_SHIFT = 8;
export const RM_MASK = 7;

/** x0 as a destination. */
export const SINK = 32;

/** Bytes of slots for a byte of code: a slot (8 bytes) a halfword (2 bytes). log2. */
export const SLOT_SCALE_SHIFT = 2;

/** Bit 0. */
export const ENDS_RUN = 1;

/** A slot taken apart, for tests and diagnostics. */
export function slotFields(slot: bigint): {
  opcode: number;
  rd: number;
  rs1: number;
  rs2: number;
  rm: number;
  high: number;
} {
  const low = Number(slot & 0xffff_ffffn);
  return {
    opcode: low >>> OPCODE_SHIFT,
    rd: (low >>> 16) & 63,
    rs1: (low >>> 3) & 31,
    rs2: (low >>> 11) & 31,
    rm: (low >>> RM_SHIFT) & RM_MASK,
    high: Number(BigInt.asIntN(32, slot >> 32n)),
  };
}
