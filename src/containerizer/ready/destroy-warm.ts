import { crashPoint } from '../../base/crash-points.js';
import { isProvisionerError } from '../../base/errors.js';
import type { Provisioner } from '../../index.js';
import type { DestroyContainerOptions, Launch } from '../containerizer.js';
import { forgetWarm, type WarmRecord } from './warm-records.js';

/** What is asked of containers to do away with one that waits. */
export interface WarmPlaces {
  get(containerId: string): Promise<Pick<Launch, 'state' | 'startedAt'> | undefined>;
  destroy(containerId: string, options: DestroyContainerOptions): Promise<boolean>;
}

/**
 * Destroys what waits, and forgets it: for whoever has taken it, or has found that who did has died. What was held at its gate and has been let go by its id is somebody's, also when it has ended since: it is forgotten alone.
 * Of the others nobody has anything: they are forgotten before they are given to anybody.
 * @returns whether it was destroyed
 */
export async function destroyWarm(
  provisioner: Pick<Provisioner, 'holdings'>,
  places: WarmPlaces,
  { containerId, kind }: Pick<WarmRecord, 'containerId' | 'kind'>,
): Promise<boolean> {
  const launch = kind === 'created' ? await places.get(containerId) : undefined;
  const isHis = launch?.startedAt !== undefined;
  // Somebody may let it go, or launch something in it, just now; what has been started here already is nobody's.
  const mayBecomeHis = kind === 'rootfs' || launch?.state === 'created';
  const isDestroyed = !isHis && (await destroyUnlessHis(places, containerId, mayBecomeHis));
  crashPoint('pool.destroyed');
  await forgetWarm(provisioner, containerId);
  return isDestroyed;
}

async function destroyUnlessHis(places: WarmPlaces, containerId: string, mayBecomeHis: boolean): Promise<boolean> {
  try {
    return await places.destroy(containerId, { running: mayBecomeHis ? 'refuse' : 'kill' });
  } catch (error) {
    if (mayBecomeHis && isProvisionerError(error, 'ERR_CONTAINER_RUNNING')) return false;
    throw error;
  }
}
