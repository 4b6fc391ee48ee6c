import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Guests bring threads of their own: more test files at once than this only slow each other down.
    maxWorkers: 2,
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // For what happens soon, on a machine that may be busy.
    expect: { poll: { timeout: 20_000 } },
    // The order of the memory locks is asserted, in the guests' workers too (src/sync/lockOrder.ts).
    env: { GUESTHOUSE_ASSERT_LOCKS: '1' },
  },
});
