import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'native-free',
          include: ['native-free-tests/**/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['system-tests/**/*.test.ts'],
          globalSetup: ['system-tests/helpers/global-setup.ts'],
          // Mounts, registries and killed processes are machine-wide: one file at a time keeps each test's count of them its own.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
