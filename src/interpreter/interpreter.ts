import { probeFusedMultiplyAdd } from '../isa/floatingPointProbe.js';
import { type GeneratorOptions, generateInterpreter } from './generator.js';

export { type Interpreter, instantiateInterpreter } from './instantiate.js';

/** The interpreter's module in binary form: compile it once, instantiate it in every worker. */
export function interpreterBytes(options: Partial<GeneratorOptions> = {}): Uint8Array {
  return generateInterpreter({
    hostPageShift: options.hostPageShift ?? 12,
    fused: options.fused ?? probeFusedMultiplyAdd(),
  });
}
