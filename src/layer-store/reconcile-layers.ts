import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../base/crash-points.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { unhurried } from '../base/unhurried.js';
import { readNames } from '../files/tree/read-names.js';
import { digestHex, type ImageId, type LayerId } from '../image/digest.js';
import { layerOfDirectory } from '../paths.js';
import type { ShortHolds } from '../system/locks/short-holds.js';
import { UnrecordedLayers, type UnrecordedLayersNeeds } from './unrecorded-layers.js';

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

/** Layers that are looked at again, and forgotten, at a time: some milliseconds. */
const FORGOTTEN_AT_ONCE = 100;
/** Layers that are claimed at a time, so that a pull that wants one of them waits no longer than these take. */
const CLAIMED_AT_ONCE = 100;

/** In what the records and the directories under `layers/` seem to differ. */
interface LayerDifferences {
  /** Recorded, without a directory. */
  readonly missing: readonly LayerId[];
  /** A directory, without a record. */
  readonly unrecorded: readonly LayerId[];
  readonly foreign: readonly string[];
}

/**
 * Makes the records and the directories under `layers/` agree. They are compared while others go on; what seems to differ is looked at again with the store's
 * lock held alone, for a moment at a time: then no prune is between the records and the renames. A pull may be; its claim protects the directory that it has not
 * recorded yet.
 * @param holds of the store's lock
 */
export async function reconcileLayers(
  needs: UnrecordedLayersNeeds,
  holds: ShortHolds,
  signal?: AbortSignal,
): Promise<ReconciledLayers> {
  const { missing, unrecorded, foreign } = await compare(needs);
  const forgotten = await forgetMissing(missing, needs, holds, signal);
  crashPoint('recover.layersForgotten');
  const retired: string[] = [];
  const kept: { path: string; reason: string }[] = [];
  const failed: FailedEntry[] = [];
  for (let at = 0; at < unrecorded.length; at += CLAIMED_AT_ONCE) {
    const layers = new UnrecordedLayers(needs);
    const claimed = await layers.claim(unrecorded.slice(at, at + CLAIMED_AT_ONCE));
    try {
      if (claimed.length > 0) await layers.lookAhead();
      const retire = async ([id]: readonly LayerId[]) => {
        if (id === undefined) return;
        const path = needs.paths.layer(id);
        try {
          const retirement = await layers.retireClaimed(id);
          if (retirement.state === 'retired') retired.push(path);
          if (retirement.state === 'kept') kept.push({ path, reason: retirement.reason });
        } catch (error) {
          failed.push(failedEntry(error, 'take away a layer that no record names', path));
        }
      };
      await holds.over(claimed, 1, retire, signal);
    } finally {
      await layers.release(claimed);
    }
  }
  return { ...forgotten, retired, kept, failed, foreign };
}

async function compare({ paths, metadata }: UnrecordedLayersNeeds): Promise<LayerDifferences> {
  // The records first: a pull renames before it records, so what is recorded now stands on disk when that is looked at. The other way round, each layer
  // that a pull stores in between would seem to be missing.
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
  const missing: LayerId[] = [];
  for await (const { id } of unhurried(recorded)) if (!found.delete(digestHex(id))) missing.push(id);
  return { missing, unrecorded: [...found.values()], foreign };
}

/** Each portion by itself leaves no image without its layers, so a crash between two of them is one that came before. */
async function forgetMissing(
  missing: readonly LayerId[],
  { paths, metadata }: UnrecordedLayersNeeds,
  holds: ShortHolds,
  signal: AbortSignal | undefined,
): Promise<Pick<ReconciledLayers, 'forgottenLayers' | 'forgottenImages'>> {
  const forgottenLayers: LayerId[] = [];
  const forgottenImages: ImageId[] = [];
  const forget = async (portion: readonly LayerId[]) => {
    // A prune may have taken them meanwhile, records and all, and a pull stored them again.
    const unrecorded = new Set(await metadata.missingLayers(portion));
    const gone = portion.filter((id) => !unrecorded.has(id) && !isDirectory(paths.layer(id)));
    for (const image of await metadata.forgetLayers(gone)) forgottenImages.push(image);
    for (const id of gone) forgottenLayers.push(id);
  };
  await holds.over(missing, FORGOTTEN_AT_ONCE, forget, signal);
  return { forgottenLayers, forgottenImages };
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
