/** CLOCK_MONOTONIC in milliseconds (fractional); the same clock in every worker. */
export function monotonicNow(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}
