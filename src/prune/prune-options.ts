import {
  abortSignal,
  flag,
  limit,
  listOf,
  milliseconds,
  type OptionTable,
  text,
} from '../base/options/check-options.js';
import type { PrunePolicy } from './decide.js';

export interface PruneOptions extends PrunePolicy {
  /** Say what would be done, and do nothing. */
  readonly dryRun?: boolean | undefined;
  /** Ids of containers that do not count where `keepBytes` cannot be kept to with them: the report names those which have to go, and the caller destroys them and prunes once more. Default: none. */
  readonly yielding?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const PRUNE_OPTIONS: OptionTable<PruneOptions> = {
  keepUsedWithin: milliseconds(Number.MAX_SAFE_INTEGER),
  keepBytes: limit,
  dryRun: flag,
  yielding: listOf(text),
  signal: abortSignal,
};
