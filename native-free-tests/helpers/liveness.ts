import { InProcessLifeLocks } from '#src/locks/life-locks.js';
import { Liveness } from '#src/locks/liveness.js';
import type { StorePaths } from '#src/paths.js';

/** The processes of a store, as several `Liveness` of this process: each that `process()` gives lives until it is closed. */
export function processesOf(paths: StorePaths): { process(): Liveness } {
  const locks = new InProcessLifeLocks();
  return { process: () => Liveness.in(paths.alive, locks) };
}
