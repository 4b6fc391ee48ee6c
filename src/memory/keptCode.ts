import { hashMemory } from '../sync/bulkMemory.js';
import { withMutex } from '../sync/mutex.js';
import { CodePage } from '../sync/records/codePage.js';
import { KeptEntry, KeptImage, KeptPage } from '../sync/records/keptCode.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm } from '../sync/records/mm.js';
import { PageLink, Translation } from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { Caller } from './caller.js';
import { MIN_PAGE_SIZE } from './linuxMemory.js';
import { lockPages, unlockPages } from './pageTables.js';

/**
 * Regions that earlier processes have translated are entered from the first time on that their code is executed: a page that
 * gets a CodePage has its slots lead into the regions that are known for such a page at such an address. What a page holds is known by a hash.
 */

/** Has the CodePage lead into what is kept for a page of its contents. The page's page-table lock is held: nobody takes the CodePage away. */
export function installKeptCode(mem: SharedMemory, page: number, codePage: number, owner: number): void {
  for (let image = newestImage(mem); image !== 0; image = mem.getU32(image + KeptImage.next))
    installFrom(mem, image, page, codePage, owner);
}

/** Installs what images have for pages that were executed before these were loaded. In KERNEL mode with no lock held. */
export function catchUpWithKeptCode({ mem, mm, thread }: Caller): void {
  const newest = newestImage(mem);
  const seen = mem.atomicExchange(mm + Mm.keptImage, newest) >>> 0;
  for (let image = newest; image !== seen && image !== 0; image = mem.getU32(image + KeptImage.next))
    for (const at of pagesOf(mem, image)) {
      const page = mem.getU32(at + KeptPage.page);
      const hostPage = Math.floor((page * MIN_PAGE_SIZE) / 2 ** mem.getU32(mm + Mm.hostPageShift));
      if (codePageAt(mem, mm, page) === 0) continue;
      lockPages(mem, mm, hostPage, hostPage + 1, thread);
      const codePage = codePageAt(mem, mm, page);
      if (codePage !== 0) installPage(mem, image, at, codePage, thread);
      unlockPages(mem, mm, hostPage, hostPage + 1, thread);
    }
}

/** Whether the address space has not seen all images. */
export function hasNewKeptCode(mem: SharedMemory, mm: number): boolean {
  return newestImage(mem) !== mem.atomicLoad(mm + Mm.keptImage) >>> 0;
}

function newestImage(mem: SharedMemory): number {
  return mem.atomicLoad(mem.getU32(MACHINE + Machine.translation) + Translation.images) >>> 0;
}

function codePageAt(mem: SharedMemory, mm: number, page: number): number {
  if (page * MIN_PAGE_SIZE >= mem.getU64(mm + Mm.reach)) return 0;
  return mem.atomicLoad(mem.getU32(mm + Mm.codeTable) + page * 4) >>> 0;
}

function* pagesOf(mem: SharedMemory, image: number): Generator<number> {
  const buckets = image + mem.getU32(image + KeptImage.bucketsAt);
  for (let i = 0; i < mem.getU32(image + KeptImage.buckets); i++)
    for (let at = mem.getU32(buckets + i * 4); at !== 0; at = mem.getU32(image + at + KeptPage.next))
      yield image + at;
}

function installFrom(mem: SharedMemory, image: number, page: number, codePage: number, owner: number): void {
  const bucket = page & (mem.getU32(image + KeptImage.buckets) - 1);
  let at = mem.getU32(image + mem.getU32(image + KeptImage.bucketsAt) + bucket * 4);
  for (; at !== 0; at = mem.getU32(image + at + KeptPage.next))
    if (mem.getU32(image + at + KeptPage.page) === page) installPage(mem, image, image + at, codePage, owner);
}

/** Has the slots of the CodePage lead into the image's regions for it, if its contents are those of the KeptPage at `kept`. */
function installPage(mem: SharedMemory, image: number, kept: number, codePage: number, owner: number): void {
  const links = image + mem.getU32(kept + KeptPage.linksAt);
  const firstLink = image + mem.getU32(links);
  const isInstalled = (): boolean =>
    mem.getU32(firstLink + PageLink.codePage) === codePage &&
    mem.getU32(firstLink + PageLink.generation) === mem.getU32(codePage + CodePage.generation);
  if (isInstalled() || mem.getU32(codePage + CodePage.extensions) !== mem.getU32(kept + KeptPage.extensions))
    return;
  // Generations change under this lock. What is written to the page from now on makes a new one, or is to be seen after a FENCE.I only.
  withMutex(mem, MACHINE + Machine.framesLock, owner, () => {
    const generation = mem.getU32(codePage + CodePage.generation);
    const source = mem.getU32(codePage + CodePage.source);
    if (hashMemory(mem, source, MIN_PAGE_SIZE) !== mem.u64[(kept + KeptPage.hash) >>> 3]) return;
    for (let i = mem.getU32(kept + KeptPage.links) - 1; i >= 0; i--) {
      const link = image + mem.getU32(links + i * 4);
      mem.setU32(link + PageLink.generation, generation);
      mem.setU32(link + PageLink.codePage, codePage);
    }
    const slotLow = mem.getU32(image + KeptImage.slot);
    const first = mem.getU32(image + KeptImage.first);
    const entries = image + mem.getU32(kept + KeptPage.entriesAt);
    for (let i = mem.getU32(kept + KeptPage.entries) - 1; i >= 0; i--) {
      const entry = entries + i * KeptEntry.SIZE;
      const slot = codePage + mem.getU32(entry + KeptEntry.slot);
      // Another region, perhaps a better one, is left as it is.
      if (mem.getU32(slot) === slotLow) continue;
      const index = first + mem.getU32(entry + KeptEntry.region);
      Atomics.store(mem.u64, slot >>> 3, (BigInt(index) << 32n) | BigInt(slotLow));
    }
  });
}
