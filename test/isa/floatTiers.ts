import type { Builder, Helper, HelperCalls, Semantics, SourceField } from '../../src/isa/builder.js';
import { floatingPointHelpers } from '../../src/isa/floatingPointHelpers.js';
import {
  call,
  type Expression,
  type FunctionBuilder,
  type FunctionRef,
  f64,
  i32,
  i64,
  ModuleBuilder,
  type ValueType,
} from '../../src/wasm/index.js';

/**
 * Compiles the tiers of one floating-point semantic function by themselves, with operands in memory, so that fast and exact tier can
 * be compared on millions of operands without an interpreter around them.
 */
const RS1 = 0;
const RS2 = 8;
const RS3 = 16;
const RD = 24;
const FFLAGS = 32;
const FRM = 36;
const OFFSET: Readonly<Record<SourceField, number>> = { rs1: RS1, rs2: RS2, rs3: RS3 };

/** What a tier returns. */
export const DONE = 0;
export const GAVE_UP = 1;
export const ILLEGAL_ROUNDING = 2;

export interface CompiledTiers {
  readonly fast: () => number;
  readonly exact: () => number;
  /** rs1, rs2, rs3, rd. */
  readonly registers: BigUint64Array;
  /** fflags and frm are words 8 and 9. */
  readonly words: Uint32Array;
}

class TierBuilder {
  readonly dynamicRounding = true;
  readonly sameOperands = false;
  constructor(
    readonly exact: boolean,
    private readonly body: FunctionBuilder,
    private readonly use: HelperCalls,
  ) {}
  private readonly base = i32.const(0);

  x(field: SourceField) {
    return i64.load(this.base, OFFSET[field]);
  }
  f(field: SourceField) {
    return i64.load(this.base, OFFSET[field]);
  }
  isOrdered(_field: SourceField, value: Expression<'f64'>) {
    return f64.eq(value, value);
  }
  isBoxed(_field: SourceField, register: Expression<'i64'>) {
    return i64.ge_u(register, i64.const(0xffff_ffff_0000_0000n));
  }
  setX(value: Expression<'i64'>) {
    this.body.store('i64.store', this.base, value, RD);
  }
  setF(value: Expression<'i64'>) {
    this.body.store('i64.store', this.base, value, RD);
  }
  hold<T extends ValueType>(value: Expression<T>) {
    return this.body.hold(value);
  }
  variable<T extends ValueType>(type: T) {
    return this.body.local(type);
  }
  set(...args: Parameters<FunctionBuilder['set']>) {
    this.body.set(...args);
  }
  if(...args: Parameters<FunctionBuilder['if']>) {
    this.body.if(...args);
  }
  require(condition: Expression<'i32'>) {
    if (!this.exact) this.body.if(i32.eqz(condition), () => this.body.return(i32.const(GAVE_UP)));
  }
  call<R extends ValueType>(helper: Helper<R>, ...operands: readonly Expression[]) {
    return this.body.hold(this.use(helper, ...operands));
  }
  fflags() {
    return i32.load(this.base, FFLAGS);
  }
  raise(flags: Expression<'i32'>) {
    this.body.store('i32.store', this.base, i32.or(this.fflags(), flags), FFLAGS);
  }
  frm() {
    return i32.load(this.base, FRM);
  }
  roundingMode() {
    const rm = this.body.hold(this.frm());
    this.body.if(i32.gt_u(rm, i32.const(4)), () => this.body.return(i32.const(ILLEGAL_ROUNDING)));
    return rm;
  }
  hardFloat() {
    return i32.and(i32.eqz(this.frm()), i32.and(this.fflags(), i32.const(1)));
  }
}

/** Compiles both tiers of `semantics`. */
export function compileTiers(semantics: Semantics): CompiledTiers {
  const module = new ModuleBuilder();
  module.importMemory({ module: 'e', name: 'memory', minimum: 1, maximum: 1, shared: false });
  const imported = new Map<string, FunctionRef>([
    [
      'floatSlow',
      module.importFunction('e', 'floatSlow', {
        params: ['i32', 'i32', 'i64', 'i64', 'i64'],
        results: ['i64'],
      }),
    ],
    ['floatFlags', module.importFunction('e', 'floatFlags', { params: [], results: ['i32'] })],
  ]);
  const use: HelperCalls = (helper, ...operands) => {
    let callee = imported.get(helper.name);
    if (callee === undefined) {
      const defined = module.function({ params: helper.params, results: [helper.result] });
      imported.set(helper.name, defined);
      helper.define!(defined.builder, use);
      callee = defined;
    }
    return call(callee, helper.result, ...operands);
  };
  for (const exact of [false, true]) {
    const tier = module.function({ params: [], results: ['i32'] });
    semantics(new TierBuilder(exact, tier.builder, use) as unknown as Builder);
    tier.builder.return(i32.const(DONE));
    module.exportFunction(exact ? 'exact' : 'fast', tier);
  }
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const bytes = module.toBytes() as Uint8Array<ArrayBuffer>;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    e: { memory, ...floatingPointHelpers() },
  });
  return {
    fast: exports.fast as () => number,
    exact: exports.exact as () => number,
    registers: new BigUint64Array(memory.buffer, 0, 4),
    words: new Uint32Array(memory.buffer, 0, 10),
  };
}
