import type { StorePaths } from '#src/paths.js';
import { InProcessLifeLocks } from '#src/system/locks/life-locks.js';
import { Liveness } from '#src/system/locks/liveness.js';

/** The processes of a store, as several `Liveness` of this process: each that `process()` gives lives until it is closed. */
export function processesOf(paths: StorePaths): { process(): Liveness } {
  const locks = new InProcessLifeLocks();
  return { process: () => Liveness.in(paths.alive, locks) };
}
