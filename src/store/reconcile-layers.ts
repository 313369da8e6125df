import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crashPoint } from '../crash-points.js';
import { digestHex, type ImageId, type LayerId } from '../image/digest.js';
import { isAlive, newIdentity } from '../locks/process-identity.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import type { Sweeper } from './sweeper.js';

export interface ReconciledLayers {
  /** Recorded without a directory: forgotten, with the images that need them. */
  readonly forgottenLayers: readonly LayerId[];
  readonly forgottenImages: readonly ImageId[];
  /** Directories without a record, retired. */
  readonly retired: readonly string[];
  /** Names under `layers/` that no store of ours would have made: left alone. */
  readonly foreign: readonly string[];
}

/**
 * Makes the records and the directories under `layers/` agree. Call it with the store's lock held alone: then no prune is between the records and
 * the renames. A pull may be; its claim protects the directory that it has not recorded yet.
 * @param keepUnrecorded leaves directories without a record where they are
 */
export async function reconcileLayers(
  paths: StorePaths,
  metadata: MetadataManager,
  sweeper: Sweeper,
  keepUnrecorded: boolean,
): Promise<ReconciledLayers> {
  // The records first: a pull renames before it records, so what is recorded now stands on disk when that is looked at. The other way round, a layer
  // that a pull stores in between would be recorded and not found.
  const recorded = await metadata.listLayers();
  const entries = await readdir(paths.layers, { withFileTypes: true });
  const found = new Set(entries.filter(isLayer).map((entry) => entry.name));
  const forgottenLayers = recorded.filter((layer) => !found.has(digestHex(layer.id))).map((layer) => layer.id);
  const forgottenImages = await metadata.forgetLayers(forgottenLayers);
  crashPoint('recover.layersForgotten');

  const known = new Set(recorded.map((layer) => digestHex(layer.id)));
  const retired: string[] = [];
  if (!keepUnrecorded) {
    const identity = newIdentity();
    for (const name of found) {
      if (known.has(name)) continue;
      const id: LayerId = `sha256:${name}`;
      const claim = await metadata.claimLayer(id, identity, isAlive);
      if (claim.state !== 'claimed') continue;
      const path = join(paths.layers, name);
      try {
        sweeper.retire(path, name);
        retired.push(path);
      } finally {
        await metadata.releaseLayerClaims(identity, [id]);
      }
    }
  }
  const foreign = entries.filter((entry) => !isLayer(entry)).map((entry) => join(paths.layers, entry.name));
  return { forgottenLayers, forgottenImages, retired, foreign };
}

function isLayer(entry: Dirent): boolean {
  return entry.isDirectory() && /^[0-9a-f]{64}$/.test(entry.name);
}
