import { FRAME_MIXED, FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_GUARD, MAPPING_LOCKED, MAPPING_SHARED, Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { frameAddress, frameCounts, frameDescriptor } from './frames.js';
import { hostScale } from './hostScale.js';
import { MIN_PAGE_SHIFT, PROT_WRITE } from './linuxMemory.js';
import { isData } from './mappingRecords.js';
import { mappingAt } from './mappingTree.js';
import {
  accessBits,
  PTE_EXEC,
  PTE_OBJECT,
  PTE_PRESENT,
  PTE_READ,
  PTE_WRITE,
  PTE_WRITER,
  pagesInReach,
} from './pageTables.js';
import { forEachObjectPage } from './sharedObject.js';

/**
 * Walks all tables and checks that they agree: tables ⊆ entries ⊆ mappings, every reference to a frame counted once, no
 * private frame in two places that may write, totals and budgets exact. For tests, and for a machine in debug; nothing
 * may run meanwhile.
 *
 * `mms` are all address spaces of the machine, `objects` shared objects that no mapping may show (open memfds).
 * Returns what is wrong, one line each.
 */
export function audit(mem: SharedMemory, mms: readonly number[], objects: readonly number[] = []): string[] {
  const auditor = new Auditor(mem);
  for (const object of objects) auditor.noteObject(object);
  for (const mm of mms) {
    auditor.checkTree(mm);
    auditor.checkTables(mm);
  }
  auditor.checkObjects();
  auditor.checkFrames(mms);
  return auditor.problems;
}

interface FrameUse {
  refs: number;
  writers: number;
  /** A private entry that may write. */
  privateWriter: boolean;
  object: boolean;
}

class Auditor {
  readonly problems: string[] = [];
  private readonly uses = new Map<number, FrameUse>();
  private readonly objects = new Set<number>();
  private readonly mappingsOfObjects = new Map<number, number>();

  constructor(private readonly mem: SharedMemory) {
    const table = mem.getU32(MACHINE + Machine.filePages);
    for (let bucket = 0; bucket < 256; bucket++) {
      let object = mem.getU32(table + bucket * 4);
      for (; object !== 0; object = mem.getU32(object + SharedObject.nextInTable)) this.objects.add(object);
    }
  }

  noteObject(object: number): void {
    this.objects.add(object);
  }

  private fail(text: string): void {
    if (this.problems.length < 100) this.problems.push(text);
  }

  private use(frame: number): FrameUse {
    let use = this.uses.get(frame);
    if (use === undefined) {
      use = { refs: 0, writers: 0, privateWriter: false, object: false };
      this.uses.set(frame, use);
    }
    return use;
  }

  /** Order, links, subtree summaries and totals of an address space's mappings. */
  checkTree(mm: number): void {
    const { mem } = this;
    if (mem.atomicLoad(mm + Mm.mappingsSequence) & 1) this.fail('mapping sequence is odd');
    const inOrder: number[] = [];
    this.walk(mem.getU32(mm + Mm.mappingsRoot), 0, inOrder, 0);
    let mapped = 0;
    let data = 0;
    let locked = 0;
    let previous = 0;
    for (const m of inOrder) {
      const start = mem.getU32(m + Mapping.start);
      const end = mem.getU32(m + Mapping.end);
      if (start >= end) this.fail(`mapping ${start} is empty`);
      if (previous !== 0 && mem.getU32(previous + Mapping.end) > start)
        this.fail(`mappings overlap at ${start}`);
      if (mem.getU32(m + Mapping.previous) !== previous) this.fail(`previous link wrong at ${start}`);
      if (previous !== 0 && mem.getU32(previous + Mapping.next) !== m)
        this.fail(`next link wrong at ${start}`);
      if (mem.getU32(m + Mapping.mm) !== mm) this.fail(`mapping ${start} of a foreign address space`);
      if ((mem.getU32(m + Mapping.flags) & MAPPING_GUARD) === 0) mapped += end - start;
      if (isData(mem.getU32(m + Mapping.prot), mem.getU32(m + Mapping.flags))) data += end - start;
      if (mem.getU32(m + Mapping.flags) & MAPPING_LOCKED) locked += end - start;
      const object = mem.getU32(m + Mapping.object);
      if (object !== 0) {
        this.objects.add(object);
        this.mappingsOfObjects.set(object, (this.mappingsOfObjects.get(object) ?? 0) + 1);
      }
      previous = m;
    }
    if (previous !== 0 && mem.getU32(previous + Mapping.next) !== 0) this.fail('last mapping has a next one');
    this.expect('mappingCount', mem.getU32(mm + Mm.mappingCount), inOrder.length);
    this.expect('mappedPages', mem.getU32(mm + Mm.mappedPages), mapped);
    this.expect('dataPages', mem.getU32(mm + Mm.dataPages), data);
    this.expect('lockedPages', mem.getU32(mm + Mm.lockedPages), locked);
  }

  private expect(name: string, is: number, should: number): void {
    if (is !== should) this.fail(`${name} is ${is}, should be ${should}`);
  }

  private walk(node: number, parent: number, inOrder: number[], depth: number): void {
    if (node === 0) return;
    const { mem } = this;
    if (depth > 200) {
      this.fail('mapping tree too deep');
      return;
    }
    if (mem.getU32(node + Mapping.parent) !== parent) this.fail('parent link wrong');
    if (parent !== 0 && mem.getU32(parent + Mapping.priority) < mem.getU32(node + Mapping.priority))
      this.fail('heap order wrong');
    const left = mem.getU32(node + Mapping.left);
    const right = mem.getU32(node + Mapping.right);
    const from = inOrder.length;
    this.walk(left, node, inOrder, depth + 1);
    inOrder.push(node);
    this.walk(right, node, inOrder, depth + 1);
    let gap = 0;
    for (let i = from + 1; i < inOrder.length; i++) {
      const between = mem.getU32(inOrder[i] + Mapping.start) - mem.getU32(inOrder[i - 1] + Mapping.end);
      if (between > gap) gap = between;
    }
    const start = mem.getU32(node + Mapping.start);
    this.expect(`gap below ${start}`, mem.getU32(node + Mapping.subtreeGap), gap);
    this.expect(
      `first below ${start}`,
      mem.getU32(node + Mapping.subtreeStart),
      mem.getU32(inOrder[from] + Mapping.start),
    );
    this.expect(
      `last below ${start}`,
      mem.getU32(node + Mapping.subtreeEnd),
      mem.getU32(inOrder[inOrder.length - 1] + Mapping.end),
    );
  }

  /** Entries against mappings, and the engine's tables against entries. */
  checkTables(mm: number): void {
    const { mem } = this;
    const scale = hostScale(mem);
    const pages = pagesInReach(mem, mm);
    let resident = 0;
    let held = 0;
    let inSlice = 0;
    for (let page = 0; page < pages; page++) {
      const entry = mem.getU32(mem.getU32(mm + Mm.pageTable) + page * 4);
      if (entry !== 0) {
        resident++;
        inSlice++;
        if ((entry & PTE_OBJECT) === 0) held++;
        this.checkEntry(mm, page, entry, scale);
      }
      this.checkDerived(mm, page, entry, scale);
      if ((page & 511) === 511) {
        this.expect(
          `count of slice ${page >>> 9}`,
          mem.getU32(mem.getU32(mm + Mm.sliceCounts) + (page >>> 9) * 4),
          inSlice,
        );
        inSlice = 0;
      }
    }
    this.expect('residentPages', mem.getI32(mm + Mm.residentPages), resident);
    this.expect('framesHeld', mem.getI32(mm + Mm.framesHeld), held);
  }

  private checkEntry(mm: number, page: number, entry: number, scale: number): void {
    const { mem } = this;
    const frame = entry >>> 12;
    const use = this.use(frame);
    use.refs++;
    if (entry & PTE_WRITER) use.writers++;
    if (entry & PTE_OBJECT) use.object = true;
    else if (entry & PTE_WRITE) use.privateWriter = true;
    if ((entry & PTE_PRESENT) === 0) this.fail(`page ${page}: entry without PTE_PRESENT`);
    if (scale > 0) return; // several mappings may share the page
    const mapping = mappingAt(mem, mm, page);
    if (mapping === 0) {
      this.fail(`page ${page} is present but not mapped`);
      return;
    }
    const prot = mem.getU32(mapping + Mapping.prot);
    const shared = (mem.getU32(mapping + Mapping.flags) & MAPPING_SHARED) !== 0;
    if (entry & (PTE_READ | PTE_EXEC) & ~accessBits(prot))
      this.fail(`page ${page} allows more than its mapping`);
    if (entry & PTE_WRITE && !(prot & PROT_WRITE)) this.fail(`page ${page} is writable, its mapping is not`);
    if (entry & PTE_WRITE && entry & PTE_OBJECT && !shared)
      this.fail(`page ${page}: private write to an object`);
    if (mem.getU32(mapping + Mapping.object) === 0 && entry & PTE_OBJECT)
      this.fail(`page ${page}: an object's frame in anonymous memory`);
  }

  private checkDerived(mm: number, page: number, entry: number, scale: number): void {
    const { mem } = this;
    const read = mem.getU32(mem.getU32(mm + Mm.readTable) + page * 4);
    const write = mem.getU32(mem.getU32(mm + Mm.writeTable) + page * 4);
    const size = 1 << (scale + MIN_PAGE_SHIFT);
    const delta = entry === 0 ? 0 : (frameAddress(mem, entry >>> 12) - page * size + 1) >>> 0;
    const descriptor = frameDescriptor(mem, entry >>> 12);
    const mixed = entry !== 0 && (mem.getI32(descriptor + FrameDescriptor.flags) & FRAME_MIXED) !== 0;
    if (read !== (entry & PTE_READ ? delta : 0)) this.fail(`page ${page}: read table disagrees`);
    if (write !== 0) {
      if (write !== delta || !(entry & PTE_WRITE)) this.fail(`page ${page}: write table disagrees`);
      const code = mem.getU32(descriptor + FrameDescriptor.code);
      if (code !== 0 && !(entry & PTE_OBJECT) && !mixed) this.fail(`page ${page}: writable with code`);
    }
    const codes = mem.getU32(mm + Mm.codeTable) + (page << scale) * 4;
    for (let i = 0; i < 1 << scale; i++) {
      if (mem.getU32(codes + i * 4) === 0) continue;
      if (!(entry & PTE_EXEC)) this.fail(`page ${page}: code without PTE_EXEC`);
      else if (write !== 0 && !mixed) this.fail(`page ${page}: code in a writable page`);
    }
  }

  /** Pages of shared objects, and the lists of their mappings. */
  checkObjects(): void {
    const { mem } = this;
    for (const object of this.objects) {
      let pages = 0;
      forEachObjectPage(mem, object, 0, Infinity, (_index, frame) => {
        pages++;
        const use = this.use(frame);
        use.refs++;
        use.object = true;
      });
      this.expect('pageCount', mem.getI32(object + SharedObject.pageCount), pages);
      let listed = 0;
      let previous = 0;
      let m = mem.getU32(object + SharedObject.mappings);
      for (; m !== 0 && listed < 1e6; m = mem.getU32(m + Mapping.nextOfObject)) {
        if (mem.getU32(m + Mapping.object) !== object) this.fail('foreign mapping in an object’s list');
        if (mem.getU32(m + Mapping.previousOfObject) !== previous) this.fail('object’s list is broken');
        previous = m;
        listed++;
      }
      this.expect('mappings of object', listed, this.mappingsOfObjects.get(object) ?? 0);
    }
  }

  /** Reference counts, write permissions and budgets. */
  checkFrames(mms: readonly number[]): void {
    const { mem } = this;
    const counts = frameCounts(mem);
    let used = 0;
    for (let frame = 0; frame < counts.total; frame++) {
      const descriptor = frameDescriptor(mem, frame);
      const refs = mem.getI32(descriptor + FrameDescriptor.refs);
      if (refs !== 0) used++;
      const use = this.uses.get(frame);
      if (refs !== (use?.refs ?? 0)) this.fail(`frame ${frame}: ${refs} references, found ${use?.refs ?? 0}`);
      if (use?.privateWriter && use.refs > 1)
        this.fail(`frame ${frame}: private, writable, and in two places`);
      if (use?.privateWriter && use.object) this.fail(`frame ${frame}: private and an object’s`);
      if (use?.object && mem.getU32(descriptor + FrameDescriptor.link) !== use.writers)
        this.fail(`frame ${frame}: writers miscounted`);
      if (refs === 0 && mem.getU32(descriptor + FrameDescriptor.code) !== 0)
        this.fail(`frame ${frame}: free with code`);
    }
    this.expect('frames used by extents', counts.used, used);
    let budgets = 0;
    for (const mm of mms) budgets += mem.getI32(mm + Mm.frameBudget);
    this.expect('frames promised', counts.promised, used + budgets);
  }
}
