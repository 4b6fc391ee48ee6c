import { existsSync, fstatSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { readU32 } from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller, PAGE } from './machine.js';

const DIST = new URL('../../dist/src/', import.meta.url);
const THREADS = 4;
const directory = mkdtempSync(join(tmpdir(), 'guesthouse-stress-'));
afterAll(() => rmSync(directory, { recursive: true }));
const SHARED_PAGES = 8;

describe('threads that map, touch, protect, move and unmap at once', () => {
  it('lose no write, see no stale page, and leave exact tables', async () => {
    expect(existsSync(DIST), 'npm run build comes first').toBe(true);
    const seed = Number(process.env.GUESTHOUSE_SEED ?? 12345);
    const rounds = Number(process.env.GUESTHOUSE_ROUNDS ?? 3000);
    const mem = createMachineMemory({ bytes: 256 * 1024 * 1024 });
    const mm = createMm(mem, COORDINATOR);
    const main = addCaller(mem, mm);
    const shared = targetMmap(main, 0, SHARED_PAGES * PAGE, 3, 0x22, null, 0);
    const path = join(directory, 'file');
    writeFileSync(path, Buffer.alloc(8 * PAGE));
    const fd = openSync(path, 'r+');
    const file = openHostFile(mem, COORDINATOR, fd, true, fstatSync(fd));
    const threads = Array.from({ length: THREADS }, () => addCaller(mem, mm).thread);
    const counts = await Promise.all(
      threads.map((thread, id) => {
        const worker = new Worker(new URL('./stressWorker.js', import.meta.url), {
          workerData: {
            dist: DIST.href,
            memory: mem.wasm,
            mm,
            thread,
            id: id + 1,
            seed: seed + id * 7919,
            rounds,
            shared,
            sharedPages: SHARED_PAGES,
            arena: 0x200_0000,
            arenaPages: 16,
            file,
            fd,
          },
          trackUnmanagedFds: false,
        });
        return new Promise<number>((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
        });
      }),
    );
    let seen = 0;
    for (let i = 0; i < SHARED_PAGES; i++) seen += readU32(main, shared + i * PAGE);
    expect(seen).toBe(counts.reduce((a, b) => a + b, 0));
    expect(audit(mem, [mm])).toEqual([]);
    releaseHostFile(mem, COORDINATOR, file);
    for (const thread of [...threads, main.thread]) removeThread(mem, thread, COORDINATOR);
    releaseMm(mem, mm, COORDINATOR);
    expect(audit(mem, [])).toEqual([]);
  }, 120_000);
});
