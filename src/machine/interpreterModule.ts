import { setFlagsFromString } from 'node:v8';
import { interpreterBytes } from '../interpreter/interpreter.js';

const compiled = new Map<number, Promise<WebAssembly.Module>>();

/**
 * Makes V8's relaxed SIMD instructions (fused multiply-add) available. It has to happen before the first worker starts and
 * before the interpreter is compiled; newer versions of V8 have them without it and ignore the flag.
 */
export function enableRelaxedSimd(): void {
  setFlagsFromString('--experimental-wasm-relaxed-simd');
}

/** The interpreter for a host page size, compiled once in a process and posted to every worker. */
export function compileInterpreter(hostPageSize: number): Promise<WebAssembly.Module> {
  let module = compiled.get(hostPageSize);
  if (module === undefined) {
    module = WebAssembly.compile(
      interpreterBytes({ hostPageShift: Math.log2(hostPageSize) }) as BufferSource,
    );
    module.catch(() => {});
    compiled.set(hostPageSize, module);
  }
  return module;
}
