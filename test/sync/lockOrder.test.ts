import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lockPages, unlockPages } from '../../src/memory/pageTables.js';
import { mmapForkEnd, mmapForkStart, mmapLock, mmapUnlock } from '../../src/mm/mmapLock.js';
import { setLockOrderCheck } from '../../src/sync/lockOrder.js';
import { LockAssertionError, lockMutex, unlockMutex } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import { createCaller } from '../memory/machine.js';

const FILE_PAGES = MACHINE + Machine.filePagesLock;
const FRAMES = MACHINE + Machine.framesLock;

let before: boolean;
beforeAll(() => {
  before = setLockOrderCheck(true);
});
afterAll(() => {
  setLockOrderCheck(before);
});

describe('the order of the memory locks', () => {
  it('is asserted in tests', () => {
    expect(before).toBe(true);
  });

  it('may be followed, with gaps', () => {
    const c = createCaller();
    mmapLock(c);
    lockMutex(c.mem, FILE_PAGES, c.thread);
    lockPages(c.mem, c.mm, 0, 5000, c.thread);
    lockMutex(c.mem, FRAMES, c.thread);
    // The mmap mutex is recursive.
    mmapLock(c);
    mmapUnlock(c);
    unlockMutex(c.mem, FRAMES, c.thread);
    unlockPages(c.mem, c.mm, 0, 5000, c.thread);
    unlockMutex(c.mem, FILE_PAGES, c.thread);
    mmapUnlock(c);
  });

  it('must not be broken, and a refused lock is not taken', () => {
    const c = createCaller();
    lockMutex(c.mem, FRAMES, c.thread);
    expect(() => mmapLock(c)).toThrow(new LockAssertionError('mmap lock taken under the frames lock'));
    expect(() => lockMutex(c.mem, FILE_PAGES, c.thread)).toThrow(LockAssertionError);
    unlockMutex(c.mem, FRAMES, c.thread);
    lockPages(c.mem, c.mm, 600, 601, c.thread);
    expect(() => lockPages(c.mem, c.mm, 0, 1, c.thread)).toThrow(/pageTable lock taken under/);
    expect(() => lockMutex(c.mem, c.mm + Mm.stopLock, c.thread)).toThrow(LockAssertionError);
    unlockPages(c.mem, c.mm, 600, 601, c.thread);
    mmapLock(c);
    mmapUnlock(c);
  });

  it('is one of each thread, and forgets a lock that fork makes new', () => {
    const c = createCaller();
    lockMutex(c.mem, FRAMES, c.thread);
    const other = { ...c, thread: c.thread + 8 };
    mmapLock(other);
    mmapUnlock(other);
    unlockMutex(c.mem, FRAMES, c.thread);
    mmapForkStart(c);
    mmapForkEnd(c, true);
    lockMutex(c.mem, FILE_PAGES, c.thread);
    unlockMutex(c.mem, FILE_PAGES, c.thread);
    mmapLock(c);
    mmapUnlock(c);
  });
});
