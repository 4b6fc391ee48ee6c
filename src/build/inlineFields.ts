import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import * as recordModule from '../sync/record.js';

/**
 * Writes what is constant into the bundles: offsets of records' fields (`Thread.tid`), numbers that modules export (`MACHINE`), and the
 * accesses of SharedMemory (`mem.getU32(at)`) where they are made. Optimised code has it that way by itself; but most of the
 * kernel's code runs, in each worker, for its first tenths of a second in V8's interpreter and in its baseline compiler's code, where each
 * `mem.getU32(thread + Thread.tid)` is a call and five look-ups.
 *
 * Names are replaced by esbuild (`define`), which replaces only names that nothing declares: so their imports and declarations are
 * taken away, or given other names, in files where all uses of them are of that kind.
 */
export interface InlinedFields {
  /** For esbuild: what `Thread.tid` and `MACHINE` are. */
  readonly define: Record<string, string>;
  readonly plugin: Plugin;
}

/** A number, or the offsets of a record's fields by name. */
export type Constant = number | Readonly<Record<string, number>>;
export type Constants = ReadonlyMap<string, Constant>;

/** `export const NAME = …;` with a value in one line, and records, exported or not. */
const NUMBER = /^export const ([A-Z][A-Z\d_]*) = ([-+*<|~()\d\s_.xa-fA-F]+);/gm;
const RECORD = /^(export )?const ([A-Z]\w*) = record\((\{[\s\S]*?\})\);/gm;
const EXPORT = /^export (?:const|let|function\*?|async function|class) (\w+)/gm;
const IMPORT = /^import \{([^}]*)\} from '(\.[^']*)';/gm;
/** A comment that has its lines to itself. */
const COMMENT = /^\s*(\/\*[\s\S]*?\*\/|\/\/.*)$/gm;

/** Reads the compiled modules in `folder` (dist/src). */
export function inlineFields(folder: string): InlinedFields {
  const texts = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
  const constants = collectConstants(texts);
  const plugin: Plugin = {
    name: 'inline-fields',
    setup(plugins) {
      plugins.onLoad({ filter: /[\\/]dist[\\/](src|workers)[\\/].*\.js$/ }, ({ path }) => ({
        contents: inlineModule(readFileSync(path, 'utf8'), constants),
      }));
    },
  };
  return { define: definitions(constants), plugin };
}

/** Numbers and records that modules declare, by name. Names that mean different things in different modules are left out. */
export function collectConstants(texts: readonly string[]): Constants {
  const found = new Map<string, Constant>();
  const ambiguous = new Set<string>(Object.getOwnPropertyNames(globalThis));
  const note = (name: string, value: unknown): void => {
    if (value === undefined || Number.isNaN(value)) return;
    const known = found.get(name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(value)) ambiguous.add(name);
    found.set(name, value as Constant);
  };
  for (const text of texts)
    for (const [, name, value] of text.matchAll(NUMBER)) note(name, evaluate(value, {}));
  // A record may have others in it, of whichever module: those come first.
  const records = texts.flatMap((text) => [...text.matchAll(RECORD)]);
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    const scope = { ...recordModule, ...Object.fromEntries(found) };
    for (const [, , name, fields] of records) note(name, evaluate(`record(${fields})`, scope));
  }
  // Modules import by name, and another one may export something else by that name.
  const exported = texts.flatMap((text) => [...text.matchAll(EXPORT)].map(([, name]) => name));
  const constant = texts.flatMap((text) => [
    ...[...text.matchAll(NUMBER)].map(([, name]) => name),
    ...[...text.matchAll(RECORD)].filter(([, is]) => is !== undefined).map(([, , name]) => name),
  ]);
  for (const name of found.keys())
    if (exported.filter((one) => one === name).length !== constant.filter((one) => one === name).length)
      ambiguous.add(name);
  for (const name of ambiguous) found.delete(name);
  return found;
}

/** The value of an expression, or undefined where it needs something that is not in `scope`. */
function evaluate(expression: string, scope: Readonly<Record<string, unknown>>): unknown {
  try {
    return new Function(...Object.keys(scope), `'use strict'; return (${expression});`)(
      ...Object.values(scope),
    );
  } catch {
    return undefined;
  }
}

/** What esbuild is to replace. */
export function definitions(constants: Constants): Record<string, string> {
  const define: Record<string, string> = {};
  for (const [name, value] of constants) {
    if (typeof value === 'number') define[name] = String(value);
    else for (const [field, offset] of Object.entries(value)) define[`${name}.${field}`] = String(offset);
  }
  return define;
}

/** A module as esbuild is to see it. */
export function inlineModule(text: string, constants: Constants): string {
  return inlineAccesses(freeNames(text, constants), constants);
}

/** A module in which nothing declares the names of constants, so that esbuild replaces them. */
function freeNames(text: string, constants: Constants): string {
  const isFree = (name: string, declaration: string): boolean => {
    const constant = constants.get(name);
    if (constant === undefined) return false;
    const rest = text.replace(declaration, '').replace(COMMENT, '');
    // Written as a property's name and value in one, or exported again, it cannot be replaced.
    if (typeof constant === 'number')
      return !new RegExp(`[{,]\\s*${name}\\s*[,}]`).test(rest.replace(IMPORT, ''));
    for (const [, field] of rest.matchAll(new RegExp(`(?<![\\w.$'])${name}\\b(?:\\.(\\w+))?`, 'g')))
      if (field === undefined || !(field in constant)) return false;
    return true;
  };
  const imported = text.replace(IMPORT, (whole, names: string, from: string) => {
    const kept = names.split(',').filter((name) => name.trim() !== '' && !isFree(name.trim(), whole));
    return kept.length === 0 ? `import '${from}';` : `import {${kept.join(',')}} from '${from}';`;
  });
  return imported.replace(RECORD, (whole, exported: string | undefined, name: string, fields: string) => {
    if (!isFree(name, whole)) return whole;
    const hidden = `${name}$layout`;
    return `const ${hidden} = record(${fields});${exported ? ` export { ${hidden} as ${name} };` : ''}`;
  });
}

const ACCESS = /(?<![\w$.)\]])((?:[A-Za-z_]\w*\.)*\w*mem)\.([gs]et[IU](?:32|64)|set64)\(/g;
/** An address that may be worked out twice. */
const SIMPLE = /^[\w.]+( \+ [\w.]+)?$/;
/**
 * Replaces calls of SharedMemory's accessors by what they do. Not those of atomic ones: their functions are optimised soon, which makes
 * instructions of them, while baseline code calls V8's functions.
 */
function inlineAccesses(text: string, constants: Constants): string {
  let out = '';
  let from = 0;
  for (const match of text.matchAll(ACCESS)) {
    if (match.index < from || isComment(text, match.index)) continue;
    const call = argumentsAt(text, match.index + match[0].length);
    if (call === undefined) continue;
    const [address, ...rest] = call.list.map((argument) => inlineAccesses(argument, constants));
    const access = accessOf(match[1], match[2], withoutZero(address, constants), rest);
    if (access === undefined) continue;
    out += text.slice(from, match.index) + access;
    from = call.end;
  }
  return out + text.slice(from);
}

/** What `mem.name(address, ...rest)` does, as SharedMemory says; undefined where it stays a call. */
function accessOf(mem: string, name: string, address: string, rest: readonly string[]): string | undefined {
  const index = `(${address}) >>> 2`;
  switch (name) {
    case 'getU32':
      return `${mem}.u32[${index}]`;
    case 'getI32':
      return `${mem}.i32[${index}]`;
    case 'setU32':
      return `(${mem}.u32[${index}] = ${rest[0]})`;
    case 'setI32':
      return `(${mem}.i32[${index}] = ${rest[0]})`;
    case 'getU64':
      if (!SIMPLE.test(address)) return undefined;
      return `(${mem}.u32[${index}] + ${mem}.u32[(${address} + 4) >>> 2] * 0x1_0000_0000)`;
    case 'set64':
      if (!SIMPLE.test(address) || rest[0] !== '0') return undefined;
      return `(${mem}.u32[${index}] = ${mem}.u32[(${address} + 4) >>> 2] = 0)`;
    default:
      return undefined;
  }
}

/** An address without the offset of a first field. */
function withoutZero(address: string, constants: Constants): string {
  const [whole, name, field] = / \+ (\w+)\.(\w+)$/.exec(address) ?? [''];
  const record = constants.get(name ?? '');
  return typeof record === 'object' && record[field ?? ''] === 0
    ? address.slice(0, address.length - whole.length)
    : address;
}

function isComment(text: string, at: number): boolean {
  return /^\s*(\*|\/[/*])/.test(text.slice(text.lastIndexOf('\n', at) + 1, at));
}

/** The arguments of the call whose parenthesis ends at `open`, and where it ends; undefined where they are not plain expressions. */
function argumentsAt(text: string, open: number): { list: string[]; end: number } | undefined {
  const list: string[] = [];
  let depth = 0;
  let from = open;
  for (let at = open; at < text.length; at++) {
    const c = text[at];
    if (`'"\`;{}/`.includes(c)) return undefined;
    if (c === '(' || c === '[') depth++;
    else if (depth > 0 && (c === ')' || c === ']')) depth--;
    else if (depth === 0 && (c === ',' || c === ')')) {
      const argument = text.slice(from, at).trim();
      if (argument !== '') list.push(argument);
      from = at + 1;
      if (c === ')') return { list, end: from };
    }
  }
  return undefined;
}
