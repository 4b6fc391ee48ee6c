import { readFile } from 'node:fs/promises';
import { probeFusedMultiplyAdd } from '../isa/floatingPointProbe.js';
import { prepareV8 } from './hostPool.js';
import { type InterpreterVariant, interpreterFile } from './packageFiles.js';

const compiled = new Map<number, Promise<WebAssembly.Module>>();

/** The interpreter for a host page size, compiled once in a process and posted to every worker. */
export function compileInterpreter(hostPageSize: number): Promise<WebAssembly.Module> {
  let module = compiled.get(hostPageSize);
  if (module === undefined) {
    prepareV8();
    const options = { hostPageShift: Math.log2(hostPageSize), fused: probeFusedMultiplyAdd() };
    module = builtInterpreter(options).then((bytes) => WebAssembly.compile(bytes as BufferSource));
    module.catch(() => {});
    compiled.set(hostPageSize, module);
  }
  return module;
}

async function builtInterpreter(variant: InterpreterVariant): Promise<Uint8Array> {
  try {
    return await readFile(interpreterFile(variant));
  } catch {
    // Not built: generating takes some 50 ms longer.
    const { interpreterBytes } = await import('../interpreter/interpreter.js');
    return interpreterBytes(variant);
  }
}
