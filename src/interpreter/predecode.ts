import { decode, isFullLength } from '../isa/decoder.js';
import { CODE_SLOTS, CodePage } from '../sync/records/codePage.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { handlerFor, OP_CONTINUE, OP_ILLEGAL, OP_STRADDLE, type Target } from './handlers.js';
import { SINK, SLOT_SCALE_SHIFT, slotLow } from './slot.js';

/** How many instructions one call decodes at most. */
const RUN_LIMIT = 64;

/**
 * Decodes a straight run of slots of `codePage` from slot `index` on: until control cannot fall through, the page ends,
 * or decoded slots begin. Any number of threads may do so at once: they write the same values.
 */
export function predecodeRun(mem: SharedMemory, codePage: number, index: number): void {
  const source = mem.getU32(codePage + CodePage.source) >>> 1;
  for (let count = 0; count < RUN_LIMIT; count++) {
    const slot = codePage + CodePage.slots + index * 8;
    if (index === CODE_SLOTS) {
      writeSlot(mem, slot, slotLow(OP_CONTINUE, 0, 0, 0, 0), 0);
      return;
    }
    if (count > 0 && mem.getU32(slot) !== 0) return;
    const half = mem.u16[source + index];
    if (isFullLength(half) && index === CODE_SLOTS - 1) {
      writeSlot(mem, slot, slotLow(OP_STRADDLE, 0, 0, 0, 0), 0);
      return;
    }
    const raw = isFullLength(half) ? half | (mem.u16[source + index + 1] << 16) : half;
    const last = predecodeInstruction(mem, slot, raw, index * 2);
    if (last) return;
    index += isFullLength(half) ? 2 : 1;
  }
}

/**
 * Decodes `raw`, a straddling instruction, to an entry of Thread.straddles (see straddles.ts for its layout). Its
 * targets are all far, so that it means the same wherever it stands.
 */
export function predecodeStraddle(mem: SharedMemory, slot: number, raw: number): void {
  predecodeInstruction(mem, slot, raw, undefined);
  const goOn = slotLow(OP_CONTINUE, 0, 0, 0, 0);
  writeSlot(mem, slot + 8, goOn, 0);
  writeSlot(mem, slot + 16, goOn, 0);
}

/**
 * Writes the slot of one instruction. `offset` is its offset in the page, undefined when targets must not be relative to
 * the page. Returns true when control never falls through it.
 */
function predecodeInstruction(
  mem: SharedMemory,
  slot: number,
  raw: number,
  offset: number | undefined,
): boolean {
  const decoded = decode(raw);
  if (decoded) {
    const { instruction, immediate, rd, rs1, rs2, rs3, rm } = decoded;
    const { flow, usesRs3 } = instruction;
    const relative = flow === 'branch' || flow === 'jump';
    const target = relative ? targetOf(offset, immediate) : 'none';
    const handler = handlerFor(decoded, target);
    if (handler) {
      const intoX = instruction.usesRd && instruction.operands.includes('d');
      let high = immediate;
      if (usesRs3) high = rs3 << 3;
      else if (target === 'forward' || target === 'backward') high = immediate << SLOT_SCALE_SHIFT;
      writeSlot(mem, slot, slotLow(handler.opcode, intoX && rd === 0 ? SINK : rd, rs1, rs2, rm), high);
      return flow === 'jump' || flow === 'jumpRegister';
    }
  }
  writeSlot(mem, slot, slotLow(OP_ILLEGAL, isFullLength(raw) ? 4 : 2, 0, 0, 0), raw);
  return true;
}

function targetOf(offset: number | undefined, distance: number): Target {
  if (offset === undefined) return 'far';
  const to = offset + distance;
  if (to < 0 || to >= CODE_SLOTS * 2) return 'far';
  return distance > 0 ? 'forward' : 'backward';
}

/** The half with the opcode is written last: until then the slot reads "not decoded". */
function writeSlot(mem: SharedMemory, slot: number, low: number, high: number): void {
  mem.setI32(slot + 4, high);
  Atomics.store(mem.i32, slot >>> 2, low);
}
