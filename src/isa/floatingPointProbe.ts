import { ModuleBuilder } from '../wasm/index.js';
import { relaxedMultiplyAdd } from './floatingPointFused.js';

let probed: boolean | undefined;

/**
 * Says whether `f64x2.relaxed_madd` exists here and rounds once, so that fusedSemantics may be used. Node 20 has it behind
 * `v8.setFlagsFromString('--experimental-wasm-relaxed-simd')`, to be called before the first worker starts; without it the answer is no.
 * The same in every thread of a process; asked once.
 */
export function probeFusedMultiplyAdd(): boolean {
  probed ??= probe();
  return probed;
}

function probe(): boolean {
  const module = new ModuleBuilder();
  const type = { params: ['f64', 'f64', 'f64'], results: ['f64'] } as const;
  const madd = module.function(type);
  const f = madd.builder;
  f.return(relaxedMultiplyAdd(f.param('f64', 0), f.param('f64', 1), f.param('f64', 2)));
  module.exportFunction('madd', madd);
  try {
    const bytes = module.toBytes() as Uint8Array<ArrayBuffer>;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    const fused = instance.exports.madd as (x: number, y: number, z: number) => number;
    const near = 2 ** -30;
    // (1 + e)(1 − e) − 1 = −e², which two roundings lose; a tie that only the exact product breaks; order of operands.
    return (
      fused(1 + near, 1 - near, -1) === -(near * near) &&
      fused(2 ** -60, 2 ** -60, 1) === 1 &&
      fused(1 + 2 ** -52, 1 + 2 ** -52, -1 - 2 ** -51) === 2 ** -104 &&
      fused(3, 5, 7) === 22
    );
  } catch {
    return false; // The opcode is unknown to this engine.
  }
}
