import { OP_REGION } from '../interpreter/handlers.js';
import { importHelper } from '../interpreter/helperTable.js';
import { OPCODE_SHIFT, SLOT_SCALE_SHIFT } from '../interpreter/slot.js';
import { CodePage } from '../sync/records/codePage.js';
import { KeptEntry, KeptImage, KeptPage, KeptRegion } from '../sync/records/keptCode.js';
import { PageLink } from '../sync/records/translation.js';
import { ByteWriter, i32, ModuleBuilder, type ValueType } from '../wasm/index.js';
import { LINKS_BYTES } from './quickCompiler.js';
import { CALL_BYTES } from './quickTemplates.js';
import { importTransfers } from './regionModule.js';

/** The low word of slots that lead into regions. */
export const REGION_SLOT = (OP_REGION << OPCODE_SHIFT) >>> 0;

/** A helper that a region calls; see isa/builder.ts. */
export interface KeptHelper {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly result: ValueType;
  /** Whether the interpreter's module defines it. */
  readonly defined: boolean;
}

/** A region of the first tier that is kept between processes: its function, and when that can be used. */
export interface KeptQuickRegion {
  readonly pc: number;
  /** Extensions of the processor. */
  readonly extensions: number;
  /** Instructions. */
  readonly size: number;
  /** The pages that it was made from: guest address >> 12, and hashMemory of the contents, in hexadecimal. */
  readonly pages: readonly { readonly page: number; readonly hash: string }[];
  /** Where it is entered. */
  readonly entries: readonly number[];
  /** The function, and what is to be filled in there: see QuickBody. */
  readonly body: Uint8Array;
  readonly linksAt: readonly number[];
  readonly calls: readonly { readonly at: number; readonly helper: KeptHelper }[];
}

/** What of regions does not stand in an image: enough to put them into another one. JSON. */
interface Description {
  readonly helpers: readonly KeptHelper[];
  readonly regions: readonly DescribedRegion[];
}
interface DescribedRegion extends Omit<KeptQuickRegion, 'body' | 'calls'> {
  /** Where the index of which helper's function stands. */
  readonly calls: readonly (readonly [at: number, helper: number])[];
}

/** KeptImage.magic; to be changed with the format. */
export const IMAGE_MAGIC = 0x32_6b_63_67;
/** The name of a function that modules of images export: it does nothing. V8 keeps code of modules in which it has optimised something. */
export const NOTHING = 'nothing';
/** What PageLinks hold for pages that are not there. */
export const NO_CODE_PAGE = 1;
const BUCKETS_A_PAGE = 2;

/** Where parts of an image are put, one behind the other. */
class Layout {
  length = KeptImage.SIZE;

  /** Room for so many bytes. */
  place(bytes: number): number {
    const at = this.length;
    this.length = Math.ceil((at + bytes) / 8) * 8;
    return at;
  }
}

interface PageOfImage {
  readonly page: number;
  readonly hash: string;
  readonly extensions: number;
  readonly entries: { readonly slot: number; readonly region: number }[];
  /** Distances of PageLinks. */
  readonly links: number[];
}

/**
 * Puts regions together to an image, as a process that loads it has it in its memory (sync/records/keptCode). Its hash is left to the caller.
 */
export function makeCodeImage(regions: readonly KeptQuickRegion[]): Uint8Array {
  const layout = new Layout();
  const pages = new Map<string, PageOfImage>();
  const pageOf = ({ page, hash }: { page: number; hash: string }, extensions: number): PageOfImage => {
    const key = `${page} ${hash} ${extensions}`;
    let known = pages.get(key);
    if (known === undefined) {
      known = { page, hash, extensions, entries: [], links: [] };
      pages.set(key, known);
    }
    return known;
  };
  const linksOf = regions.map((region, index) => {
    const links = layout.place((region.pages.length + 1) * PageLink.SIZE);
    const own = region.pages.map((one) => pageOf(one, region.extensions));
    own.forEach(({ links: all }, i) => {
      all.push(links + (i + 1) * PageLink.SIZE);
    });
    for (const pc of region.entries)
      own
        .find(({ page }) => page === Math.floor(pc / 4096))
        ?.entries.push({ slot: CodePage.slots + ((pc % 4096) << SLOT_SCALE_SHIFT), region: index });
    return links;
  });
  const linksEnd = layout.length;
  const buckets = 2 ** Math.ceil(Math.log2(Math.max(1, pages.size * BUCKETS_A_PAGE)));
  const bucketsAt = layout.place(buckets * 4);
  const placed = [...pages.values()].map((page) => ({
    page,
    at: layout.place(KeptPage.SIZE),
    entriesAt: layout.place(page.entries.length * KeptEntry.SIZE),
    linksAt: layout.place(page.links.length * 4),
  }));
  const regionsAt = layout.place(regions.length * KeptRegion.SIZE);
  const { module, helpers } = makeModule(regions, linksOf);
  const moduleAt = layout.place(module.length);
  const description = Buffer.from(JSON.stringify(describe(regions, helpers)));
  const descriptionAt = layout.place(description.length);

  const image = new Uint8Array(layout.length);
  const view = new DataView(image.buffer);
  const set = (at: number, value: number): void => view.setUint32(at, value, true);
  set(KeptImage.magic, IMAGE_MAGIC);
  set(KeptImage.length, image.length);
  set(KeptImage.regions, regions.length);
  set(KeptImage.pages, placed.length);
  set(KeptImage.buckets, buckets);
  set(KeptImage.bucketsAt, bucketsAt);
  set(KeptImage.moduleAt, moduleAt);
  set(KeptImage.moduleLength, module.length);
  set(KeptImage.linksAt, KeptImage.SIZE);
  set(KeptImage.links, (linksEnd - KeptImage.SIZE) / PageLink.SIZE);
  set(KeptImage.regionsAt, regionsAt);
  set(KeptImage.descriptionAt, descriptionAt);
  set(KeptImage.descriptionLength, description.length);
  image.set(module, moduleAt);
  image.set(description, descriptionAt);
  for (let at = KeptImage.SIZE; at < linksEnd; at += PageLink.SIZE) set(at + PageLink.codePage, NO_CODE_PAGE);
  regions.forEach(({ size, pages }, i) => {
    const at = regionsAt + i * KeptRegion.SIZE;
    set(at + KeptRegion.linksAt, linksOf[i]);
    set(at + KeptRegion.size, size);
    set(at + KeptRegion.pages, pages.length);
    pages.forEach(({ page }, n) => {
      set(linksOf[i] + (n + 1) * PageLink.SIZE + PageLink.page, page);
    });
  });
  for (const { page: one, at, entriesAt, linksAt } of placed) {
    view.setBigUint64(at + KeptPage.hash, BigInt(`0x${one.hash}`), true);
    set(at + KeptPage.page, one.page);
    set(at + KeptPage.extensions, one.extensions);
    set(at + KeptPage.entriesAt, entriesAt);
    set(at + KeptPage.entries, one.entries.length);
    set(at + KeptPage.linksAt, linksAt);
    set(at + KeptPage.links, one.links.length);
    const bucket = bucketsAt + (one.page & (buckets - 1)) * 4;
    set(at + KeptPage.next, view.getUint32(bucket, true));
    set(bucket, at);
    one.entries.forEach(({ slot, region }, i) => {
      set(entriesAt + i * KeptEntry.SIZE + KeptEntry.slot, slot);
      set(entriesAt + i * KeptEntry.SIZE + KeptEntry.region, region);
    });
    one.links.forEach((link, i) => {
      set(linksAt + i * 4, link);
    });
  }
  return image;
}

function describe(
  regions: readonly KeptQuickRegion[],
  helpers: ReadonlyMap<string, KeptHelper>,
): Description {
  const numbers = new Map([...helpers.keys()].map((name, i) => [name, i]));
  return {
    helpers: [...helpers.values()],
    regions: regions.map(({ body: _, calls, ...region }) => ({
      ...region,
      calls: calls.map(({ at, helper }) => [at, numbers.get(helper.name)!] as const),
    })),
  };
}

/** The regions of an image, for the next one. Throws SyntaxError or RangeError when it is none. */
export function regionsOfImage(image: Uint8Array): KeptQuickRegion[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const part = (at: number, length: number): Uint8Array => {
    const start = view.getUint32(at, true);
    return image.slice(start, start + view.getUint32(length, true));
  };
  const description = part(KeptImage.descriptionAt, KeptImage.descriptionLength);
  const { helpers, regions } = JSON.parse(Buffer.from(description).toString()) as Description;
  const bodies = bodiesOf(part(KeptImage.moduleAt, KeptImage.moduleLength));
  // The last one does nothing.
  if (bodies.length !== regions.length + 1) throw new RangeError('not the description of this image');
  return regions.map((region, i) => ({
    ...region,
    body: bodies[i],
    calls: region.calls.map(([at, helper]) => ({ at, helper: helpers[helper] })),
  }));
}

/** The module of the regions, whose PageLinks are so far from the image's beginning: it puts them into the table that it imports. */
function makeModule(
  regions: readonly KeptQuickRegion[],
  linksOf: readonly number[],
): { module: Uint8Array; helpers: ReadonlyMap<string, KeptHelper> } {
  const module = new ModuleBuilder();
  module.importMemory({ module: 'engine', name: 'memory', minimum: 1, maximum: 65536, shared: true });
  module.importTable('engine', 'regions');
  importTransfers(module);
  // This one first: it is number 0 in all modules of the first tier.
  module.importGlobal('engine', 'links', 'i32');
  const first = module.importGlobal('engine', 'first', 'i32');
  const helpers = new Map<string, KeptHelper>();
  for (const { calls } of regions) for (const { helper } of calls) helpers.set(helper.name, helper);
  const imported = new Map(
    [...helpers.values()].map((one) => [one.name, importHelper(module, one.name, one.defined, one).index]),
  );
  const type = { params: ['i32', 'i32'], results: ['i32'] } as const;
  const functions = regions.map(({ body, linksAt, calls }, i) => {
    const out = new ByteWriter(body.length);
    out.bytes(body);
    for (const at of linksAt) out.patchNumber(at, linksOf[i], LINKS_BYTES);
    for (const { at, helper } of calls) out.patchNumber(at, imported.get(helper.name)!, CALL_BYTES);
    return module.writtenFunction(type, out);
  });
  module.elements(first, functions);
  const nothing = module.function(type);
  nothing.builder.return(i32.const(0));
  module.exportFunction(NOTHING, nothing);
  return { module: module.toBytes(), helpers };
}

const CODE_SECTION = 10;

/** The function bodies of a module that ends with its code. Throws RangeError. */
function bodiesOf(module: Uint8Array): Uint8Array[] {
  let at = 8;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= module.length) throw new RangeError('the module ends too soon');
      const byte = module[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const bodies: Uint8Array[] = [];
  while (at < module.length) {
    const id = module[at++];
    const length = number();
    if (id !== CODE_SECTION) {
      at += length;
      continue;
    }
    for (let count = number(); count > 0; count--) {
      const size = number();
      bodies.push(module.subarray(at, at + size));
      at += size;
    }
  }
  return bodies;
}
