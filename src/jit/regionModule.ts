import { HelperTable } from '../interpreter/helperTable.js';
import type { Helper } from '../isa/builder.js';
import { PageLink, RegionProfile } from '../sync/records/translation.js';
import { type FunctionRef, ModuleBuilder } from '../wasm/index.js';
import type { JumpProfile } from './jumpProfile.js';
import { type QuickBody, writeQuickRegion } from './quickCompiler.js';
import type { QuickRegion } from './quickRegion.js';
import type { QuickTemplates } from './quickTemplates.js';
import { type KnownRegion, type RegionOptions, writeRegion } from './regionCompiler.js';
import { callsItself, type RegionPage, writeObservedCall, writeRegionEntry } from './regionEntry.js';
import type { Region } from './regionGraph.js';

/** A region that has been formed from code in memory. */
export interface FormedRegion {
  readonly region: Region;
  readonly pages: readonly RegionPage[];
  /** The code table it was found through: regions with the same one may call each other. */
  readonly codeTable: number;
  /** Thread.homeEntry of the thread that found it: what pages at their home have in the tables. A guess. */
  readonly homeEntry: number;
  /** Whether NX was clear in that thread; a guess, too. */
  readonly isExact: boolean;
}

/** For regions that note what they do: */
export interface ObservedModule {
  /** Index of the first region in the machine, and where its RegionProfile is (0: there are none); those of the others follow. */
  readonly first: number;
  readonly profiles: number;
  /** Whether side exits are told, and the address of the counter of SIDE_EXIT_ELSEWHERE. */
  readonly tellsExits: boolean;
  readonly elsewhere: number;
  /** Whether each entry is logged. */
  readonly logsEntries: boolean;
}

const TRANSFER = { params: ['i32', 'i32', 'i64', 'i32'], results: ['i32'] } as const;

/** The helpers that regions have imported so far: the next module imports them at once. */
const imported = new Map<string, Helper>();

/**
 * Compiles regions into one module, which exports their entries as r0, r1, …, in the order given, and their bodies as b0, b1, … where
 * these are functions of their own. `first` is the index that the first of them has in the machine; those of the others follow. It imports the machine's memory, functions of interpreter/regionTransfers as `engine`, and helpers. With `observed` its regions count what they do.
 */
export function compileRegions(
  formed: readonly FormedRegion[],
  first: number,
  options: RegionOptions,
  observed?: ObservedModule,
  profile?: JumpProfile,
): Uint8Array<ArrayBuffer> {
  // Imports come first in a module, but which helpers are imported is known only when everything has been written once.
  for (;;) {
    const module = new ModuleBuilder();
    module.importMemory({ module: 'engine', name: 'memory', minimum: 1, maximum: 65536, shared: true });
    const type = { params: ['i32', 'i32'], results: ['i32'] } as const;
    const engine = (name: string): FunctionRef => module.importFunction('engine', name, TRANSFER);
    const callOn = engine('goOn');
    const back = engine('back');
    // What is observed stays on the host's stack until it is left, so that no other may take its place.
    const stop = observed && engine('stop');
    const transfers = { leave: engine('leave'), callOn, goOn: stop ?? callOn, back: stop ?? back };
    const entered =
      observed?.logsEntries === true ? module.importFunction('engine', 'entered', type) : undefined;
    const left = observed?.tellsExits === true ? module.importFunction('engine', 'left', type) : undefined;
    const helpers = new HelperTable(module, imported.values(), false);
    const cellsOf = profile === undefined ? undefined : (pc: number) => profile.cellsOf(pc);
    const functions = formed.map(({ region }) => {
      const entry = module.function(type);
      return { entry, body: observed || callsItself(region) ? module.function(type) : entry };
    });
    formed.forEach(({ region, codeTable, homeEntry, isExact }, i) => {
      const { entry, body } = functions[i];
      module.exportFunction(`r${i}`, entry);
      if (body !== entry) module.exportFunction(`b${i}`, body);
      const observation = observed && {
        profile: observed.profiles === 0 ? 0 : observed.profiles + i * RegionProfile.SIZE,
        index: observed.first + i,
        entered,
        left,
        elsewhere: observed.elsewhere,
      };
      writeRegionEntry(entry.builder, region, observation);
      if (observation !== undefined) writeObservedCall(entry.builder, body, observation);
      else if (body !== entry)
        entry.builder.returnCall(body, entry.builder.param('i32', 0), entry.builder.param('i32', 1));
      const regionAt = (pc: number): KnownRegion | undefined => {
        const at = formed.findIndex((other) => other.region.entry.pc === pc && other.codeTable === codeTable);
        return at < 0 ? undefined : { entry: functions[at].entry, index: first + at };
      };
      const callees = { self: body, ...transfers, cellsOf, regionAt, useHelper: helpers.use };
      writeRegion(body.builder, region, { homeEntry, isExact }, callees, options);
    });
    if (helpers.missing.size === 0) return module.toBytes() as Uint8Array<ArrayBuffer>;
    for (const [name, helper] of helpers.missing) imported.set(name, helper);
  }
}

/** A region of the first tier that has been formed from code in memory. */
export interface FormedQuickRegion extends FormedRegion {
  readonly region: QuickRegion;
}

const TRANSFER_FROM = { params: [...TRANSFER.params, 'i64'], results: ['i32'] } as const;
/** The functions of the engine that regions of the first tier import, in the order in which every module does. */
const TRANSFERS = [
  ['leave', TRANSFER],
  ['goOnFrom', TRANSFER_FROM],
  ['round', TRANSFER],
  ['backFrom', TRANSFER_FROM],
] as const;

/** Imports these functions, before all others, and returns their indexes. */
export function importTransfers(module: ModuleBuilder): number[] {
  return TRANSFERS.map(([name, type]) => module.importFunction('engine', name, type).index);
}

/** The helpers that modules of the first tier have imported so far. */
const quickImported = new Map<string, Helper>();

/** A module of the first tier, and the functions of its regions. */
export interface QuickModule {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly bodies: readonly QuickBody[];
}

/**
 * Compiles regions of the first tier into one module, which exports them as r0, r1, … It imports the machine's memory, the functions of
 * interpreter/regionTransfers as `engine`, and helpers. Its PageLinks (quickLinks, region by region) are in memory at the address that its exported
 * global `links` is set to.
 */
export function compileQuickRegions(
  formed: readonly FormedQuickRegion[],
  templates: QuickTemplates,
  observed?: ObservedModule,
  profile?: JumpProfile,
): QuickModule {
  for (;;) {
    const module = new ModuleBuilder();
    module.importMemory({ module: 'engine', name: 'memory', minimum: 1, maximum: 65536, shared: true });
    const type = { params: ['i32', 'i32'], results: ['i32'] } as const;
    const [leave, callOn, round, back] = importTransfers(module);
    // What is observed stays on the host's stack until it is left, so that no other may take its place.
    const stop = observed && module.importFunction('engine', 'stopFrom', TRANSFER_FROM).index;
    const callees = { leave, callOn, round, goOn: stop ?? callOn, back: stop ?? back };
    const entered =
      observed?.logsEntries === true ? module.importFunction('engine', 'entered', type) : undefined;
    const left = observed?.tellsExits === true ? module.importFunction('engine', 'left', type) : undefined;
    const helpers = new HelperTable(module, quickImported.values(), false);
    const links = module.global('i32', 0);
    module.exportGlobal('links', links);
    let offset = 0;
    const bodies = formed.map(({ region, pages }) => {
      const at = offset;
      offset += (pages.length + 1) * PageLink.SIZE;
      return writeQuickRegion(region, pages, links, at, callees, helpers, templates, profile);
    });
    bodies.forEach(({ bytes }, i) => {
      const body = module.writtenFunction(type, bytes);
      if (observed === undefined) {
        module.exportFunction(`r${i}`, body);
        return;
      }
      const entry = module.function(type);
      writeObservedCall(entry.builder, body, {
        profile: observed.profiles === 0 ? 0 : observed.profiles + i * RegionProfile.SIZE,
        index: observed.first + i,
        entered,
        left,
        elsewhere: observed.elsewhere,
      });
      module.exportFunction(`r${i}`, entry);
    });
    if (helpers.missing.size === 0) return { bytes: module.toBytes() as Uint8Array<ArrayBuffer>, bodies };
    for (const [name, helper] of helpers.missing) quickImported.set(name, helper);
  }
}
