import type { Instruction } from '../isa/instruction.js';
import { INSTRUCTIONS, instructionNamed } from '../isa/instructions.js';

/**
 * The interpreter's own instruction set: what the opcode of a slot may be. A handler is an instruction of the ISA made
 * special at decoding: its length, where its target lies, whether it links, whether its rounding mode is dynamic.
 */
export interface Handler {
  /** The opcode in the slot. */
  readonly opcode: number;
  readonly instruction: Instruction;
  /** Bytes: 2 or 4. */
  readonly length: number;
  /** Branches and jal: where the target is; near is "in the same page", and then the slot holds the distance in slots. */
  readonly target: Target;
  /** jal, jalr: whether rd is written. */
  readonly links: boolean;
  /** Floating point: the rm field is 7, or (rare instructions) may be. */
  readonly dynamicRounding: boolean;
}

export type Target = 'none' | 'forward' | 'backward' | 'far';

/** Not decoded yet. */
export const OP_DECODE = 0;
/** Behind the page's last halfword: goes on at the next page. Not an instruction. */
export const OP_CONTINUE = 1;
/** The first half of an instruction whose second half is in the next page. */
export const OP_STRADDLE = 2;
/** Illegal; the high half of the slot is the instruction word. The length is in the rd field (2 or 4). */
export const OP_ILLEGAL = 3;
/** A translated region begins here; the high half of the slot is its index in the table of regions. */
export const OP_REGION = 4;
const FIRST_HANDLER = 5;

/** Rows that compressed instructions expand to. */
const COMPRESSIBLE = new Set(
  (
    'addi addiw lui srli srai andi sub xor or and subw addw slli add ' +
    'lw ld fld sw sd fsd jal jalr beq bne ebreak ' +
    'lbu lhu lh sb sh mul xori sext.b sext.h zext.h add.uw'
  ).split(' '),
);

/** The handlers of one instruction: opcodes from `first` on, in the order of `opcodeOf`. */
export interface Variants {
  readonly first: number;
  /** Whether there is one set for two bytes and one for four. */
  readonly compressible: boolean;
  readonly targets: readonly Target[];
  /** [true, false] where linking makes a difference; so with dynamic rounding. */
  readonly links: readonly boolean[];
  readonly dynamics: readonly boolean[];
}

const handlers: Handler[] = [];

/** Variants by Instruction.index. */
export const VARIANTS: readonly Variants[] = INSTRUCTIONS.map((instruction) => {
  const { flow, mnemonic, usesRm } = instruction;
  const relative = flow === 'branch' || flow === 'jump';
  const variants: Variants = {
    first: FIRST_HANDLER + handlers.length,
    compressible: COMPRESSIBLE.has(mnemonic),
    targets: relative ? ['forward', 'backward', 'far'] : ['none'],
    links: flow === 'jump' || flow === 'jumpRegister' ? [true, false] : [false],
    // The exact tier looks at the slot's rounding mode for rare ones.
    dynamics: !usesRm ? [false] : instruction.rare ? [true] : [true, false],
  };
  for (const length of variants.compressible ? [2, 4] : [4])
    for (const target of variants.targets)
      for (const links of variants.links)
        for (const dynamicRounding of variants.dynamics) {
          const opcode = FIRST_HANDLER + handlers.length;
          handlers.push({ opcode, instruction, length, target, links, dynamicRounding });
        }
  return variants;
});

/** All handlers, in order of opcode, the first one being opcode FIRST_HANDLER. */
export const HANDLERS: readonly Handler[] = handlers;
/** Opcodes are below this. */
export const OPCODES = FIRST_HANDLER + handlers.length;

const LUI = instructionNamed('lui');
const ADDI = instructionNamed('addi');

/**
 * Instructions that are done as another one when their rs1 is x0: `addi rd, x0, imm` as lui, whose meaning it shares then
 * (load the immediate).
 */
export const WITHOUT_SOURCE: ReadonlyMap<Instruction, Instruction> = new Map([[ADDI, LUI]]);
