// Keeps containers ready before they are asked for. What is not exported here may change at any time.

export type { PoolBudget } from './pool/budget.js';
export type { CreatorLimits } from './pool/creators.js';
export type { ErrorLimits } from './pool/error-window.js';
export type { PoolLimits } from './pool/pool-setup.js';
export type { Cost, PoolCounts, PoolEvent, RetireReason } from './pool/pool-source.js';
export type { Growth, PoolSize } from './pool/sizing.js';
export type { GetOptions } from './pool/waiters.js';
export type {
  ClaimOptions,
  PoolKind,
  PoolSizeOption,
  StopPoolOptions,
  WarmPoolEvent,
  WarmPoolSpec,
  WarmPoolsOptions,
} from './pool-options.js';
export { listPools, type PoolReport, type PoolStatus } from './pool-status.js';
export type { Claimed, WarmPool } from './warm-pool.js';
export { openWarmPools, type WarmPools } from './warm-pools.js';
