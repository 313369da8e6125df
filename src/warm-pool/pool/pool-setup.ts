import type { Clock } from '../../base/time/clock.js';
import type { BudgetMember } from './budget.js';
import type { CreatorLimits } from './creators.js';
import type { ErrorLimits } from './error-window.js';
import type { PoolEvent, PoolSource } from './pool-source.js';
import type { PoolSize } from './sizing.js';

export interface PoolLimits extends CreatorLimits, ErrorLimits {}

export interface PoolOptions<Made, Given, How> {
  readonly source: PoolSource<Made, Given, How>;
  readonly size: PoolSize;
  /** Milliseconds for which one may wait; each is given up to a tenth more or less. Default: for ever. */
  readonly ttl?: number | undefined;
  readonly limits?: PoolLimits | undefined;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Whether there is room for one more. */
  readonly mayCreate: (pool: BudgetMember) => boolean;
  readonly tell: (event: PoolEvent) => void;
}
