import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { crashPoint } from '../base/crash-points.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { unhurried } from '../base/unhurried.js';
import { readNames } from '../files/tree/read-names.js';
import { digestHex, type ImageId, type LayerId } from '../image/digest.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import { layerOfDirectory } from '../paths.js';
import { UnrecordedLayers, type UnrecordedLayersParts } from './unrecorded-layers.js';

export interface ReconciledLayers {
  /** Recorded without a directory: forgotten, with the images that need them. */
  readonly forgottenLayers: readonly LayerId[];
  readonly forgottenImages: readonly ImageId[];
  /** Directories without a record, retired. */
  readonly retired: readonly string[];
  /** Directories without a record that may be in use, and why, as a clause: left alone. */
  readonly kept: readonly { readonly path: string; readonly reason: string }[];
  /** Directories without a record that could not be retired, and stay where they are. */
  readonly failed: readonly FailedEntry[];
  /** Names under `layers/` that no store of ours would have made: left alone. */
  readonly foreign: readonly string[];
}

/** Layers that are forgotten at a time: some milliseconds. */
const FORGOTTEN_AT_ONCE = 100;

/**
 * Makes the records and the directories under `layers/` agree. Call it with the store's lock held alone: then no prune is between the records and
 * the renames. A pull may be; its claim protects the directory that it has not recorded yet. Others of this process have turns meanwhile, and pulls are all
 * that they can do to layers.
 */
export async function reconcileLayers(parts: UnrecordedLayersParts): Promise<ReconciledLayers> {
  const { paths, metadata } = parts;
  // The records first: a pull renames before it records, so what is recorded now stands on disk when that is looked at. The other way round, a layer
  // that a pull stores in between would be recorded and not found.
  const recorded = await metadata.listLayers();
  const found = new Map<string, LayerId>();
  const foreign: string[] = [];
  for await (const name of unhurried(await readNames(paths.layers))) {
    const id = layerOfDirectory(name);
    const status = id === undefined ? undefined : lstatSync(join(paths.layers, name), { throwIfNoEntry: false });
    if (id !== undefined && status?.isDirectory()) found.set(name, id);
    else if (id === undefined || status !== undefined) foreign.push(join(paths.layers, name));
  }
  // What is left then has no record.
  const forgottenLayers: LayerId[] = [];
  for await (const { id } of unhurried(recorded)) if (!found.delete(digestHex(id))) forgottenLayers.push(id);
  const forgottenImages = await forgetLayers(forgottenLayers, metadata);
  crashPoint('recover.layersForgotten');

  const retired: string[] = [];
  const kept: { path: string; reason: string }[] = [];
  const failed: FailedEntry[] = [];
  const unrecorded = new UnrecordedLayers(parts);
  for await (const id of unhurried(found.values())) {
    const path = paths.layer(id);
    try {
      const retirement = await unrecorded.retire(id);
      if (retirement.state === 'retired') retired.push(path);
      if (retirement.state === 'kept') kept.push({ path, reason: retirement.reason });
    } catch (error) {
      failed.push(failedEntry(error, 'take away a layer that no record names', path));
    }
  }
  return { forgottenLayers, forgottenImages, retired, kept, failed, foreign };
}

/** Each portion by itself leaves no image without its layers, so a crash between two of them is one that came before. */
async function forgetLayers(layers: readonly LayerId[], metadata: MetadataManager): Promise<ImageId[]> {
  const images: ImageId[] = [];
  for (let at = 0; at < layers.length; at += FORGOTTEN_AT_ONCE) {
    for (const image of await metadata.forgetLayers(layers.slice(at, at + FORGOTTEN_AT_ONCE))) images.push(image);
    await setImmediate();
  }
  return images;
}
