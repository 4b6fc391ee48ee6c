import { parentPort, workerData } from 'node:worker_threads';

/** The other side of the tests of sync/: does one job with the built modules. */
const { dist, memory, job, a, b, thread, rounds } = workerData;
const from = (name) => import(new URL(name, dist).href);
const { SharedMemory } = await from('sync/sharedMemory.js');
const { lockMutex, lockMutexRecursive, unlockMutex } = await from('sync/mutex.js');
const { enterGuest, leaveGuest } = await from('sync/safepoint.js');
const { joinQueue, leaveQueue, wakeQueue } = await from('sync/waitQueue.js');
const { park, parkTicket } = await from('sync/park.js');
const { allocateBlock, freeBlock } = await from('sync/heap.js');
const mem = new SharedMemory(memory);

const jobs = {
  /** Counts up at b, not atomically, under the mutex at a. */
  count() {
    for (let i = 0; i < rounds; i++) {
      lockMutex(mem, a, thread);
      if (i % 3 === 0) lockMutexRecursive(mem, a, thread);
      mem.setU32(b, mem.getU32(b) + 1);
      if (i % 3 === 0) unlockMutex(mem, a, thread);
      unlockMutex(mem, a, thread);
    }
  },
  /** Counts up at b in GUEST mode until a is nonzero. */
  spin() {
    let turns = 0;
    while (mem.atomicLoad(a) === 0) {
      enterGuest(mem, thread);
      for (let i = 0; i < 50; i++) mem.setU32(b, mem.getU32(b) + 1);
      leaveGuest(mem, thread);
      turns++;
    }
    return turns;
  },
  /** Takes tokens from b, waiting in queue a while there are none. */
  consume() {
    const take = () => {
      for (let n = mem.atomicLoad(b); n > 0; n = mem.atomicLoad(b))
        if (mem.atomicCompareExchange(b, n, n - 1) === n) return true;
      return false;
    };
    for (let i = 0; i < rounds; i++) {
      if (take()) continue;
      const node = joinQueue(mem, a, thread);
      for (;;) {
        const ticket = parkTicket(mem, thread);
        if (take()) break;
        park(mem, thread, ticket);
      }
      leaveQueue(mem, node);
    }
  },
  /** Puts tokens into b, waking queue a. */
  produce() {
    for (let i = 0; i < rounds; i++) {
      mem.atomicAdd(b, 1);
      wakeQueue(mem, a, thread);
      if (i % 64 === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.05);
    }
  },
  /** Allocates, marks, checks and frees blocks. */
  allocate() {
    const blocks = [];
    let state = thread >>> 4 || 1;
    const random = (n) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % n;
    };
    for (let i = 0; i < rounds; i++) {
      if (blocks.length < 50 && random(2) === 0) {
        const words = 1 + random(random(20) === 0 ? 60000 : 40);
        const block = allocateBlock(mem, words * 4, thread);
        for (let w = 0; w < words; w++) {
          if (mem.getU32(block + w * 4) !== 0) throw new Error('block not zeroed');
          mem.setU32(block + w * 4, thread);
        }
        blocks.push([block, words]);
      } else if (blocks.length > 0) {
        const [[block, words]] = blocks.splice(random(blocks.length), 1);
        for (let w = 0; w < words; w++)
          if (mem.getU32(block + w * 4) !== thread) throw new Error('blocks overlap');
        freeBlock(mem, block, thread);
      }
    }
    for (const [block] of blocks) freeBlock(mem, block, thread);
  },
};
parentPort.postMessage(jobs[job]());
