import { buildSync } from 'esbuild';
import { expect, test } from 'vitest';
import { type Constants, collectConstants, definitions, inlineModule } from '../../src/build/inlineFields.js';
import { SharedMemory } from '../../src/sync/sharedMemory.js';

const RECORDS = `
import { array, embedded, record, u32, u64 } from '../record.js';
import { Inner } from './inner.js';
export const LENGTH = 3;
export const EVERYWHERE = 7;
export const SAME = 5;
export const TWICE = {
  five: 5,
};
export const Outer = record({
  first: u32,
  inner: embedded(Inner),
  many: array(u64, LENGTH),
  last: u32,
});
`;
const INNER = `
import { record, u32 } from '../record.js';
export const Inner = record({ a: u32, b: u32 });
export const EVERYWHERE = 8;
export const SAME = 5;
export const TWICE = 5;
const Local = record({ c: u32, d: u32 });
`;
const constants = collectConstants([RECORDS, INNER]);

/** What esbuild makes of a module. */
function built(text: string, known: Constants = constants): string {
  const contents = inlineModule(text, known);
  const define = definitions(known);
  return buildSync({ stdin: { contents }, define, write: false, minifySyntax: true }).outputFiles[0].text;
}

test('constants are the numbers and the offsets that modules declare', () => {
  expect(constants.get('Inner')).toEqual({ a: 0, b: 4, SIZE: 8 });
  expect(constants.get('Outer')).toEqual({ first: 0, inner: 8, many: 16, last: 40, SIZE: 48 });
  expect(constants.get('Local')).toEqual({ c: 0, d: 4, SIZE: 8 });
  expect(constants.get('LENGTH')).toBe(3);
  expect(constants.get('SAME')).toBe(5);
  // Two modules mean different things by them.
  expect(constants.has('TWICE')).toBe(false);
  expect(constants.has('EVERYWHERE')).toBe(false);
});

test('offsets and numbers are written where they are used', () => {
  const text = built(
    `import { LENGTH, Outer } from './outer.js';\nconsole.log(Outer.last + LENGTH, Outer.SIZE);\n`,
  );
  expect(text).toContain('console.log(43, 48)');
  expect(text).not.toContain('Outer');
});

test('a name that is declared again, used as a whole or has other fields stays what it is', () => {
  const shadowed = built(`import { Outer } from './outer.js';\nexport const f = (Outer) => Outer.last;\n`);
  expect(shadowed).toMatch(/\((Outer\d*)\) => \1\.last/);
  const whole = built(`import { Outer } from './outer.js';\nconsole.log(Outer.last, Object.keys(Outer));\n`);
  expect(whole).toContain('import { Outer }');
  expect(whole).toContain('Object.keys(Outer)');
  const shorthand = built(`import { LENGTH } from './outer.js';\nconsole.log({ LENGTH });\n`);
  expect(shorthand).toContain('import { LENGTH }');
  const otherField = built(`import { Outer } from './outer.js';\nconsole.log(Outer.missing);\n`);
  expect(otherField).toContain('import { Outer }');
  const inComment = built(
    `import { Outer } from './outer.js';\n/** An Outer record. */\nconsole.log(Outer.last);\n`,
  );
  expect(inComment).toContain('console.log(40)');
});

test('a record may be declared and used in one module, and be imported from there', () => {
  const text = built(
    `import { record, u32 } from './record.js';\nexport const Inner = record({ a: u32, b: u32 });\nconsole.log(Inner.b);\n`,
  );
  expect(text).toContain('console.log(4)');
  expect(text).toMatch(/export \{\s*Inner\$layout as Inner\s*\}/);
});

test('accesses made in place do what those of SharedMemory do', () => {
  const made = SharedMemory.create(65536);
  const called = SharedMemory.create(65536);
  const body = `
    const all = [];
    const t = { mem };
    mem.setU32(at + Outer.first, 0xfffffff0);
    mem.setI32(at + Outer.last, -5);
    t.mem.set64(at + Outer.many, 2 ** 40 + 3);
    t.mem.set64(at + 24, -2);
    mem.set64(at + Outer.inner, 0);
    all.push(mem.getU32(at), mem.getI32(at + Outer.first), mem.getU32(at + Outer.last), mem.getI32(at + Outer.last));
    all.push(mem.getU64(at + Outer.many), mem.getU64(at + Outer.inner), mem.getI64(at + 24), mem.getU64(at + 8 * 3));
    all.push(mem.atomicAdd(at + Outer.first, 20), mem.atomicLoad(at + Outer.first));
    all.push(mem.atomicOr(at + Outer.first, 3), mem.atomicAnd(at + Outer.first, ~1), mem.atomicExchange(at + Outer.first, 9));
    all.push(mem.atomicCompareExchange(at + Outer.first, 9, mem.getU32(at + Outer.last)), mem.atomicLoad(at + Outer.first));
    mem.atomicStore(at + mem.getU32(mem.getU32(1024)) + Outer.first, (1, mem.getI32(at + Outer.last)));
    if (mem.getU32(at) !== 0 && mem.setU32(at + 4, 77) === 5) all.push('never');
    all.push(mem.getU32(at + 4), \`\${mem.getU32(at + "1234".length)}\`);
    return all;
  `;
  const text = built(`import { Outer } from './outer.js';\nconst f = (mem, at) => {${body}};\n`);
  expect(text).not.toMatch(/mem\.(getU32|getI32|setU32|setI32)\((?!at \+ 4\))/);
  const run = (source: string, mem: SharedMemory): unknown =>
    new Function('mem', 'at', 'Outer', source)(mem, 256, constants.get('Outer'));
  const inline = run(`${text.replace(/^import .*$/gm, '')}; return f(mem, at);`, made);
  expect(inline).toEqual(run(body, called));
  expect(made.u8).toEqual(called.u8);
});
