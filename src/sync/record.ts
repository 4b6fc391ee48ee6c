/**
 * Declaring records in shared memory.
 *
 * `record({ refs: i32, offset: i64, … })` returns the byte offset of every field, naturally aligned in order of
 * declaration, and the record's `SIZE` (a multiple of 8). Field offsets are plain numbers: `mem.getU32(file + OpenFile.flags)`.
 */
export interface Field {
  readonly size: number;
  readonly align: number;
}

export const u8: Field = { size: 1, align: 1 };
export const u16: Field = { size: 2, align: 2 };
export const i32: Field = { size: 4, align: 4 };
export const u32: Field = { size: 4, align: 4 };
export const i64: Field = { size: 8, align: 8 };
export const u64: Field = { size: 8, align: 8 };
export const f64: Field = { size: 8, align: 8 };
/** The address of another record in the machine's memory, or 0. */
export const pointer: Field = { size: 4, align: 4 };

/** `count` fields of one kind in a row. */
export function array(element: Field, count: number): Field {
  const stride = Math.ceil(element.size / element.align) * element.align;
  return { size: stride * count, align: element.align };
}

/** A record placed inside another one. */
export function embedded(inner: { readonly SIZE: number }): Field {
  return { size: inner.SIZE, align: 8 };
}

export type RecordLayout<T> = { readonly [K in keyof T]: number } & { readonly SIZE: number };

/**
 * Lays out `fields` in declaration order. The result has passed through JSON, because V8 keeps an object that was filled by computed
 * names as a hash table, in which every look-up of an offset costs some nanoseconds; one that was parsed has a fixed
 * shape, and optimised code sees the offsets as constants.
 */
export function record<T extends Record<string, Field>>(fields: T): RecordLayout<T> {
  const offsets: Record<string, number> = {};
  let offset = 0;
  for (const [name, field] of Object.entries(fields)) {
    offset = Math.ceil(offset / field.align) * field.align;
    offsets[name] = offset;
    offset += field.size;
  }
  offsets.SIZE = Math.ceil(offset / 8) * 8;
  return Object.freeze(JSON.parse(JSON.stringify(offsets))) as RecordLayout<T>;
}
