import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The host's own esbuild: its executable where there is one, and its version. */
export interface NativeEsbuild {
  readonly version: string;
  /** What is started, and its first arguments. */
  readonly file: string;
  readonly before: readonly string[];
  /** Runs it in `cwd`; throws when it fails. */
  run(args: readonly string[], cwd: string): void;
}

/**
 * Finds the esbuild that npm has installed for this host. The package of the host's processor is asked first: unlike the
 * `esbuild` command it needs no install script to have run.
 */
export function nativeEsbuild(): NativeEsbuild {
  const require = createRequire(import.meta.url);
  const main = require.resolve('esbuild/package.json');
  const { version } = require(main) as { version: string };
  const platform = `@esbuild/${process.platform}-${process.arch}`;
  let binary: string | undefined;
  try {
    const folder = dirname(createRequire(main).resolve(`${platform}/package.json`));
    binary = join(folder, process.platform === 'win32' ? 'esbuild.exe' : 'bin/esbuild');
  } catch {
    binary = undefined;
  }
  const [file, before] =
    binary !== undefined && existsSync(binary)
      ? [binary, []]
      : [process.execPath, [join(dirname(main), 'bin/esbuild')]];
  return {
    version,
    file,
    before,
    run: (args, cwd) => {
      execFileSync(file, [...before, ...args], { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
    },
  };
}
