import type { ProcessIdentity } from '../locks/process-identity.js';

/**
 * Chooses, among the holders of claims, the living process that is in the way of `process`.
 *
 * A process is never in its own way: it puts its own operations in order before it asks. A dead one counts for nothing.
 */
export function holderInTheWay(
  holders: Iterable<ProcessIdentity>,
  process: ProcessIdentity,
  isAlive: (process: ProcessIdentity) => boolean,
): ProcessIdentity | undefined {
  // Each holder once: to ask whether a process lives costs a system call.
  for (const holder of new Set(holders)) {
    if (holder !== process && isAlive(holder)) return holder;
  }
  return undefined;
}
