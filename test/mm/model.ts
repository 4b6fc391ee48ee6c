import { FAULTED, type MapCall } from '../../bench/mapCalls.js';

/**
 * A reference model of an address space: one object a page. It knows only what the manual pages say. `apply` is given what a
 * call has answered, says what it should have answered, and goes on from there.
 */

/** Contents that mappings share; a page of it is one number. */
export interface Store {
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
  locked: boolean;
  /** What fork makes of it. */
  /** The two are independent in Linux, and FreeBSD has at most one of them. */
  dontFork: boolean;
  wipeOnFork: boolean;
}

export const SEGV_MAPERR = (11 << 8) | 1;
export const SEGV_ACCERR = (11 << 8) | 2;
export const BUS_ADRERR = (7 << 8) | 2;

const EACCES = -13;
const EEXIST = -17;
const EFAULT = -14;
const EINVAL = -22;
const ENOMEM = -12;

/** What a call should have answered: exactly this, one of these, or what `when` says. */
export type Expected =
  | number
  | readonly number[]
  | { readonly when: (got: number) => boolean; readonly what: string };

export const isExpected = (expected: Expected, got: number): boolean =>
  typeof expected === 'number'
    ? expected === got
    : 'when' in expected
      ? expected.when(got)
      : expected.includes(got);

const ANY: Expected = { when: () => true, what: 'anything' };

export interface ModelOptions {
  readonly flavour: 'linux' | 'freebsd';
  /** Bytes of a target page, address of the arena. */
  readonly page: number;
  readonly base: number;
  readonly file: Store;
  /** Target pages in a host page: protections, and SIGBUS, are exact when that is 1. */
  readonly hostPages: number;
}

export class Model {
  /** By page number from the start of the arena; mappings elsewhere have other numbers, below zero, too. */
  readonly pages = new Map<number, ModelPage>();

  constructor(readonly options: ModelOptions) {}

  /** The page number of an address. */
  private place(address: number): number {
    return (address - this.options.base) / this.options.page;
  }

  private address(page: number): number {
    return this.options.base + page * this.options.page;
  }

  private map(start: number, count: number, page: (i: number) => ModelPage): void {
    for (let i = 0; i < count; i++) this.pages.set(start + i, page(i));
  }

  private unmap(start: number, count: number): void {
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
      a.locked === b.locked &&
      a.dontFork === b.dontFork &&
      a.wipeOnFork === b.wipeOnFork &&
      (a.store === undefined || a.index + 1 === b.index)
    );
  }

  /** First page of the mapping of `at`, and the one behind its last. */
  private mappingOf(at: number): [number, number] {
    let start = at;
    for (let here = this.pages.get(at)!; ; start--) {
      const before = this.pages.get(start - 1);
      if (before === undefined || !this.joined(before, here)) break;
      here = before;
    }
    return [start, start + this.run(start)];
  }

  /** How many pages from `start` on belong to its mapping. */
  private run(start: number): number {
    let n = 0;
    for (let here = this.pages.get(start); here !== undefined; n++) {
      const next = this.pages.get(start + n + 1);
      if (next === undefined || !this.joined(here, next)) return n + 1;
      here = next;
    }
    return n;
  }

  /** Does to each mapped page what `action` says until it says an error; a hole is ENOMEM, at once or in the end. */
  private each(
    at: number,
    n: number,
    goOn: boolean,
    action: (page: ModelPage, at: number) => number,
  ): number {
    let result = 0;
    for (let i = at; i < at + n; i++) {
      const page = this.pages.get(i);
      if (page === undefined) {
        if (!goOn) return ENOMEM;
        result = ENOMEM;
        continue;
      }
      const error = action(page, i);
      if (error < 0) return error;
    }
    return result;
  }

  /** Takes over what `call` has done, which answered `got`; returns what it should have answered. */
  apply(call: MapCall, got: number): Expected {
    const freebsd = this.options.flavour === 'freebsd';
    switch (call.op) {
      case 'map':
        return this.applyMap(call, got);
      case 'unmap':
        this.unmap(call.at, call.n);
        return 0;
      case 'protect': {
        const result = this.each(call.at, call.n, freebsd, (page) => {
          page.prot = call.prot;
          return 0;
        });
        return freebsd ? 0 : result;
      }
      case 'sync': {
        const result = this.each(call.at, call.n, true, () => 0);
        return freebsd ? ANY : result;
      }
      case 'lock':
      case 'unlock':
        return this.each(call.at, call.n, false, (page) => {
          page.locked = call.op === 'lock';
          return 0;
        });
      case 'mincore':
        return this.each(call.at, call.n, false, () => 0);
      case 'advise':
        return this.applyAdvice(call.at, call.n, call.advice);
      case 'truncate':
        this.truncate(call.n);
        return 0;
      case 'remap':
        return this.applyRemap(call, got);
      case 'fork':
        return 0;
      case 'read':
        return this.loosely(call.at, this.read(call.at));
      case 'write':
        return this.loosely(call.at, this.write(call.at, call.value));
    }
  }

  /** A fault need not happen where something else is mapped in the host page, or the end of a file lies in it. */
  private loosely(at: number, result: number): Expected {
    const { hostPages } = this.options;
    if (hostPages === 1 || result > FAULTED) return result;
    if (result === FAULTED - BUS_ADRERR) return ANY;
    const first = Math.floor(at / hostPages) * hostPages;
    for (let i = first; i < first + hostPages; i++) if (i !== at && this.pages.has(i)) return ANY;
    return result;
  }

  private applyMap(call: Extract<MapCall, { op: 'map' }>, got: number): Expected {
    const free = this.isFree(call.at, call.n);
    if (call.how === 'noreplace' && !free)
      return this.options.flavour === 'linux' ? EEXIST : { when: (n) => n < 0, what: 'an error' };
    const want = this.address(call.at);
    if (got < 0) return want;
    const start = this.place(got);
    const mayOverlap = call.how === 'fixed';
    const wasFree = this.isFree(start, call.n);
    const onFile = call.kind === 'filePrivate' || call.kind === 'fileShared';
    const shared = call.kind === 'shared' || call.kind === 'fileShared';
    const store: Store | undefined = onFile
      ? this.options.file
      : shared
        ? { cells: new Array(call.n).fill(0) }
        : undefined;
    this.map(start, call.n, (i) => ({
      prot: call.prot,
      shared,
      store,
      index: onFile ? call.index + i : i,
      own: store === undefined ? 0 : undefined,
      locked: false,
      dontFork: false,
      wipeOnFork: false,
    }));
    if (!mayOverlap && !wasFree) return { when: () => false, what: 'a free place' };
    if (call.how !== 'hint') return want;
    // Linux follows a hint that is free; a host page of one's own comes first.
    return free && this.options.hostPages === 1 && this.options.flavour === 'linux' ? want : ANY;
  }

  private applyAdvice(at: number, n: number, advice: number): Expected {
    const freebsd = this.options.flavour === 'freebsd';
    if (freebsd && advice !== 10 && advice !== 18) return 0;
    switch (advice) {
      case 4:
        return this.each(at, n, true, (page) => {
          if (page.locked) return EINVAL;
          if (!page.shared) page.own = page.store === undefined ? 0 : undefined;
          return 0;
        });
      case 9:
        return this.each(at, n, true, (page) => {
          if (page.locked || page.store === undefined) return EINVAL;
          if (!page.shared) return EACCES;
          if (page.index < page.store.cells.length) page.store.cells[page.index] = 0;
          return 0;
        });
      case 22:
      case 23:
        return this.each(at, n, false, (page) => {
          if (!(page.prot & (advice === 23 ? 2 : 1))) return EINVAL;
          if (page.store !== undefined && page.own === undefined) {
            if (page.index >= page.store.cells.length) return EFAULT;
            if (advice === 23 && !page.shared) page.own = page.store.cells[page.index];
          }
          return 0;
        });
      default: {
        const result = this.each(at, n, true, (page) => {
          if (advice === 18 && !freebsd && page.store !== undefined) return EINVAL;
          if (advice === 10) page.dontFork = true;
          else if (advice === 18) page.wipeOnFork = true;
          if (freebsd && advice === 10) page.wipeOnFork = false;
          if (freebsd && advice === 18) page.dontFork = false;
          return 0;
        });
        return freebsd ? 0 : result;
      }
    }
  }

  private truncate(n: number): void {
    const { cells } = this.options.file;
    while (cells.length < n) cells.push(0);
    cells.length = n;
    for (const page of this.pages.values())
      if (page.store === this.options.file && page.index >= n) page.own = undefined;
  }

  private applyRemap(call: Extract<MapCall, { op: 'remap' }>, got: number): Expected {
    const { at: old, n, flags } = call;
    const m = flags & 4 ? n : call.m;
    const expected = this.expectRemap(old, n, m, flags, call.to);
    if (
      n === 0 &&
      flags & 2 &&
      typeof expected === 'number' &&
      expected > 0 &&
      call.to <= old &&
      old < call.to + m
    ) {
      // What was to be mapped a second time has gone with the old contents of the target.
      this.unmap(call.to, m);
      return EFAULT;
    }
    if (got < 0 || (typeof expected === 'number' && expected < 0)) return expected;
    const place = this.place(got);
    if (place === old && n >= m) {
      // Shrinking in place is munmap, whatever lies in the range.
      this.unmap(old + m, n - m);
      return expected;
    }
    const first = { ...this.pages.get(old)! };
    const pages = Array.from({ length: Math.min(n, m) }, (_, i) => ({ ...this.pages.get(old + i)! }));
    let answer = expected;
    if (place !== old) {
      if (!(flags & 2) && !this.isFree(place, m)) answer = { when: () => false, what: 'a free place' };
      if (flags & 2) this.unmap(place, m);
      if (flags & 4) {
        // All of the mapping is not locked any more.
        const [start, end] = this.mappingOf(old);
        for (let i = start; i < end; i++) this.pages.get(i)!.locked = false;
        for (let i = 0; i < n; i++) {
          const page = this.pages.get(old + i)!;
          if (!page.shared) page.own = page.store === undefined ? 0 : undefined;
        }
      } else if (n > 0) this.unmap(old, n);
    } else this.unmap(old, n);
    this.map(place, m, (i) => {
      if (i < pages.length) return pages[i];
      const fresh = first.store === undefined && !first.shared;
      return { ...first, index: first.index + i, own: fresh ? 0 : undefined };
    });
    return answer;
  }

  /** The answer that mremap must give. */
  private expectRemap(old: number, n: number, m: number, flags: number, target: number): Expected {
    const { hostPages } = this.options;
    const somewhere: Expected = { when: (got) => got > 0, what: 'a place' };
    if (m === 0) return EINVAL;
    if (flags & 4 && n !== m) return EINVAL;
    if (flags & 6) {
      if (flags & 2 && (old - target) % hostPages !== 0) return EINVAL;
      if (old + n > target && target + m > old) return EINVAL;
    }
    const first = this.pages.get(old);
    if (first === undefined) return EFAULT;
    const inRange = (k: number) => this.run(old) >= k;
    if (flags & 6) {
      if (n === 0 && !first.shared) return EINVAL;
      if (!inRange(Math.min(n, m))) return EFAULT;
      if (flags & 2) return this.address(target);
      if (hostPages > 1) return somewhere;
      return this.isFree(target, m) ? this.address(target) : somewhere;
    }
    if (n >= m) return this.address(old);
    if (n === 0 && !first.shared) return EINVAL;
    if (!inRange(n)) return EFAULT;
    if (this.run(old) === n && this.isFree(old + n, m - n)) return this.address(old);
    return flags & 1 ? somewhere : ENOMEM;
  }

  /** The address space that fork makes. */
  fork(): Model {
    const child = new Model(this.options);
    for (const [at, page] of this.pages) {
      if (page.dontFork) continue;
      const copy = { ...page, locked: false };
      if (page.wipeOnFork) Object.assign(copy, { store: undefined, shared: false, own: 0 });
      child.pages.set(at, copy);
    }
    return child;
  }

  read(at: number): number {
    const page = this.pages.get(at);
    if (page === undefined) return FAULTED - SEGV_MAPERR;
    if ((page.prot & 3) === 0) return FAULTED - SEGV_ACCERR;
    if (page.own !== undefined && !page.shared) return page.own;
    if (page.store === undefined) return page.own ?? 0;
    if (page.index >= page.store.cells.length) return FAULTED - BUS_ADRERR;
    return page.store.cells[page.index];
  }

  write(at: number, value: number): number {
    const page = this.pages.get(at);
    if (page === undefined) return FAULTED - SEGV_MAPERR;
    if ((page.prot & 2) === 0) return FAULTED - SEGV_ACCERR;
    if (page.store !== undefined && page.own === undefined && page.index >= page.store.cells.length)
      return FAULTED - BUS_ADRERR;
    if (page.shared && page.store !== undefined) page.store.cells[page.index] = value;
    else page.own = value;
    return value;
  }
}
