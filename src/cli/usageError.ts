/** Something wrong with the command line; `message` is one line. The command exits with status 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}
