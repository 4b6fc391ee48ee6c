import { parentPort, workerData } from 'node:worker_threads';
import { futexRequeue, futexWait, futexWake } from '../../src/kernel/futex.js';
import { SharedMemory } from '../../src/sync/sharedMemory.js';
import { bindContext } from './bareMachine.js';

/** One guest thread of the futex stress test; bundled and run as a worker by futex.test.ts. */
interface Task {
  readonly memory: WebAssembly.Memory;
  readonly thread: number;
  readonly kind: 'mutex' | 'queue' | 'wait';
  readonly word: number;
  readonly rounds: number;
  readonly seed: number;
}

const task = workerData as Task;
const mem = new SharedMemory(task.memory);
const t = bindContext(mem, task.thread);
const ANY = -1;
let state = task.seed >>> 0;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

/** Drepper's third mutex: 0 free, 1 held, 2 held with waiters. */
function lock(word: number): void {
  let seen = mem.atomicCompareExchange(word, 0, 1);
  if (seen === 0) return;
  if (seen !== 2) seen = mem.atomicExchange(word, 2);
  while (seen !== 0) {
    futexWait(t, word, 2, Infinity, ANY, false);
    seen = mem.atomicExchange(word, 2);
  }
}
function unlock(word: number): void {
  if (mem.atomicAdd(word, -1) !== 1) {
    mem.atomicStore(word, 0);
    futexWake(t, word, 1, ANY, false);
  }
}

function run(): number {
  const counter = task.word + 64;
  switch (task.kind) {
    case 'mutex':
      for (let round = 0; round < task.rounds; round++) {
        lock(task.word);
        // Not atomic on purpose: only the mutex protects it.
        const seen = mem.getU32(counter);
        for (let spin = random(200); spin > 0; spin--) mem.getU32(counter);
        mem.setU32(counter, seen + 1);
        unlock(task.word);
      }
      return task.rounds;
    case 'queue': {
      // A barrier of generations: the last to arrive moves all waiters over to a second word, then wakes them there.
      const members = mem.getU32(task.word + 128);
      const second = task.word + 256;
      for (let round = 0; round < task.rounds; round++) {
        const generation = mem.atomicLoad(task.word);
        if (mem.atomicAdd(counter, 1) === members - 1) {
          mem.atomicStore(counter, 0);
          mem.atomicAdd(task.word, 1);
          futexRequeue(t, task.word, random(2), 1000, second, generation + 1, false);
          futexWake(t, task.word, 1000, ANY, false);
          futexWake(t, second, 1000, ANY, false);
        } else {
          while (mem.atomicLoad(task.word) === generation)
            futexWait(t, task.word, generation, Infinity, ANY, false);
        }
      }
      return task.rounds;
    }
    case 'wait':
      mem.atomicAdd(counter, 1);
      return futexWait(t, task.word, 0, Infinity, ANY, false);
  }
}

const result = run();
parentPort?.postMessage(result);
