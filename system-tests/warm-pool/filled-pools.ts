import { vi } from 'vitest';
import { type Claimed, openWarmPools, type WarmPool, type WarmPoolSpec, type WarmPools } from '#src/warm-pool/index.js';
import type { Surroundings } from '#src/warm-pool/warm-pools.js';
import { type ContainerStore, IMAGE, sh, storeWithBusybox } from '../helpers/containers.js';

/** Kinds of what waits, as options of `keep`. */
export const KINDS = {
  created: { image: IMAGE, launch: sh('echo whole; sleep 60'), size: 2 },
  generic: { kind: 'generic', image: IMAGE, size: 2 },
  frozen: { kind: 'generic', frozen: true, image: IMAGE, size: 2 },
  rootfs: { kind: 'rootfs', image: IMAGE, size: 2 },
} as const satisfies Record<string, WarmPoolSpec>;

/** Milliseconds after which each that waits has been looked at once more. */
export const LOOKED_AT = 1200;

export interface FilledPool extends ContainerStore {
  readonly pools: WarmPools;
  readonly pool: WarmPool;
  /** What has become of those that waited, as `broken it is gone`. */
  readonly retired: string[];
  /** Ids of those that wait, sorted. */
  waiting(): Promise<string[]>;
}

/** A store of its own with a pool `work` that is full. */
export async function filledPool(spec: WarmPoolSpec, surroundings?: Surroundings): Promise<FilledPool> {
  const store = await storeWithBusybox();
  const retired: string[] = [];
  const pools = await openWarmPools(
    {
      provisioner: store.provisioner,
      tell: (event) => {
        if (event.kind === 'retired') retired.push(`${event.reason} ${event.detail ?? ''}`.trim());
      },
    },
    ...(surroundings === undefined ? [] : [surroundings]),
  );
  const pool = await pools.keep('work', spec);
  await full(pool);
  const waiting = async () => (await store.provisioner.holdings.list({ kind: 'warm' })).map(({ name }) => name);
  return { ...store, pools, pool, retired, waiting };
}

export async function full(pool: WarmPool): Promise<void> {
  await vi.waitFor(
    () => {
      if (pool.size < pool.capacity || pool.creators > 0) throw new Error(`${pool.size} are ready`);
    },
    { timeout: 10_000, interval: 5 },
  );
}

/** So many of a pool. */
export async function claim(pool: WarmPool, count: number): Promise<Claimed[]> {
  const claimed: Claimed[] = [];
  for (let n = 0; n < count; n++) {
    const one = await pool.get({ timeout: 10_000 });
    if (one === null) throw new Error('none came');
    claimed.push(one);
  }
  return claimed;
}

/** The line of an OtherProcess that has opened pools, and keeps `work`, which is full. */
export const keeperOf = (spec: WarmPoolSpec) => `
  const { openWarmPools } = await import('${new URL('../../dist/warm-pool.js', import.meta.url).href}');
  const pools = await openWarmPools({ provisioner: p });
  const pool = await pools.keep('work', ${JSON.stringify(spec)});
  while (pool.size < 2) await sleep(5);
`;
