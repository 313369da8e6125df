import { abortSignal, flag, limit, milliseconds, type OptionTable } from '../base/options/check-options.js';
import type { PrunePolicy } from './decide.js';

export interface PruneOptions extends PrunePolicy {
  /** Say what would be done, and do nothing. */
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const PRUNE_OPTIONS: OptionTable<PruneOptions> = {
  keepUsedWithin: milliseconds(Number.MAX_SAFE_INTEGER),
  keepBytes: limit,
  dryRun: flag,
  signal: abortSignal,
};
