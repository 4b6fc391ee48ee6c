import { type Expression, type I32, i32, Local, select } from '../wasm/index.js';
import type { RegionFrame } from './regionBuilder.js';
import type { RegionInstruction } from './regionGraph.js';
import { registersIn } from './registerUse.js';
import { isWord } from './wordRegisters.js';

/** Behind a short branch: whether it was taken, and what the registers that are written there were before. */
export interface SkippedCode {
  readonly isTaken: I32;
  readonly before: readonly {
    readonly r: number;
    readonly x: Local<'i64'>;
    readonly w: Local<'i32'> | undefined;
  }[];
}

/** Whether an expression reads one of the locals. */
function reads(expression: Expression, locals: ReadonlySet<Expression>): boolean {
  return locals.has(expression) || expression.operands.some((operand) => reads(operand, locals));
}

/** The instructions that the short branch at `at` skips. */
export function skippedBehind(instructions: readonly RegionInstruction[], at: number): RegionInstruction[] {
  const end = instructions.findIndex(({ role }, i) => i > at && role !== 'skipped');
  return instructions.slice(at + 1, end < 0 ? undefined : end);
}

/** Keeps what a short branch may skip from changing registers for good: notes what they are now, and counts in `count` what is done. */
export function keepSkipped(
  frame: RegionFrame,
  count: Local<'i32'>,
  body: readonly RegionInstruction[],
  taken: I32,
): SkippedCode {
  const { f, x, w } = frame;
  const written = registersIn(body.reduce((mask, { decoded }) => mask | (1 << decoded.rd), 0));
  // A comparison is best done again for each of its uses: that it sets a register for all is what costs.
  const changed = new Set<Expression>(written.flatMap((r) => [x[r]!, w[r] ?? x[r]!]));
  const isTaken = reads(taken, changed) ? f.hold(taken) : taken;
  f.set(count, i32.sub(count, i32.mul(i32.eqz(isTaken), i32.const(body.length))));
  const before = written.map((r) => ({
    r,
    x: f.hold(frame.valueOf(r)),
    w: w[r] && f.hold(w[r]),
  }));
  return { isTaken, before };
}

/** Gives the registers their old values where the branch was taken; `words` are those that hold 32-bit numbers now. */
export function endSkipped(frame: RegionFrame, { isTaken, before }: SkippedCode, words: number): void {
  const { f } = frame;
  for (const { r, x, w } of before) {
    if (w !== undefined && isWord(words, r)) f.set(frame.w[r]!, select(isTaken, w, frame.w[r]!));
    else f.set(frame.x[r]!, select(isTaken, x, frame.x[r]!));
    f.release(x);
    if (w !== undefined) f.release(w);
  }
  if (isTaken instanceof Local) f.release(isTaken);
}
