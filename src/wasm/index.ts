export { ByteWriter } from './byteWriter.js';
export {
  call,
  callIndirect,
  Encoding,
  Expression,
  type F32,
  type F64,
  f32,
  f64,
  globalGet,
  type I32,
  type I64,
  i32,
  i64,
  localTee,
  select,
  type V128,
} from './expression.js';
export { FunctionBuilder, type Label, Local, type StoreKind } from './functionBuilder.js';
export { type MemoryImport, ModuleBuilder } from './moduleBuilder.js';
export type { FunctionRef, FunctionType, ValueType } from './types.js';
