import { ftruncateSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

/**
 * A guest thread of the stress test: maps, touches, protects, moves and unmaps memory of its own, while pages that all
 * threads share are written under a scheme that shows every lost or stray write. Built modules are given by URL.
 */
const { dist, memory, mm, thread, id, seed, rounds, shared, sharedPages, file, fd } = workerData;
const { promised, promisedPages, arena, arenaPages, hostPage } = workerData;
const from = (name) => import(new URL(name, dist).href);
const { SharedMemory } = await from('sync/sharedMemory.js');
const { readU32, writeU32, atomicUpdateU32 } = await from('memory/userAccess.js');
const { UserFault } = await from('memory/caller.js');
const { targetMmap } = await from('mm/targetMmap.js');
const { targetMunmap } = await from('mm/targetMunmap.js');
const { targetMprotect } = await from('mm/targetMprotect.js');
const { targetMremap } = await from('mm/targetMremap.js');
const { targetMadvise } = await from('mm/targetMadvise.js');
const { codePageFor, fetchFault } = await from('memory/codePages.js');
const { CodePage } = await from('sync/records/codePage.js');
const { enterGuest, leaveGuest } = await from('sync/safepoint.js');
const { flushFileRange, noteFileTruncate } = await from('memory/filePages.js');
const { reclaimFilePages } = await from('memory/reclaim.js');
const { targetMsync } = await from('mm/targetMsync.js');

const PAGE = 4096;
const c = { mem: new SharedMemory(memory), thread, mm };
let state = seed >>> 0 || 1;
const random = (n) => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % n;
};
const fail = (text) => {
  throw new Error(`thread ${id}, seed ${seed}: ${text}`);
};

const FILE_PAGES = 8;
const mapped = { file, object: 0, readable: true, writable: true };

/** Maps a part of the file that all threads share, writes our words in it, syncs, cuts, lets it go. */
function useFile() {
  const first = random(FILE_PAGES);
  const pages = 1 + random(FILE_PAGES - first);
  const isShared = random(3) > 0;
  const at = targetMmap(c, 0, pages * PAGE, 3, isShared ? 1 : 2, mapped, first * PAGE);
  if (at < 0) fail(`mmap of the file gave ${at}`);
  for (let i = 0; i < pages; i++) {
    try {
      const seen = readU32(c, at + i * PAGE + id * 4);
      if (seen !== 0 && seen >>> 24 !== id) fail(`foreign value ${seen} in our word of the file`);
      writeU32(c, at + i * PAGE + id * 4, (id << 24) | random(1 << 20));
    } catch (error) {
      if (!(error instanceof UserFault)) throw error;
    }
  }
  const action = random(8);
  if (action === 0) targetMsync(c, at, pages * PAGE, 4);
  else if (action === 1) flushFileRange(c.mem, file, 0, FILE_PAGES * PAGE, thread);
  else if (action === 2) reclaimFilePages(c);
  else if (action === 3) {
    // Never inside a word.
    const size = random(2) ? FILE_PAGES * PAGE : random(FILE_PAGES * 64) * 64;
    ftruncateSync(fd, size);
    noteFileTruncate(c, file, size);
  }
  if (targetMunmap(c, at, pages * PAGE) !== 0) fail('munmap of the file');
}

/** Pages that stay readable and executable and keep their first word, whatever else is done to them. */
function usePromised() {
  const i = random(promisedPages);
  const at = promised + i * 65536;
  const word = 0x13 | (i << 20);
  const action = random(6);
  if (action === 0) {
    if (targetMprotect(c, at, PAGE, random(2) ? 5 : 7) !== 0) fail('mprotect of a promised page');
  } else if (action === 1) {
    try {
      writeU32(c, at, word);
      writeU32(c, at + 4 * id, random(1 << 20));
    } catch (error) {
      if (!(error instanceof UserFault)) throw error;
    }
  }
  if (readU32(c, at) !== word) fail('a promised page has changed');
  const fault = fetchFault(c, at);
  if (fault !== 0) fail(`fetching from a promised page gave fault ${fault}`);
  // While we are in GUEST mode, nobody frees what we have found.
  enterGuest(c.mem, thread);
  const code = codePageFor(c.mem, mm, at);
  const found = code === 0 ? word : c.mem.getU32(c.mem.getU32(code + CodePage.source));
  leaveGuest(c.mem, thread);
  if (found !== word) fail('the code of a promised page is of another');
}

/** Regions of our own: start, pages, the value on each page. */
const own = [];
let counted = 0;
for (let round = 0; round < rounds; round++) {
  const what = random(10);
  if (what < 3 || own.length === 0) {
    const pages = 1 + random(40);
    const at = targetMmap(c, 0, pages * PAGE, 3, 0x22, null, 0);
    if (at < 0) fail(`mmap gave ${at}`);
    const values = new Array(pages).fill(0);
    for (let i = 0; i < pages; i += 1 + random(4)) {
      if (readU32(c, at + i * PAGE) !== 0) fail('fresh page not zero');
      values[i] = (id << 24) | random(1 << 20);
      writeU32(c, at + i * PAGE, values[i]);
    }
    own.push({ at, pages, values });
  } else if (what < 6) {
    const [region] = own.splice(random(own.length), 1);
    for (let i = 0; i < region.pages; i++)
      if (readU32(c, region.at + i * PAGE) !== region.values[i] >>> 0) fail('a write was lost');
    if (targetMunmap(c, region.at, region.pages * PAGE) !== 0) fail('munmap');
  } else if (what === 6) {
    const region = own[random(own.length)];
    const i = random(region.pages);
    if (targetMprotect(c, region.at + i * PAGE, PAGE, 1) !== 0) fail('mprotect');
    // In a larger host page the neighbours' right to write is the page's.
    try {
      if (hostPage === PAGE) {
        writeU32(c, region.at + i * PAGE, 1);
        fail('write to a read-only page');
      }
    } catch (error) {
      if (!(error instanceof UserFault)) throw error;
    }
    if (targetMprotect(c, region.at + i * PAGE, PAGE, random(2) ? 3 : 7) !== 0) fail('mprotect back');
    if (readU32(c, region.at + i * PAGE) !== region.values[i] >>> 0) fail('mprotect changed a page');
    if (fetchFault(c, region.at + i * PAGE) === 0) {
      writeU32(c, region.at + i * PAGE, (region.values[i] = random(1 << 20)));
      if (targetMprotect(c, region.at + i * PAGE, PAGE, 3) !== 0) fail('mprotect back');
    }
  } else if (what === 7) {
    const region = own[random(own.length)];
    if (targetMprotect(c, region.at, region.pages * PAGE, 3) !== 0) fail('mprotect');
    const pages = 1 + random(60);
    const at = targetMremap(c, region.at, region.pages * PAGE, pages * PAGE, 1, 0);
    if (at < 0) fail(`mremap gave ${at}`);
    while (region.values.length < pages) region.values.push(0);
    region.values.length = pages;
    region.at = at;
    region.pages = pages;
  } else if (what === 8) {
    const region = own[random(own.length)];
    const i = random(region.pages);
    if (targetMadvise(c, region.at + i * PAGE, PAGE, 4) !== 0) fail('madvise');
    region.values[i] = 0;
  }
  if (random(8) === 0) useFile();
  if (random(3) === 0) usePromised();
  // Pages that everybody counts up on; one thread at a time drops none of them.
  const page = random(sharedPages);
  atomicUpdateU32(c, shared + page * PAGE, (word) => word + 1);
  counted++;
  // The arena: everybody maps over everybody; a write either lands in what is there or faults.
  const at = arena + random(arenaPages) * PAGE;
  const pages = 1 + random(4);
  const action = random(4);
  if (action === 0) targetMmap(c, at, pages * PAGE, random(2) ? 3 : 1, 0x32, null, 0);
  else if (action === 1) targetMunmap(c, at, pages * PAGE);
  else if (action === 2) targetMprotect(c, at, pages * PAGE, random(4));
  else {
    try {
      writeU32(c, at, id);
      const seen = readU32(c, at);
      if (seen > 100) fail(`foreign value ${seen} in the arena`);
    } catch (error) {
      if (!(error instanceof UserFault)) throw error;
    }
  }
}
for (const region of own) targetMunmap(c, region.at, region.pages * PAGE);
parentPort.postMessage(counted);
