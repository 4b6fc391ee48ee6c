/** A reference model of an address space: one object a page. It knows only what the manual pages say. */
export const PAGE = 4096;

/** Contents that mappings share; a page of it is one number. */
export interface Store {
  readonly kind: 'memory' | 'file';
  readonly cells: number[];
}

export interface ModelPage {
  prot: number;
  shared: boolean;
  /** undefined: private anonymous memory. */
  store: Store | undefined;
  index: number;
  /** The private value once written (private anonymous memory: always there). */
  own: number | undefined;
}

export const SEGV_MAPERR = (11 << 8) | 1;
export const SEGV_ACCERR = (11 << 8) | 2;
export const BUS_ADRERR = (7 << 8) | 2;

/** What an access does: the value, or the fault. */
export type Outcome = { readonly value: number } | { readonly fault: number };

export class Model {
  readonly pages = new Map<number, ModelPage>();

  map(start: number, count: number, page: (i: number) => ModelPage): void {
    for (let i = 0; i < count; i++) this.pages.set(start + i, page(i));
  }

  unmap(start: number, count: number): void {
    for (let i = 0; i < count; i++) this.pages.delete(start + i);
  }

  isFree(start: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.pages.has(start + i)) return false;
    return true;
  }

  /** Whether two pages side by side belong to one mapping. */
  private joined(a: ModelPage, b: ModelPage): boolean {
    return (
      a.prot === b.prot &&
      a.shared === b.shared &&
      a.store === b.store &&
      (a.store === undefined || a.index + 1 === b.index)
    );
  }

  /** How many pages from `start` on belong to its mapping. */
  run(start: number): number {
    let n = 0;
    for (let here = this.pages.get(start); here !== undefined; n++) {
      const next = this.pages.get(start + n + 1);
      if (next === undefined || !this.joined(here, next)) return n + 1;
      here = next;
    }
    return n;
  }

  /** mprotect: pages before the first hole change; says whether there was one. */
  protect(start: number, count: number, prot: number): boolean {
    for (let i = 0; i < count; i++) {
      const page = this.pages.get(start + i);
      if (page === undefined) return false;
      page.prot = prot;
    }
    return true;
  }

  dontNeed(start: number, count: number): boolean {
    let whole = true;
    for (let i = 0; i < count; i++) {
      const page = this.pages.get(start + i);
      if (page === undefined) whole = false;
      else if (!page.shared) page.own = page.store === undefined ? 0 : undefined;
    }
    return whole;
  }

  read(at: number): Outcome {
    const page = this.pages.get(at);
    if (page === undefined) return { fault: SEGV_MAPERR };
    if ((page.prot & 3) === 0) return { fault: SEGV_ACCERR };
    if (page.own !== undefined && !page.shared) return { value: page.own };
    if (page.store === undefined) return { value: page.own ?? 0 };
    if (page.index >= page.store.cells.length) return { fault: BUS_ADRERR };
    return { value: page.store.cells[page.index] };
  }

  write(at: number, value: number): Outcome {
    const page = this.pages.get(at);
    if (page === undefined) return { fault: SEGV_MAPERR };
    if ((page.prot & 2) === 0) return { fault: SEGV_ACCERR };
    if (page.store !== undefined && page.own === undefined && page.index >= page.store.cells.length)
      return { fault: BUS_ADRERR };
    if (page.shared && page.store !== undefined) page.store.cells[page.index] = value;
    else page.own = value;
    return { value };
  }
}
