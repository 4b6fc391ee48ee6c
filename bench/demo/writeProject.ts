import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A small generator of pseudo-random numbers below n, the same every time. */
function sequence(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * n);
  };
}

function moduleText(index: number, earlier: readonly number[], next: (n: number) => number): string {
  const imports = earlier.map((i) => `import { compute${i}, type Shape${i}, Level${i} } from './m${i}.js';`);
  const uses = earlier.map(
    (i) => `  total += compute${i}({ name: 'n${i}', size: value % ${i + 2} }, Level${i}.High);`,
  );
  const branches = Array.from({ length: 3 + next(5) }, (_, k) => {
    return `    case ${k * 7 + next(7)}: return \`case \${value} of ${index}\` + String(value ?? ${next(100)});`;
  });
  const parameter = `Shape${index}${earlier.map((i) => ` & Partial<Shape${i}>`).join('')}`;
  return `${imports.join('\n')}
/** Module ${index}: generated. */
export interface Shape${index} { readonly name: string; readonly size: number; tags?: readonly string[] }
export enum Level${index} { Low = ${next(10)}, Middle, High = Middle * 2 + ${next(9)} }
const table${index}: Record<string, number> = { ${Array.from({ length: 6 }, (_, k) => `key_${k}: ${next(1000)}`).join(', ')} };

export abstract class Node${index}<T extends object> {
  static #count = 0;
  #items = new Map<string, T>();
  constructor(protected readonly label = 'node ${index}') { Node${index}.#count++; }
  abstract visit(item: T): string | undefined;
  *[Symbol.iterator](): Generator<T> { for (const item of this.#items.values()) if (this.visit(item)) yield item; }
  add(key: string, item: T): this { this.#items.set(key, item); return this; }
  get size(): number { return this.#items.size + (Node${index}.#count ? 0 : ${next(50)}); }
}

export function describe${index}(value: number): string {
  switch (value) {
${branches.join('\n')}
    default: return /^[a-z]+${index}\\d*$/i.test(String(value)) ? 'word' : "it's \\u{1F600} ${index}";
  }
}

export async function load${index}(names: string[]): Promise<Shape${index}[]> {
  const results = await Promise.all(names.map(async (name, size) => ({ name, size, tags: [name.toUpperCase()] as const })));
  return results.filter(({ tags: [first] }) => first?.length !== ${next(9)}).sort((a, b) => b.size - a.size);
}

export function compute${index}(shape: ${parameter}, level: Level${index}): number {
  const { name, size: value = 0, ...others } = shape;
  let total = (table${index}[\`key_\${value % 6}\`] ?? 0) ** 2 + level;
${uses.join('\n')}
  label: for (let i = 0; i < value; i++) {
    for (const character of name) {
      if (character === 'x') continue label;
      total += character.charCodeAt(0) * ${(next(1000) / 7).toFixed(5)} - i;
    }
  }
  try { if (total > 1e${next(12) + 3}) throw new RangeError(describe${index}(total)); } catch { total = -0; } finally { total |= 0; }
  return Object.keys(others).length > 3 ? NaN : total;
}
`;
}

/** Writes a TypeScript project of so many modules, each of which imports up to three earlier ones; the entry is main.tsx. */
export function writeProject(folder: string, modules: number): void {
  const next = sequence(modules);
  const write = (name: string, text: string): void => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  };
  for (let i = 0; i < modules; i++) {
    const earlier = new Set(Array.from({ length: Math.min(i, next(4)) }, () => next(i)));
    write(`src/m${i}.ts`, moduleText(i, [...earlier], next));
  }
  const all = Array.from({ length: modules }, (_, i) => i);
  write(
    'src/main.tsx',
    `${all.map((i) => `import * as m${i} from './m${i}.js';`).join('\n')}
import data from './data.json';
const h = (tag: string, attributes: object | null, ...children: unknown[]) => ({ tag, attributes, children });
const App = () => <main class="app">{data.items.map((item: string) => <p title={item}>{item}</p>)}</main>;
console.log(${all.map((i) => `m${i}.compute${i}({ name: 'x', size: ${i} }, m${i}.Level${i}.Low)`).join(' + ')}, <App />);
`,
  );
  write('src/data.json', JSON.stringify({ items: all.map((i) => `item ${i} – “quoted”`) }));
  write(
    'tsconfig.json',
    JSON.stringify({ compilerOptions: { jsx: 'react', jsxFactory: 'h', target: 'ES2022', strict: true } }),
  );
}
