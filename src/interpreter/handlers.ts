import type { Decoded, Instruction } from '../isa/instruction.js';
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
  /** Floating point: the rm field is 7. */
  readonly dynamicRounding: boolean;
}

export type Target = 'none' | 'forward' | 'backward' | 'far';

/** run's result when its budget is used up: enter it again. */
export const EXIT_BUDGET = 0;

/** Not decoded yet. */
export const OP_DECODE = 0;
/** Behind the page's last halfword: goes on at the next page. Not an instruction. */
export const OP_CONTINUE = 1;
/** The first half of an instruction whose second half is in the next page. */
export const OP_STRADDLE = 2;
/** Illegal; the high half of the slot is the instruction word. The length is in the rd field (2 or 4). */
export const OP_ILLEGAL = 3;
const FIRST_HANDLER = 4;

/** Rows that compressed instructions expand to. */
const COMPRESSIBLE = new Set(
  (
    'addi addiw lui srli srai andi sub xor or and subw addw slli add ' +
    'lw ld fld sw sd fsd jal jalr beq bne ebreak'
  ).split(' '),
);

const handlers: Handler[] = [];
const byKey = new Map<number, Handler>();

const TARGETS: readonly Target[] = ['none', 'forward', 'backward', 'far'];

/** A number that is unique to a variant. */
function keyOf(index: number, length: number, target: Target, links: boolean, dynamic: boolean): number {
  return (index << 5) | (TARGETS.indexOf(target) << 3) | (length & 4) | (links ? 2 : 0) | (dynamic ? 1 : 0);
}

for (const instruction of INSTRUCTIONS) {
  if (!instruction.semantics) continue;
  const { flow, index } = instruction;
  const lengths = COMPRESSIBLE.has(instruction.mnemonic) ? [2, 4] : [4];
  const targets: readonly Target[] =
    flow === 'branch' || flow === 'jump' ? ['forward', 'backward', 'far'] : ['none'];
  const links = flow === 'jump' || flow === 'jumpRegister' ? [true, false] : [false];
  const dynamics = instruction.usesRm ? [true, false] : [false];
  for (const length of lengths)
    for (const target of targets)
      for (const link of links)
        for (const dynamicRounding of dynamics) {
          const opcode = FIRST_HANDLER + handlers.length;
          const handler = { opcode, instruction, length, target, links: link, dynamicRounding };
          handlers.push(handler);
          byKey.set(keyOf(index, length, target, link, dynamicRounding), handler);
        }
}

/** All handlers, in order of opcode, the first one being opcode FIRST_HANDLER. */
export const HANDLERS: readonly Handler[] = handlers;
/** Opcodes are below this. */
export const OPCODES = FIRST_HANDLER + handlers.length;

const LUI = instructionNamed('lui');
const ADDI = instructionNamed('addi');

/**
 * The handler for `decoded` with its target where `target` says; undefined when nothing implements it. `addi rd, x0, imm`
 * is done as lui, whose meaning it shares: load the immediate.
 */
export function handlerFor(decoded: Decoded, target: Target): Handler | undefined {
  const { length, rd, rm, instruction } = decoded;
  const row = instruction === ADDI && decoded.rs1 === 0 ? LUI : instruction;
  const linking = row.flow === 'jump' || row.flow === 'jumpRegister';
  return byKey.get(keyOf(row.index, length, target, linking && rd !== 0, row.usesRm && rm === 7));
}
