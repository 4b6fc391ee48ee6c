import { COMPRESSED_BUCKETS, type CompressedRow } from '../isa/compressed.js';
import { WITHOUT_C } from '../isa/extensions.js';
import type { ImmediateKind, Instruction } from '../isa/instruction.js';
import { INSTRUCTIONS } from '../isa/instructions.js';
import { CODE_SLOTS, CodePage } from '../sync/records/codePage.js';
import {
  call,
  type FunctionBuilder,
  type FunctionRef,
  type I32,
  i32,
  i64,
  type Label,
  type ModuleBuilder,
  select,
} from '../wasm/index.js';
import { OP_CONTINUE, OP_ILLEGAL, OP_STRADDLE, VARIANTS, WITHOUT_SOURCE } from './handlers.js';
import { ENDS_RUN, OPCODE_SHIFT, RM_SHIFT, SINK, SLOT_SCALE_SHIFT } from './slot.js';

/** How many instructions one call decodes at most. */
const RUN_LIMIT = 64;
const PAGE_BYTES = CODE_SLOTS * 2;

/** The predecoder, as functions of the interpreter's module: code that has never run is decoded at full speed at once. */
export interface Predecoder {
  /**
   * (code page, index): decodes a straight run of slots from slot `index` on: until control cannot fall through, the page
   * ends, or decoded slots begin. Any number of threads may do so at once: they write the same values.
   */
  readonly run: FunctionRef;
  /**
   * (instruction word, offset in the page, extensions) → slot. A compressed instruction stands in the low 16 bits. Offset
   * −1: the slot must mean the same wherever it stands, so all targets are far.
   */
  readonly instruction: FunctionRef;
}

/** Adds the predecoder, made from the tables of isa/, to `module`. */
export function definePredecoder(module: ModuleBuilder): Predecoder {
  const expand = module.function({ params: ['i32', 'i32'], results: ['i32'] });
  writeExpand(expand.builder);
  const instruction = module.function({ params: ['i32', 'i32', 'i32'], results: ['i64'] });
  writeInstruction(instruction.builder, expand);
  const run = module.function({ params: ['i32', 'i32'], results: [] });
  writeRun(run.builder, instruction);
  return { run, instruction };
}

const c = i32.const;
/** Bits `low` … `low + width − 1` of `value`, moved to stand at bit `at`. */
function bits(value: I32, low: number, width: number, at: number): I32 {
  const mask = c(((2 ** width - 1) << at) | 0);
  if (low === at) return i32.and(value, mask);
  const moved = low > at ? i32.shr_u(value, c(low - at)) : i32.shl(value, c(at - low));
  return i32.and(moved, mask);
}

const isFullLength = (raw: I32): I32 => i32.eq(i32.and(raw, c(3)), c(3));

function writeRun(f: FunctionBuilder, instruction: FunctionRef): void {
  const page = f.param('i32', 0);
  const index = f.param('i32', 1);
  const count = f.local('i32');
  const source = f.hold(i32.load(page, CodePage.source));
  const extensions = f.hold(i32.load(page, CodePage.extensions));
  const slotPlace = f.local('i32');
  const raw = f.local('i32');
  const slot = f.local('i64');
  const special = (opcode: number): void => {
    f.store('i64.store', slotPlace, i64.const((opcode << OPCODE_SHIFT) >>> 0), CodePage.slots);
    f.return();
  };
  f.loop((again) => {
    f.set(slotPlace, i32.add(page, i32.shl(index, c(3))));
    f.if(i32.eq(index, c(CODE_SLOTS)), () => special(OP_CONTINUE));
    f.if(i32.and(i32.ne(count, c(0)), i64.ne(i64.load(slotPlace, CodePage.slots), i64.const(0))), () =>
      f.return(),
    );
    f.set(raw, i32.load16_u(i32.add(source, i32.shl(index, c(1)))));
    f.if(isFullLength(raw), () => {
      f.if(i32.eq(index, c(CODE_SLOTS - 1)), () => special(OP_STRADDLE));
      const second = i32.load16_u(i32.add(source, i32.shl(index, c(1))), 2);
      f.set(raw, i32.or(raw, i32.shl(second, c(16))));
    });
    f.set(slot, call(instruction, 'i64', raw, i32.shl(index, c(1)), extensions));
    f.store('i64.store', slotPlace, slot, CodePage.slots);
    f.if(i32.and(i32.wrap_i64(slot), c(ENDS_RUN)), () => f.return());
    f.set(index, i32.add(index, select(isFullLength(raw), c(2), c(1))));
    f.set(count, i32.add(count, c(1)));
    f.brIf(again, i32.lt_u(count, c(RUN_LIMIT)));
  });
}

/** Adds to `condition` that all of the extensions `needed` are among the `available` ones. */
function where(condition: I32, needed: number, available: I32): I32 {
  if (needed === 0) return condition;
  return i32.and(condition, i32.eq(i32.and(available, c(needed)), c(needed)));
}

/** (halfword, extensions) → the 32-bit instruction that it stands for, or 0. */
function writeExpand(f: FunctionBuilder): void {
  const half = f.param('i32', 0);
  const extensions = f.param('i32', 1);
  f.if(i32.and(extensions, c(WITHOUT_C)), () => f.return(c(0)));
  const bucket = i32.or(i32.and(i32.shr_u(half, c(11)), c(0x1c)), i32.and(half, c(3)));
  dispatch(f, bucket, COMPRESSED_BUCKETS, (row: CompressedRow) => {
    f.if(where(i32.eq(i32.and(half, c(row.mask)), c(row.match)), row.extensions, extensions), () => {
      let word: I32 = c(row.base);
      for (const { from, width, to } of row.moves) word = i32.or(word, bits(half, from, width, to));
      if (row.sign !== 0) {
        const all = i32.sub(c(0), bits(half, 12, 1, 0));
        word = i32.or(word, i32.and(all, c(row.sign)));
      }
      f.return(word);
    });
  });
  f.return(c(0));
}

/** Rows by major opcode (bits 6 to 2) and funct3. */
function rowBuckets(): Instruction[][] {
  const buckets: Instruction[][] = Array.from({ length: 256 }, () => []);
  for (const row of INSTRUCTIONS) {
    const mask = (row.mask >>> 12) & 7;
    for (let funct3 = 0; funct3 < 8; funct3++) {
      if ((funct3 & mask) !== ((row.match >>> 12) & mask)) continue;
      buckets[(((row.match >>> 2) & 31) << 3) | funct3].push(row);
    }
  }
  return buckets;
}

function writeInstruction(f: FunctionBuilder, expand: FunctionRef): void {
  const raw = f.param('i32', 0);
  const offset = f.param('i32', 1);
  const extensions = f.param('i32', 2);
  const word = f.hold(raw);
  /** 1 for a 32-bit instruction, 0 for a compressed one. */
  const long = f.hold(c(1));
  f.if(i32.eqz(isFullLength(raw)), () => {
    f.set(raw, i32.and(raw, c(0xffff)));
    f.set(word, call(expand, 'i32', raw, extensions));
    f.set(long, c(0));
  });
  const immediate = f.local('i32');
  const opcode = f.local('i32');
  const locals: InstructionLocals = { word, offset, long, immediate, opcode };

  // A row only says which opcodes are its own: slots of the same kind are put together in one place.
  const kinds = new Map<string, { readonly row: Instruction; readonly label: Label }>();
  const illegal = f.openBlock();
  const distinct = new Map(INSTRUCTIONS.map((row) => [kindOf(row), row]));
  for (const [kind, row] of distinct) kinds.set(kind, { row, label: f.openBlock() });

  const bucket = i32.or(bits(word, 2, 5, 3), bits(word, 12, 3, 0));
  dispatch(f, bucket, rowBuckets(), (row: Instruction) => {
    f.if(where(i32.eq(i32.and(word, c(row.mask)), c(row.match)), row.extensions, extensions), () => {
      f.set(opcode, c(VARIANTS[row.index].first));
      f.br(kinds.get(kindOf(row))!.label);
    });
  });
  f.br(illegal);
  for (const { row } of [...kinds.values()].reverse()) {
    f.close();
    // Modes 5 and 6 are reserved.
    if (row.usesRm) f.brIf(illegal, i32.lt_u(i32.sub(bits(word, 12, 3, 0), c(5)), c(2)));
    writeSlot(f, row, locals);
  }
  f.close();
  const length = i32.add(i32.shl(long, c(1)), c(2));
  const low = i32.or(c((OP_ILLEGAL << OPCODE_SHIFT) | ENDS_RUN), i32.shl(length, c(16)));
  f.return(slotOf(low, raw));
}

/** What the slots of two rows must have in common to be put together by the same code. */
function kindOf(row: Instruction): string {
  const { compressible, targets, links, dynamics } = VARIANTS[row.index];
  const { immediate, usesRd, usesRs1, usesRs2, usesRs3, usesRm, flow, operands } = row;
  const integer = usesRd && operands.includes('d');
  const ends = flow === 'jump' || flow === 'jumpRegister';
  return [
    WITHOUT_SOURCE.has(row) ? row.mnemonic : '',
    immediate,
    compressible,
    targets.length,
    links.length,
    dynamics.length,
    ...[usesRd, integer, usesRs1, usesRs2, usesRs3, usesRm, ends],
  ].join();
}

interface InstructionLocals {
  readonly word: I32;
  readonly offset: I32;
  readonly long: I32;
  readonly immediate: ReturnType<FunctionBuilder['local']> & I32;
  readonly opcode: ReturnType<FunctionBuilder['local']> & I32;
}

/** Puts the slot of an instruction of a row like this one together, whose first opcode is in `opcode`, and returns it. */
function writeSlot(f: FunctionBuilder, row: Instruction, locals: InstructionLocals): void {
  const { word, offset, long, immediate, opcode } = locals;
  const { compressible, targets, links, dynamics } = VARIANTS[row.index];
  f.set(immediate, immediateOf(row.immediate, word));

  // Variants are in the order length, target, links, dynamic (handlers.ts).
  const step = (count: I32, stride: number): void => {
    f.set(opcode, i32.add(opcode, i32.mul(count, c(stride))));
  };
  const sourceless = WITHOUT_SOURCE.get(row);
  if (sourceless) {
    const other = c(VARIANTS[sourceless.index].first);
    f.if(i32.eqz(bits(word, 15, 5, 0)), () => f.set(opcode, other));
  }
  if (compressible) step(long, targets.length * links.length * dynamics.length);
  if (links.length > 1) step(i32.eqz(bits(word, 7, 5, 0)), dynamics.length);
  if (dynamics.length > 1) step(i32.ne(bits(word, 12, 3, 0), c(7)), 1);
  if (targets.length > 1) {
    const stride = links.length * dynamics.length;
    const to = i32.add(offset, immediate);
    const near = i32.and(i32.ge_s(offset, c(0)), i32.lt_u(to, c(PAGE_BYTES)));
    f.if(
      near,
      () => {
        step(i32.le_s(immediate, c(0)), stride);
        f.set(immediate, i32.shl(immediate, c(SLOT_SCALE_SHIFT)));
      },
      () => step(c(2), stride),
    );
  }

  let low = i32.shl(opcode, c(OPCODE_SHIFT));
  if (row.usesRd) {
    const rd = bits(word, 7, 5, 16);
    const integer = row.operands.includes('d');
    low = i32.or(low, integer ? select(bits(word, 7, 5, 7), rd, c(SINK << 16)) : rd);
  }
  if (row.usesRs1) low = i32.or(low, bits(word, 15, 5, 3));
  if (row.usesRs2) low = i32.or(low, bits(word, 20, 5, 11));
  if (row.usesRm) low = i32.or(low, bits(word, 12, 3, RM_SHIFT));
  if (row.flow === 'jump' || row.flow === 'jumpRegister') low = i32.or(low, c(ENDS_RUN));
  f.return(slotOf(low, row.usesRs3 ? bits(word, 27, 5, 3) : immediate));
}

const slotOf = (low: I32, high: I32) =>
  i64.or(i64.extend_i32_u(low), i64.shl(i64.extend_i32_u(high), i64.const(32)));

/** The immediate of `word`, sign extended (isa/decoder's, as an expression). */
function immediateOf(kind: ImmediateKind, word: I32): I32 {
  const sign = (at: number): I32 => i32.shl(i32.shr_s(word, c(31)), c(at));
  const or = (...parts: I32[]): I32 => parts.reduce((a, b) => i32.or(a, b));
  switch (kind) {
    case 'I':
      return i32.shr_s(word, c(20));
    case 'S':
      return or(i32.and(i32.shr_s(word, c(20)), c(~31)), bits(word, 7, 5, 0));
    case 'B':
      return or(sign(12), bits(word, 7, 1, 11), bits(word, 25, 6, 5), bits(word, 8, 4, 1));
    case 'U':
      return i32.and(word, c(~0xfff));
    case 'J':
      return or(sign(20), bits(word, 12, 8, 12), bits(word, 20, 1, 11), bits(word, 21, 10, 1));
    case 'shift6':
      return bits(word, 20, 6, 0);
    case 'shift5':
      return bits(word, 20, 5, 0);
    case 'csrImmediate':
      return bits(word, 15, 5, 0);
    case 'none':
      return c(0);
  }
}

/**
 * Branches to the bucket `index` and tries its rows in order; falls out at the end when none returns. Buckets with the
 * same rows share their code.
 */
function dispatch<Row>(
  f: FunctionBuilder,
  index: I32,
  buckets: readonly (readonly Row[])[],
  tryRow: (row: Row) => void,
): void {
  const distinct: (readonly Row[])[] = [];
  const which = buckets.map((bucket) => {
    if (bucket.length === 0) return -1;
    const same = distinct.findIndex((other) => sameRows(other, bucket));
    return same >= 0 ? same : distinct.push(bucket) - 1;
  });
  const none = f.openBlock();
  const labels: Label[] = [];
  for (let i = distinct.length - 1; i >= 0; i--) labels[i] = f.openBlock();
  f.brTable(
    index,
    which.map((i) => (i < 0 ? none : labels[i])),
    none,
  );
  for (const bucket of distinct) {
    f.close();
    for (const row of bucket) tryRow(row);
    f.br(none);
  }
  f.close();
}

function sameRows<Row>(a: readonly Row[], b: readonly Row[]): boolean {
  return a.length === b.length && a.every((row, i) => row === b[i]);
}
