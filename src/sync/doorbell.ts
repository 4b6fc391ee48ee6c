import { MACHINE, Machine } from './records/machine.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * The coordinator's doorbell: one flag, so that any number of requests costs one message. `send` posts the message.
 */
export function ringDoorbell(mem: SharedMemory, send: () => void): void {
  if (mem.atomicExchange(MACHINE + Machine.doorbell, 1) === 0) send();
}

/** The coordinator is about to look at its requests: whoever adds one from now on rings again. */
export function answerDoorbell(mem: SharedMemory): void {
  mem.atomicStore(MACHINE + Machine.doorbell, 0);
}
