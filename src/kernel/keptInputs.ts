import { copyIn } from '../memory/userAccess.js';
import { allocateBlock, freeBlock, OutOfKernelMemory } from '../sync/heap.js';
import { KeptInput, Thread } from '../sync/records/thread.js';
import type { ThreadContext } from './threadContext.js';

/**
 * What a system call reads of the guest's memory before it waits. The kernel reads it once, so a call that is left with its host
 * (leftCall.ts) and begun again has to find what it read the first time, whatever other threads have written there meanwhile.
 */

/** What is larger than this is read again. */
const MOST_KEPT = 16384;

/** Copies the call's input at `va` into `into`: for calls that wait, always in the same order. Throws UserFault. */
export function readInput(t: ThreadContext, va: number, into: Uint8Array): void {
  const index = t.inputsRead++;
  const kept = t.inputs[index];
  if (kept !== undefined && kept.length === into.length) {
    into.set(kept);
    return;
  }
  copyIn(t, va, into);
  if (t.mayLeave && index === t.inputs.length && into.length <= MOST_KEPT) t.inputs.push(into.slice());
}

/** The call is left: its inputs stay with the Thread record. Without memory for that they will be read again. */
export function keepInputs(t: ThreadContext): void {
  const { mem, thread } = t;
  mem.setU32(thread + Thread.keptInputs, 0);
  try {
    for (const bytes of t.inputs.toReversed()) {
      const block = allocateBlock(mem, KeptInput.SIZE + bytes.length, thread);
      mem.setU32(block + KeptInput.length, bytes.length);
      mem.u8.set(bytes, block + KeptInput.SIZE);
      mem.setU32(block + KeptInput.next, mem.getU32(thread + Thread.keptInputs));
      mem.setU32(thread + Thread.keptInputs, block);
    }
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    takeInputs(t);
  }
}

/** The call is begun again, by whichever worker: its inputs are these. */
export function takeInputs(t: ThreadContext): void {
  const { mem, thread } = t;
  t.inputs.length = 0;
  for (let block = mem.getU32(thread + Thread.keptInputs), next = 0; block !== 0; block = next) {
    next = mem.getU32(block + KeptInput.next);
    const at = block + KeptInput.SIZE;
    t.inputs.push(mem.u8.slice(at, at + mem.getU32(block + KeptInput.length)));
    freeBlock(mem, block, thread);
  }
  mem.setU32(thread + Thread.keptInputs, 0);
}
