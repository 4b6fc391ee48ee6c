import { probeFusedMultiplyAdd } from '../isa/floatingPointProbe.js';
import type { InterpreterVariant } from '../machine/packageFiles.js';

/** The interpreters that machines use here: one for every host page size, with fused multiply-add where that is right. */
export function interpreterVariants(): readonly InterpreterVariant[] {
  const fused = probeFusedMultiplyAdd();
  return [12, 14, 16].map((hostPageShift) => ({ hostPageShift, fused }));
}
