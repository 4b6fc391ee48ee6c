import { expect, test } from 'vitest';
import { HANDLERS, OP_CONTINUE, OP_ILLEGAL, OP_STRADDLE } from '../../src/interpreter/handlers.js';
import { engineImports } from '../../src/interpreter/instantiate.js';
import { interpreterBytes } from '../../src/interpreter/interpreter.js';
import { OPCODE_SHIFT, SINK, slotFields } from '../../src/interpreter/slot.js';
import { decode } from '../../src/isa/decoder.js';
import { ALL_EXTENSIONS, NO_EXTENSIONS, USUAL_EXTENSIONS } from '../../src/isa/extensions.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';
import { CODE_SLOTS, CodePage } from '../../src/sync/records/codePage.js';
import { SharedMemory } from '../../src/sync/sharedMemory.js';

/** What a slot must say, from the decoder of isa/: the predecoder is generated, this is written by hand. */
function expectedSlot(raw: number, offset: number, extensions: number): string {
  const decoded = decode(raw, extensions);
  if (!decoded) {
    const full = (raw & 3) === 3;
    return `illegal ${full ? 4 : 2} ${(full ? raw : raw & 0xffff) >>> 0}`;
  }
  const { instruction, length, rd, rs1, rs2, rs3, rm } = decoded;
  const { flow, usesRm, usesRs3 } = instruction;
  let high = decoded.immediate;
  let target = 'none';
  if (flow === 'branch' || flow === 'jump') {
    const to = offset + high;
    if (offset < 0 || to < 0 || to > 4095) target = 'far';
    else {
      target = high > 0 ? 'forward' : 'backward';
      high *= 4;
    }
  }
  if (usesRs3) high = rs3 * 8;
  const loadsImmediate = instruction.mnemonic === 'addi' && rs1 === 0;
  const links = (flow === 'jump' || flow === 'jumpRegister') && rd !== 0;
  const destination = instruction.operands.includes('d') && rd === 0 ? SINK : rd;
  return [
    loadsImmediate ? 'lui' : instruction.mnemonic,
    length,
    target,
    links,
    usesRm && (rm === 7 || instruction.rare),
    destination,
    rs1,
    rs2,
    rm,
    high,
  ].join(' ');
}

/** A slot in the same terms. */
function shownSlot(slot: bigint): string {
  const { opcode, rd, rs1, rs2, rm, high } = slotFields(slot);
  if (opcode === OP_ILLEGAL) return `illegal ${rd} ${high >>> 0}`;
  const { instruction, length, target, links, dynamicRounding } = HANDLERS[opcode - HANDLERS[0].opcode];
  return [instruction.mnemonic, length, target, links, dynamicRounding, rd, rs1, rs2, rm, high].join(' ');
}

const mem = SharedMemory.create(1 << 20);
const instance = new WebAssembly.Instance(
  new WebAssembly.Module(interpreterBytes() as Uint8Array<ArrayBuffer>),
  engineImports(mem, {
    time: () => 0,
    systemCall: () => 0,
    hot: () => undefined,
    regions: new WebAssembly.Table({ element: 'anyfunc', initial: 0 }),
  }),
);
const predecodeInstruction = instance.exports.predecodeInstruction as (
  raw: number,
  offset: number,
  extensions: number,
) => bigint;
const predecodeRun = instance.exports.predecodeRun as (page: number, index: number) => void;

let seed = 7;
function random(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed ^ (seed >>> 15) ^ Math.imul(seed, 69069)) >>> 0;
}

function check(raw: number): void {
  for (const offset of [-1, 0, 2048, 4092]) {
    for (const extensions of [NO_EXTENSIONS, USUAL_EXTENSIONS, ALL_EXTENSIONS]) {
      const shown = shownSlot(predecodeInstruction(raw, offset, extensions));
      const expected = expectedSlot(raw, offset, extensions);
      if (shown !== expected) expect(shown, raw.toString(16)).toBe(expected);
    }
  }
}

test('every compressed instruction', () => {
  for (let half = 0; half < 0x1_0000; half++) if ((half & 3) !== 3) check(half);
});

test('every instruction with random operands, and random words', () => {
  for (const { mask, match } of INSTRUCTIONS) {
    for (let i = 0; i < 200; i++) check(((random() & ~mask) | match) >>> 0);
    for (const zeroed of [0xf80, 0xf8000, 0x1f00000]) check(((random() & ~mask & ~zeroed) | match) >>> 0);
  }
  for (let i = 0; i < 20_000; i++) check((random() | 3) >>> 0);
});

test('a run goes to a jump, to what is decoded, or to the end of the page', () => {
  const page = 0x10000;
  const source = 0x8000;
  mem.setU32(page + CodePage.source, source);
  const opcodeAt = (index: number): number => mem.getU32(page + CodePage.slots + index * 8) >>> OPCODE_SHIFT;
  const put = (index: number, ...halves: number[]): void => {
    halves.forEach((half, i) => {
      mem.u16[source / 2 + index + i] = half;
    });
  };
  const decodedSlots = (): number[] =>
    Array.from({ length: CODE_SLOTS + 1 }, (_, i) => i).filter((i) => opcodeAt(i) !== 0);

  put(0, 0x0001, 0x0513, 0x0000, 0xa001, 0x0001); // c.nop; addi a0,x0,0; c.j; c.nop
  predecodeRun(page, 0);
  expect(decodedSlots()).toEqual([0, 1, 3]);

  put(CODE_SLOTS - 3, 0x0001, 0x0001, 0x0513); // … and half an addi
  predecodeRun(page, CODE_SLOTS - 3);
  expect(opcodeAt(CODE_SLOTS - 1)).toBe(OP_STRADDLE);
  expect(opcodeAt(CODE_SLOTS)).toBe(0);

  mem.zero(page + CodePage.slots, (CODE_SLOTS + 1) * 8);
  put(CODE_SLOTS - 1, 0x0001);
  predecodeRun(page, CODE_SLOTS - 2);
  expect(decodedSlots()).toEqual([CODE_SLOTS - 2, CODE_SLOTS - 1, CODE_SLOTS]);
  expect(opcodeAt(CODE_SLOTS)).toBe(OP_CONTINUE);
  predecodeRun(page, CODE_SLOTS - 3);
  expect(decodedSlots()).toEqual([CODE_SLOTS - 3, CODE_SLOTS - 2, CODE_SLOTS - 1, CODE_SLOTS]);

  // No more than 64 instructions at once.
  mem.zero(page + CodePage.slots, (CODE_SLOTS + 1) * 8);
  put(0, ...new Array(200).fill(0x0001));
  predecodeRun(page, 0);
  expect(decodedSlots().length).toBe(64);
});
