import type { Caller, FaultOutcome } from './caller.js';

/**
 * Handles a page fault of `access` (ACCESS_*) at guest address `va` for the calling thread, in KERNEL mode with no lock
 * held. FAULT_HANDLED means that the access will now succeed; anything else names the signal.
 */
export function resolveFault(_c: Caller, _va: number, _access: number): FaultOutcome {
  throw new Error('page faults are not built yet');
}
