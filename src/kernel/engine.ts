/**
 * What the kernel knows of the thing that runs guest code: the interpreter alone, or the interpreter with translated
 * code above it.
 */
export interface Engine {
  /**
   * Runs the guest code of the Thread record `thread` from its pc until something needs the kernel. The caller has made
   * the thread enter GUEST mode. All registers and the pc are in the record when it returns.
   * @returns an EXIT_* reason of sync/records/thread.ts.
   */
  run(thread: number): number;
}
