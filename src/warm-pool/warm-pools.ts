import { randomBytes } from 'node:crypto';
import type { Service } from '../base/assembly.js';
import { ProvisionerError } from '../base/errors.js';
import { checkArgument, checkOptions } from '../base/options/check-options.js';
import { takeOptions } from '../base/options/take-options.js';
import { type Clock, machineClock } from '../base/time/clock.js';
import { type Containerizer, openContainerizer } from '../containerizer/index.js';
import type { Provisioner } from '../index.js';
import { KeptPool } from './kept-pool.js';
import { Budget } from './pool/budget.js';
import {
  checkSpec,
  POOL_NAME,
  takeSize,
  WARM_POOL_SPEC,
  WARM_POOLS_OPTIONS,
  type WarmPoolSpec,
  type WarmPoolsOptions,
} from './pool-options.js';
import type { PoolStatus } from './pool-status.js';
import { destroyAbandoned } from './sources/do-away.js';
import type { WarmPool } from './warm-pool.js';

/** Time, and chance, that are handed in. */
export interface Surroundings {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly containerizer?: Containerizer | undefined;
}

/** Milliseconds between looks at what is ready: whoever gets one gets what was looked at within a second. */
const LOOK_AGAIN = 500;

/**
 * Keeps pools of containers that are ready before they are asked for, in this process: any number of them, each of one kind, under one budget. What waits is recorded like all other containers, so that it outlives this process: who begins the
 * pool of that name the next time takes it over, or destroys what has changed since.
 */
export class WarmPools {
  readonly #provisioner: Provisioner;
  readonly #containerizer: () => Promise<Containerizer>;
  readonly #surroundings: Surroundings;
  readonly #budget: Budget;
  readonly #tell: WarmPoolsOptions['tell'];
  readonly #pools = new Map<string, KeptPool>();
  readonly #beginning = new Map<string, Promise<WarmPool>>();
  /** Of pools that were stopped: what is under way still. */
  readonly #ending = new Set<Promise<void>>();
  #stopLooking: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  #isClosed = false;

  constructor(
    { provisioner, budget = {}, tell }: WarmPoolsOptions,
    containerizer: () => Promise<Containerizer>,
    surroundings: Surroundings,
  ) {
    this.#provisioner = provisioner;
    this.#containerizer = containerizer;
    this.#surroundings = surroundings;
    this.#budget = new Budget(budget);
    this.#tell = tell;
    this.#lookLater();
  }

  /**
   * Begins a pool, and fills it: nobody waits for that. What is left of one of that name, of this owner, is taken over where it is what is wanted, and destroyed where not.
   * @throws ProvisionerError `ERR_BAD_OPTION`, `ERR_POOL_RUNNING`, `ERR_CLOSED`, and as `openContainerizer`
   */
  async keep(name: string, spec: WarmPoolSpec): Promise<WarmPool> {
    checkArgument('keep', 'name', POOL_NAME, name);
    const own = takeOptions('keep', WARM_POOL_SPEC, spec);
    checkArgument('keep', 'image', WARM_POOL_SPEC.image, own.image);
    takeSize('keep', own.size);
    checkSpec(own);
    this.#requireOpen();
    if (this.#pools.has(name) || this.#beginning.has(name)) throw keptHere(name);
    const beginning = this.#begin(name, own);
    this.#beginning.set(name, beginning);
    return beginning.finally(() => this.#beginning.delete(name));
  }

  async #begin(name: string, spec: WarmPoolSpec): Promise<WarmPool> {
    const { clock, random } = this.#surroundings;
    const pool = await KeptPool.begin({
      ...{ name, spec, clock, random, budget: this.#budget, provisioner: this.#provisioner },
      containerizer: spec.kind === 'rootfs' ? undefined : await this.#containerizer(),
      newId: () => `${name}-${randomBytes(6).toString('hex')}`,
      tell: (event) => this.#told({ ...event, pool: name }),
      stopped: (ended) => {
        this.#pools.delete(name);
        this.#ending.add(ended);
        void ended.finally(() => this.#ending.delete(ended));
      },
    });
    if (!this.#isClosed) this.#pools.set(name, pool);
    else await pool.close();
    this.#requireOpen();
    return pool;
  }

  /** @throws ProvisionerError `ERR_POOL_NOT_FOUND` */
  pool(name: string): WarmPool {
    const pool = this.#pools.get(name);
    if (pool !== undefined) return pool;
    throw new ProvisionerError('ERR_POOL_NOT_FOUND', `there is no pool ${name} here`, {
      hint: this.#pools.size === 0 ? 'begin it with `keep`' : `there are: ${[...this.#pools.keys()].join(', ')}`,
      details: { pool: name },
    });
  }

  /** Of all that this process keeps, in the order in which they were begun. */
  status(): PoolStatus[] {
    return [...this.#pools.values()].map((pool) => pool.status());
  }

  /**
   * Destroys what waits, of this owner, in pools that nobody keeps any more: for whoever has begun all that he wants to go on with.
   * @returns the ids of those containers
   */
  async destroyAbandoned(): Promise<string[]> {
    this.#requireOpen();
    return destroyAbandoned(this.#provisioner, await this.#containerizer().catch(() => undefined));
  }

  #told(event: Parameters<NonNullable<WarmPoolsOptions['tell']>>[0]): void {
    try {
      this.#tell?.(event);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #lookLater(): void {
    const look = () => {
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined;
        if (!this.#isClosed) this.#lookLater();
      });
    };
    this.#stopLooking = this.#surroundings.clock.after(LOOK_AGAIN, look, true);
  }

  async #look(): Promise<void> {
    // Of what fails here the next look comes soon; when the store has been closed, none does.
    for (const pool of this.#pools.values()) await pool.look().catch(() => undefined);
    this.#budget.enforce();
    for (const pool of this.#pools.values()) await pool.record().catch(() => undefined);
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new ProvisionerError('ERR_CLOSED', 'the pools have been closed');
  }

  /** Makes no more, and gives nobody anything. What is ready stays, for whoever begins those pools the next time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopLooking?.();
    await this.#looking;
    await Promise.allSettled(this.#beginning.values());
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()));
    await Promise.all(this.#ending);
  }
}

/**
 * Pools of warm containers on a store. They are closed before the provisioner is.
 * @param surroundings for tests @throws ProvisionerError `ERR_BAD_OPTION`, `ERR_CLOSED`
 */
export async function openWarmPools(
  options: WarmPoolsOptions,
  surroundings: Surroundings = { clock: machineClock(), random: Math.random },
): Promise<WarmPools> {
  checkOptions('openWarmPools', WARM_POOLS_OPTIONS, options);
  checkArgument('openWarmPools', 'provisioner', WARM_POOLS_OPTIONS.provisioner, options.provisioner);
  const { provisioner } = options;
  const open = async () => surroundings.containerizer ?? openContainerizer({ provisioner });
  // Opened before the pools are, so that it is closed after them. Where nothing can be run there are root filesystems still.
  const opening = open();
  await opening.catch(() => undefined);
  const service: Service<Provisioner, WarmPools> = {
    open: () => new WarmPools(options, () => opening, surroundings),
    close: (pools) => pools.close(),
  };
  return provisioner.use(service);
}

function keptHere(name: string): ProvisionerError {
  return new ProvisionerError('ERR_POOL_RUNNING', `the pool ${name} is kept already, by this process`, {
    hint: 'change its size with `resize`, or stop it first',
    details: { pool: name, pid: process.pid },
  });
}
