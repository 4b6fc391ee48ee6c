import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findCommand, repository } from '../../bench/hostProgram.js';

/**
 * A root of Debian's riscv64 packages: kept in .cache, made where CI runs. It takes 180 MB and a minute or two to get, so
 * nobody who just runs the tests has to wait for it: test/guests/build-debian-root.sh .cache/debian makes it.
 */
export function findDebianRoot(): string | { missing: string } {
  const root = join(repository, '.cache/debian');
  if (existsSync(join(root, 'packages.txt'))) return root;
  const script = 'test/guests/build-debian-root.sh';
  if (process.env.CI === undefined) return { missing: `needs ${script} .cache/debian to be run` };
  if (process.getuid?.() !== 0 || findCommand('apt-get') === undefined)
    return { missing: 'needs apt and root' };
  try {
    // Several files of tests ask for it at the same time: one makes it, the others wait.
    const once = ['sh', '-c', '[ -e "$1/packages.txt" ] || "$0" "$1"', join(repository, script), root];
    mkdirSync(dirname(root), { recursive: true });
    execFileSync('flock', [`${root}.lock`, ...once], { stdio: 'pipe', timeout: 600_000 });
    return root;
  } catch (error) {
    return { missing: `could not be made: ${(error as Error).message.split('\n')[0]}` };
  }
}
