import { prestartPool } from '../machine/hostPool.js';

/** The guesthouse command. The first worker starts before anything that is not needed for that. */
export async function command(args: readonly string[]): Promise<void> {
  if (args[0] === 'run' && args.length > 1) prestartPool();
  const { main } = await import('../cli/main.js');
  await main(args);
}
