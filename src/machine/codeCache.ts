import { createHash, type Hash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { KeptModule, ModuleStore } from '../jit/keptModules.js';
import { codeOfModule, moduleWithCode } from './compiledModule.js';
import { translatorCodeFile } from './packageFiles.js';
import { withRegionFlags } from './v8Flags.js';

/** The folder of a code cache cannot be used; the message is one line. */
export class CodeCacheError extends Error {
  override name = 'CodeCacheError';
}

/** Bytes that a folder holds at most; what was used last stays. */
const MOST_BYTES = 256 * 2 ** 20;
/** The share of that which is left when something has to go. */
const KEPT = 3 / 4;
const SUFFIX = '.region';
/** A file: SHA-256 of what follows; lengths of description (JSON), bytes and V8's code, u32 each; and those. */
const HASH_BYTES = 32;
const HEAD_BYTES = HASH_BYTES + 3 * 4;
/** Descriptions are some kilobytes. */
const LONGEST_DESCRIPTION = 2 ** 20;

interface Kept extends KeptModule {
  readonly file: string;
}

/**
 * Makes the folder if there is none. Throws CodeCacheError when others could write there: what is in there is run.
 */
export function checkCodeCache(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { mode, uid } = lstatSync(`${folder}/.`);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0)
      throw new CodeCacheError(`${folder} belongs to somebody else, or others may write there`);
  } catch (error) {
    if (error instanceof CodeCacheError) throw error;
    throw new CodeCacheError(`${folder} cannot be used (${(error as NodeJS.ErrnoException).code})`);
  }
}

/**
 * Translated modules and what V8 has made of them, kept in a folder between processes, a file each. Files are written under
 * another name and renamed, so that any number of processes may use the folder at once; what is damaged, or from another
 * build, another version of Node or another kind of processor, is as good as not there. Descriptions are read at once,
 * the rest of a file when it is wanted. A folder that cannot be written to is only read.
 */
export class CodeCache implements ModuleStore {
  private readonly byPc = new Map<number, Kept[]>();
  /** What names of this environment's files begin with. */
  private readonly prefix: string;
  private writable = true;

  /** `environment`: whatever else modules depend on. */
  constructor(
    private readonly folder: string,
    environment: string,
  ) {
    const hash = createHash('sha256').update(readFileSync(translatorCodeFile()));
    hash.update(
      `${process.version} ${process.versions.v8} ${process.arch} ${process.platform} ${environment}`,
    );
    this.prefix = nameOf(hash);
    this.makeRoom();
    for (const name of this.names()) {
      if (!name.startsWith(this.prefix)) continue;
      const file = join(folder, name);
      const described = describedIn(file);
      if (described !== undefined) this.add({ ...described, file });
    }
  }

  modulesAt(pc: number): readonly KeptModule[] {
    return this.byPc.get(pc) ?? [];
  }

  load(kept: KeptModule): { bytes: Uint8Array; module: WebAssembly.Module } | undefined {
    const { file } = kept as Kept;
    try {
      const contents = readFileSync(file);
      if (
        createHash('sha256')
          .update(contents.subarray(HASH_BYTES))
          .digest()
          .compare(contents, 0, HASH_BYTES) !== 0
      )
        throw new Error('damaged');
      const described = HEAD_BYTES + contents.readUInt32LE(HASH_BYTES);
      const end = described + contents.readUInt32LE(HASH_BYTES + 4);
      const bytes = contents.subarray(described, end);
      const module = withRegionFlags(() => moduleWithCode(bytes, contents.subarray(end)));
      if (module === undefined) throw new Error('refused');
      const now = new Date();
      utimesSync(file, now, now);
      return { bytes, module };
    } catch {
      this.forget(kept);
      return undefined;
    }
  }

  keep(kept: KeptModule, bytes: Uint8Array, module: WebAssembly.Module): void {
    if (!this.writable) return;
    const name = `${this.prefix}${nameOf(createHash('sha256').update(bytes))}${SUFFIX}`;
    const file = join(this.folder, name);
    const hidden = join(this.folder, `.${process.pid}-${name}`);
    try {
      const code = withRegionFlags(() => codeOfModule(module));
      const description = Buffer.from(JSON.stringify(kept));
      const lengths = Buffer.alloc(3 * 4);
      [description, bytes, code].forEach((part, i) => {
        lengths.writeUInt32LE(part.length, i * 4);
      });
      const contents = Buffer.concat([lengths, description, bytes, code]);
      const hash = createHash('sha256').update(contents).digest();
      writeFileSync(hidden, Buffer.concat([hash, contents]), { mode: 0o600 });
      renameSync(hidden, file);
      this.add({ ...kept, file });
    } catch {
      rmSync(hidden, { force: true });
      this.writable = false;
    }
  }

  private add(kept: Kept): void {
    for (const { pc } of kept.regions) this.byPc.set(pc, [...(this.byPc.get(pc) ?? []), kept]);
  }

  private forget(kept: KeptModule): void {
    for (const { pc } of kept.regions)
      this.byPc.set(
        pc,
        (this.byPc.get(pc) ?? []).filter((other) => other !== kept),
      );
  }

  private names(): string[] {
    try {
      return readdirSync(this.folder).filter((name) => name.endsWith(SUFFIX));
    } catch {
      return [];
    }
  }

  /** Removes the files that have not been used for the longest time when there are too many. */
  private makeRoom(): void {
    const files = this.names().flatMap((name) => {
      const file = join(this.folder, name);
      const stat = lstatSync(file, { throwIfNoEntry: false });
      return stat === undefined ? [] : [{ file, size: stat.size, used: stat.mtimeMs }];
    });
    let bytes = files.reduce((sum, { size }) => sum + size, 0);
    if (bytes <= MOST_BYTES) return;
    for (const { file, size } of files.sort((a, b) => a.used - b.used)) {
      if (bytes <= MOST_BYTES * KEPT) break;
      rmSync(file, { force: true });
      bytes -= size;
    }
  }
}

/** Half of a hash, for names. */
function nameOf(hash: Hash): string {
  return hash.digest('hex').slice(0, 32);
}

/** The description at the start of a file; undefined when there is none. */
function describedIn(file: string): KeptModule | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r');
    const head = Buffer.alloc(HEAD_BYTES);
    if (readSync(fd, head) !== HEAD_BYTES) return undefined;
    const lengths = [0, 4, 8].map((at) => head.readUInt32LE(HASH_BYTES + at));
    const all = lengths.reduce((sum, length) => sum + length, HEAD_BYTES);
    if (fstatSync(fd).size !== all || lengths[0] > LONGEST_DESCRIPTION) return undefined;
    const text = Buffer.alloc(lengths[0]);
    readSync(fd, text, 0, text.length, HEAD_BYTES);
    const described: unknown = JSON.parse(text.toString());
    return isKeptModule(described) ? described : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function isKeptModule(value: unknown): value is KeptModule {
  const numbers = (list: unknown): boolean =>
    Array.isArray(list) && list.every((n) => Number.isSafeInteger(n));
  const { homeEntry, regions } = value as Partial<KeptModule>;
  return (
    Number.isSafeInteger(homeEntry) &&
    Array.isArray(regions) &&
    regions.length > 0 &&
    regions.every(
      ({ pc, extensions, size, pages, blocks, code }) =>
        numbers([pc, extensions, size]) &&
        numbers(pages) &&
        numbers(blocks) &&
        Array.isArray(code) &&
        code.length > 0 &&
        code.every((piece) => Number.isSafeInteger(piece?.[0]) && typeof piece[1] === 'string'),
    )
  );
}
