import { i32, i64 } from '../wasm/index.js';
import type { AmoKind, AtomicBits, Builder, Counter, I32, I64, Semantics } from './builder.js';

/** The A extension, fences, traps and Zicsr (unprivileged ISA manual, chapters 3, 6, 8 and 14). */

const amo =
  (kind: AmoKind, bits: AtomicBits): Semantics =>
  (b) =>
    b.setX(b.amo(kind, bits, b.x('rs1'), b.x('rs2')));

const AMO_KINDS: readonly AmoKind[] = ['swap', 'add', 'xor', 'and', 'or', 'min', 'max', 'minu', 'maxu'];

function atomics(bits: AtomicBits): Record<string, Semantics> {
  const suffix = bits === 32 ? '.w' : '.d';
  const rows: Record<string, Semantics> = {
    [`lr${suffix}`]: (b) => b.setX(b.loadReserved(bits, b.x('rs1'))),
    [`sc${suffix}`]: (b) => b.setX(b.storeConditional(bits, b.x('rs1'), b.x('rs2'))),
  };
  for (const kind of AMO_KINDS) rows[`amo${kind}${suffix}`] = amo(kind, bits);
  return rows;
}

/** A CSR a user program may write, as a number, and how to write it (the value comes unmasked). */
interface WritableCsr {
  read(b: Builder): I32;
  write(b: Builder, value: I32): void;
}

const fflags: WritableCsr = {
  read: (b) => b.fflags(),
  write: (b, value) => b.setFflags(i32.and(value, i32.const(31))),
};
const frm: WritableCsr = {
  read: (b) => b.frm(),
  write: (b, value) => b.setFrm(i32.and(value, i32.const(7))),
};
const fcsr: WritableCsr = {
  read: (b) => i32.or(b.fflags(), i32.shl(b.frm(), i32.const(5))),
  write: (b, value) => {
    const held = b.hold(value);
    b.setFflags(i32.and(held, i32.const(31)));
    b.setFrm(i32.and(i32.shr_u(held, i32.const(5)), i32.const(7)));
  },
};

/** The CSRs of user mode that exist here: number, name, and how to get at them. */
export const WRITABLE_CSRS: readonly (readonly [number, string])[] = [
  [0x001, 'fflags'],
  [0x002, 'frm'],
  [0x003, 'fcsr'],
];
export const COUNTER_CSRS: readonly (readonly [number, Counter])[] = [
  [0xc00, 'cycle'],
  [0xc01, 'time'],
  [0xc02, 'instret'],
];

const csrs: Readonly<Record<string, WritableCsr>> = { fflags, frm, fcsr };

/** How the six CSR instructions combine the old value and the operand. */
const UPDATES: Readonly<Record<string, (old: I32, operand: I32) => I32>> = {
  csrrw: (_old, operand) => operand,
  csrrs: (old, operand) => i32.or(old, operand),
  csrrc: (old, operand) => i32.and(old, i32.xor(operand, i32.const(-1))),
};

function csrAccess(csr: WritableCsr, update: (old: I32, operand: I32) => I32, source: (b: Builder) => I64) {
  return (b: Builder): void => {
    const operand = b.hold(i32.wrap_i64(source(b)));
    const old = b.hold(csr.read(b));
    csr.write(b, update(old, operand));
    b.setX(i64.extend_i32_u(old));
  };
}

function csrRows(): Record<string, Semantics> {
  const rows: Record<string, Semantics> = {};
  for (const [name, csr] of Object.entries(csrs)) {
    for (const [mnemonic, update] of Object.entries(UPDATES)) {
      rows[`${mnemonic}:${name}`] = csrAccess(csr, update, (b) => b.x('rs1'));
      rows[`${mnemonic}i:${name}`] = csrAccess(csr, update, (b) => b.immediate());
    }
  }
  for (const [, counter] of COUNTER_CSRS) rows[`csrr:${counter}`] = (b) => b.setX(b.counter(counter));
  return rows;
}

export const atomicAndSystemSemantics: Readonly<Record<string, Semantics>> = {
  ...atomics(32),
  ...atomics(64),
  fence: (b) => b.fence(),
  'fence.i': (b) => b.exit('fenceI'),
  ecall: (b) => b.exit('ecall'),
  ebreak: (b) => b.exit('ebreak'),
  ...csrRows(),
};
