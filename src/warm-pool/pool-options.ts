import { ProvisionerError } from '../base/errors.js';
import {
  abortSignal,
  callback,
  checkArgument,
  flag,
  limit,
  methods,
  milliseconds,
  type OptionTable,
  oneOf,
  optionsOf,
  type Rule,
  textOf,
  whole,
} from '../base/options/check-options.js';
import { CREATE_OPTIONS, type CreateOptions } from '../containerizer/index.js';
import type { Provisioner } from '../index.js';
import type { PoolBudget } from './pool/budget.js';
import type { PoolLimits } from './pool/pool-setup.js';
import type { PoolEvent } from './pool/pool-source.js';
import type { Growth, PoolSize } from './pool/sizing.js';
import type { GetOptions } from './pool/waiters.js';

/**
 * What is kept ready. `created`: its command is known, and the runtime has made everything; it waits at its gate, and runs as soon as it is had. `generic`: it runs, with its command or, where none is said, with a small init that
 * waits, and what it is for comes by `exec`. `rootfs`: a root filesystem alone.
 */
export type PoolKind = 'created' | 'generic' | 'rootfs';

/** A number is how many are kept, at least 2. */
export type PoolSizeOption = number | PoolSize;

export interface WarmPoolSpec {
  /** Default: `created`. */
  readonly kind?: PoolKind | undefined;
  /** As of a launch. When its name comes to lead to another image, that is taken from then on. */
  readonly image: string;
  /** As of a launch; of a `rootfs` its `provision` alone. What is generic has no `timeout`. */
  readonly launch?: Omit<CreateOptions, 'signal'> | undefined;
  readonly size: PoolSizeOption;
  /** Milliseconds for which one may wait, about; then it is replaced. Default: for ever. */
  readonly ttl?: number | undefined;
  /** What is generic stands still while it waits, and takes no processor. Default: false. */
  readonly frozen?: boolean | undefined;
  readonly limits?: PoolLimits | undefined;
}

export interface WarmPoolsOptions {
  readonly provisioner: Provisioner;
  /** For all pools together. Default: no limit. */
  readonly budget?: PoolBudget | undefined;
  /** Is told what happens. What it throws is nobody's error but its author's. */
  readonly tell?: ((event: WarmPoolEvent) => void) | undefined;
}

export type WarmPoolEvent = PoolEvent & { readonly pool: string };

export interface ClaimOptions extends GetOptions {
  /** What its program prints can be read of its `output`, as of a launch; of what is `created` alone. Default: false. */
  readonly attach?: boolean | undefined;
}

export interface StopPoolOptions {
  /** Milliseconds to wait for those that are being made. Default: 0: they are given up, and what still comes of them is destroyed. */
  readonly timeout?: number | undefined;
}

const count = whole(0, 10_000);
const time = milliseconds(Number.MAX_SAFE_INTEGER);

const GROWTH = optionsOf<Growth>({ misses: whole(1, 10_000), within: time, by: whole(1, 10_000), keepFor: time });
const SIZE_OBJECT = optionsOf<PoolSize>({ min: count, max: count, grow: GROWTH }, 'min', 'max');
const SIZE: Rule = {
  meant:
    'a whole number of at least 2, or an object with min and max, of which max is at least 2 and min not more than that',
  holds: (value) => sizeOf(value as PoolSizeOption) !== undefined,
  shown: true,
};
const LIMITS = optionsOf<PoolLimits>({
  atATime: whole(1, 1000),
  timeLimit: milliseconds(),
  errors: whole(1, 1_000_000),
  window: time,
});

/** @returns undefined for what can be none */
function sizeOf(given: PoolSizeOption): PoolSize | undefined {
  const { min, max, grow } = typeof given === 'number' ? { min: given, max: given, grow: undefined } : Object(given);
  const areCounts = count.holds(min) && count.holds(max);
  return areCounts && max >= 2 && min <= max ? { min, max, grow } : undefined;
}

/** @throws ProvisionerError `ERR_BAD_OPTION` */
export function takeSize(call: string, given: PoolSizeOption): PoolSize {
  if (typeof given === 'object') checkArgument(call, 'size', SIZE_OBJECT, given);
  checkArgument(call, 'size', SIZE, given);
  return sizeOf(given) as PoolSize;
}

export const POOL_NAME: Rule = {
  meant: 'the name of a pool: letters, digits and _ . - after the first one, 64 at most',
  holds: (value) => typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(value),
  shown: true,
};

type Launch = NonNullable<WarmPoolSpec['launch']>;
const LAUNCH = Object.fromEntries(
  Object.entries(CREATE_OPTIONS).filter(([name]) => name !== 'signal'),
) as OptionTable<Launch>;

export const WARM_POOL_SPEC: OptionTable<WarmPoolSpec> = {
  kind: oneOf('created', 'generic', 'rootfs'),
  image: textOf(1, 4096),
  // Now, and not when the first one is made: nobody is there then who would be told.
  launch: optionsOf<Launch>(LAUNCH),
  size: SIZE,
  ttl: { ...time, meant: 'a number of milliseconds above 0', holds: (value) => time.holds(value) && value !== 0 },
  frozen: flag,
  limits: LIMITS,
};
export const WARM_POOLS_OPTIONS: OptionTable<WarmPoolsOptions> = {
  provisioner: methods('use', 'provision'),
  budget: optionsOf<PoolBudget>({ containers: limit, memoryBytes: limit, diskBytes: limit }),
  tell: callback,
};
export const CLAIM_OPTIONS: OptionTable<ClaimOptions> = {
  timeout: {
    meant: 'a number of milliseconds from 0 to 2147483647, or Infinity',
    holds: (value) => value === Number.POSITIVE_INFINITY || milliseconds().holds(value),
    shown: true,
  },
  attach: flag,
  signal: abortSignal,
};
export const STOP_POOL_OPTIONS: OptionTable<StopPoolOptions> = { timeout: milliseconds() };

/** @throws ProvisionerError `ERR_BAD_OPTION` for what does not go together */
export function checkSpec({ kind = 'created', frozen, launch = {} }: WarmPoolSpec): void {
  if (frozen === true && kind !== 'generic')
    throw bad('frozen', 'only what is generic can stand still: the others run nothing');
  if (kind === 'generic' && launch.timeout !== undefined) {
    throw bad(
      'launch.timeout',
      'what is generic has no timeout, which would pass while it waits',
      'give each `exec` one',
    );
  }
  const others = Object.keys(launch).filter((name) => name !== 'provision');
  if (kind === 'rootfs' && others.length > 0) {
    throw bad(
      `launch.${others[0]}`,
      `nothing is launched in a root filesystem alone, so launch.${others[0]} says nothing`,
    );
  }
}

function bad(option: string, message: string, hint?: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `keep: ${message}`, {
    ...(hint === undefined ? {} : { hint }),
    details: { call: 'keep', option },
  });
}
