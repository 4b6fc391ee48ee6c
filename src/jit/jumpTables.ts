import type { CodeView, RegionInstruction } from './regionGraph.js';

/** Most entries of a table that are looked at. */
const MOST_TARGETS = 256;
/** Most entries of a table of functions that are looked at. */
const MOST_FUNCTIONS = 32;
/** How far from the jump its targets may be. */
const NEAR = 0x1_0000;

/**
 * What is known of a register's value: a constant, something times 4 or 8, an element of a table of that size, or what was
 * loaded from there, plus a constant.
 */
type Value =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'scaled'; readonly size: number }
  | { readonly kind: 'element'; readonly size: number; readonly table: number }
  | { readonly kind: 'loaded'; readonly size: number; readonly table: number; readonly plus: number }
  | undefined;

/** What guesses are made from. */
type Guessed = Pick<CodeView, 'load' | 'registers'>;

/**
 * Where the jalr at the end of `instructions` may go, when they are the way compilers write a switch: a table of 32-bit
 * distances, indexed, one of them loaded and added to a constant. The answer is a guess (the table's length is not
 * known, what the block does not compute is taken from `registers`, the thread's present ones, and its contents are read now): what it names is compared with the real target when it runs.
 */
export function jumpTargets(instructions: readonly RegionInstruction[], view: Guessed): number[] {
  const jump = instructions[instructions.length - 1];
  const target = targetValue(instructions, view);
  if (target?.kind !== 'loaded' || target.size !== 4) return [];
  const targets = new Set<number>();
  for (let i = 0; i < MOST_TARGETS; i++) {
    const word = view.load(target.table + i * 4);
    if (word === undefined) break;
    const to = target.plus + word + jump.decoded.immediate;
    if (to % 2 !== 0 || Math.abs(to - jump.pc) > NEAR) break;
    targets.add(to);
  }
  return [...targets];
}

/**
 * Which functions the jalr at the end of `instructions` may call: the one that its register names now, or those of a table of
 * pointers that it is loaded from. A guess, as above; `isFunction` says what can be one.
 */
export function calledFunctions(
  instructions: readonly RegionInstruction[],
  view: Guessed,
  isFunction: (pc: number) => boolean,
): number[] {
  const { immediate } = instructions[instructions.length - 1].decoded;
  const target = targetValue(instructions, view);
  if (target?.kind === 'constant') {
    const to = target.value + immediate;
    return isFunction(to) ? [to] : [];
  }
  if (target?.kind !== 'loaded' || target.size !== 8) return [];
  const targets = new Set<number>();
  for (let i = 0; i < MOST_FUNCTIONS; i++) {
    const at = target.table + i * 8;
    const low = view.load(at);
    if (low === undefined || view.load(at + 4) !== 0) break;
    const to = target.plus + (low >>> 0) + immediate;
    // One that was never called may stand between others.
    if (isFunction(to)) targets.add(to);
  }
  return [...targets];
}

/** What is known of the register that the jalr at the end of `instructions` goes to. */
function targetValue(instructions: readonly RegionInstruction[], { registers }: Guessed): Value {
  const values: Value[] = registers.map((value) => ({ kind: 'constant', value }));
  const jump = instructions[instructions.length - 1];
  for (const { pc, decoded } of instructions.slice(0, -1)) {
    const { instruction, rd, rs1, rs2, immediate } = decoded;
    if (!instruction.operands.includes('d') || rd === 0) continue;
    const a = values[rs1];
    const b = values[rs2];
    let value: Value;
    switch (instruction.mnemonic) {
      case 'lui':
        value = { kind: 'constant', value: immediate };
        break;
      case 'auipc':
        value = { kind: 'constant', value: pc + immediate };
        break;
      case 'addi':
        if (a?.kind === 'constant') value = { kind: 'constant', value: a.value + immediate };
        else if (a?.kind === 'element') value = { ...a, table: a.table + immediate };
        break;
      case 'slli':
        if (immediate === 2 || immediate === 3) value = { kind: 'scaled', size: 2 ** immediate };
        break;
      case 'srli':
        // Of a 32-bit number in the upper half.
        if (immediate === 30 || immediate === 29) value = { kind: 'scaled', size: 2 ** (32 - immediate) };
        break;
      case 'sh2add':
      case 'sh3add':
        if (b?.kind === 'constant')
          value = { kind: 'element', size: instruction.mnemonic === 'sh2add' ? 4 : 8, table: b.value };
        break;
      case 'lw':
      case 'ld': {
        const size = instruction.mnemonic === 'lw' ? 4 : 8;
        if (a?.kind === 'element' && a.size === size)
          value = { kind: 'loaded', size, table: a.table + immediate, plus: 0 };
        break;
      }
      case 'add':
        if (a?.kind === 'constant') value = plusConstant(b, a.value);
        else if (b?.kind === 'constant') value = plusConstant(a, b.value);
        break;
    }
    values[rd] = value;
  }
  return values[jump.decoded.rs1];
}

function plusConstant(value: Value, constant: number): Value {
  if (value?.kind === 'scaled') return { kind: 'element', size: value.size, table: constant };
  if (value?.kind === 'loaded') return { ...value, plus: value.plus + constant };
  return undefined;
}
