import type { SharedMemory } from '../../sync/sharedMemory.js';
import { hotPathsBytes } from './hotPathsBytes.js';

/** The functions of the module, with machine addresses, page numbers and MAPPING_*, PROT_*, ACCESS_* bits for arguments. */
export interface HotPaths {
  firstEndingAfter(mm: number, page: number): number;
  last(mm: number): number;
  highestGap(node: number, low: number, high: number, want: number): number;
  lowestGap(node: number, low: number, high: number, want: number): number;
  insert(mm: number, node: number): void;
  remove(mm: number, node: number): void;
  resized(node: number): void;
  quiesce(mm: number, self: number): void;
  lockMap(mm: number, thread: number): void;
  unlockMap(mm: number): void;
  map(mm: number, thread: number, pages: number, prot: number, flags: number): number;
  unmap(mm: number, thread: number, from: number, to: number): number;
  protect(mm: number, thread: number, from: number, to: number, prot: number): number;
  /** Pages of any size. */
  lockPages(mm: number, from: number, to: number, owner: number): void;
  unlockPages(mm: number, from: number, to: number): void;
  copyPages(mm: number, child: number, from: number, to: number): void;
  dropPages(mm: number, from: number, to: number): number;
  copyStrings(mm: number, copy: number): number;
  fault(mm: number, thread: number, page: number, access: number): number;
}

let compiled: WebAssembly.Module | undefined;
const instances = new WeakMap<SharedMemory, HotPaths>();
let lastMemory: SharedMemory | undefined;
let last: HotPaths;

/** The module over `mem`: made once in each worker and for each memory. */
export function hotPaths(mem: SharedMemory): HotPaths {
  if (mem === lastMemory) return last;
  let found = instances.get(mem);
  if (found === undefined) {
    compiled ??= new WebAssembly.Module(hotPathsBytes() as Uint8Array<ArrayBuffer>);
    found = new WebAssembly.Instance(compiled, {
      m: { m: mem.wasm, now: () => performance.now() },
    }).exports as unknown as HotPaths;
    instances.set(mem, found);
  }
  lastMemory = mem;
  last = found;
  return found;
}
