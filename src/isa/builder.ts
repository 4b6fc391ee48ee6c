import type { Expression, F32, F64, FunctionBuilder, I32, I64, Local, ValueType } from '../wasm/index.js';

/** Register fields of an instruction. */
export type SourceField = 'rs1' | 'rs2' | 'rs3';

/** How a load reads memory: bits and what happens to the rest of the 64-bit value. */
export type LoadKind = 'i8' | 'u8' | 'i16' | 'u16' | 'i32' | 'u32' | 'i64';
/** How many bits a store writes. */
export type StoreBits = 8 | 16 | 32 | 64;
/** Read-modify-write of an AMO. */
export type AmoKind = 'swap' | 'add' | 'xor' | 'and' | 'or' | 'min' | 'max' | 'minu' | 'maxu';
/** Bits of an atomic access. */
export type AtomicBits = 32 | 64;
/** Counters a user program may read. */
export type Counter = 'cycle' | 'time' | 'instret';
/** Why an instruction leaves the engine; the EXIT_* numbers of sync/records/thread.ts. */
export type ExitReason = 'ecall' | 'ebreak' | 'illegal' | 'fenceI';

/**
 * A function that semantics call for what is too long or too rare to be written inline. With `define` it is WebAssembly,
 * put once into each module that uses it; without, it is imported from JavaScript under its name (engine option
 * `helpers`; an i64 is a BigInt there).
 */
export interface Helper<R extends ValueType = ValueType> {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly result: R;
  /** Writes the body; calls of other helpers go through `use`. */
  readonly define?: (f: FunctionBuilder, use: HelperCalls) => void;
}

/** Makes an expression that calls a helper. */
export type HelperCalls = <R extends ValueType>(
  helper: Helper<R>,
  ...operands: readonly Expression[]
) => Expression<R>;

/**
 * What an instruction's meaning is written in. A semantic function is called when code for the instruction is generated:
 * by the interpreter generator once per instruction of the ISA, with registers in memory and fields taken from the slot;
 * by the JIT once per instruction of the program, with registers in wasm locals and fields as constants.
 *
 * There are two tiers. The fast tier (`exact` false) may give up: `require` and any memory access may leave the
 * instruction, which is then done again, from its beginning, by the exact tier, where nothing may be given up and
 * everything is right. So a semantic function must not change state (setX, setF, raise, …) before its last `require`,
 * load or store. The two tiers usually share one text; rows that differ ask `exact`.
 *
 * Expressions are evaluated where they are put into a statement. Values that are used twice, or that must survive a
 * change of what they were computed from, go through `hold`. (Loads, AMOs and the like return held values.)
 */
export interface Builder {
  /** Says whether this is the exact tier. */
  readonly exact: boolean;

  // --- registers and fields ---
  /** Integer register named by the field; x0 reads 0. */
  x(field: SourceField): I64;
  /** Writes the integer register rd. Once an instruction, and last. */
  setX(value: I64): void;
  /** All 64 bits of the floating-point register named by the field (NaN boxing is the caller's business). */
  f(field: SourceField): I64;
  /** Whether the double in the floating-point register named by the field, held in `value`, is not a NaN. */
  isOrdered(field: SourceField, value: F64): I32;
  /** Whether the floating-point register named by the field, held in `register`, holds a boxed single. */
  isBoxed(field: SourceField, register: I64): I32;
  /** Whether rs1 and rs2 are known to be the same register when code is generated. */
  readonly sameOperands: boolean;
  /** Writes all 64 bits of the floating-point register rd. */
  setF(value: I64): void;
  /** The immediate, sign extended; shift amounts; the zero-extended 5-bit immediate of CSR instructions. */
  immediate(): I64;
  /** Address of the instruction, and of the one behind it (2 or 4 bytes on). */
  pc(): I64;
  nextPc(): I64;

  // --- values and control inside an instruction ---
  /** Evaluates now and keeps the value for the rest of the instruction. */
  hold<T extends ValueType>(value: Expression<T>): Expression<T>;
  /** A variable of the instruction; assign with `set`. Undefined before. */
  variable<T extends ValueType>(type: T): Local<T>;
  set<T extends ValueType>(variable: Local<T>, value: Expression<T>): void;
  /** `likely` says which way it goes almost always. */
  if(condition: I32, whenTrue: () => void, whenFalse?: () => void, likely?: boolean): void;
  /** Fast tier: goes on only where `condition` holds, else the exact tier takes over. No effect in the exact tier. */
  require(condition: I32): void;
  /** Calls a helper; the value is held. */
  call<R extends ValueType>(helper: Helper<R>, ...operands: readonly Expression[]): Expression<R>;
  /** The instruction is illegal unless `condition` holds (e.g. a reserved dynamic rounding mode). */
  legalIf(condition: I32): void;

  // --- memory ---
  /** Loads; the value is held. */
  load(kind: LoadKind, address: I64): I64;
  store(bits: StoreBits, address: I64, value: I64): void;
  loadReserved(bits: AtomicBits, address: I64): I64;
  /** 0 when the store happened, 1 when not; held. */
  storeConditional(bits: AtomicBits, address: I64, value: I64): I64;
  /** The value before (sign extended); held. */
  amo(kind: AmoKind, bits: AtomicBits, address: I64, value: I64): I64;
  fence(): void;

  // --- control transfer: the last thing an instruction does ---
  /** Goes to pc + immediate where `condition` holds. */
  branch(condition: I32): void;
  /** rd = nextPc, goes to pc + immediate. */
  jump(): void;
  /** rd = nextPc, goes to `target` with bit 0 cleared. */
  jumpTo(target: I64): void;
  /** Leaves the engine: at the instruction, or (fenceI) behind it. */
  exit(reason: ExitReason): void;

  // --- floating-point state and counters ---
  /** Accrued exceptions: NV 16, DZ 8, OF 4, UF 2, NX 1. */
  fflags(): I32;
  setFflags(value: I32): void;
  /** Adds to the accrued exceptions. */
  raise(flags: I32): void;
  /** The dynamic rounding mode (0 to 7; 5 to 7 are illegal to use). */
  frm(): I32;
  setFrm(value: I32): void;
  /** Says whether the instruction's rm field is 7, "dynamic". Known when code is generated. */
  readonly dynamicRounding: boolean;
  /**
   * The rounding mode in force: the rm field (never reserved, decoding saw to that), or frm when that is dynamic: then
   * the instruction is illegal when frm is reserved. 0 RNE, 1 RTZ, 2 RDN, 3 RUP, 4 RMM. Held.
   */
  roundingMode(): I32;
  /** QEMU's hardfloat condition: the mode in force is RNE and the inexact flag is already set. */
  hardFloat(): I32;
  /** Whether that flag is expected to be set, so that what is done while it is clear is rarely executed, and had better be short. */
  readonly expectsInexact: boolean;
  counter(counter: Counter): I64;
}

export type { Expression, F32, F64, I32, I64, Local, ValueType };

/** The meaning of one instruction. */
export type Semantics = (b: Builder) => void;
