import { ByteWriter } from './byteWriter.js';
import { Expression, emitExpression, emitOpcode, type I32, localGet } from './expression.js';
import { type FunctionRef, type FunctionType, VALUE_TYPE_CODE, type ValueType } from './types.js';

/** A local or parameter. It is itself the expression that reads it. */
export class Local<T extends ValueType = ValueType> extends Expression<T> {
  constructor(
    type: T,
    readonly index: number,
  ) {
    const get = localGet(type, index);
    super(type, get.opcode, get.operands, get.encoding, index);
  }
}

/** A place to branch to: the end of a block or the start of a loop. */
export interface Label {
  readonly level: number;
}

/** Stores: opcode and natural alignment (log2). Narrow stores keep the low bits. */
const STORES = {
  'i32.store': [0x36, 2],
  'i64.store': [0x37, 3],
  'f32.store': [0x38, 2],
  'f64.store': [0x39, 3],
  'i32.store8': [0x3a, 0],
  'i32.store16': [0x3b, 1],
  'i64.store8': [0x3c, 0],
  'i64.store16': [0x3d, 1],
  'i64.store32': [0x3e, 2],
  'i32.atomic.store': [0xfe17, 2],
  'i64.atomic.store': [0xfe18, 3],
} as const;
export type StoreKind = keyof typeof STORES;

/**
 * Writes the body of one function, statement by statement. Control flow is structured: `block`, `loop` and `if` take
 * callbacks, `openBlock`/`openLoop`/`close` do the same for nests too deep or too regular for callbacks.
 */
export class FunctionBuilder {
  readonly params: readonly Local[];
  readonly #code = new ByteWriter(1024);
  readonly #locals: ValueType[] = [];
  readonly #free = new Map<ValueType, Local[]>();
  readonly #hints: { readonly at: number; readonly likely: boolean }[] = [];
  #depth = 0;

  constructor(readonly type: FunctionType) {
    this.params = type.params.map((param, index) => new Local(param, index));
  }

  /** Parameter `index`, checked to be of type `type`. */
  param<T extends ValueType>(type: T, index: number): Local<T> {
    const param = this.params[index];
    if (param?.type !== type) throw new Error(`parameter ${index} is ${param?.type}, not ${type}`);
    return param as Local<T>;
  }

  /** A new local (zero at function entry), or one given back by `release`. */
  local<T extends ValueType>(type: T): Local<T> {
    const reused = this.#free.get(type)?.pop();
    if (reused) return reused as Local<T>;
    this.#locals.push(type);
    return new Local(type, this.params.length + this.#locals.length - 1);
  }

  /** Gives a local back for reuse; its value is undefined to the next user. */
  release(local: Local): void {
    const list = this.#free.get(local.type);
    if (list) list.push(local);
    else this.#free.set(local.type, [local]);
  }

  set<T extends ValueType>(local: Local<T>, value: Expression<T>): void {
    emitExpression(this.#code, value);
    this.#code.byte(0x21);
    this.#code.unsigned(local.index);
  }

  setGlobal<T extends ValueType>(index: number, value: Expression<T>): void {
    emitExpression(this.#code, value);
    this.#code.byte(0x24);
    this.#code.unsigned(index);
  }

  /** A new local with `value` in it. */
  hold<T extends ValueType>(value: Expression<T>): Local<T> {
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  /** Stores `value` at `address` + `offset`; `align` (log2) only as a hint, except for atomics. */
  store(kind: StoreKind, address: I32, value: Expression, offset = 0, align?: number): void {
    const [opcode, natural] = STORES[kind];
    emitExpression(this.#code, address);
    emitExpression(this.#code, value);
    emitOpcode(this.#code, opcode);
    this.#code.unsigned(align ?? natural);
    this.#code.unsigned(offset);
  }

  /** Stores `value` at `address` + `offset`, and keeps it in `local`, too. */
  storeTee<T extends ValueType>(
    kind: StoreKind,
    address: I32,
    value: Expression<T>,
    local: Local<T>,
    offset = 0,
  ): void {
    const [opcode, natural] = STORES[kind];
    emitExpression(this.#code, address);
    emitExpression(this.#code, value);
    this.#code.byte(0x22);
    this.#code.unsigned(local.index);
    emitOpcode(this.#code, opcode);
    this.#code.unsigned(natural);
    this.#code.unsigned(offset);
  }

  /** Evaluates for the effect and drops the value. */
  drop(value: Expression): void {
    emitExpression(this.#code, value);
    this.#code.byte(0x1a);
  }

  /** Calls a function without a result. */
  call(callee: FunctionRef, ...operands: readonly Expression[]): void {
    for (const operand of operands) emitExpression(this.#code, operand);
    this.#code.byte(0x10);
    this.#code.unsigned(callee.index);
  }

  openBlock(): Label {
    this.#code.byte(0x02);
    this.#code.byte(0x40);
    return { level: this.#depth++ };
  }

  openLoop(): Label {
    this.#code.byte(0x03);
    this.#code.byte(0x40);
    return { level: this.#depth++ };
  }

  /** Begins an `if` that is left open: what comes next is done where `condition` holds. */
  openIf(condition: I32): void {
    emitExpression(this.#code, condition);
    this.#code.byte(0x04);
    this.#code.byte(0x40);
    this.#depth++;
  }

  /** Ends the innermost open block or loop. */
  close(): void {
    this.#depth--;
    this.#code.byte(0x0b);
  }

  /** `block … end`; a branch to the label goes behind it. */
  block(body: (end: Label) => void): void {
    const label = this.openBlock();
    body(label);
    this.close();
  }

  /** `loop … end`; a branch to the label goes back to its start, falling out of the end leaves it. */
  loop(body: (start: Label) => void): void {
    const label = this.openLoop();
    body(label);
    this.close();
  }

  /** `if … else … end`. `likely` says which way it goes almost always. */
  if(condition: I32, whenTrue: () => void, whenFalse?: () => void, likely?: boolean): void {
    emitExpression(this.#code, condition);
    this.#hint(likely);
    this.#code.byte(0x04);
    this.#code.byte(0x40);
    this.#depth++;
    whenTrue();
    if (whenFalse) {
      this.#code.byte(0x05);
      whenFalse();
    }
    this.close();
  }

  br(label: Label): void {
    this.#code.byte(0x0c);
    this.#code.unsigned(this.#depth - 1 - label.level);
  }

  /** Branches where `condition` holds; `likely` says which way it goes almost always. */
  brIf(label: Label, condition: I32, likely?: boolean): void {
    emitExpression(this.#code, condition);
    this.#hint(likely);
    this.#code.byte(0x0d);
    this.#code.unsigned(this.#depth - 1 - label.level);
  }

  /**
   * Branches with `value` where `condition` holds, to a label whose depth is in `depth` (LEB128); otherwise the value is dropped. For code that is put
   * together of parts: the label is not one of this function's.
   */
  brIfWith(depth: Uint8Array, value: I32, condition: I32): void {
    emitExpression(this.#code, value);
    emitExpression(this.#code, condition);
    this.#code.byte(0x0d);
    this.#code.bytes(depth);
    this.#code.byte(0x1a);
  }

  /** The same, always. */
  brWith(depth: Uint8Array, value: I32): void {
    emitExpression(this.#code, value);
    this.#code.byte(0x0c);
    this.#code.bytes(depth);
  }

  /** How many blocks are open. */
  get depth(): number {
    return this.#depth;
  }

  /** Branches to `labels[index]`, or to `otherwise` when there is none. */
  brTable(index: I32, labels: readonly Label[], otherwise: Label): void {
    emitExpression(this.#code, index);
    this.#code.byte(0x0e);
    this.#code.unsigned(labels.length);
    for (const label of labels) this.#code.unsigned(this.#depth - 1 - label.level);
    this.#code.unsigned(this.#depth - 1 - otherwise.level);
  }

  /** Returns from the function, with its result if it has one. */
  return(value?: Expression): void {
    if (value) emitExpression(this.#code, value);
    this.#code.byte(0x0f);
  }

  /** Returns what `callee` returns, which runs in place of this function: the host's stack does not grow. */
  returnCall(callee: FunctionRef, ...operands: readonly Expression[]): void {
    for (const operand of operands) emitExpression(this.#code, operand);
    this.#code.byte(0x12);
    this.#code.unsigned(callee.index);
  }

  /** The same with entry `index` of the imported table, whose function has the type with index `type`. */
  returnCallIndirect(type: number, index: I32, ...operands: readonly Expression[]): void {
    for (const operand of operands) emitExpression(this.#code, operand);
    emitExpression(this.#code, index);
    this.#code.byte(0x13);
    this.#code.unsigned(type);
    this.#code.unsigned(0);
  }

  unreachable(): void {
    this.#code.byte(0x00);
  }

  /** A sequentially consistent fence. */
  fence(): void {
    this.#code.bytes([0xfe, 0x03, 0x00]);
  }

  memoryFill(address: I32, value: I32, length: I32): void {
    emitExpression(this.#code, address);
    emitExpression(this.#code, value);
    emitExpression(this.#code, length);
    this.#code.bytes([0xfc, 0x0b, 0x00]);
  }

  /** Copies like memmove. */
  memoryCopy(to: I32, from: I32, length: I32): void {
    emitExpression(this.#code, to);
    emitExpression(this.#code, from);
    emitExpression(this.#code, length);
    this.#code.bytes([0xfc, 0x0a, 0x00, 0x00]);
  }

  /** Notes which way the branch that is written next goes almost always. */
  #hint(likely: boolean | undefined): void {
    if (likely !== undefined) this.#hints.push({ at: this.#code.length, likely });
  }

  /** The code so far, without a copy; valid until the next statement. */
  get code(): Uint8Array {
    return this.#code.view();
  }

  /** Locals and parameters so far. */
  get localCount(): number {
    return this.params.length + this.#locals.length;
  }

  /** Bytes of code so far. */
  get size(): number {
    return this.#code.length;
  }

  /** Whether any branch has a hint. */
  get isHinted(): boolean {
    return this.#hints.length > 0;
  }

  /** Writes the function's part of the section of branch hints (the branch hinting proposal, "metadata.code.branch_hint"). */
  writeHintsTo(out: ByteWriter): void {
    const start = this.#localDeclarations().length;
    out.unsigned(this.#hints.length);
    for (const { at, likely } of this.#hints) {
      out.unsigned(start + at);
      out.unsigned(1);
      out.byte(likely ? 1 : 0);
    }
  }

  /**
   * Writes the function's entry of the code section. A function with a result must end in `return` or `unreachable`;
   * what follows the last statement is made unreachable so that it validates.
   */
  writeTo(out: ByteWriter): void {
    if (this.#depth !== 0) throw new Error(`${this.#depth} blocks left open`);
    const entry = new ByteWriter(this.#code.length + 64);
    entry.bytes(this.#localDeclarations().view());
    entry.bytes(this.#code.view());
    if (this.type.results.length > 0) entry.byte(0x00);
    entry.byte(0x0b);
    out.sized(entry);
  }

  #localDeclarations(): ByteWriter {
    const out = new ByteWriter(32);
    const runs: [number, ValueType][] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.[1] === type) last[0]++;
      else runs.push([1, type]);
    }
    out.unsigned(runs.length);
    for (const [count, type] of runs) {
      out.unsigned(count);
      out.byte(VALUE_TYPE_CODE[type]);
    }
    return out;
  }
}
