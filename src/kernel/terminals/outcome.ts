/** What has come of work on a terminal under its lock, to be seen to when the lock has been given back: `withTty`. */
export class Outcome {
  /** Signals for the foreground process group. */
  readonly signals: number[] = [];
  /** POLL* bits that have become true for the slave's users, and for the master's. */
  slave = 0;
  master = 0;
}
