import { describe, expect, it } from 'vitest';
import { interpreterBytes } from '../../src/interpreter/interpreter.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';
import { QuickTemplates } from '../../src/jit/quickTemplates.js';

const FP_REGISTERS = (1 << 7) | (2 << 15) | (3 << 20);
const DYNAMIC_ROUNDING = 7 << 12;

describe('what the first tier makes of instructions', () => {
  it.each([false, true])('calls no helper that the interpreter has not (fused multiply-add: %s)', (fused) => {
    const interpreter = Buffer.from(interpreterBytes({ hostPageShift: 12, fused }));
    const templates = new QuickTemplates(12);
    const helpers = new Set<string>();
    for (const { match, mask } of INSTRUCTIONS) {
      const raw = (match | ((FP_REGISTERS | DYNAMIC_ROUNDING) & ~mask)) >>> 0;
      for (const { helper } of templates.of(raw, -1)?.template.calls ?? [])
        if (helper.define !== undefined) helpers.add(helper.name);
    }
    expect(helpers).toContain('softwareMultiplyAdd');
    expect([...helpers].filter((name) => !interpreter.includes(`helper:${name}`))).toEqual([]);
  });
});
