import { readFileSync } from 'node:fs';
import { probeFusedMultiplyAdd } from '../isa/floatingPointProbe.js';
import { moduleWithCode } from './compiledModule.js';
import { type InterpreterVariant, interpreterCodeFile, interpreterFile } from './packageFiles.js';
import { allowRelaxedSimd, compileEagerly } from './v8Flags.js';

/** The interpreter of a machine. */
export interface LoadedInterpreter {
  readonly module: WebAssembly.Module;
  /** Whether it uses fused multiply-add, as regions then may too. */
  readonly fused: boolean;
}

const loaded = new Map<number, Promise<LoadedInterpreter>>();

/** The interpreter for a host page size, loaded or compiled once in a process and posted to every worker. */
export function loadInterpreter(hostPageSize: number): Promise<LoadedInterpreter> {
  let interpreter = loaded.get(hostPageSize);
  if (interpreter === undefined) {
    interpreter = load(Math.log2(hostPageSize));
    interpreter.catch(() => {});
    loaded.set(hostPageSize, interpreter);
  }
  return interpreter;
}

async function load(hostPageShift: number): Promise<LoadedInterpreter> {
  for (const fused of [true, false]) {
    // The build keeps code for what works here, and V8 refuses it where the processor is another one.
    const module = builtModule({ hostPageShift, fused });
    if (module !== undefined) return { module, fused };
  }
  allowRelaxedSimd();
  compileEagerly();
  const variant = { hostPageShift, fused: probeFusedMultiplyAdd() };
  const bytes = read(interpreterFile(variant)) ?? (await generated(variant));
  const module = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  return { module, fused: variant.fused };
}

function builtModule(variant: InterpreterVariant): WebAssembly.Module | undefined {
  const code = read(interpreterCodeFile(variant));
  const bytes = code === undefined ? undefined : read(interpreterFile(variant));
  return code === undefined || bytes === undefined ? undefined : moduleWithCode(bytes, code);
}

/** Not built: generating takes some 50 ms longer. */
async function generated(variant: InterpreterVariant): Promise<Uint8Array> {
  const { interpreterBytes } = await import('../interpreter/interpreter.js');
  return interpreterBytes(variant);
}

function read(file: URL): Uint8Array | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
