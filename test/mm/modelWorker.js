import { parentPort, workerData } from 'node:worker_threads';

/**
 * A thread of the model test: makes the calls that it is sent, each with the mmap mutex held, so that a ticket says in which
 * order they came. Between them, without the mutex, it reads and fetches from anywhere, so that others meet faults that are
 * under way.
 */
const { dist, memory } = workerData;
const from = (name) => import(new URL(name, dist).href);
const { SharedMemory } = await from('src/sync/sharedMemory.js');
const { mmapLock, mmapUnlock } = await from('src/mm/mmapLock.js');
const { access, makeMapCall } = await from('bench/mapCalls.js');
const { readU32 } = await from('src/memory/userAccess.js');
const { fetchFault } = await from('src/memory/codePages.js');

const mem = new SharedMemory(memory);

parentPort.on('message', ({ mm, thread, ticket, environment, calls, pages }) => {
  const c = { mem, thread, mm };
  const log = [];
  let state = thread >>> 4;
  const random = (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  try {
    for (const call of calls) {
      for (let i = 0; i < 3; i++) {
        const at = environment.base + random(pages) * environment.page;
        if (random(3) > 0) access(() => readU32(c, at));
        else fetchFault(c, at);
      }
      mmapLock(c);
      try {
        const order = Atomics.add(mem.i32, ticket >>> 2, 1);
        log.push({ order, call, got: makeMapCall(c, environment, call) });
      } finally {
        mmapUnlock(c);
      }
    }
    parentPort.postMessage({ log });
  } catch (error) {
    parentPort.postMessage({ error: error.stack, log: [] });
  }
});
