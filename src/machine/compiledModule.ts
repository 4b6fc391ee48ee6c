import { setFlagsFromString } from 'node:v8';

/**
 * Machine code of WebAssembly modules, kept between processes: what V8 makes of the interpreter takes its optimising
 * compiler 70 ms, and reading it back less than one. V8 offers that to embedders in C++ and, for its own tests, as two
 * functions of its natives syntax, which are used here. Code is taken back only by the same version of Node on the same
 * architecture; V8 refuses it besides when its own version, its flags, the processor's features or the bytes differ.
 */

/** The version of the code: part of what is written. */
const KEY = Buffer.from(`${process.version} ${process.versions.v8} ${process.arch} ${process.platform}\n`);

interface Natives {
  serialize(module: WebAssembly.Module): ArrayBuffer;
  deserialize(code: ArrayBuffer, bytes: Uint8Array): WebAssembly.Module | undefined;
  tierUp(exported: unknown): void;
}

let natives: Natives | undefined;

/**
 * Gets hold of V8's functions. To be called before the first worker starts: V8's flags differ for a moment, and a thread
 * that loads code from a cache in that moment would find it refused.
 */
export function prepareCompiledModules(): void {
  setFlagsFromString('--allow-natives-syntax');
  try {
    // Function, not a function expression inside of it: that would be compiled when it is called, without the flag.
    natives = {
      serialize: new Function('module', 'return %SerializeWasmModule(module)') as Natives['serialize'],
      deserialize: new Function(
        'code',
        'bytes',
        'return %DeserializeWasmModule(code, bytes)',
      ) as Natives['deserialize'],
      tierUp: new Function('exported', 'return %WasmTierUpFunction(exported)') as Natives['tierUp'],
    };
  } catch {
    natives = undefined; // This V8 has no such functions.
  } finally {
    setFlagsFromString('--no-allow-natives-syntax');
  }
}

/** The machine code of a module whose functions have all been compiled by V8's optimising compiler. Throws Error. */
export function codeOfModule(module: WebAssembly.Module): Uint8Array {
  if (natives === undefined) throw new Error('this V8 cannot serialize modules');
  return Buffer.concat([KEY, Buffer.from(natives.serialize(module))]);
}

/** The module of `bytes` with code that was kept for it; undefined when this V8 does not take it. */
export function moduleWithCode(bytes: Uint8Array, code: Uint8Array): WebAssembly.Module | undefined {
  if (natives === undefined || code.length <= KEY.length || KEY.compare(code, 0, KEY.length) !== 0)
    return undefined;
  try {
    const buffer = code.buffer.slice(code.byteOffset + KEY.length, code.byteOffset + code.length);
    return natives.deserialize(buffer as ArrayBuffer, bytes);
  } catch {
    return undefined;
  }
}

/**
 * Compiles an exported function of WebAssembly with V8's optimising compiler, here and now, for every thread of the process:
 * neither is it compiled badly first, nor has it to be called often until it is compiled well. Undefined when this V8 cannot.
 */
export function optimizer(): ((exported: unknown) => void) | undefined {
  return natives?.tierUp;
}
