import type { Launched } from '../containerizer/index.js';
import type { ImageId, ProvisionedRootfs } from '../index.js';
import type { ClaimOptions, PoolSizeOption, StopPoolOptions } from './pool-options.js';
import type { PoolStatus } from './pool-status.js';

/** A container that was ready, and is whoever's who has got it. */
export interface Claimed {
  readonly containerId: string;
  readonly image: ImageId | undefined;
  /** Of what is `created` and `generic`: it runs. */
  readonly launch?: Launched | undefined;
  /** Of a `rootfs`. */
  readonly root?: ProvisionedRootfs | undefined;
}

/** A pool of containers that are ready before they are asked for. */
export interface WarmPool {
  readonly name: string;
  /** How many are ready. By the time of the next call it may be another number. */
  readonly size: number;
  /** How many may be. */
  readonly capacity: number;
  /** How many are being made. */
  readonly creators: number;
  /**
   * One of them, which never comes back: it is the caller's to destroy. It was looked at less than a second ago.
   * @returns null when none was there in time: a miss
   * @throws ProvisionerError `ERR_POOL_STOPPED`, `ERR_ABORTED`, `ERR_BAD_OPTION`
   */
  get(options?: ClaimOptions): Promise<Claimed | null>;
  /** What went wrong since the last time that somebody asked; the newest thousand. */
  takeErrors(): unknown[];
  status(): PoolStatus;
  /** @throws ProvisionerError `ERR_BAD_OPTION` */
  resize(size: PoolSizeOption): void;
  /**
   * Ends the pool: nothing more is made, and what is ready is destroyed. Safe to repeat.
   * @returns how many were destroyed
   * @throws ProvisionerError `ERR_POOL_TIMEOUT` when something was being made for longer than the timeout; all the rest has been done then
   */
  stop(options?: StopPoolOptions): Promise<number>;
}
