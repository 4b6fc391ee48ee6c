import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, createWriteStream, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** The package that holds the guest program: name, exact version, and what its tarball must hash to. */
interface PinnedPackage {
  readonly package: string;
  readonly version: string;
  readonly integrity: string;
}

/** The registry the user's npm is configured for; without one, the library uses npm's own. */
function registry(): { readonly registry?: string } {
  const configured = process.env.npm_config_registry;
  if (configured) return { registry: configured };
  try {
    return { registry: execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim() };
  } catch {
    return {};
  }
}

function hashes(file: string, integrity: string): boolean {
  const [algorithm, expected] = integrity.split(/-(.*)/s);
  return createHash(algorithm).update(readFileSync(file)).digest('base64') === expected;
}

/**
 * Gives the riscv64 build of esbuild: npm refuses to install it on another processor, so that its tarball is fetched through
 * npm's own library, checked against the pinned hash, and kept in `cache`. `progress` hears of bytes as they arrive.
 * Returns the path of the executable.
 */
export async function guestEsbuild(
  root: string,
  cache: string,
  progress: (received: number) => void,
): Promise<{ path: string; version: string; downloaded: boolean }> {
  const pinned = JSON.parse(
    readFileSync(join(root, 'bench/demo/packageIntegrity.json'), 'utf8'),
  ) as PinnedPackage;
  mkdirSync(cache, { recursive: true });
  const tarball = join(cache, `esbuild-linux-riscv64-${pinned.version}.tgz`);
  const folder = join(cache, `esbuild-linux-riscv64-${pinned.version}`);
  const path = join(folder, 'bin/esbuild');
  const downloaded = !existsSync(tarball) || !hashes(tarball, pinned.integrity);
  if (!downloaded && existsSync(path)) return { path, version: pinned.version, downloaded };

  const { default: pacote } = await import('pacote');
  const options = { ...registry(), integrity: pinned.integrity, cache: join(cache, 'npm') };
  if (downloaded) {
    const part = `${tarball}.part`;
    await pacote.tarball.stream(
      `${pinned.package}@${pinned.version}`,
      (source) => {
        let received = 0;
        const meter = new Transform({
          transform(chunk: Buffer, _encoding, done) {
            received += chunk.length;
            progress(received);
            done(null, chunk);
          },
        });
        return pipeline(source, meter, createWriteStream(part));
      },
      options,
    );
    if (!hashes(part, pinned.integrity))
      throw new Error(`${pinned.package}: the tarball's hash is not the pinned one`);
    renameSync(part, tarball);
  }
  await pacote.extract(`file:${tarball}`, folder, { cache: options.cache, integrity: pinned.integrity });
  chmodSync(path, 0o755);
  return { path, version: pinned.version, downloaded };
}
