import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { testFile, tiny } from '../machine/tinyPrograms.js';

// Generous, for machines that are busy with other things.
vi.setConfig({ testTimeout: 30_000 });

const command = fileURLToPath(new URL('../../bin/guesthouse.js', import.meta.url));
const hasScript = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;

/**
 * Runs a program under Guesthouse on a terminal that script(1) makes, and types `keys` one after the other, each when what
 * is before it has come out.
 */
function onTerminal(program: string, keys: readonly (readonly [after: string, key: string])[]) {
  return new Promise<{ status: number | null; screen: string }>((resolve) => {
    const line = [process.execPath, command, 'run', program].map((word) => `'${word}'`).join(' ');
    const child = spawn('script', ['-qec', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let screen = '';
    let next = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      screen += chunk.toString();
      while (next < keys.length && screen.includes(keys[next][0])) child.stdin.write(keys[next++][1]);
    });
    child.on('close', (status) => resolve({ status, screen: screen.replaceAll('\r', '') }));
  });
}

describe.skipIf(!hasScript)('on a terminal', () => {
  const greeter = () => testFile('greeter', tiny.greetAndCat('ready\n'));

  it('lines are edited and echoed by the terminal, and Ctrl-D ends them', async () => {
    const { status, screen } = await onTerminal(greeter(), [
      ['ready', 'helpp\x7flo\n'],
      ['helplo\r', '\x04'],
    ]);
    expect(screen).toMatch(/helplo\n$/);
    expect(status).toBe(0);
  });

  it('Ctrl-C ends the program with 130', async () => {
    const { status } = await onTerminal(greeter(), [['ready', '\x03']]);
    expect(status).toBe(130);
  });
});
