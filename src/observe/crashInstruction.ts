/**
 * The instruction in a crash report. The report is written by the worker that runs the guest; disassembling takes the whole table of
 * instructions, which would cost every worker some milliseconds at its start. So the worker leaves a mark, and the main thread, where
 * the report arrives, puts the text in its place.
 */
const MARK = '\u0001';

/** What stands for the text of the instruction `raw` at `pc`, on a processor with `extensions`. */
export function instructionMark(raw: number, pc: number, extensions: number): string {
  return `${MARK}${[raw, pc, extensions].join()}${MARK}`;
}

/** The report with instructions in place of marks, each with the extension that it needs and the processor does not have. */
export async function explainInstructions(report: string): Promise<string> {
  const parts = report.split(MARK);
  if (parts.length < 3) return report;
  const { disassemble, missingExtensions } = await import('../isa/disassembler.js');
  return parts
    .map((part, i) => {
      if (i % 2 === 0) return part;
      const [raw, pc, extensions] = part.split(',').map(Number);
      const missing = missingExtensions(raw, extensions);
      const note = missing.length === 0 ? '' : ` (needs ${missing.join(' and ')}: see option -cpu)`;
      return disassemble(raw, pc) + note;
    })
    .join('');
}
