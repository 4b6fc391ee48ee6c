import { prestartPool } from '../machine/hostPool.js';
import { wantOptimizationDelay } from '../machine/optimizationDelay.js';
import { isTraining } from './compiledCode.js';

/** The guesthouse command. The first worker starts before anything that is not needed for that. */
export async function command(args: readonly string[]): Promise<void> {
  // What the build keeps is to be made under V8's own flags.
  if (!isTraining()) wantOptimizationDelay();
  if (args[0] === 'run' && args.length > 1) prestartPool();
  const { main } = await import('../cli/main.js');
  await main(args);
}
