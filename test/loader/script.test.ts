import { describe, expect, it } from 'vitest';
import { parseScript, SCRIPT_HEAD_BYTES } from '../../src/loader/script.js';

function parse(text: string): { interpreter: string; argument: string | undefined } | undefined {
  const line = parseScript(new TextEncoder().encode(text));
  if (line === undefined) return undefined;
  const decode = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes);
  return { interpreter: decode(line.interpreter) as string, argument: decode(line.argument) };
}

describe('the line of a script', () => {
  it.each([
    ['#!/bin/sh\necho', '/bin/sh', undefined],
    ['#! /bin/sh -e \n', '/bin/sh', '-e'],
    ['#!\t/usr/bin/env  node --flag x\t\n', '/usr/bin/env', 'node --flag x'],
    ['#!/bin/sh', '/bin/sh', undefined],
  ])('%j', (text, interpreter, argument) => {
    expect(parse(text)).toEqual({ interpreter, argument });
  });

  it.each(['', '#', '#!', '#!\n/bin/sh', '#!   \n', '\x7fELF', '/bin/sh'])('is not in %j', (text) => {
    expect(parse(text)).toBeUndefined();
  });

  it('must name its interpreter within the head', () => {
    expect(parse(`#!/${'x'.repeat(SCRIPT_HEAD_BYTES)}`)).toBeUndefined();
    expect(parse(`#!/bin/sh ${'x'.repeat(SCRIPT_HEAD_BYTES)}`)?.interpreter).toBe('/bin/sh');
  });
});
