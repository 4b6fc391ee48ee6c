import type { Helper } from '../isa/builder.js';
import type { QuickPatch, QuickTemplate } from './quickTemplates.js';

/**
 * Templates of the first tier as one array of bytes, in which they are found by their keys: what is made when Guesthouse is built
 * (build/commonTemplates.ts), so that the translator need not make them while its JavaScript is cold. Numbers are little-endian.
 *
 *   hostPageShift, count, end   u32
 *   keys, ascending             count × u32
 *   where each template is      count × u32
 *   templates                   locals, flags, numbers of patches, calls and guards: u8; length of the code: u16;
 *                               patches: at u16, what u8, base u16; calls: at u16, helper u8; code
 *   helpers, from `end` on      JSON
 */
const HEADER = 12;
const TEMPLATE_HEADER = 7;
const PATCH = 5;
const CALL = 3;

const ACCESSES = 1;
const KEEPS_RESULT = 2;
const IS_CONTRARY = 4;

const WHAT: readonly QuickPatch['what'][] = ['pc', 'exit', 'depth', 'immediate', 'rd', 'rs1', 'rs2', 'rs3'];

/** A helper as a table has it: not how it is defined, but whether it is. */
interface KeptHelper extends Omit<Helper, 'define'> {
  readonly isDefined: boolean;
}

/** The table of those of the `templates`, by key, whose key has 32 bits. */
export function writeTemplateTable(
  hostPageShift: number,
  templates: ReadonlyMap<number, QuickTemplate>,
): Uint8Array {
  const entries = [...templates].filter(([key]) => key < 2 ** 32).sort(([a], [b]) => a - b);
  const helpers = new Map<string, KeptHelper>();
  for (const [, { calls }] of entries)
    for (const { helper } of calls) {
      const { name, params, result, define } = helper;
      helpers.set(name, { name, params, result, isDefined: define !== undefined });
    }
  const sizes = entries.map(
    ([, { bytes, patches, calls }]) =>
      TEMPLATE_HEADER + patches.length * PATCH + calls.length * CALL + bytes.length,
  );
  const start = HEADER + entries.length * 8;
  const end = sizes.reduce((sum, size) => sum + size, start);
  const json = Buffer.from(JSON.stringify([...helpers.values()]));
  const table = new Uint8Array(end + json.length);
  table.set(json, end);
  const view = new DataView(table.buffer);
  view.setUint32(0, hostPageShift, true);
  view.setUint32(4, entries.length, true);
  view.setUint32(8, end, true);
  const names = [...helpers.keys()];
  let at = start;
  entries.forEach(([key, template], i) => {
    view.setUint32(HEADER + i * 4, key, true);
    view.setUint32(HEADER + (entries.length + i) * 4, at, true);
    writeTemplate(view, at, template, names);
    at += sizes[i];
  });
  return table;
}

function writeTemplate(
  view: DataView,
  start: number,
  template: QuickTemplate,
  helpers: readonly string[],
): void {
  const { bytes, patches, calls, accesses, keepsResult, isContrary, guards, locals } = template;
  let to = start;
  const write = (value: number, size: 1 | 2): void => {
    if (value < 0 || value >= 2 ** (8 * size)) throw new Error('a template does not fit into its table');
    if (size === 1) view.setUint8(to, value);
    else view.setUint16(to, value, true);
    to += size;
  };
  write(locals, 1);
  write((accesses ? ACCESSES : 0) | (keepsResult ? KEEPS_RESULT : 0) | (isContrary ? IS_CONTRARY : 0), 1);
  write(patches.length, 1);
  write(calls.length, 1);
  write(guards, 1);
  write(bytes.length, 2);
  for (const { at, what, base } of patches) {
    write(at, 2);
    write(WHAT.indexOf(what), 1);
    write(base, 2);
  }
  for (const { at, helper } of calls) {
    write(at, 2);
    write(helpers.indexOf(helper.name), 1);
  }
  new Uint8Array(view.buffer).set(bytes, to);
}

/** A table of templates (writeTemplateTable), from which they are taken one by one. */
export class TemplateTable {
  readonly hostPageShift: number;
  readonly #view: DataView;
  readonly #count: number;
  #helpers: readonly Helper[] | undefined;

  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.hostPageShift = this.#view.getUint32(0, true);
    this.#count = this.#view.getUint32(4, true);
  }

  get keys(): readonly number[] {
    return Array.from({ length: this.#count }, (_, i) => this.#view.getUint32(HEADER + i * 4, true));
  }

  /** The template with the key; undefined when it is not here. */
  find(key: number): QuickTemplate | undefined {
    const view = this.#view;
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (view.getUint32(HEADER + middle * 4, true) < key) low = middle + 1;
      else high = middle;
    }
    if (low === this.#count || view.getUint32(HEADER + low * 4, true) !== key) return undefined;
    return this.#read(view.getUint32(HEADER + (this.#count + low) * 4, true));
  }

  #read(start: number): QuickTemplate {
    const view = this.#view;
    const flags = view.getUint8(start + 1);
    let from = start + TEMPLATE_HEADER;
    const patches: QuickPatch[] = [];
    for (let left = view.getUint8(start + 2); left > 0; left--, from += PATCH)
      patches.push({
        at: view.getUint16(from, true),
        what: WHAT[view.getUint8(from + 2)],
        base: view.getUint16(from + 3, true),
      });
    const calls: { at: number; helper: Helper }[] = [];
    for (let left = view.getUint8(start + 3); left > 0; left--, from += CALL)
      calls.push({ at: view.getUint16(from, true), helper: this.#helper(view.getUint8(from + 2)) });
    return {
      bytes: this.bytes.subarray(from, from + view.getUint16(start + 5, true)),
      patches,
      calls,
      accesses: (flags & ACCESSES) !== 0,
      keepsResult: (flags & KEEPS_RESULT) !== 0,
      isContrary: (flags & IS_CONTRARY) !== 0,
      guards: view.getUint8(start + 4),
      locals: view.getUint8(start),
    };
  }

  /** A helper to be imported. */
  #helper(index: number): Helper {
    if (this.#helpers === undefined) {
      const json = Buffer.from(this.bytes.subarray(this.#view.getUint32(8, true))).toString();
      this.#helpers = (JSON.parse(json) as KeptHelper[]).map(({ isDefined, ...helper }) =>
        isDefined ? { ...helper, define: onlyImported } : helper,
      );
    }
    return this.#helpers[index];
  }
}

/** In place of a helper's definition, which is in the interpreter's module. */
function onlyImported(): never {
  throw new Error('a helper of the first tier is defined where it should be imported');
}
