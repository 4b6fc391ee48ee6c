import type { Helper, HelperCalls } from '../isa/builder.js';
import { call, type FunctionRef, type ModuleBuilder } from '../wasm/index.js';

/** What the interpreter's module exports the helpers that it defines as. */
const EXPORTED = 'helper:';

/** The helpers that a module under construction has come to use. */
export class HelperTable {
  readonly #functions = new Map<string, FunctionRef>();
  readonly #defined = new Map<string, FunctionRef>();
  /** Names of helpers that must be imported but were not known to be when the imports were written. */
  readonly missing = new Map<string, Helper>();

  constructor(
    private readonly module: ModuleBuilder,
    imported: Iterable<Helper>,
    /** Whether helpers that are WebAssembly are put into the module. Otherwise they are imported, too: from the interpreter's. */
    private readonly defines = true,
  ) {
    for (const helper of imported)
      this.#functions.set(
        helper.name,
        importHelper(module, helper.name, helper.define !== undefined, helper),
      );
  }

  /** Exports the helpers that are defined here, for modules that import them. */
  exportDefined(): void {
    for (const [name, helper] of this.#defined) this.module.exportFunction(EXPORTED + name, helper);
  }

  readonly use: HelperCalls = (helper, ...operands) =>
    call(this.#reference(helper), helper.result, ...operands);

  /** The index of the helper's function. */
  indexOf(helper: Helper): number {
    return this.#reference(helper).index;
  }

  #reference(helper: Helper): FunctionRef {
    const known = this.#functions.get(helper.name);
    if (known) return known;
    const { name, params, result, define } = helper;
    if (!define || !this.defines) {
      // The module is thrown away: the next attempt imports it (see interpreterBytes).
      this.missing.set(name, helper);
      return { index: 0, type: { params, results: [result] } };
    }
    const defined = this.module.function({ params, results: [result] });
    this.#functions.set(name, defined);
    this.#defined.set(name, defined);
    define(defined.builder, this.use);
    return defined;
  }
}

/** Imports a helper: from the interpreter's module, which is `engine`, when that defines it. */
export function importHelper(
  module: ModuleBuilder,
  name: string,
  isDefined: boolean,
  { params, result }: Pick<Helper, 'params' | 'result'>,
): FunctionRef {
  const type = { params, results: [result] };
  return isDefined
    ? module.importFunction('engine', EXPORTED + name, type)
    : module.importFunction('helpers', name, type);
}
