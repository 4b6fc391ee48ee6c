import { ByteWriter } from './byteWriter.js';
import { FunctionBuilder } from './functionBuilder.js';
import { type FunctionRef, type FunctionType, VALUE_TYPE_CODE, type ValueType } from './types.js';

interface DefinedFunction extends FunctionRef {
  readonly builder: FunctionBuilder;
}

/** A function whose body has been written elsewhere: local declarations, code, end. */
interface WrittenFunction extends FunctionRef {
  readonly body: ByteWriter;
}

interface ImportedFunction extends FunctionRef {
  readonly module: string;
  readonly name: string;
}

interface TableImport {
  readonly module: string;
  readonly name: string;
}

interface GlobalImport {
  readonly module: string;
  readonly name: string;
  readonly type: ValueType;
}

/** Memory limits of an import, in 64 KiB pages. */
export interface MemoryImport {
  readonly module: string;
  readonly name: string;
  readonly minimum: number;
  readonly maximum: number;
  readonly shared: boolean;
}

/**
 * Puts a module together. Import all functions first, then declare functions in any order (their indices are final at
 * once, so they may call each other), and take the bytes.
 */
export class ModuleBuilder {
  readonly #types: FunctionType[] = [];
  readonly #typeIndex = new Map<string, number>();
  readonly #imports: ImportedFunction[] = [];
  readonly #functions: (DefinedFunction | WrittenFunction)[] = [];
  readonly #globals: { type: ValueType; mutable: boolean; initial: number | bigint }[] = [];
  readonly #exports: { name: string; kind: number; index: number }[] = [];
  #memory: MemoryImport | undefined;
  #table: { module: string; name: string } | undefined;
  readonly #importedGlobals: GlobalImport[] = [];
  /** Functions that are put into the table, from the index on that is in an imported global. */
  #elements: { readonly from: number; readonly functions: readonly FunctionRef[] } | undefined;

  importMemory(memory: MemoryImport): void {
    this.#memory = memory;
  }

  /** Imports a table of functions, for `call_indirect`. */
  importTable(module: string, name: string): void {
    this.#table = { module, name };
  }

  /** Imports a global that does not change, before others are declared, and returns its index. */
  importGlobal(module: string, name: string, type: 'i32' | 'i64'): number {
    if (this.#globals.length > 0) throw new Error('imports come before globals');
    return this.#importedGlobals.push({ module, name, type }) - 1;
  }

  /** Puts functions into the imported table when the module is instantiated, from the index on that is in the imported global `from`. */
  elements(from: number, functions: readonly FunctionRef[]): void {
    this.#elements = { from, functions };
  }

  /** Index of a function type, for `call_indirect`. */
  typeIndex(type: FunctionType): number {
    return this.#typeOf(type);
  }

  importFunction(module: string, name: string, type: FunctionType): FunctionRef {
    if (this.#functions.length > 0) throw new Error('imports come before functions');
    const imported = { index: this.#imports.length, type, module, name };
    this.#typeOf(type);
    this.#imports.push(imported);
    return imported;
  }

  /** Declares a function; write its body through `builder`, now or later. */
  function(type: FunctionType): DefinedFunction {
    const defined = {
      index: this.#imports.length + this.#functions.length,
      type,
      builder: new FunctionBuilder(type),
    };
    this.#typeOf(type);
    this.#functions.push(defined);
    return defined;
  }

  /** Declares a function whose body, with its local declarations, is written to `body`, now or later. */
  writtenFunction(type: FunctionType, body: ByteWriter): FunctionRef {
    const defined = { index: this.#imports.length + this.#functions.length, type, body };
    this.#typeOf(type);
    this.#functions.push(defined);
    return defined;
  }

  /** Declares a global of type i32 or i64 and returns its index. */
  global(type: 'i32' | 'i64', initial: number | bigint, mutable = true): number {
    this.#globals.push({ type, mutable, initial });
    return this.#importedGlobals.length + this.#globals.length - 1;
  }

  exportFunction(name: string, callee: FunctionRef): void {
    this.#exports.push({ name, kind: 0, index: callee.index });
  }

  exportGlobal(name: string, index: number): void {
    this.#exports.push({ name, kind: 3, index });
  }

  /** The module in binary form. */
  toBytes(): Uint8Array {
    const out = new ByteWriter(65536);
    out.bytes([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    section(out, 1, this.#types, (body, type) => {
      body.byte(0x60);
      body.unsigned(type.params.length);
      for (const param of type.params) body.byte(VALUE_TYPE_CODE[param]);
      body.unsigned(type.results.length);
      for (const result of type.results) body.byte(VALUE_TYPE_CODE[result]);
    });
    const imports: (ImportedFunction | MemoryImport | TableImport | GlobalImport)[] = [...this.#imports];
    imports.push(...this.#importedGlobals);
    if (this.#memory) imports.push(this.#memory);
    if (this.#table) imports.push(this.#table);
    section(out, 2, imports, (body, entry) => {
      body.name(entry.module);
      body.name(entry.name);
      if ('index' in entry) {
        body.byte(0x00);
        body.unsigned(this.#typeOf(entry.type));
      } else if ('type' in entry) {
        body.bytes([0x03, VALUE_TYPE_CODE[entry.type], 0x00]);
      } else if (!('shared' in entry)) {
        body.bytes([0x01, 0x70, 0x00]);
        body.unsigned(0);
      } else {
        body.byte(0x02);
        body.byte(entry.shared ? 0x03 : 0x01);
        body.unsigned(entry.minimum);
        body.unsigned(entry.maximum);
      }
    });
    section(out, 3, this.#functions, (body, { type }) => body.unsigned(this.#typeOf(type)));
    section(out, 6, this.#globals, (body, { type, mutable, initial }) => {
      body.byte(VALUE_TYPE_CODE[type]);
      body.byte(mutable ? 1 : 0);
      body.byte(type === 'i32' ? 0x41 : 0x42);
      body.signed64(BigInt(initial));
      body.byte(0x0b);
    });
    section(out, 7, this.#exports, (body, { name, kind, index }) => {
      body.name(name);
      body.byte(kind);
      body.unsigned(index);
    });
    section(out, 9, this.#elements === undefined ? [] : [this.#elements], (body, { from, functions }) => {
      body.bytes([0x00, 0x23]);
      body.unsigned(from);
      body.byte(0x0b);
      body.unsigned(functions.length);
      for (const { index } of functions) body.unsigned(index);
    });
    this.#writeHints(out);
    section(out, 10, this.#functions, (body, one) =>
      'body' in one ? body.sized(one.body) : one.builder.writeTo(body),
    );
    return out.toBytes();
  }

  /** The hints of branches: a custom section that engines may ignore; it must stand before the code. */
  #writeHints(out: ByteWriter): void {
    const hinted = this.#functions.flatMap((one) => ('builder' in one && one.builder.isHinted ? [one] : []));
    if (hinted.length === 0) return;
    const body = new ByteWriter(4096);
    body.name('metadata.code.branch_hint');
    body.unsigned(hinted.length);
    for (const { index, builder } of hinted) {
      body.unsigned(index);
      builder.writeHintsTo(body);
    }
    out.byte(0);
    out.sized(body);
  }

  #typeOf(type: FunctionType): number {
    const key = `${type.params.join()}>${type.results.join()}`;
    let index = this.#typeIndex.get(key);
    if (index === undefined) {
      index = this.#types.push(type) - 1;
      this.#typeIndex.set(key, index);
    }
    return index;
  }
}

/** Writes a section of `entries`; none at all when there are none. */
function section<T>(
  out: ByteWriter,
  id: number,
  entries: readonly T[],
  write: (body: ByteWriter, entry: T) => void,
): void {
  if (entries.length === 0) return;
  const body = new ByteWriter(4096);
  body.unsigned(entries.length);
  for (const entry of entries) write(body, entry);
  out.byte(id);
  out.sized(body);
}
