import { crashPoint } from '../../base/crash-points.js';
import type { LaunchRecord, Provisioner, PruneOptions, PruneReport } from '../../index.js';
import { readPlaceNote } from '../launches/kept/launch-notes.js';
import { askToHoldBack, forgetWarm, takeWarm, type WarmRecord, warmContainers } from './warm-records.js';

/**
 * Prunes the store, and keeps beside what is excluded the images of all containers that were launched. Those that wait in pools go before the bytes are exceeded that the policy keeps.
 * @param destroy a container, whatever runs in it @throws as `pruneImages` of the provisioner
 */
export async function pruneImages(
  provisioner: Provisioner,
  launches: readonly LaunchRecord[],
  excludedImages: readonly string[],
  options: PruneOptions,
  destroy: (containerId: string) => Promise<unknown>,
): Promise<PruneReport> {
  const warm = options.keepBytes === undefined ? [] : (await warmContainers(provisioner)).filter((one) => !one.isTaken);
  const waiting = new Map(warm.map((one) => [one.containerId, one]));
  const used = launches.filter(({ containerId }) => !waiting.has(containerId));
  const kept = [...excludedImages, ...used.flatMap(({ place }) => readPlaceNote(place)?.image ?? [])];
  if (waiting.size === 0) return provisioner.pruneImages(kept, options);
  const yielding = [...waiting.keys()];
  const planned = await provisioner.pruneImages(kept, { ...options, dryRun: true, yielding });
  if (options.dryRun === true) return planned;
  for (const containerId of planned.yielded) await makeRoom(provisioner, waiting.get(containerId), destroy);
  return { ...(await provisioner.pruneImages(kept, options)), yielded: planned.yielded };
}

async function makeRoom(
  provisioner: Provisioner,
  record: WarmRecord | undefined,
  destroy: (containerId: string) => Promise<unknown>,
): Promise<void> {
  // Somebody may have got it meanwhile: then it is in use.
  if (record === undefined || !(await takeWarm(provisioner, record.containerId))) return;
  await askToHoldBack(provisioner, record);
  crashPoint('pool.yielded');
  await destroy(record.containerId);
  await forgetWarm(provisioner, record.containerId);
}
