import { mapUnhurried, unhurried } from '../base/unhurried.js';
import type { LayerId } from '../image/digest.js';
import type { ImageSummary } from '../metadata/metadata-manager.js';
import type { Exclusion } from './exclusion.js';
import { imageKeepers, type KeepReason, layerKeepers, type StoreRecords } from './keepers.js';

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
 * Decides what a prune takes: images that neither the caller nor a pin nor a rootfs nor the policy keeps, and layers that then nobody needs. Gives others
 * turns, for the records are copies: what they change meanwhile is no part of this decision, and is looked at when the decision is carried out.
 * @param now milliseconds since the epoch
 */
export async function decide(
  records: StoreRecords,
  exclusion: Exclusion,
  policy: PrunePolicy,
  now: number,
): Promise<Decision> {
  const keepers = await imageKeepers(records);
  for await (const image of unhurried(records.images)) {
    const pattern = exclusion(image);
    if (pattern !== undefined) keepers.add(image.id, { kind: 'excluded', pattern });
    const { lastUsedAt } = image;
    const age = Math.max(0, now - lastUsedAt);
    if (age < (policy.keepUsedWithin ?? 0)) keepers.add(image.id, { kind: 'recent', lastUsedAt });
  }
  const isKept = (image: ImageSummary) => keepers.has(image.id);
  if (policy.keepBytes !== undefined && policy.keepBytes > 0) {
    const others = records.images.filter((image) => !isKept(image));
    const kept = records.images.filter(isKept);
    for (const image of await fitting(others, kept, records, policy.keepBytes))
      keepers.add(image.id, { kind: 'budget' });
  }
  const layers = await layerKeepers(records, records.images.filter(isKept));
  return {
    images: await mapUnhurried(records.images, ({ id, names, lastUsedAt, bytes }) => {
      return { id, names, lastUsedAt, bytes, reasons: keepers.get(id) };
    }),
    layers: await mapUnhurried(records.layers, ({ id, bytes }) => ({ id, bytes, reasons: layers.get(id) })),
  };
}

/** The most recently used of the others that fit beside what is kept. One that does not fit makes room for older, smaller ones. */
async function fitting(
  others: readonly ImageSummary[],
  kept: readonly ImageSummary[],
  { layers, containers, leases }: StoreRecords,
  budget: number,
): Promise<ImageSummary[]> {
  const sizes = new Map<LayerId, number>();
  for await (const { id, bytes } of unhurried(layers)) sizes.set(id, bytes);
  const rootfses = containers.flatMap((container) => container.rootfses);
  const held = new Set<LayerId>();
  let bytes = 0;
  for await (const { layers: ids } of unhurried([...kept, ...rootfses, ...leases])) {
    for (const id of ids) {
      if (!held.has(id)) bytes += sizes.get(id) ?? 0;
      held.add(id);
    }
  }
  const fit: ImageSummary[] = [];
  for await (const image of unhurried([...others].sort((one, other) => other.useOrder - one.useOrder))) {
    const added = new Set(image.layers.filter((layer) => !held.has(layer)));
    const more = [...added].reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0);
    if (bytes + more > budget) continue;
    for (const layer of added) held.add(layer);
    bytes += more;
    fit.push(image);
  }
  return fit;
}
