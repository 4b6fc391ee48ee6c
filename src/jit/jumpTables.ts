import type { CodeView, RegionInstruction } from './regionGraph.js';

/** Most entries of a table that are looked at. */
const MOST_TARGETS = 256;
/** How far from the jump its targets may be. */
const NEAR = 0x1_0000;

/** What is known of a register's value: a constant, `base + 4 × something`, or a word loaded from there, plus a constant. */
type Value =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'scaled' }
  | { readonly kind: 'element'; readonly table: number }
  | { readonly kind: 'loaded'; readonly table: number; readonly plus: number }
  | undefined;

/**
 * Where the jalr at the end of `instructions` may go, when they are the way compilers write a switch: a table of 32-bit
 * distances, indexed, one of them loaded and added to a constant. The answer is a guess (the table's length is not
 * known, what the block does not compute is taken from `registers`, the thread's present ones, and its contents are read now): what it names is compared with the real target when it runs.
 */
export function jumpTargets(
  instructions: readonly RegionInstruction[],
  { load, registers }: Pick<CodeView, 'load' | 'registers'>,
): number[] {
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
        else if (a?.kind === 'element') value = { kind: 'element', table: a.table + immediate };
        break;
      case 'slli':
        if (immediate === 2) value = { kind: 'scaled' };
        break;
      case 'srli':
        if (immediate === 30) value = { kind: 'scaled' };
        break;
      case 'sh2add':
        if (b?.kind === 'constant') value = { kind: 'element', table: b.value };
        break;
      case 'lw':
        if (a?.kind === 'element') value = { kind: 'loaded', table: a.table + immediate, plus: 0 };
        break;
      case 'add':
        if (a?.kind === 'constant' && b?.kind === 'scaled') value = { kind: 'element', table: a.value };
        else if (b?.kind === 'constant' && a?.kind === 'scaled') value = { kind: 'element', table: b.value };
        else if (a?.kind === 'constant' && b?.kind === 'loaded') value = { ...b, plus: b.plus + a.value };
        else if (b?.kind === 'constant' && a?.kind === 'loaded') value = { ...a, plus: a.plus + b.value };
        break;
    }
    values[rd] = value;
  }
  const target = values[jump.decoded.rs1];
  if (target?.kind !== 'loaded') return [];
  const targets = new Set<number>();
  for (let i = 0; i < MOST_TARGETS; i++) {
    const word = load(target.table + i * 4);
    if (word === undefined) break;
    const to = target.plus + word + jump.decoded.immediate;
    if (to % 2 !== 0 || Math.abs(to - jump.pc) > NEAR) break;
    targets.add(to);
  }
  return [...targets];
}
