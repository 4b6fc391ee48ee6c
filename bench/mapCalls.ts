import { ftruncateSync } from 'node:fs';
import { type Caller, UserFault } from '../src/memory/caller.js';
import { noteFileTruncate } from '../src/memory/filePages.js';
import { readU32, writeU32 } from '../src/memory/userAccess.js';
import { INHERIT_NONE, INHERIT_ZERO } from '../src/mm/freebsd/freebsdMemory.js';
import { freebsdMinherit } from '../src/mm/freebsd/freebsdMinherit.js';
import { freebsdMmap } from '../src/mm/freebsd/freebsdMmap.js';
import { freebsdMprotect } from '../src/mm/freebsd/freebsdMprotect.js';
import { freebsdMsync } from '../src/mm/freebsd/freebsdMsync.js';
import { freebsdMunmap } from '../src/mm/freebsd/freebsdMunmap.js';
import { targetMadvise } from '../src/mm/targetMadvise.js';
import { targetMincore } from '../src/mm/targetMincore.js';
import { targetMlock2, targetMunlock } from '../src/mm/targetMlock.js';
import { targetMmap } from '../src/mm/targetMmap.js';
import { targetMprotect } from '../src/mm/targetMprotect.js';
import { targetMremap } from '../src/mm/targetMremap.js';
import { targetMsync } from '../src/mm/targetMsync.js';
import { targetMunmap } from '../src/mm/targetMunmap.js';

/**
 * Memory calls as data, for tests that make them and predict them (test/mm/model.test.ts): places and lengths are pages, `at`
 * counted from the start of the arena.
 */
export type MapCall =
  | {
      readonly op: 'map';
      readonly at: number;
      readonly n: number;
      readonly prot: number;
      readonly kind: 'private' | 'shared' | 'filePrivate' | 'fileShared';
      /** First page of the file. */
      readonly index: number;
      readonly how: 'fixed' | 'noreplace' | 'hint';
    }
  | { readonly op: 'unmap' | 'sync' | 'lock' | 'unlock' | 'mincore'; readonly at: number; readonly n: number }
  | { readonly op: 'protect'; readonly at: number; readonly n: number; readonly prot: number }
  | {
      readonly op: 'remap';
      readonly at: number;
      readonly n: number;
      readonly m: number;
      readonly flags: number;
      readonly to: number;
    }
  /** madvise; FreeBSD: minherit for MADV_DONTFORK and MADV_WIPEONFORK, nothing otherwise. */
  | { readonly op: 'advise'; readonly at: number; readonly n: number; readonly advice: number }
  | { readonly op: 'truncate'; readonly n: number }
  | { readonly op: 'fork' }
  | { readonly op: 'read'; readonly at: number }
  | { readonly op: 'write'; readonly at: number; readonly value: number };

/** What the calls work on. */
export interface MapEnvironment {
  readonly flavour: 'linux' | 'freebsd';
  /** Bytes of a target page; address of the arena. */
  readonly page: number;
  readonly base: number;
  /** HostFile record, and its descriptor. */
  readonly file: number;
  readonly fd: number;
  /** A page where mincore may write. */
  readonly vector: number;
}

/** Results of accesses that fault: this less the FaultOutcome. */
export const FAULTED = -1_000_000;

const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_FIXED_NOREPLACE = 0x10_0000;
const FREEBSD_ANON = 0x1000;
const FREEBSD_EXCL = 0x4000;
const MADV_DONTFORK = 10;
const MADV_WIPEONFORK = 18;
const MS_SYNC = 4;

/** Makes the call for the calling thread: its result, an address, or −errno. 'fork' is the caller's to do. */
export function makeMapCall(c: Caller, e: MapEnvironment, call: MapCall): number {
  const { page, base } = e;
  const linux = e.flavour === 'linux';
  switch (call.op) {
    case 'map':
      return map(c, e, call);
    case 'unmap': {
      const unmap = linux ? targetMunmap : freebsdMunmap;
      return unmap(c, base + call.at * page, call.n * page);
    }
    case 'protect': {
      const protect = linux ? targetMprotect : freebsdMprotect;
      return protect(c, base + call.at * page, call.n * page, call.prot);
    }
    case 'remap':
      return targetMremap(
        c,
        base + call.at * page,
        call.n * page,
        (call.flags & 4 ? call.n : call.m) * page,
        call.flags,
        base + call.to * page,
      );
    case 'sync':
      return linux
        ? targetMsync(c, base + call.at * page, call.n * page, MS_SYNC)
        : freebsdMsync(c, base + call.at * page, call.n * page, 0);
    case 'lock':
      return targetMlock2(c, base + call.at * page, call.n * page, 1);
    case 'unlock':
      return targetMunlock(c, base + call.at * page, call.n * page);
    case 'mincore':
      return targetMincore(c, base + call.at * page, call.n * page, e.vector);
    case 'advise':
      if (linux) return targetMadvise(c, base + call.at * page, call.n * page, call.advice);
      if (call.advice !== MADV_DONTFORK && call.advice !== MADV_WIPEONFORK) return 0;
      return freebsdMinherit(
        c,
        base + call.at * page,
        call.n * page,
        call.advice === MADV_DONTFORK ? INHERIT_NONE : INHERIT_ZERO,
      );
    case 'truncate':
      ftruncateSync(e.fd, call.n * page);
      noteFileTruncate(c, e.file, call.n * page);
      return 0;
    case 'fork':
      return 0;
    case 'read':
      return access(() => readU32(c, base + call.at * page));
    case 'write':
      return access(() => {
        writeU32(c, base + call.at * page, call.value);
        return call.value;
      });
  }
}

/** The value, or FAULTED less what an access met. */
export function access(action: () => number): number {
  try {
    return action();
  } catch (error) {
    if (error instanceof UserFault) return FAULTED - error.outcome;
    throw error;
  }
}

function map(c: Caller, e: MapEnvironment, call: Extract<MapCall, { op: 'map' }>): number {
  const onFile = call.kind === 'filePrivate' || call.kind === 'fileShared';
  const type = call.kind === 'shared' || call.kind === 'fileShared' ? MAP_SHARED : MAP_PRIVATE;
  const file = onFile ? { file: e.file, object: 0, readable: true, writable: true } : null;
  const want = e.base + call.at * e.page;
  const offset = onFile ? call.index * e.page : 0;
  const size = call.n * e.page;
  if (e.flavour === 'linux') {
    const how = { fixed: MAP_FIXED, noreplace: MAP_FIXED_NOREPLACE, hint: 0 }[call.how];
    return targetMmap(c, want, size, call.prot, type | how | (onFile ? 0 : MAP_ANONYMOUS), file, offset);
  }
  const how = { fixed: MAP_FIXED, noreplace: MAP_FIXED | FREEBSD_EXCL, hint: 0 }[call.how];
  const flags = type | how | (onFile ? 0 : FREEBSD_ANON);
  return freebsdMmap(c, want, size, call.prot, flags, onFile ? 3 : -1, offset, (body) => body(file));
}
