import type { Decoded, Instruction } from '../isa/instruction.js';
import type { ControlFlow } from './controlFlow.js';
import { successors } from './regionGraph.js';

/**
 * What is known of floating-point registers, as masks: which hold a double that is not a NaN, and which a single that is boxed.
 * Translated code goes on only where results are ordinary numbers, so most operands have been looked at before.
 */
export interface FloatKinds {
  readonly ordered: number;
  readonly boxed: number;
}

const NOTHING: FloatKinds = { ordered: 0, boxed: 0 };
const ALL: FloatKinds = { ordered: -1, boxed: -1 };

/** In translated code a result of these is not a NaN, and so none of its operands was one. */
const ORDERED =
  /^(f(add|sub|mul|div|sqrt|min|max)\.d|fn?m(add|sub)\.d|fcvt\.d\.(s|w|wu|l|lu)|(feq|flt|fle)\.d|fcvt\.(s|w|wu|l|lu)\.d)$/;
/** Copies of the first operand but for its sign. */
const SIGNED = /^fsgnj[nx]?\.d$/;
/** These have singles for operands, which must be boxed, and for results. */
const SINGLE =
  /^(f(add|sub|mul|div|sqrt|min|max|sgnjn?|sgnjx)\.s|fn?m(add|sub)\.s|fcvt\.s\.(d|w|wu|l|lu)|(feq|flt|fle)\.s|fcvt\.(d|w|wu|l|lu)\.s)$/;
/** These box what they load. */
const BOXES = /^(flw|fmv\.w\.x)$/;

interface Row {
  readonly ordered: boolean;
  readonly signed: boolean;
  readonly single: boolean;
  readonly boxes: boolean;
  /** What the floating-point registers among rd, and among the others, hold. */
  readonly result: 'double' | 'single' | 'other' | undefined;
  readonly operands: 'double' | 'single' | 'other';
}

const rows = new Map<Instruction, Row>();

function rowOf(instruction: Instruction): Row {
  let row = rows.get(instruction);
  if (row === undefined) {
    const { mnemonic, operands } = instruction;
    const [, to, from] = /^fcvt\.(\w+)\.(\w+)$/.exec(mnemonic) ?? [];
    const format = (letter: string | undefined): 'double' | 'single' | 'other' =>
      letter === 'd' ? 'double' : letter === 's' ? 'single' : 'other';
    const suffix = format(/\.([sd])$/.exec(mnemonic)?.[1]);
    row = {
      ordered: ORDERED.test(mnemonic),
      signed: SIGNED.test(mnemonic),
      single: SINGLE.test(mnemonic),
      boxes: BOXES.test(mnemonic),
      result: operands.includes('D') ? (to === undefined ? suffix : format(to)) : undefined,
      operands: from === undefined ? suffix : format(from),
    };
    rows.set(instruction, row);
  }
  return row;
}

/** What is known behind the instruction, once it has been done in translated code. */
export function kindsAfter(decoded: Decoded, before: FloatKinds): FloatKinds {
  const { instruction, rd, rs1, rs2, rs3 } = decoded;
  const row = rowOf(instruction);
  let { ordered, boxed } = before;
  if (row.ordered || row.single) {
    let sources = 0;
    if (instruction.operands.includes('S')) sources |= 1 << rs1;
    if (instruction.operands.includes('T')) sources |= 1 << rs2;
    if (instruction.operands.includes('R')) sources |= 1 << rs3;
    if (row.ordered && row.operands === 'double') ordered |= sources;
    if (row.single && row.operands === 'single') boxed |= sources;
  }
  if (row.result === undefined) return { ordered, boxed };
  const bit = 1 << rd;
  const copied = row.signed && ((ordered >>> rs1) & 1) !== 0;
  const isOrdered = (row.ordered && row.result === 'double') || copied;
  const isBoxed = ((row.single || row.ordered) && row.result === 'single') || row.boxes;
  return {
    ordered: isOrdered ? ordered | bit : ordered & ~bit,
    boxed: isBoxed ? boxed | bit : boxed & ~bit,
  };
}

/** By block number: what is known whichever way the block is reached. */
export function floatRegisters(flow: ControlFlow): FloatKinds[] {
  const before: FloatKinds[] = flow.order.map((_, n) => (n === 0 ? NOTHING : ALL));
  for (let changed = true; changed; ) {
    changed = false;
    flow.order.forEach(({ instructions, terminator }, n) => {
      let kinds = before[n];
      for (const { decoded } of instructions) kinds = kindsAfter(decoded, kinds);
      for (const successor of successors(flow.order[n])) {
        const to = flow.number.get(successor)!;
        // What a call of another region leaves is not known.
        const returned = terminator.kind === 'call' && terminator.next.block === successor;
        const known = returned ? NOTHING : kinds;
        const now = { ordered: before[to].ordered & known.ordered, boxed: before[to].boxed & known.boxed };
        if (now.ordered !== before[to].ordered || now.boxed !== before[to].boxed) changed = true;
        before[to] = now;
      }
    });
  }
  return before;
}
