import { beforeEach, expect, test } from 'vitest';
import type { Caller } from '../../src/memory/caller.js';
import { copyOut, UserFault, write64 } from '../../src/memory/userAccess.js';
import { copyStrings, hasLonger, packStrings, unpackStrings } from '../../src/memory/userStrings.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { createCaller, PAGE } from './machine.js';

const MOST = 6 << 20;
const PAGES = 64;
let c: Caller;
/** An array of pointers, in whose page nothing else is, and room for strings, followed by nothing. */
let pointers: number;
let room: number;

beforeEach(() => {
  c = createCaller({}, { pageSize: PAGE });
  const at = targetMmap(c, 0, (PAGES + 8) * PAGE, 3, 0x22, null, 0);
  pointers = at;
  room = at + 8 * PAGE;
});

/** Puts strings at distances from `room`, and pointers to them at `pointers + shift`. */
function lay(strings: readonly (readonly [at: number, text: string])[], shift = 0): void {
  strings.forEach(([at, text], i) => {
    copyOut(c, room + at, Buffer.from(`${text}\0`, 'latin1'));
    write64(c, pointers + shift + i * 8, room + at);
  });
}

function copied(shift = 0, most = MOST): string[] | undefined {
  const used = c.mem.getU64(MACHINE + Machine.heapUsed);
  const packed = copyStrings(c, pointers + shift, most);
  expect(c.mem.getU64(MACHINE + Machine.heapUsed)).toBe(used);
  const texts = packed && unpackStrings(packed).map((bytes) => Buffer.from(bytes).toString('latin1'));
  expect(packed?.count).toBe(texts?.length);
  return texts;
}

test('strings in any order, empty ones and such as cross pages are copied', () => {
  const long = 'x'.repeat(2 * PAGE + 17);
  lay([
    [3 * PAGE - 2, 'four'],
    [0, ''],
    [10, 'A=ä'],
    [8 * PAGE + 1, long],
    [PAGE - 1, ''],
    [PAGE - 4, 'abc'],
  ]);
  expect(copied()).toEqual(['four', '', 'A=ä', long, '', 'abc']);
});

test('no strings at all', () => {
  expect(copied()).toEqual([]);
  expect(copyStrings(c, 0, MOST)).toEqual({ count: 0, bytes: new Uint8Array(0) });
});

test('more strings than are copied at once', () => {
  const texts = Array.from({ length: 1500 }, (_, i) => `VARIABLE_${i}=${'v'.repeat(i % 97)}`);
  let at = 0;
  lay(texts.map((text) => [(at += text.length + 1) - text.length - 1, text]));
  expect(copied()).toEqual(texts);
});

test('pointers may lie anywhere', () => {
  const texts = Array.from({ length: 600 }, (_, i) => `n${i}`);
  lay(
    texts.map((text, i) => [i * 8, text]),
    3,
  );
  expect(copied(3)).toEqual(texts);
});

test('what has too many bytes, pointers included, is refused', () => {
  lay([
    [0, '1234567'],
    [8, '1234567'],
  ]);
  expect(copied(0, 32)).toEqual(['1234567', '1234567']);
  expect(copied(0, 31)).toBeUndefined();
  lay(
    [
      [0, '1234567'],
      [8, '1234567'],
    ],
    1003,
  );
  expect(copied(1003, 32)).toEqual(['1234567', '1234567']);
  expect(copied(1003, 31)).toBeUndefined();
});

test('pointers and strings that cannot be read are faults', () => {
  write64(c, pointers, room + PAGES * PAGE);
  expect(() => copied()).toThrow(UserFault);
  write64(c, pointers, 0xffff_ffff_f000);
  expect(() => copied()).toThrow(UserFault);
  const end = room + PAGES * PAGE;
  copyOut(c, end - 3, Buffer.from('abc'));
  write64(c, pointers, end - 3);
  expect(() => copied()).toThrow(UserFault);
  write64(c, end - 8, room);
  copyOut(c, room, Buffer.from('one\0'));
  expect(() => copyStrings(c, end - 8, MOST)).toThrow(UserFault);
  expect(() => copyStrings(c, end, MOST)).toThrow(UserFault);
});

test('packed strings are the same when they are unpacked, and say whether one is long', () => {
  const strings = ['', 'a', 'four', ''].map((text) => new TextEncoder().encode(text));
  const packed = packStrings(strings);
  expect(unpackStrings(packed)).toEqual(strings);
  expect([hasLonger(packed, 3), hasLonger(packed, 4), hasLonger(packed, 100)]).toEqual([true, false, false]);
});
