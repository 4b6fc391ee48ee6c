import type { FormedRegion } from './regionModule.js';

/** A region of a module that is kept between processes: enough to know its code again. */
export interface KeptRegion {
  readonly pc: number;
  /** Extensions of the processor. */
  readonly extensions: number;
  /** Instructions. */
  readonly size: number;
  /** Guest addresses >> 12, in the order of the module's PageLinks. */
  readonly pages: readonly number[];
  /** Where its blocks begin. */
  readonly blocks: readonly number[];
  /** Its code: address and contents (base64) of each piece. */
  readonly code: readonly (readonly [number, string])[];
}

/** What is known of a module before its bytes are read. */
export interface KeptModule {
  /** Thread.homeEntry that its accesses are made for. */
  readonly homeEntry: number;
  readonly regions: readonly KeptRegion[];
}

/** Where modules of regions are kept between processes. */
export interface ModuleStore {
  /** The modules that have a region which begins at `pc`. */
  modulesAt(pc: number): readonly KeptModule[];
  /** The module's bytes, and what V8 has made of them; undefined when that cannot be used. */
  load(module: KeptModule): { readonly bytes: Uint8Array; readonly module: WebAssembly.Module } | undefined;
  /** Keeps a module, all of whose functions are compiled. */
  keep(kept: KeptModule, bytes: Uint8Array, module: WebAssembly.Module): void;
}

/** What is kept of a module of the regions. They were all formed for the same home. */
export function keptModule(formed: readonly FormedRegion[], extensions: number): KeptModule {
  return {
    homeEntry: formed[0].homeEntry,
    regions: formed.map(({ region, pages }) => ({
      pc: region.entry.pc,
      extensions,
      size: region.size,
      pages: pages.map(({ page }) => page),
      blocks: [...new Set(region.blocks.map(({ pc }) => pc))],
      code: codeOf(region.blocks.flatMap(({ instructions }) => instructions)),
    })),
  };
}

/** The instructions' code, in pieces without gaps. */
function codeOf(
  instructions: readonly {
    readonly pc: number;
    readonly decoded: { readonly raw: number; readonly length: number };
  }[],
): [number, string][] {
  const halves = new Map<number, number>();
  for (const { pc, decoded } of instructions) {
    halves.set(pc, decoded.raw & 0xffff);
    if (decoded.length === 4) halves.set(pc + 2, decoded.raw >>> 16);
  }
  const pieces: { at: number; halves: number[] }[] = [];
  for (const at of [...halves.keys()].sort((a, b) => a - b)) {
    const last = pieces.at(-1);
    if (last !== undefined && last.at + last.halves.length * 2 === at) last.halves.push(halves.get(at)!);
    else pieces.push({ at, halves: [halves.get(at)!] });
  }
  return pieces.map(({ at, halves }) => [
    at,
    Buffer.from(Uint16Array.from(halves).buffer).toString('base64'),
  ]);
}

/** Whether memory holds the region's code: `halfword` reads there. */
export function isCodeOf(region: KeptRegion, halfword: (address: number) => number | undefined): boolean {
  return region.code.every(([at, contents]) => {
    const bytes = Buffer.from(contents, 'base64');
    for (let i = 0; i + 1 < bytes.length; i += 2)
      if (halfword(at + i) !== bytes.readUInt16LE(i)) return false;
    return true;
  });
}
