import { randomUUID } from 'node:crypto';
import type { FailedEntry } from '../base/failed-entry.js';
import type { LayerId } from '../image/digest.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import { PullTracker } from '../pulls/pull-tracker.js';
import { diffIdsOf } from './check-images.js';
import type { CheckNeeds } from './check-needs.js';
import { LayerHealer } from './heal-layers.js';
import { ParkedLayers } from './parked-layers.js';

/** What was got again. */
export interface RenewedLayers {
  readonly layers: readonly LayerId[];
  /** Containers that keep the old copies, which are parked until they are destroyed. */
  readonly parkedFor: readonly string[];
  /** What was staged and could not be taken away; the next recovery does. */
  readonly failed: readonly FailedEntry[];
}

/**
 * Gets those layers of an image again from where it came from that have no tar record and could have one, and puts them in the place of those that there are. Containers go on with what they show.
 * @throws what opening the source and unpacking throw; those that came before are in place then
 */
export async function renewLayers(
  needs: CheckNeeds,
  image: ImageRecord,
  stored: readonly LayerId[],
  signal: AbortSignal | undefined,
): Promise<RenewedLayers> {
  const layers = await withoutRecord(needs, image, stored);
  if (layers.length === 0) return { layers: [], parkedFor: [], failed: [] };
  const parked = new ParkedLayers(needs.paths, needs.metadata, needs.sweeper);
  const pullId = randomUUID();
  const tracker = new PullTracker({ pullId, emit: (progress) => needs.events.emit('layerProgress', progress) });
  const holders = new Map(layers.map((id) => [id, [image]]));
  const healer = new LayerHealer(needs, parked, holders, signal, { pullId, tracker });
  const started = performance.now();
  const told = { pullId, source: image.source, image: image.id };
  needs.events.emit('pullStarted', { ...told, layers: layers.length, bytes: -1 });
  const renewed: LayerId[] = [];
  const parkedFor = new Set<string>();
  const failed: FailedEntry[] = [];
  try {
    for (const id of layers) {
      for (const container of await healer.replace(id, image)) parkedFor.add(container);
      renewed.push(id);
    }
    needs.events.emit('pullFinished', { ...told, milliseconds: performance.now() - started });
  } catch (error) {
    needs.events.emit('pullFailed', { pullId, source: image.source, error });
    throw error;
  } finally {
    await tracker.close();
    failed.push(...(await healer.close()));
  }
  return { layers: renewed, parkedFor: [...parkedFor], failed };
}

/** Those that a tar record is missing of. A seam has none, whatever a release of before has noted. */
async function withoutRecord(
  { metadata }: CheckNeeds,
  image: ImageRecord,
  stored: readonly LayerId[],
): Promise<LayerId[]> {
  const own = diffIdsOf(image);
  const layers: LayerId[] = [];
  for (const id of stored) {
    const layer = await metadata.getLayer(id);
    if (layer === undefined || (layer.tar !== 'older' && layer.tar !== 'off')) continue;
    if (own === undefined || own.includes(id)) layers.push(id);
    else await metadata.changeLayer(id, { tar: 'seam' });
  }
  return layers;
}
