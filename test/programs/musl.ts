import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crossCompiler } from '../../bench/compileGuest.js';
import { findCommand, repository } from '../../bench/hostProgram.js';

/**
 * The folder of a musl for riscv64, aligned for pages of up to 64 KiB: kept in .cache, or built once where that is possible; why not, otherwise.
 */
export function findMusl(): string | { missing: string } {
  const cache = join(repository, '.cache/musl-64k');
  if (crossCompiler === undefined) return { missing: 'needs riscv64-linux-gnu-gcc' };
  const specs = join(cache, 'musl.specs');
  // The specs name the folder: they don't outlive a move of the repository.
  if (existsSync(specs) && readFileSync(specs, 'utf8').includes(cache)) return cache;
  if (process.getuid?.() !== 0 || findCommand('apt-get') === undefined)
    return { missing: 'needs apt and root, to build it' };
  try {
    execFileSync(join(repository, 'test/guests/build-musl.sh'), [cache], { stdio: 'pipe', timeout: 110_000 });
    return cache;
  } catch (error) {
    return { missing: `could not be built: ${(error as Error).message.split('\n')[0]}` };
  }
}
