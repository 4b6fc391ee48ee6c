import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { templatesText } from '../../src/build/bundlePlugins.js';
import { INSTRUCTIONS } from '../../src/isa/instructions.js';
import { type QuickTemplate, QuickTemplates } from '../../src/jit/quickTemplates.js';
import { TemplateTable } from '../../src/jit/templateTable.js';
import { RandomBits } from '../isa/floatVectors.js';

const table = new TemplateTable(Buffer.from(templatesText(), 'base64'));

describe('templates that are made when Guesthouse is built', () => {
  it('are those that are made when an instruction is met, whatever its registers and immediate are', () => {
    const met = new QuickTemplates(12);
    const kept = new QuickTemplates(12, table);
    const taken = new Set<number>();
    for (const raw of words()) {
      const [made, found] = [met, kept].map((templates) => {
        const known = templates.of(raw, 0);
        if (known === undefined) return [];
        const { rs1, rs2 } = known.decoded;
        return [0, rs1, rs2].map((last) => comparable(templates.behind(known, last)));
      });
      if (!isDeepStrictEqual(found, made)) expect(found, raw.toString(16)).toEqual(made);
    }
    for (const key of kept.made.keys()) if (table.find(key) !== undefined) taken.add(key);
    // Otherwise next to nothing has been compared.
    expect(taken.size).toBeGreaterThan(1000);
  });

  it('are not taken for other host pages', () => {
    const [made, kept] = [new QuickTemplates(14), new QuickTemplates(14, table)].map(
      (templates) => templates.of(LD, 0)!.template,
    );
    expect(kept).toEqual(made);
    expect(kept).not.toEqual(new QuickTemplates(12, table).of(LD, 0)!.template);
  });

  it('are in the bundle of the translator', () => {
    const bundle = readFileSync(new URL('../../dist/bundle/translatorCode.js', import.meta.url), 'latin1');
    expect(bundle.includes(templatesText())).toBe(true);
  });
});

/** The template without the definitions of helpers, which only say whether there are some. */
function comparable(template: QuickTemplate): object {
  const calls = template.calls.map(({ at, helper: { define, ...helper } }) => ({
    at,
    helper,
    isDefined: define !== undefined,
  }));
  return { ...template, bytes: [...template.bytes], calls };
}

/** ld a0, 8(a1) */
const LD = 0x0085_b503;

/** Some compressed instructions, and others with random fields. */
function* words(): Generator<number> {
  for (let raw = 0; raw < 2 ** 16; raw += 5) if ((raw & 3) !== 3) yield raw;
  const random = new RandomBits(1);
  for (const { match, mask } of INSTRUCTIONS)
    for (let i = 0; i < 60; i++) {
      let fields = random.below(2 ** 31) * 2 + random.below(2);
      // Registers and immediates of 0 mean something of their own.
      for (const field of [0xf80, 0xf_8000, 0x1f0_0000, 0xfff0_0000])
        if (random.below(4) === 0) fields &= ~field;
      yield (match | (fields & ~mask)) >>> 0;
    }
}
