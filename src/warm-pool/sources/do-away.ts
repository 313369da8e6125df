import {
  type Containerizer,
  forgetWarm,
  takeWarm,
  type WarmRecord,
  warmContainers,
} from '../../containerizer/index.js';
import { isProvisionerError, type Provisioner } from '../../index.js';
import { forgetDeadKeepers, listPools } from '../pool-status.js';

/**
 * Destroys a container that waits and that nobody wants any more, and forgets it. What was handed out, or started by its id, is somebody's, and is forgotten alone.
 * @param containerizer undefined where nothing can be run, and so nothing was
 * @returns whether it was destroyed
 */
export async function doAway(
  provisioner: Provisioner,
  containerizer: Containerizer | undefined,
  { containerId, kind, isTaken }: WarmRecord,
): Promise<boolean> {
  // Somebody may be just beginning the pool that it is in.
  if (!isTaken && !(await takeWarm(provisioner, containerId))) return false;
  const state = (await containerizer?.get(containerId))?.state;
  // One that was taken, and never let go: whoever took it has died.
  const waits = state === 'created' || state === 'starting';
  const isOurs = waits || (!isTaken && kind !== 'created');
  let isDestroyed = false;
  if (isOurs || !isTaken) {
    const running = isOurs ? 'kill' : 'refuse';
    try {
      isDestroyed = await (containerizer ?? provisioner).destroy(containerId, { running });
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_CONTAINER_RUNNING')) throw error;
    }
  }
  await forgetWarm(provisioner, containerId);
  return isDestroyed;
}

/** Destroys what waits, of this owner, in pools that nobody keeps. @returns the ids of those containers */
export async function destroyAbandoned(
  provisioner: Provisioner,
  containerizer: Containerizer | undefined,
): Promise<string[]> {
  const pools = await listPools(provisioner);
  const kept = pools.filter(({ isKept }) => isKept);
  const isKept = ({ pool, owner }: WarmRecord) => kept.some((one) => one.pool === pool && one.owner === owner);
  const destroyed: string[] = [];
  for (const record of await warmContainers(provisioner)) {
    if (record.owner !== provisioner.owner || isKept(record)) continue;
    if (await doAway(provisioner, containerizer, record)) destroyed.push(record.containerId);
  }
  await forgetDeadKeepers(provisioner);
  return destroyed;
}
