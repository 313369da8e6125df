import {
  type Containerizer,
  destroyWarm,
  takeWarm,
  takeWarmOfDead,
  type WarmRecord,
  warmContainers,
} from '../../containerizer/index.js';
import type { Provisioner } from '../../index.js';
import { forgetDeadKeepers, listPools } from '../pool-status.js';

/**
 * Destroys a container that waits and that nobody wants any more, and forgets it. What was handed out, or started by its id, is somebody's, and is forgotten alone.
 * @param containerizer undefined where nothing can be run, and so nothing was
 * @returns whether it was destroyed
 */
export async function doAway(
  provisioner: Provisioner,
  containerizer: Containerizer | undefined,
  record: WarmRecord,
): Promise<boolean> {
  const { containerId, isTaken } = record;
  // Somebody may be just beginning the pool that it is in; and it may have been handed out since its record was read.
  const take = isTaken ? takeWarmOfDead : takeWarm;
  if (!(await take(provisioner, containerId))) return false;
  const places = containerizer ?? {
    get: async () => undefined,
    destroy: provisioner.destroy.bind(provisioner),
  };
  return destroyWarm(provisioner, places, record);
}

/** Destroys what waits, of this owner, in pools that nobody keeps. @returns the ids of those containers */
export async function destroyAbandoned(
  provisioner: Provisioner,
  containerizer: Containerizer | undefined,
): Promise<string[]> {
  // These first: what somebody has taken who keeps no pool by the time that pools are looked at is nobody's.
  const records = await warmContainers(provisioner);
  const pools = await listPools(provisioner);
  const kept = pools.filter(({ isKept }) => isKept);
  const isKept = ({ pool, owner }: WarmRecord) => kept.some((one) => one.pool === pool && one.owner === owner);
  const destroyed: string[] = [];
  for (const record of records) {
    if (record.owner !== provisioner.owner || isKept(record)) continue;
    if (await doAway(provisioner, containerizer, record)) destroyed.push(record.containerId);
  }
  await forgetDeadKeepers(provisioner);
  return destroyed;
}
