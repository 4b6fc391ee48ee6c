import type { Helper, HelperCalls } from '../isa/builder.js';
import { call, type FunctionRef, type ModuleBuilder } from '../wasm/index.js';

/** The helpers that a module under construction has come to use. */
export class HelperTable {
  readonly #functions = new Map<string, FunctionRef>();
  /** Names of helpers that must be imported but were not known to be when the imports were written. */
  readonly missing = new Map<string, Helper>();

  constructor(
    private readonly module: ModuleBuilder,
    imported: Iterable<Helper>,
  ) {
    for (const helper of imported) {
      const type = { params: helper.params, results: [helper.result] };
      this.#functions.set(helper.name, module.importFunction('helpers', helper.name, type));
    }
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
    if (!define) {
      // The module is thrown away: the next attempt imports it (see interpreterBytes).
      this.missing.set(name, helper);
      return { index: 0, type: { params, results: [result] } };
    }
    const defined = this.module.function({ params, results: [result] });
    this.#functions.set(name, defined);
    define(defined.builder, this.use);
    return defined;
  }
}
