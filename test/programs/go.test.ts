import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findCommand, repository, runGuest } from '../../bench/hostProgram.js';

const go = findCommand('go');
const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe(`the Go runtime${go === undefined ? ' (needs go)' : ''}`, () => {
  it.skipIf(!go)(
    'goroutines, garbage collection, timers, panics, signals',
    { timeout: 180_000 },
    async () => {
      const program = join(folder, 'program');
      execFileSync(go!, ['build', '-trimpath', '-o', program, '.'], {
        cwd: join(repository, 'test/guests/go'),
        env: {
          ...process.env,
          GOOS: 'linux',
          GOARCH: 'riscv64',
          CGO_ENABLED: '0',
          GOTOOLCHAIN: 'local',
          GOFLAGS: '-mod=mod',
          GOCACHE: process.env.GOCACHE ?? join(repository, '.cache/go'),
        },
      });
      const work = join(folder, 'work');
      mkdirSync(work);
      const { stdout, stderr, code } = await runGuest(['--dir', `${work}:/scratch`], program, ['/scratch']);
      expect(stderr).toBe('');
      expect(stdout.split('\n')).toEqual([
        'pipeline 2668667000',
        'panics: runtime error: invalid memory address or nil pointer dereference; runtime error: integer divide by zero; runtime error: index out of range [5] with length 1; own',
        'gzip 64890 89581562dd3be612',
        '200! = 78865786736479050355 375',
        '{"a":"text","b":[1.5,1e+21,0.1]}',
        'total 995000',
        'failures 0',
        '',
      ]);
      expect(code).toBe(0);
    },
  );
});
