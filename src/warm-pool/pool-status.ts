import { forgetHoldBacks, type PoolRecord, poolRecords, WARM_POOL } from '../containerizer/index.js';
import type { Provisioner } from '../index.js';
import type { Cost, PoolCounts } from './pool/pool-source.js';
import type { PoolKind } from './pool-options.js';

/** The numbers of a pool. Times are milliseconds, and those of the epoch where they end in `At` or `Until`. */
export interface PoolStatus extends Readonly<PoolCounts> {
  readonly pool: string;
  readonly owner: string;
  readonly kind: PoolKind;
  readonly image: string;
  /** 64 hex digits. */
  readonly key: string;
  readonly min: number;
  readonly max: number;
  /** So many are to be ready just now. */
  readonly target: number;
  readonly ready: number;
  readonly creators: number;
  /** Bytes that those which are ready take. */
  readonly cost: Cost;
  /** Of the last hundred that were made; undefined before the first one. */
  readonly creationTime?: { readonly median: number; readonly most: number } | undefined;
  readonly oldestAge?: number | undefined;
  /** Within the last hour. */
  readonly recentErrors: number;
  /** The newest, its first line. */
  readonly lastError?: string | undefined;
  readonly throttledUntil?: number | undefined;
  /** It had to make room, and makes nothing until somebody finds none. */
  readonly isHeldBack: boolean;
  readonly beganAt: number;
}

/** A pool as any process sees it. */
export interface PoolReport extends PoolRecord {
  /** As its keeper has told it last, about a second ago at most while he lives; undefined where he has not, or has stopped it. */
  readonly status: PoolStatus | undefined;
}

/** Pools of all owners, kept by whatever process or by nobody, sorted by name and owner. */
export async function listPools(provisioner: Pick<Provisioner, 'holdings'>): Promise<PoolReport[]> {
  return (await poolRecords(provisioner)) as PoolReport[];
}

/** What those had of this owner's pools who have died, and what was asked of them. */
export async function forgetDeadKeepers(provisioner: Pick<Provisioner, 'holdings' | 'owner'>): Promise<void> {
  const { holdings, owner } = provisioner;
  const all = await holdings.list({ kind: WARM_POOL });
  const isOwn = (name: string) => name.slice(name.indexOf(' ') + 1) === owner;
  await holdings.release(all.filter((one) => isOwn(one.name) && !holdings.isAlive(one)));
  await forgetHoldBacks(provisioner, new Set(all.filter((one) => holdings.isAlive(one)).map(({ name }) => name)));
}
