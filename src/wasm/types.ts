/** WebAssembly value types. */
export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** Their binary encoding. */
export const VALUE_TYPE_CODE: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

/** Parameters and results of a function. At most one result is ever used here. */
export interface FunctionType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A function of a module: its index is known as soon as it is declared. */
export interface FunctionRef {
  readonly index: number;
  readonly type: FunctionType;
}
