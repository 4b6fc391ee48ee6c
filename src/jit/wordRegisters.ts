import type { Decoded, Instruction } from '../isa/instruction.js';
import type { ControlFlow } from './controlFlow.js';
import { type Block, type RegionInstruction, successors } from './regionGraph.js';

/**
 * Which registers hold a 32-bit number, sign extended: compilers compute with `int` so most of the time. Bitwise operations and
 * comparisons of such registers can be done in 32 bits, and then nobody needs the extended form of their operands.
 */

const ALWAYS =
  /^(lb|lh|lw|lbu|lhu|lui|slti?u?|sltiu|(add|addi|sub|sll|slli|srl|srli|sra|srai|mul|div|divu|rem|remu)w)$/;
const BITWISE = /^(and|or|xor|andi|ori|xori)$/;

/** When an instruction's result is a 32-bit number. */
enum Word {
  Never,
  Always,
  /** When its operands are. */
  Preserved,
  /** addi: a move, or a constant. */
  Moved,
}

const kinds = new Map<Instruction, Word>();

function kindOf(instruction: Instruction): Word {
  let kind = kinds.get(instruction);
  if (kind === undefined) {
    const { mnemonic } = instruction;
    if (ALWAYS.test(mnemonic)) kind = Word.Always;
    else if (BITWISE.test(mnemonic)) kind = Word.Preserved;
    else kind = mnemonic === 'addi' ? Word.Moved : Word.Never;
    kinds.set(instruction, kind);
  }
  return kind;
}

/** Whether the instruction is a bitwise one whose operands are all 32-bit numbers; `words` is the mask before it. */
export function isWordOperation({ instruction, rs1, rs2 }: Decoded, words: number): boolean {
  if (kindOf(instruction) !== Word.Preserved || !isWord(words, rs1)) return false;
  return !instruction.usesRs2 || isWord(words, rs2);
}

/** Whether `register` is in the mask; x0 always is. */
export function isWord(words: number, register: number): boolean {
  return register === 0 || ((words >>> register) & 1) !== 0;
}

/** The mask behind the instruction. What may have been skipped makes no 32-bit number of a register that was none. */
export function wordsAfter({ decoded, role }: RegionInstruction, words: number): number {
  const { instruction, rd, rs1, immediate } = decoded;
  if (rd === 0 || !instruction.operands.includes('d')) return words;
  let isResult: boolean;
  switch (kindOf(instruction)) {
    case Word.Always:
      isResult = true;
      break;
    case Word.Preserved:
      isResult = isWordOperation(decoded, words) || (instruction.mnemonic === 'andi' && immediate >= 0);
      break;
    case Word.Moved:
      isResult = rs1 === 0 || (immediate === 0 && isWord(words, rs1));
      break;
    case Word.Never:
      isResult = false;
  }
  if (role === 'skipped' && !isWord(words, rd)) return words;
  return isResult ? words | (1 << rd) : words & ~(1 << rd);
}

/** By block number: the registers that hold 32-bit numbers whichever way the block is reached. */
export function wordRegisters(flow: ControlFlow): number[] {
  const before: number[] = flow.order.map((_, n) => (n === 0 ? 0 : -1));
  for (let changed = true; changed; ) {
    changed = false;
    flow.order.forEach((block, n) => {
      const words = wordsBehind(block, before[n]);
      const { terminator } = block;
      for (const successor of successors(block)) {
        const to = flow.number.get(successor)!;
        let now = before[to] & words;
        // What a call of another region leaves is not known; guards ask.
        if (terminator.kind === 'call' && terminator.next.block === successor) now = 0;
        if (terminator.kind === 'guard' && terminator.holds.block === successor)
          now = before[to] & (words | terminator.guard.words);
        if (now !== before[to]) changed = true;
        before[to] = now;
      }
    });
  }
  return before;
}

function wordsBehind({ instructions }: Block, before: number): number {
  return instructions.reduce((mask, at) => wordsAfter(at, mask), before);
}

/** The registers that hold a 32-bit number anywhere, of which `before` says where blocks begin. */
export function wordsAnywhere(flow: ControlFlow, before: readonly number[]): number {
  let anywhere = 0;
  flow.order.forEach(({ instructions }, n) => {
    let words = before[n];
    anywhere |= words;
    for (const at of instructions) {
      words = wordsAfter(at, words);
      anywhere |= words;
    }
  });
  return anywhere;
}

/**
 * The registers that hold 32-bit numbers at the end of each round of a loop, given that those do so at its beginning. `members` are its
 * blocks in reverse postorder, the header first.
 */
export function wordsOfLoop(members: readonly Block[]): number {
  const [header] = members;
  for (let assumed = -1; ; ) {
    const before = new Map<Block, number>([[header, assumed]]);
    let round = -1;
    for (const block of members) {
      const words = wordsBehind(block, before.get(block)!);
      for (const successor of successors(block)) {
        if (successor === header) round &= words;
        else before.set(successor, (before.get(successor) ?? -1) & words);
      }
    }
    if ((round & assumed) === assumed) return assumed;
    assumed &= round;
  }
}
