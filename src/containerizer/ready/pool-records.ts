import type { HoldingRecord, Provisioner } from '../../index.js';
import { poolName, type WarmRecord, warmContainers } from './warm-records.js';

/** Holdings of this kind are pools, by name and owner: each held by the process that keeps it. */
export const WARM_POOL = 'warm-pool';

/** A pool as any process sees it. */
export interface PoolRecord {
  readonly pool: string;
  readonly owner: string;
  /** Containers that wait, as they are recorded. */
  readonly containers: readonly WarmRecord[];
  /** Somebody who lives keeps it. What nobody keeps is taken over by whoever begins that pool the next time, or goes with a prune that needs the room. */
  readonly isKept: boolean;
  /** As its keeper has told it last, which only he knows the shape of; undefined where he has not, or has stopped it. */
  readonly status: unknown;
}

/** Pools of all owners, kept by whatever process or by nobody, sorted by name and owner. */
export async function poolRecords(provisioner: Pick<Provisioner, 'holdings'>): Promise<PoolRecord[]> {
  const { holdings } = provisioner;
  const kept = await holdings.list({ kind: WARM_POOL });
  const containers = (await warmContainers(provisioner)).filter(({ isTaken }) => !isTaken);
  const names = new Set([...kept.map(({ name }) => name), ...containers.map((one) => poolName(one))]);
  return [...names].sort().map((name) => {
    const [pool = '', ...owner] = name.split(' ');
    const holding = kept.find((one) => one.name === name);
    return {
      pool,
      owner: owner.join(' '),
      containers: containers.filter((one) => poolName(one) === name),
      isKept: holding !== undefined && holdings.isAlive(holding),
      status: toldIn(holding),
    };
  });
}

/** @returns undefined for what a later release may have written */
function toldIn(holding: HoldingRecord | undefined): unknown {
  try {
    const status: unknown = JSON.parse(holding?.details ?? 'null');
    return typeof Object(status).ready === 'number' ? status : undefined;
  } catch {
    return undefined;
  }
}
