import type { ProcessIdentity } from '../system/locks/process-identity.js';
import type { Removal, Removed } from './removals/removals.js';

/**
 * What would keep the event loop busy for long, because SQLite does it in one go: a large transaction, a look at the whole file. Done elsewhere, by whoever
 * has threads, on the same database with a connection of its own; see `longWorkOn`.
 */
export interface LongWork {
  /** Has everything ready, so that what is asked for within the next seconds begins at once. */
  prepare(): Promise<void>;
  /** See `Removals.removeUnused`. */
  removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed>;
  /** See `RecordsState.verify`. */
  verify(): Promise<string[]>;
  close(): Promise<void>;
}
