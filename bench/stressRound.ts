import { fstatSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { audit } from '../src/memory/auditor.js';
import { openHostFile, releaseHostFile } from '../src/memory/hostFile.js';
import { createMachineMemory } from '../src/memory/machineMemory.js';
import { readU32, writeU32 } from '../src/memory/userAccess.js';
import { createMm, releaseMm } from '../src/mm/addressSpace.js';
import { targetMmap } from '../src/mm/targetMmap.js';
import { allocateBlock } from '../src/sync/heap.js';
import { COORDINATOR } from '../src/sync/mutex.js';
import { Thread } from '../src/sync/records/thread.js';
import { addThread, removeThread } from '../src/sync/safepoint.js';
import { repository } from './hostProgram.js';

const PAGE = 4096;
const SHARED_PAGES = 8;
const PROMISED_PAGES = 6;
const ARENA = 0x200_0000;
const ARENA_PAGES = 16;
/** Nothing is placed below by itself: there, everybody maps over everybody. */
const ABOVE_ARENA = 0x400_0000;
const FILE_PAGES = 8;

export interface StressOptions {
  readonly seed: number;
  /** Steps of each thread. */
  readonly steps: number;
  readonly threads: number;
  /** Where the file goes that is mapped. */
  readonly directory: string;
  readonly hostPageSize?: number;
  /** PLACE_TOP_DOWN or PLACE_FIRST_FIT of mm/findVma.ts: the others come to place mappings where threads map over them. */
  readonly placement?: number;
  /** Milliseconds after which threads that have not ended count as deadlocked. */
  readonly patience: number;
}

/**
 * One round of stress: threads of one address space that map, touch, protect, move and unmap memory, on their own and over
 * each other, while all count on shared pages and fetch from pages that are promised to stay executable
 * (test/memory/stressWorker.js). Returns what went wrong, one line each: what a thread saw, lost counts, and what the
 * auditor says afterwards.
 */
export async function stressRound(options: StressOptions): Promise<string[]> {
  const { seed, hostPageSize, placement } = options;
  const mem = createMachineMemory({
    bytes: 256 * 1024 * 1024,
    ...(hostPageSize !== undefined && { hostPageSize }),
  });
  const mm = createMm(mem, COORDINATOR, {
    unmappedBase: ABOVE_ARENA,
    ...(placement !== undefined && { placement }),
  });
  const addCaller = () => {
    const thread = allocateBlock(mem, Thread.SIZE, COORDINATOR);
    addThread(mem, mm, thread, COORDINATOR);
    return { mem, thread, mm };
  };
  const main = addCaller();
  const shared = targetMmap(main, 0, SHARED_PAGES * PAGE, 3, 0x22, null, 0);
  // Far from the arena and alone in its host pages.
  const promised = targetMmap(main, 0x300_0000, PROMISED_PAGES * 65536, 7, 0x32, null, 0);
  for (let i = 0; i < PROMISED_PAGES; i++) writeU32(main, promised + i * 65536, 0x13 | (i << 20));
  const path = join(options.directory, 'stress');
  writeFileSync(path, Buffer.alloc(FILE_PAGES * PAGE));
  const fd = openSync(path, 'r+');
  const file = openHostFile(mem, COORDINATOR, fd, true, fstatSync(fd));
  const threads = Array.from({ length: options.threads }, () => addCaller().thread);
  const workers: Worker[] = [];
  let timer: NodeJS.Timeout | undefined;
  const problems: string[] = [];
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`seed ${seed}: no end after ${options.patience / 1000} s`)),
        options.patience,
      );
    });
    const counts = threads.map((thread, id) => {
      const worker = new Worker(join(repository, 'test/memory/stressWorker.js'), {
        workerData: {
          dist: pathToFileURL(join(repository, 'dist/src/')).href,
          memory: mem.wasm,
          mm,
          thread,
          id: id + 1,
          seed: seed + id * 7919,
          rounds: options.steps,
          shared,
          sharedPages: SHARED_PAGES,
          promised,
          promisedPages: PROMISED_PAGES,
          arena: ARENA,
          arenaPages: ARENA_PAGES,
          hostPage: hostPageSize ?? PAGE,
          file,
          fd,
        },
        trackUnmanagedFds: false,
      });
      workers.push(worker);
      return new Promise<number>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    });
    const counted = (await Promise.race([Promise.all(counts), late])).reduce((a, b) => a + b, 0);
    let seen = 0;
    for (let i = 0; i < SHARED_PAGES; i++) seen += readU32(main, shared + i * PAGE);
    if (seen !== counted) problems.push(`seed ${seed}: ${counted} counted, ${seen} found`);
    problems.push(...audit(mem, [mm]));
    releaseHostFile(mem, COORDINATOR, file);
    for (const thread of [...threads, main.thread]) removeThread(mem, thread, COORDINATOR);
    releaseMm(mem, mm, COORDINATOR);
    problems.push(...audit(mem, []));
  } catch (error) {
    problems.push((error as Error).message);
  } finally {
    clearTimeout(timer);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return problems;
}
