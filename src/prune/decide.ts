import { mapUnhurried, unhurried } from '../base/unhurried.js';
import type { LayerId } from '../image/digest.js';
import type { ImageSummary } from '../metadata/metadata-manager.js';
import {
  type Keeper,
  type KeepReason,
  type Kept,
  keptBy,
  layerReasons,
  type StoreRecords,
  usedWithin,
} from './keepers.js';

export interface PrunePolicy {
  /** Keep images that were pulled or provisioned within this many milliseconds. Default: 0, none. */
  readonly keepUsedWithin?: number | undefined;
  /** Keep the most recently used images that fit, with all that is kept for other reasons, into so many bytes on disk. Default: 0. */
  readonly keepBytes?: number | undefined;
}

export interface JudgedImage {
  readonly id: string;
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly lastUsedAt: number;
  /** Disk use of its layers, other images' share included. */
  readonly bytes: number;
  /** Why it stays; none when it goes. */
  readonly reasons: readonly KeepReason[];
}

export interface JudgedLayer {
  readonly id: LayerId;
  /** Disk use, as `du` counts it. */
  readonly bytes: number;
  /** Why it stays; none when it goes. */
  readonly reasons: readonly KeepReason[];
}

export interface Decision {
  readonly images: readonly JudgedImage[];
  readonly layers: readonly JudgedLayer[];
}

/**
 * Decides what a prune takes: images that no keeper and no policy keeps, and layers that then nobody needs. Gives others
 * turns, for the records are copies: what they change meanwhile is no part of this decision, and is looked at when the decision is carried out.
 * @param now milliseconds since the epoch
 */
export async function decide(
  records: StoreRecords,
  keepers: readonly Keeper[],
  policy: PrunePolicy,
  now: number,
): Promise<Decision> {
  const kept = await keptBy([...keepers, usedWithin(policy.keepUsedWithin ?? 0)], records, now);
  const isKept = (image: ImageSummary) => kept.images.has(image.id);
  if (policy.keepBytes !== undefined && policy.keepBytes > 0) {
    const unkept = records.images.filter((image) => !isKept(image));
    const fixed = records.images.filter(isKept);
    for (const image of await fitting(unkept, fixed, kept, records, policy.keepBytes))
      kept.images.add(image.id, { kind: 'budget' });
  }
  const layers = await layerReasons(records.images.filter(isKept), kept.layers);
  return {
    images: await mapUnhurried(records.images, ({ id, names, lastUsedAt, bytes }) => {
      return { id, names, lastUsedAt, bytes, reasons: kept.images.get(id) };
    }),
    layers: await mapUnhurried(records.layers, ({ id, bytes }) => ({ id, bytes, reasons: layers.get(id) })),
  };
}

/** The most recently used of the images that nothing keeps which fit beside what is kept. One that does not fit makes room for older, smaller ones. */
async function fitting(
  unkept: readonly ImageSummary[],
  fixed: readonly ImageSummary[],
  kept: Kept,
  { layers }: StoreRecords,
  budget: number,
): Promise<ImageSummary[]> {
  const sizes = new Map<LayerId, number>();
  for await (const { id, bytes } of unhurried(layers)) sizes.set(id, bytes);
  const held = new Set<LayerId>();
  let bytes = 0;
  const hold = (id: LayerId) => {
    if (!held.has(id)) bytes += sizes.get(id) ?? 0;
    held.add(id);
  };
  for await (const { layers: ids } of unhurried(fixed)) ids.forEach(hold);
  for await (const [id] of unhurried(kept.layers)) hold(id);
  const fit: ImageSummary[] = [];
  for await (const image of unhurried([...unkept].sort((one, other) => other.useOrder - one.useOrder))) {
    const added = new Set(image.layers.filter((layer) => !held.has(layer)));
    const more = [...added].reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0);
    if (bytes + more > budget) continue;
    for (const layer of added) hold(layer);
    fit.push(image);
  }
  return fit;
}
