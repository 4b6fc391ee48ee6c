import { setFlagsFromString } from 'node:v8';
import { interpreterBytes } from '../interpreter/interpreter.js';

let compiled: Promise<WebAssembly.Module> | undefined;

/**
 * The interpreter, compiled once in a process and posted to every worker. V8's flag for the relaxed SIMD instructions (fused
 * multiply-add) has to be set before the first worker starts; newer versions of V8 have them without it.
 */
export function compileInterpreter(): Promise<WebAssembly.Module> {
  if (compiled === undefined) {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
    compiled = WebAssembly.compile(interpreterBytes() as BufferSource);
  }
  return compiled;
}
