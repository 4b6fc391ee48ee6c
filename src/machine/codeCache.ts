import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import {
  IMAGE_MAGIC,
  type KeptQuickRegion,
  makeCodeImage,
  NO_CODE_PAGE,
  NOTHING,
  REGION_SLOT,
  regionsOfImage,
} from '../jit/codeImage.js';
import { jumpProfileOf } from '../jit/jumpProfile.js';
import { standIns } from '../jit/standIns.js';
import { hashMemory } from '../sync/bulkMemory.js';
import { allocateBlock, blockFootprint, freeBlock, OutOfKernelMemory } from '../sync/heap.js';
import { COORDINATOR, Mutex, tryLockMutex, unlockMutex, withMutex } from '../sync/mutex.js';
import { KeptImage, KeptRegion } from '../sync/records/keptCode.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { PageLink, READY_QUICK, RegionEntry, Translation } from '../sync/records/translation.js';
import { SharedMemory } from '../sync/sharedMemory.js';
import { translationOf } from '../sync/translationQueue.js';
import { codeOfModule, moduleWithCode, optimizer } from './compiledModule.js';
import { withoutOptimizationDelay } from './optimizationDelay.js';
import { translatorCodeFile } from './packageFiles.js';

/** The folder of a code cache cannot be used; the message is one line. */
export class CodeCacheError extends Error {
  override name = 'CodeCacheError';
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

const SUFFIX = '.image';
const CODE_SUFFIX = '.code';
/** Images of a program; then those behind the first become one. */
const MOST_IMAGES = 4;
/** Bytes of a program's images, and their regions, at most. */
const MOST_IMAGE_BYTES = 24 * 2 ** 20;
const MOST_IMAGE_REGIONS = 6000;
/** Regions are written to another image when their instructions are this share of those that are kept already. */
const NEW_SHARE = 1 / 50;
/** V8's code of an image is written again when it has grown by this factor. */
const GROWN = 1.03;
/** Milliseconds. */
const LONGEST_WAIT = 200;
/** A file of V8's code begins with hashMemory of what follows, that of its image, and how many bytes of code follow; 8 bytes each. */
const CODE_HEAD = 24;

/** An image in the machine's memory. */
interface LoadedImage {
  readonly file: string;
  readonly image: number;
  readonly module: WebAssembly.Module;
  /** Bytes that V8 had as code for it. */
  readonly codeBytes: number;
}

/**
 * The code of the first tier that earlier processes have translated for a program, kept in files: images, which are read as they are into the
 * machine's memory and put to use page by page (memory/keptCode), and beside each what V8's optimising compiler has made of its functions: those that
 * were run for a while, by V8's own judgement. A machine keeps all that it translates with the program that it has
 * started first. Files are written under another name and renamed, so that any number of processes may use the folder at once.
 */
export class CodeCache {
  /** Where regions come in that this machine has translated; the translator has the other end. */
  private readonly incoming: MessagePort;
  /** The translator's end, until it is started. */
  readonly outgoing: MessagePort;
  /** What the files of the machine's first program begin with. */
  private prefix: string | undefined;
  private readonly loaded: LoadedImage[] = [];

  constructor(
    private readonly mem: SharedMemory,
    private readonly folder: string,
  ) {
    const { port1, port2 } = new MessageChannel();
    port1.unref();
    this.incoming = port1;
    this.outgoing = port2;
  }

  /** The machine's first program is this file of the host: loads what is kept for it. */
  load(program: string): void {
    if (this.prefix !== undefined) return;
    this.prefix = this.prefixOf(program);
    try {
      for (let n = 0; n < MOST_IMAGES && this.loaded.length === n; n++) this.loadFile(this.fileOf(n));
    } catch (error) {
      if (!(error instanceof OutOfKernelMemory) && (error as NodeJS.ErrnoException).code === undefined)
        throw error;
    }
  }

  /** Writes what has been translated, when that is worth it, and what V8 has compiled since. */
  save(): void {
    const translated: KeptQuickRegion[] = [];
    for (;;) {
      const got = receiveMessageOnPort(this.incoming);
      if (got === undefined) break;
      translated.push(...(got.message as KeptQuickRegion[]));
    }
    this.incoming.close();
    try {
      for (const one of this.loaded) this.saveCode(one);
      this.saveRegions(translated);
    } catch {
      // A folder that cannot be written to is only read.
    }
  }

  private saveRegions(translated: readonly KeptQuickRegion[]): void {
    const { loaded, mem } = this;
    const known = loaded.map(({ image }) => {
      const regionsAt = image + mem.getU32(image + KeptImage.regionsAt);
      let size = 0;
      for (let i = mem.getU32(image + KeptImage.regions) - 1; i >= 0; i--)
        size += mem.getU32(regionsAt + i * KeptRegion.SIZE + KeptRegion.size);
      return size;
    });
    const size = known.reduce((sum, one) => sum + one, 0);
    if (translated.length === 0 || sizeOf(translated) < size * NEW_SHARE) return;
    if (loaded.length < MOST_IMAGES) {
      this.write(loaded.length, translated);
      return;
    }
    this.write(1, this.chosen(loaded.slice(1), translated));
    for (let n = 2; n < MOST_IMAGES; n++) rmSync(this.fileOf(n), { force: true });
  }

  private write(n: number, regions: readonly KeptQuickRegion[]): void {
    const image = makeCodeImage(regions);
    setHash(image);
    writeAnew(this.fileOf(n), image);
    makeRoom(this.folder);
  }

  /** What is to be kept of the regions in images and of those translated: where there is too much, what this process has had no use for goes. */
  private chosen(images: readonly LoadedImage[], translated: readonly KeptQuickRegion[]): KeptQuickRegion[] {
    const { mem } = this;
    const key = ({ pc, pages }: KeptQuickRegion): string => [pc, ...pages.map(({ hash }) => hash)].join(' ');
    const all = new Map(translated.map((one) => [key(one), one]));
    const unused: KeptQuickRegion[] = [];
    for (const { image } of images) {
      const regionsAt = image + mem.getU32(image + KeptImage.regionsAt);
      const regions = regionsOfImage(mem.u8.slice(image, image + mem.getU32(image + KeptImage.length)));
      regions.forEach((one, i) => {
        const firstPage =
          image + mem.getU32(regionsAt + i * KeptRegion.SIZE + KeptRegion.linksAt) + PageLink.SIZE;
        if (mem.getU32(firstPage + PageLink.codePage) === NO_CODE_PAGE) unused.push(one);
        else all.set(key(one), one);
      });
    }
    for (const one of unused) if (!all.has(key(one))) all.set(key(one), one);
    let bytes = 0;
    return [...all.values()].slice(0, MOST_IMAGE_REGIONS / 2).filter(({ body }) => {
      bytes += body.length * 1.5;
      return bytes < MOST_IMAGE_BYTES / 2;
    });
  }

  /** Writes what V8 has compiled of an image, when that has become more. */
  private saveCode({ file, image, module, codeBytes }: LoadedImage): void {
    const code = this.alone(() => {
      // V8 gives up the process when it is to write a module without optimised code.
      const optimize = optimizer();
      if (optimize === undefined) return undefined;
      const { exports } = new WebAssembly.Instance(module, standIns(module, this.mem.wasm));
      optimize(exports[NOTHING]);
      return codeOfModule(module);
    });
    if (code === undefined || code.length < codeBytes * GROWN) return;
    const contents = new Uint8Array(CODE_HEAD + Math.ceil(code.length / 8) * 8);
    contents.set(code, CODE_HEAD);
    contents.set(this.mem.u8.subarray(image + KeptImage.hash, image + KeptImage.hash + 8), 8);
    const view = new DataView(contents.buffer);
    view.setUint32(16, code.length, true);
    view.setBigUint64(0, hashOf(contents.subarray(8)), true);
    writeAnew(file + CODE_SUFFIX, contents);
  }

  /** What the names of a program's files begin with: which program it is, and which build of Guesthouse. Undefined when there is no such program. */
  private prefixOf(program: string): string | undefined {
    try {
      const identity = [program, translatorCodeFile()].map((path) => {
        const { size, mtimeMs, ino } = statSync(path);
        return `${path} ${size} ${mtimeMs} ${ino}`;
      });
      const shift = this.mem.getU32(MACHINE + Machine.hostPageShift);
      const name = basename(program)
        .replace(/[^\w.-]/g, '_')
        .slice(0, 40);
      return `${name}-${nameOf([...identity, process.arch, shift].join('\n'))}`;
    } catch {
      return undefined;
    }
  }

  private fileOf(n: number): string {
    return join(this.folder, `${this.prefix}-${n}${SUFFIX}`);
  }

  private loadFile(file: string): void {
    const { mem } = this;
    if (this.prefix === undefined) return;
    const image = this.read(file, MOST_IMAGE_BYTES);
    if (image === undefined) return;
    const module = this.isImage(image) ? this.publish(image.address, file) : undefined;
    if (module === undefined) freeBlock(mem, image.address, COORDINATOR);
    else {
      mem.atomicAdd(translationOf(mem) + Translation.heapBytes, blockFootprint(mem, image.address));
      const now = new Date();
      utimesSync(file, now, now);
    }
  }

  /** Reads a file into a block of the machine's memory. Throws what openSync does, OutOfKernelMemory. */
  private read(file: string, most: number): { address: number; size: number } | undefined {
    const { mem } = this;
    const fd = openSync(file, 'r');
    try {
      const { size } = fstatSync(fd);
      if (size < KeptImage.SIZE || size > most || size % 8 !== 0) return undefined;
      const address = allocateBlock(mem, size, COORDINATOR);
      if (readSync(fd, mem.u8, address, size, 0) === size) return { address, size };
      freeBlock(mem, address, COORDINATOR);
      return undefined;
    } finally {
      closeSync(fd);
    }
  }

  private isImage({ address, size }: { address: number; size: number }): boolean {
    const { mem } = this;
    return (
      mem.getU32(address + KeptImage.magic) === IMAGE_MAGIC &&
      mem.getU32(address + KeptImage.length) === size &&
      size > KeptImage.SIZE &&
      mem.u64[(address + KeptImage.hash) >>> 3] ===
        hashMemory(mem, address + KeptImage.SIZE, size - KeptImage.SIZE)
    );
  }

  /** The image's module, with what V8 has compiled of it in earlier processes. */
  private moduleOf(image: number, file: string): { module: WebAssembly.Module; codeBytes: number } {
    const { mem } = this;
    const at = image + mem.getU32(image + KeptImage.moduleAt);
    const bytes = mem.u8.slice(at, at + mem.getU32(image + KeptImage.moduleLength));
    const code = this.codeOf(image, file + CODE_SUFFIX);
    const known = code && this.alone(() => moduleWithCode(bytes, code));
    if (known !== undefined) return { module: known, codeBytes: code!.length };
    return { module: new WebAssembly.Module(bytes), codeBytes: 0 };
  }

  /**
   * Does something while the translator leaves V8's flags alone; not at all when it does not for a while: it may have been terminated while it
   * had them changed.
   */
  private alone<T>(work: () => T): T | undefined {
    const { mem } = this;
    const lock = translationOf(mem) + Translation.flagsLock;
    for (let waited = 0; !tryLockMutex(mem, lock, COORDINATOR); waited++) {
      if (waited === LONGEST_WAIT) return undefined;
      Atomics.wait(mem.i32, (lock + Mutex.state) >>> 2, mem.atomicLoad(lock + Mutex.state), 1);
    }
    try {
      return withoutOptimizationDelay(work);
    } finally {
      unlockMutex(mem, lock, COORDINATOR);
    }
  }

  private codeOf(image: number, file: string): Uint8Array | undefined {
    const { mem } = this;
    try {
      const read = this.read(file, 4 * MOST_IMAGE_BYTES);
      if (read === undefined) return undefined;
      const { address, size } = read;
      const good =
        mem.u64[address >>> 3] === hashMemory(mem, address + 8, size - 8) &&
        mem.u64[(address + 8) >>> 3] === mem.u64[(image + KeptImage.hash) >>> 3];
      const code = good
        ? mem.u8.slice(address + CODE_HEAD, address + CODE_HEAD + mem.getU32(address + 16))
        : undefined;
      freeBlock(mem, address, COORDINATOR);
      return code;
    } catch {
      return undefined;
    }
  }

  /** Makes the image in memory known to the guests' threads. Undefined when there is no room for its regions. */
  private publish(image: number, file: string): WebAssembly.Module | undefined {
    const { mem } = this;
    const translation = translationOf(mem);
    const count = mem.getU32(image + KeptImage.regions);
    const first = withMutex(mem, translation + Translation.lock, COORDINATOR, () => {
      const end = mem.getU32(translation + Translation.indexEnd);
      if (end - count < mem.getU32(translation + Translation.indexesTaken)) return undefined;
      mem.setU32(translation + Translation.indexEnd, end - count);
      return end - count;
    });
    if (first === undefined) return undefined;
    // Workers find it compiled when they instantiate it.
    const { module, codeBytes } = this.moduleOf(image, file);
    mem.setU32(image + KeptImage.first, first);
    mem.setU32(image + KeptImage.slot, REGION_SLOT);
    const regionsAt = image + mem.getU32(image + KeptImage.regionsAt);
    const profile = jumpProfileOf(mem, COORDINATOR);
    const regions = mem.getU32(translation + Translation.regions);
    for (let i = 0; i < count; i++) {
      const entry = regions + (first + i) * RegionEntry.SIZE;
      const kept = regionsAt + i * KeptRegion.SIZE;
      const link = image + mem.getU32(kept + KeptRegion.linksAt);
      mem.setU32(link + PageLink.codePage, first + i);
      mem.setU32(link + PageLink.generation, profile);
      mem.setU32(entry + RegionEntry.ready, READY_QUICK);
      mem.setU32(entry + RegionEntry.size, mem.getU32(kept + KeptRegion.size));
      mem.setU32(entry + RegionEntry.pages, link + PageLink.SIZE);
      mem.setU32(entry + RegionEntry.pageCount, mem.getU32(kept + KeptRegion.pages));
      mem.setU32(entry + RegionEntry.image, image);
      mem.atomicStore(entry + RegionEntry.version, 1);
    }
    mem.setU32(image + KeptImage.next, mem.atomicLoad(translation + Translation.images));
    mem.atomicStore(translation + Translation.images, image);
    mem.setU32(translation + Translation.kept, mem.getU32(translation + Translation.kept) + count);
    this.loaded.push({ file, image, module, codeBytes });
    return module;
  }
}

function sizeOf(regions: readonly KeptQuickRegion[]): number {
  return regions.reduce((sum, { size }) => sum + size, 0);
}

/** Puts the image's hash in its place. */
function setHash(image: Uint8Array): void {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  view.setBigUint64(KeptImage.hash, hashOf(image.subarray(KeptImage.SIZE)), true);
}

/** hashMemory of bytes that are in no machine. */
function hashOf(bytes: Uint8Array): bigint {
  const mem = SharedMemory.create(Math.ceil(bytes.length / 65536) * 65536);
  mem.u8.set(bytes);
  return hashMemory(mem, 0, bytes.length);
}

/** Writes a file under another name and renames it. */
function writeAnew(file: string, contents: Uint8Array): void {
  const hidden = join(dirname(file), `.${process.pid}-${basename(file)}`);
  try {
    writeFileSync(hidden, contents, { mode: 0o600 });
    renameSync(hidden, file);
  } catch (error) {
    rmSync(hidden, { force: true });
    throw error;
  }
}

/** Sixteen letters that stand for a text (FNV-1a). */
function nameOf(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

/** Bytes that a folder holds at most; what was used last stays. */
const MOST_BYTES = 256 * 2 ** 20;
/** The share of that which is left when something has to go. */
const KEPT = 3 / 4;

/** Removes the images that have not been used for the longest time when there are too many. */
function makeRoom(folder: string): void {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(SUFFIX) || name.endsWith(CODE_SUFFIX))
    .flatMap((name) => {
      const file = join(folder, name);
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
