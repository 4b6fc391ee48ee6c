import { Worker } from 'node:worker_threads';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

/** Runs `job` of worker.js on a worker of its own; resolves with what it returns. */
export function runJob(
  mem: SharedMemory,
  job: string,
  thread: number,
  data: { a?: number; b?: number; rounds?: number },
): Promise<number | undefined> {
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    workerData: {
      dist: new URL('../../dist/src/', import.meta.url).href,
      memory: mem.wasm,
      job,
      thread,
      ...data,
    },
  });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
