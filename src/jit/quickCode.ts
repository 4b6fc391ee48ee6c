import { ByteWriter, type ValueType } from '../wasm/index.js';
import { VALUE_TYPE_CODE } from '../wasm/types.js';
import { EXIT_DONE_BITS, LOCALS, localsOf, PC_BYTES } from './quickTemplates.js';

/** What the first tier writes of WebAssembly: its opcodes. */
export const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  returnCall: 0x12,
  get: 0x20,
  getGlobal: 0x23,
  set: 0x21,
  tee: 0x22,
  loadI32: 0x28,
  loadI64: 0x29,
  storeI64: 0x37,
  drop: 0x1a,
  unreachable: 0x00,
  constI32: 0x41,
  constI64: 0x42,
  eqzI32: 0x45,
  eqI32: 0x46,
  ltSignedI32: 0x48,
  neI32: 0x47,
  neI64: 0x52,
  ltUnsignedI32: 0x49,
  geUnsignedI64: 0x5a,
  extendI32: 0xac,
  extendUnsignedI32: 0xad,
  addI32: 0x6a,
  subI32: 0x6b,
  andI32: 0x71,
  orI32: 0x72,
  shlI32: 0x74,
  shrSignedI32: 0x75,
  wrap: 0xa7,
  addI64: 0x7c,
  orI64: 0x84,
  shrUnsignedI64: 0x88,
} as const;
/** Types of blocks. */
const VOID = 0x40;
export const RESULT_I32 = 0x7f;

/** By the number of locals and parameters. */
const DECLARATIONS: Uint8Array[] = [];

/** The local declarations of a function with so many locals and parameters. */
export function declarations(locals: number): Uint8Array {
  DECLARATIONS[locals] ??= declare(localsOf(locals));
  return DECLARATIONS[locals];
}

function declare(types: readonly ValueType[]): Uint8Array {
  const out = new ByteWriter(64);
  out.unsigned(types.length);
  for (const type of types) {
    out.unsigned(1);
    out.byte(VALUE_TYPE_CODE[type]);
  }
  return out.toBytes();
}

/** Byte `i` of the signed LEB128 of a pc, in PC_BYTES bytes. */
export function pcByte(pc: number, i: number): number {
  const bits = i < 4 ? (pc >>> (7 * i)) & 0x7f : Math.floor(pc / 2 ** (7 * i)) & 0x7f;
  return i < PC_BYTES - 1 ? bits | 0x80 : bits;
}

/** The code of a region as it is being written, byte by byte: what is open, and what has been done so far. */
export class QuickCode {
  readonly out = new ByteWriter(4096);
  /** Blocks and loops that are open. */
  open = 0;
  /** How many were open when the block was begun that is left with the number of the instruction that is left aside. */
  asideLevel = 0;
  /** The register whose value is in LOCALS.address, or 0. */
  last = 0;
  /** Instructions that are not counted yet. */
  pending = 0;
  /** What is done where the conditions of the guards do not hold that are open. */
  readonly #guards: (() => void)[] = [];

  /** `pc` is the region's. */
  constructor(private readonly pc: number) {}

  /** Opens a block, a loop or an if. */
  begin(how: number, type = VOID): void {
    this.out.byte(how);
    this.out.byte(type);
    this.open++;
  }
  end(): void {
    this.out.byte(OP.end);
    this.open--;
  }
  get(local: number): void {
    this.out.byte(OP.get);
    this.out.byte(local);
  }
  set(local: number): void {
    this.out.byte(OP.set);
    this.out.byte(local);
  }
  i32(value: number): void {
    this.out.byte(OP.constI32);
    this.out.signed32(value);
  }
  /** Has a local that is used often in a register, until V8 needs that for others: by itself it loads it from its stack again and again. */
  keep(local: number): void {
    this.get(local);
    this.set(local);
  }
  /** An i64 that may be patched: a pc, in PC_BYTES. */
  pcConstant(pc: number): void {
    const { out } = this;
    out.byte(OP.constI64);
    for (let i = 0; i < PC_BYTES; i++) out.byte(pcByte(pc, i));
  }
  /** A load or store. */
  memory(opcode: number, offset: number, align = opcode === OP.loadI32 ? 2 : 3): void {
    this.out.byte(opcode);
    this.out.byte(align);
    this.out.unsigned(offset);
  }

  /** An i64 of 32 bits, signed. */
  smallI64(value: number): void {
    this.out.byte(OP.constI64);
    this.out.signed32(value);
  }

  /** A branch to the block before whose beginning `level` blocks were open. */
  branchTo(how: number, level: number): void {
    this.out.byte(how);
    this.out.unsigned(this.open - 1 - level);
  }

  /** Counts the instructions that have not been counted. */
  countPending(): void {
    if (this.pending > 0) {
      this.get(LOCALS.count);
      this.i32(-this.pending);
      this.out.byte(OP.addI32);
      this.set(LOCALS.count);
    }
    this.pending = 0;
  }

  /** What says that the instruction at `pc` is left aside. */
  exitAt(pc: number): number {
    return (pc - this.pc) * 2 ** EXIT_DONE_BITS + this.pending;
  }

  /**
   * Goes on only where the condition holds that is on the stack. What is done elsewhere, `otherwise`, is written by `closeGuards`: V8's baseline
   * compiler lays code out as it comes, and a branch that is hardly ever taken costs next to nothing.
   */
  guard(otherwise: () => void): void {
    this.begin(OP.if);
    this.#guards.push(otherwise);
  }
  /** A guard that leaves the instruction at `pc` aside. */
  guardAt(pc: number): void {
    this.guard(this.#leaving(pc));
  }
  /** The `if`s that a copied template of the instruction at `pc` has opened. */
  guardsOf(count: number, pc: number): void {
    this.open += count;
    for (let i = 0; i < count; i++) this.#guards.push(this.#leaving(pc));
  }
  #leaving(pc: number): () => void {
    const exit = this.exitAt(pc);
    return () => {
      this.i32(exit);
      this.branchTo(OP.br, this.asideLevel);
    };
  }

  /** Whether there are guards, so that control cannot run into what is written next. */
  get isGuarded(): boolean {
    return this.#guards.length > 0;
  }

  /** Writes what is done where the conditions of guards do not hold. Control does not come here. */
  closeGuards(): void {
    for (let otherwise = this.#guards.pop(); otherwise !== undefined; otherwise = this.#guards.pop()) {
      this.out.byte(OP.else);
      otherwise();
      this.end();
    }
  }
}
