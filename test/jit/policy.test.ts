import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const command = fileURLToPath(new URL('../../bin/guesthouse.js', import.meta.url));
const guests = fileURLToPath(new URL('../guests/freestanding.elf', import.meta.url));

/** Regions that a run of an applet has translated. */
function regions(options: readonly string[], ...applet: string[]): number {
  const args = [command, 'run', '--stats', ...options, guests, ...applet];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status).toBe(0);
  return Number(/translated +(\d+) regions/.exec(stderr)?.[1]);
}

describe('without --jit', () => {
  it('code that runs once is not translated', () => {
    expect(regions([], 'hello')).toBe(0);
    expect(regions([], 'registers')).toBe(0);
  });

  it('a loop that goes on is', () => {
    expect(regions([], 'count', '100000000', '1')).toBeGreaterThan(0);
  });
});

describe('with --jit', () => {
  it('off nothing is translated, and on what is hot', () => {
    expect(regions(['--jit=off'], 'count', '20000000', '1')).toBe(0);
    expect(regions(['--jit=threshold=100'], 'count', '20000000', '1')).toBeGreaterThan(0);
  });
});
