import { crashPoint } from '../../base/crash-points.js';
import type { LaunchRecord, Provisioner, PruneOptions, PruneReport } from '../../index.js';
import { readPlaceNote } from '../launches/kept/launch-notes.js';
import { destroyWarm, type WarmPlaces } from './destroy-warm.js';
import { askToHoldBack, takeWarm, type WarmRecord, warmContainers } from './warm-records.js';

/**
 * Prunes the store, and keeps beside what is excluded the images of all containers that were launched. Those that wait in pools go before the bytes are exceeded that the policy keeps.
 * @param containers that those which wait are among @throws as `pruneImages` of the provisioner
 */
export async function pruneImages(
  provisioner: Provisioner,
  launches: readonly LaunchRecord[],
  excludedImages: readonly string[],
  options: PruneOptions,
  containers: WarmPlaces,
): Promise<PruneReport> {
  const warm = options.keepBytes === undefined ? [] : (await warmContainers(provisioner)).filter((one) => !one.isTaken);
  const waiting = new Map(warm.map((one) => [one.containerId, one]));
  const used = launches.filter(({ containerId }) => !waiting.has(containerId));
  const kept = [...excludedImages, ...used.flatMap(({ place }) => readPlaceNote(place)?.image ?? [])];
  if (waiting.size === 0) return provisioner.pruneImages(kept, options);
  const yielding = [...waiting.keys()];
  const planned = await provisioner.pruneImages(kept, { ...options, dryRun: true, yielding });
  if (options.dryRun === true) return planned;
  const yielded: string[] = [];
  for (const containerId of planned.yielded) {
    if (await makeRoom(provisioner, waiting.get(containerId), containers)) yielded.push(containerId);
  }
  return { ...(await provisioner.pruneImages(kept, options)), yielded };
}

/** @returns whether it was destroyed */
async function makeRoom(
  provisioner: Provisioner,
  record: WarmRecord | undefined,
  containers: WarmPlaces,
): Promise<boolean> {
  // Somebody may have got it meanwhile: then it is in use.
  if (record === undefined || !(await takeWarm(provisioner, record.containerId))) return false;
  // Before it is gone: whoever keeps the pool sees that first, then.
  await askToHoldBack(provisioner, record);
  crashPoint('pool.yielded');
  // Whoever's they are.
  const places: WarmPlaces = {
    get: (id) => containers.get(id),
    destroy: (id, how) => containers.destroy(id, { ...how, anyOwner: true }),
  };
  return destroyWarm(provisioner, places, record);
}
