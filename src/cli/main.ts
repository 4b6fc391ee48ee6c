import { readFileSync } from 'node:fs';
import { packageFile } from '../machine/packageFiles.js';
import { parseCommandLine } from './runOptions.js';
import { UsageError } from './usageError.js';

/** Exit statuses of the command itself. */
export const EXIT_INTERNAL = 1;
export const EXIT_USAGE = 2;

/** The package's version. */
function version(): string {
  return (JSON.parse(readFileSync(packageFile(), 'utf8')) as { version: string }).version;
}

/** The guesthouse command: parses its arguments, does what they say, and exits. Never prints a stack unless asked to. */
export async function main(args: readonly string[]): Promise<void> {
  const running = args.includes('run') || args.includes('maps') ? import('./run.js') : undefined;
  running?.catch(() => {});
  try {
    const line = parseCommandLine(args, version());
    if (line.kind === 'print') {
      process.stdout.write(line.text);
      return;
    }
    const { run } = await (running ?? import('./run.js'));
    await run(line.options);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (
      !(error instanceof UsageError) &&
      (args.includes('--verbose') || process.env.GUESTHOUSE_DEBUG !== undefined)
    )
      process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    process.stderr.write(`guesthouse: ${message.split('\n')[0]}\n`);
    process.exit(error instanceof UsageError ? EXIT_USAGE : EXIT_INTERNAL);
  }
}
