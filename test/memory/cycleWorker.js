import { parentPort, workerData } from 'node:worker_threads';

/** Maps 64 KiB, touches a page and unmaps it, `cycles` times, with the built modules (the test runner's are slower). */
const { dist, memory, mm, thread, cycles } = workerData;
const from = (name) => import(new URL(name, dist).href);
const { SharedMemory } = await from('sync/sharedMemory.js');
const { resolveFault } = await from('memory/faults.js');
const { targetMmap } = await from('mm/targetMmap.js');
const { targetMunmap } = await from('mm/targetMunmap.js');

const c = { mem: new SharedMemory(memory), thread, mm };
const start = performance.now();
for (let i = 0; i < cycles; i++) {
  const at = targetMmap(c, 0, 65536, 3, 0x22, null, 0);
  if (resolveFault(c, at, 2) !== 0) throw new Error('fault');
  if (targetMunmap(c, at, 65536) !== 0) throw new Error('munmap');
}
parentPort.postMessage(performance.now() - start);
