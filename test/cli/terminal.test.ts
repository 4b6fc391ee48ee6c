import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { compileGuest, crossCompiler } from '../../bench/compileGuest.js';
import { findCommand, repository } from '../../bench/hostProgram.js';
import { testFile, tiny } from '../machine/tinyPrograms.js';

// Generous, for machines that are busy with other things.
vi.setConfig({ testTimeout: 60_000 });

const command = join(repository, 'bin/guesthouse.js');
const hasScript = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;
const quoted = (...words: string[]) => words.map((word) => `'${word}'`).join(' ');
const guesthouse = (...words: string[]) => quoted(process.execPath, command, 'run', ...words);

/** What is typed, or done, once a text has come out, behind what was waited for before. */
type Keys = readonly (readonly [after: string, key: string | ((screen: string) => void)])[];

/** Runs a shell's command line on a terminal that script(1) makes, and types `keys`. */
function onTerminal(line: string, keys: Keys) {
  return new Promise<{ status: number | null; screen: string }>((resolve) => {
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, SHELL: '/bin/sh' },
    });
    let screen = '';
    let next = 0;
    let from = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      screen += chunk.toString();
      while (next < keys.length) {
        const at = screen.indexOf(keys[next][0], from);
        if (at < 0) break;
        from = at + keys[next][0].length;
        const action = keys[next++][1];
        if (typeof action === 'string') child.stdin.write(action);
        else action(screen);
      }
    });
    child.on('close', (status) => resolve({ status, screen }));
  });
}

describe.skipIf(!hasScript)('on a terminal (needs script(1))', () => {
  const greeter = () => guesthouse(testFile('greeter', tiny.greetAndCat('ready\n')));

  it('lines are edited and echoed by the terminal, and Ctrl-D ends them', async () => {
    const { status, screen } = await onTerminal(greeter(), [
      ['ready', 'helpp\x7flo\n'],
      ['helplo\r', '\x04'],
    ]);
    expect(screen.replaceAll('\r', '')).toMatch(/helplo\n$/);
    expect(status).toBe(0);
  });

  it('Ctrl-C ends the program with 130', async () => {
    const { status } = await onTerminal(`exec ${greeter()}`, [['ready', '\x03']]);
    expect(status).toBe(130);
  });
});

const noGuest = !hasScript || crossCompiler === undefined;

describe.skipIf(noGuest)('a program of a terminal (needs script(1) and riscv64-linux-gnu-gcc)', () => {
  const program = (...words: string[]) =>
    guesthouse(compileGuest(join(repository, 'test/cli/console.c'), ['-O2', '-static']), ...words);

  it('has it as its controlling terminal, with its size', async () => {
    const { screen } = await onTerminal(`stty rows 30 cols 100; ${program('about')}`, []);
    expect(screen).toBe('/dev/pts/0 /dev/pts/0 /dev/pts/0\r\n1 1\r\n30 rows of 100 columns\r\n');
  });

  it('hears of a new size', async () => {
    const resize = (screen: string) => {
      const [device] = /\/dev\/\S+/.exec(screen) ?? [''];
      // One of the two: stty sets them one after the other.
      spawnSync('stty', ['-F', device, 'rows', '40']);
    };
    const { screen } = await onTerminal(`stty rows 30 cols 100; tty; exec ${program('resize')}`, [
      ['columns', resize],
    ]);
    expect(screen.replace(/^.*\r\n/, '')).toBe('30 rows of 100 columns\r\n40 rows of 100 columns\r\n');
  });

  it('leaves to the next program the lines that it does not read', async () => {
    const line = `${program('line')}; read rest; echo "next: $rest"`;
    const { screen } = await onTerminal(line, [['line?', 'one\ntwo\n']]);
    expect(screen).toContain('guest: one\r\nnext: two\r\n');
  });

  it('reads on after an end of file', async () => {
    const { screen } = await onTerminal(program('ends'), [
      ['read 0', '\x04'],
      ['read 1', 'abc\n'],
    ]);
    expect(screen).toBe('read 0\r\n0 bytes\r\nread 1\r\nabc\r\n4 bytes\r\n');
  });

  it('gets every key in raw mode, without echo, and puts the mode back', async () => {
    const { screen } = await onTerminal(`${program('keys')}; stty -a`, [['keys:', 'a\x03\r\n\x1b[A\x13q']]);
    expect(screen).toContain('keys:\r\n<61><03><0d><0a><1b><5b><41><13>\r\nend\r\n');
    expect(screen).toMatch(/ icanon .* echo /);
    expect(screen).toMatch(/ isig|isig /);
  });

  it('writes bytes as they are without OPOST (needs stty)', async () => {
    const { screen } = await onTerminal(program('bytes'), [['keys:', 'aq']]);
    expect(screen).toBe('keys:\n<61>\r\nend\r\n');
  });

  it('has jobs that keys stop and end', async () => {
    // A shell that waited would take the interrupt for its own, too.
    const { screen, status } = await onTerminal(`exec ${program('job')}`, [
      ['job runs', '\x1a'],
      ['goes on', '\x03'],
    ]);
    expect(screen.replaceAll(/\^[ZC]/g, '').replaceAll(/(\r\n)+/g, '\n')).toBe(
      'job runs\nstopped by 20\ngoes on\nended by 2\n',
    );
    expect(status).toBe(0);
  });

  const pidOf = (screen: string) => Number(/pid=(\d+)/.exec(screen)?.[1]);
  const ends: Record<string, Keys> = {
    crash: [],
    'kills itself': [['waits', 'k']],
    'is killed': [['waits', (screen) => process.kill(pidOf(screen), 'SIGTERM')]],
  };
  it.each(Object.entries(ends))(
    'leaves the terminal as it was when it ends in raw mode: %s',
    async (way, keys) => {
      const run = `sh -c "echo pid=\\$\\$; exec ${program(way === 'crash' ? 'crash' : 'waits')}"`;
      const { screen } = await onTerminal(`${run}; stty -a`, keys);
      expect(screen).toMatch(/ icanon .* echo /);
      expect(screen).toMatch(/[^-]opost/);
      // No staircase in the report of the crash.
      expect(screen.replaceAll('\r\n', '')).not.toContain('\n');
    },
  );
});

const bash = findCommand('bash');

describe.skipIf(noGuest || bash === undefined)('under a shell with job control', () => {
  const program = (...words: string[]) =>
    guesthouse(compileGuest(join(repository, 'test/cli/console.c'), ['-O2', '-static']), ...words);

  it('Ctrl-Z stops the command with its program, and fg continues both', async () => {
    const { screen } = await onTerminal('PS1="ready> " bash --norc --noediting -i', [
      ['ready> ', `${program('line')}\n`],
      ['line?\r\n', '\x1a'],
      ['Stopped', 'echo between\n'],
      ['between\r\nready> ', 'fg\n'],
      ['run', ''],
      ['\r\n', 'hello\n'],
      ['guest: hello', 'exit\n'],
    ]);
    expect(screen).toContain('guest: hello');
  });

  it('a command in the background stops when its program reads', async () => {
    const { screen } = await onTerminal('PS1="ready> " bash --norc --noediting -i', [
      // The shell waits until the job has stopped.
      ['ready> ', `${program('line')} & wait $!; jobs\n`],
      ['topped', 'fg\n'],
      ['run', ''],
      ['\r\n', 'hello\n'],
      ['guest: hello', 'exit\n'],
    ]);
    expect(screen).toMatch(/line\?\r\n[\s\S]*Stopped[\s\S]*guest: hello\r\n/);
  });
});
