import type { Instruction } from '../isa/instruction.js';
import { INSTRUCTIONS } from '../isa/instructions.js';
import { QuickTemplates } from '../jit/quickTemplates.js';
import { writeTemplateTable } from '../jit/templateTable.js';

/** Host pages of nearly all machines. */
const HOST_PAGE_SHIFT = 12;
/** No extensions beyond it. */
const RV64GC = 0;

/**
 * A table of the templates that code for RV64GC commonly needs (templateTable.ts): of all compressed instructions, and of the others with and without
 * register 0 and immediate 0, behind instructions that have and have not written their operands. What else there is is made when it is met.
 * (From the sources, without the bundles, everything is.)
 */
export function commonTemplates(): Uint8Array {
  const templates = new QuickTemplates(HOST_PAGE_SHIFT);
  for (const raw of commonWords()) {
    const known = templates.of(raw, RV64GC);
    if (known === undefined) continue;
    templates.behind(known, known.decoded.rs1);
    templates.behind(known, known.decoded.rs2);
  }
  return writeTemplateTable(HOST_PAGE_SHIFT, templates.made);
}

/** Instructions of each kind that are in RV64GC. */
function* commonWords(): Generator<number> {
  for (let raw = 0; raw < 2 ** 16; raw++) if ((raw & 3) !== 3) yield raw;
  for (const instruction of INSTRUCTIONS.filter(({ extensions }) => extensions === 0))
    for (const fields of commonFields(instruction))
      yield (instruction.match | (fields & ~instruction.mask)) >>> 0;
}

/** Fields of the 32-bit forms; those of immediates are where other instructions have registers. */
function* commonFields({
  mnemonic,
  operands,
  flow,
  memory,
  usesRm,
  usesRs3,
}: Instruction): Generator<number> {
  // What is computed goes into a register, but f0 is one; atomic operations are made for what they do to memory, too.
  const destinations = flow === 'next' && operands.includes('d') && !memory ? [7] : [7, 0];
  // The rounding mode is dynamic mostly; casts to integers round towards zero, and exact ones say the first.
  const roundings = !usesRm ? [0] : mnemonic.startsWith('fcvt') ? [7, 1, 0] : [7];
  for (const rd of destinations)
    for (const rs1 of [5, 0])
      for (const rs2 of [6, 5, 0])
        for (const rs3 of usesRs3 ? [9, 0] : [0])
          for (const rm of roundings) yield (rd << 7) | (rm << 12) | (rs1 << 15) | (rs2 << 20) | (rs3 << 27);
}
