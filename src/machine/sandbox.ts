import { lstatSync, realpathSync, statSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { type DirectoryMount, SpawnError, type SpawnOptions } from './options.js';
import type { TemporaryFolder } from './temporaryFolder.js';

const ENOENT = 2;
const EACCES = 13;
const ENOTDIR = 20;

/** One host file or directory in the guest's tree. */
export interface Mount {
  readonly guest: string;
  readonly host: string;
  readonly readOnly: boolean;
  /** A single file, not a directory. */
  readonly file?: boolean;
}

/** What of the host a guest sees, and where its program is in there. */
export interface Sandbox {
  /** Host directory at "/", or null. */
  readonly root: string | null;
  readonly mounts: readonly Mount[];
  /** Guest path of the program. */
  readonly program: string;
  /** What argv[0] names it unless the embedder says otherwise: as it was asked for, or its path in the root it was found in. */
  readonly name: string;
  /** Guest path of the working directory. */
  readonly cwd: string;
  /** The program's file on the host, as far as is known without asking the guest. */
  readonly file?: string;
}

/** The path of `host` below `folder`, or undefined when it is not in there. */
function below(folder: string, host: string): string | undefined {
  const path = relative(folder, host);
  return path === '..' || path.startsWith(`..${sep}`) || path.startsWith(sep) ? undefined : path;
}

/** Whether there is something of this name; a symbolic link need not lead anywhere on the host. */
function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * Decides what the guest sees: the root directory, `dirs`, the program's own file at its own absolute path, and the
 * machine's private /tmp (unless there is a root) and /dev/shm. The program is a file of the host or, with a root, else a
 * path in there. Throws SpawnError when there is no such program or directory.
 */
export function planSandbox(program: string, options: SpawnOptions, temporary: TemporaryFolder): Sandbox {
  const dirs: DirectoryMount[] = (options.dirs ?? []).map((dir) => ({ ...dir, host: resolve(dir.host) }));
  for (const dir of dirs) {
    const stat = statSync(dir.host, { throwIfNoEntry: false });
    if (stat === undefined) throw new SpawnError(ENOENT, `directory ${dir.host} not found`);
  }
  const mounts: Mount[] = dirs.map((dir) => ({
    guest: dir.guest,
    host: realpathSync(dir.host),
    readOnly: dir.readOnly ?? false,
    ...(isDirectory(dir.host) ? {} : { file: true }),
  }));
  const covers = (path: string): boolean => mounts.some((mount) => mount.guest === path);

  let root: string | null = null;
  if (options.root !== undefined) {
    const host = resolve(options.root);
    if (!isDirectory(host)) throw new SpawnError(ENOTDIR, `root ${host} is not a directory`);
    root = realpathSync(host);
  } else if (!covers('/tmp')) {
    mounts.push({ guest: '/tmp', host: temporary.folder('tmp'), readOnly: false });
  }
  if (!covers('/dev/shm')) mounts.push({ guest: '/dev/shm', host: temporary.folder('shm'), readOnly: false });

  let guestProgram: string | undefined;
  const hostProgram = resolve(program);
  const stat = statSync(hostProgram, { throwIfNoEntry: false });
  // The root may be named by a symbolic link.
  const inRoot =
    root === null ? undefined : (below(root, hostProgram) ?? below(resolve(options.root!), hostProgram));
  if (stat?.isDirectory()) throw new SpawnError(EACCES, 'is a directory');
  if (stat !== undefined && inRoot !== undefined) guestProgram = `/${inRoot}`;
  else if (root !== null && program.startsWith('/') && exists(join(root, program))) guestProgram = program;
  else if (stat !== undefined) {
    guestProgram = hostProgram;
    if (!mounts.some((m) => m.guest === m.host && below(m.host, hostProgram) !== undefined))
      mounts.push({ guest: hostProgram, host: realpathSync(hostProgram), readOnly: true, file: true });
  } else if (
    program.startsWith('/') &&
    (root !== null || mounts.some((m) => below(m.guest, program) !== undefined))
  ) {
    // Only the guest's own view can tell, for instance a program in a mounted directory.
    guestProgram = program;
  }
  if (guestProgram === undefined) throw new SpawnError(ENOENT, 'not found');
  const name = inRoot === undefined ? program : guestProgram;
  const file = stat !== undefined ? hostProgram : root !== null ? join(root, guestProgram) : undefined;
  return {
    root,
    mounts,
    program: guestProgram,
    name,
    cwd: options.cwd ?? defaultCwd(root, mounts),
    ...(file !== undefined && { file }),
  };
}

/** The host's working directory as the guest sees it, or "/". */
function defaultCwd(root: string | null, mounts: readonly Mount[]): string {
  const cwd = process.cwd();
  for (const mount of mounts) {
    if (mount.file) continue;
    const path = below(mount.host, cwd);
    if (path !== undefined) return path === '' ? mount.guest : `${mount.guest.replace(/\/$/, '')}/${path}`;
  }
  const path = root === null ? undefined : below(root, cwd);
  return path === undefined ? '/' : `/${path}`;
}
