import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CommandLine, parseCommandLine } from '../../src/cli/runOptions.js';
import { parseSize } from '../../src/cli/size.js';
import { UsageError } from '../../src/cli/usageError.js';

function options(...args: string[]) {
  const line: CommandLine = parseCommandLine(['run', ...args], '1.2.3');
  if (line.kind !== 'run') throw new Error(`printed: ${line.text}`);
  return line.options;
}

describe('guesthouse run', () => {
  it('leaves everything after the program to the program', () => {
    expect(options('--strace', 'prog', '--strace', '-L', 'x', '--', '--help')).toMatchObject({
      program: 'prog',
      args: ['--strace', '-L', 'x', '--', '--help'],
      strace: true,
      stats: false,
    });
  });

  it('takes every option', () => {
    expect(
      options(
        ...[
          '-L',
          '/r',
          '--dir',
          '/a:/b:ro',
          '--dir',
          'rel',
          '-E',
          'A=1=2',
          '--env',
          'B=',
          '-U',
          'C',
          '-0',
          'me',
        ],
        ...[
          '-s',
          '1M',
          '-R',
          '0x40000000',
          '--memory',
          '512M',
          '--host-page-size',
          '16K',
          '--page-size',
          '64K',
          '-r',
          '6.1',
          '-C',
          '/w',
        ],
        ...[
          '-cpu',
          'rv64,zba=off',
          '--placement',
          'random:7',
          '--net',
          'loopback',
          '-d',
          'page',
          '--dump-maps',
          '--stats',
          '-v',
          'prog',
        ],
      ),
    ).toEqual({
      program: 'prog',
      args: [],
      root: '/r',
      dirs: [
        { host: '/a', guest: '/b', readOnly: true },
        { host: resolve('rel'), guest: resolve('rel'), readOnly: false },
      ],
      env: [
        ['A', '1=2'],
        ['B', ''],
      ],
      unset: ['C'],
      argv0: 'me',
      stackSize: 2 ** 20,
      reservedVa: 2 ** 30,
      memory: 2 ** 29,
      hostPageSize: 16384,
      pageSize: 65536,
      unameRelease: '6.1',
      cpu: 'rv64,zba=off',
      cwd: '/w',
      placement: { placement: 'random', placementSeed: 7 },
      network: 'loopback',
      logPage: true,
      log: [],
      dumpMaps: true,
      strace: false,
      stats: true,
      verbose: true,
    });
  });

  it.each([
    [[]],
    [['--nonsense', 'prog']],
    [['-E', 'novalue', 'prog']],
    [['--dir', 'a:b:c:d', 'prog']],
    [['--dir', '/a:relative', 'prog']],
    [['--memory', 'lots', 'prog']],
    [['--memory', '-5', 'prog']],
    [['--host-page-size', '8K', 'prog']],
    [['--page-size', '32K', 'prog']],
    [['--at', 'exit', 'prog']],
    [['--memory', '8G', 'prog']],
    [['--memory', '1M', 'prog']],
    [['--reserved-va', '1T', 'prog']],
    [['--placement', 'best', 'prog']],
    [['--placement', 'qemu:7', 'prog']],
    [['--net', 'internet', 'prog']],
    [['-d', 'cpu', 'prog']],
    [['-L']],
  ])('refuses %j in one line', (args) => {
    try {
      options(...args);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      expect((error as Error).message).not.toContain('\n');
    }
  });
});

describe('guesthouse maps', () => {
  const maps = (...args: string[]) => {
    const line = parseCommandLine(['maps', ...args], '1.2.3');
    if (line.kind !== 'run') throw new Error(`printed: ${line.text}`);
    return line.options;
  };

  it('takes the options of run, and its own', () => {
    expect(maps('prog').maps).toMatchObject({ at: 'exit', format: 'maps', children: false });
    const args = ['--at', 'start', '--format', 'smaps', '-o', 'out', '--children'];
    expect(maps('-cpu', 'rv64', ...args, '--page-size', '16K', 'prog', '--at', 'exit')).toMatchObject({
      program: 'prog',
      args: ['--at', 'exit'],
      pageSize: 16384,
      cpu: 'rv64',
      maps: { at: 'start', format: 'smaps', output: 'out', children: true },
    });
    expect(options('prog').maps).toBeUndefined();
  });

  it.each([
    ['start', 'start'],
    ['call:mmap', { call: 'mmap' }],
    ['call:thr_new', { call: 'thr_new' }],
    ['500ms', { milliseconds: 500 }],
    ['1.5s', { milliseconds: 1500 }],
  ])('knows the point %s', (text, at) => {
    expect(maps('--at', text, 'prog').maps?.at).toEqual(at);
  });

  it.each([
    [['--at', 'end', 'prog']],
    [['--at', 'call:nonsense', 'prog']],
    [['--at', '5', 'prog']],
    [['--at', '-5s', 'prog']],
    [['--format', 'html', 'prog']],
    [[]],
  ])('refuses %j in one line', (args) => {
    expect(() => maps(...args)).toThrow(UsageError);
    expect(() => maps(...args)).toThrow(/^[^\n]+$/);
  });
});

describe('the rest of the command line', () => {
  it('prints version and help', () => {
    expect(parseCommandLine(['--version'], '1.2.3')).toEqual({ kind: 'print', text: '1.2.3\n' });
    expect(parseCommandLine(['--help'], '1.2.3')).toMatchObject({
      kind: 'print',
      text: expect.stringContaining('run'),
    });
    expect(parseCommandLine(['run', '--help'], '1')).toMatchObject({
      text: expect.stringContaining('--reserved-va'),
    });
    expect(parseCommandLine([], '1')).toMatchObject({ kind: 'print' });
  });

  it('refuses other commands', () => {
    expect(() => parseCommandLine(['walk'], '1')).toThrow(UsageError);
  });
});

describe('sizes', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['0x1000', 4096],
    ['8k', 8192],
    ['8KiB', 8192],
    ['3MB', 3 * 2 ** 20],
    ['0x10M', 2 ** 24],
    ['2G', 2 ** 31],
  ])('%s', (text, bytes) => {
    expect(parseSize(text, '--x')).toBe(bytes);
  });

  it.each(['', 'x', '1.5M', '-1', '1e9', '0x', '99999999999999999999', '10Q'])('not %j', (text) => {
    expect(() => parseSize(text, '--x')).toThrow(UsageError);
  });
});
