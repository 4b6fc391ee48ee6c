import type { CodeView } from '../../src/jit/regionGraph.js';
import { assemble } from '../isa/assembler.js';

/** Where the code is. */
export const BASE = 0x10000;

/** The labels of `source`, assembled at BASE, and how forming regions sees it: all of it has been executed, and nothing else is there. */
export function executedCode(source: string): {
  readonly labels: ReadonlyMap<string, number>;
  readonly view: CodeView;
} {
  const { bytes, labels } = assemble(source, BASE);
  const code = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const inside = (pc: number): boolean => pc >= BASE && pc + 2 <= BASE + bytes.byteLength;
  const view: CodeView = {
    fetch: (pc) => (inside(pc) ? code.getUint16(pc - BASE, true) : undefined),
    isWarm: inside,
    load: () => undefined,
    registers: new Array(32).fill(0),
    extensions: -1,
  };
  return { labels, view };
}
