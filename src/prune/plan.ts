import { filterUnhurried, mapUnhurried } from '../base/unhurried.js';
import type { ImageId, LayerId } from '../image/digest.js';
import type { Decision } from './decide.js';

/** What a prune would take, to be looked at, kept in a file, and carried out later. */
export interface PrunePlan {
  readonly version: 1;
  /** Milliseconds since the epoch. */
  readonly madeAt: number;
  readonly images: readonly { readonly id: ImageId; readonly names: readonly string[]; readonly lastUsedAt: number }[];
  readonly layers: readonly { readonly id: LayerId; readonly bytes: number }[];
  /** What it frees. */
  readonly bytes: number;
}

/** Gives others turns. */
export async function makePlan(decision: Decision, now: number): Promise<PrunePlan> {
  const images = decision.images.filter((image) => image.reasons.length === 0);
  const layers = await filterUnhurried(decision.layers, (layer) => layer.reasons.length === 0);
  return {
    version: 1,
    madeAt: now,
    images: images.map(({ id, names, lastUsedAt }) => ({ id, names, lastUsedAt })),
    layers: await mapUnhurried(layers, ({ id, bytes }) => ({ id, bytes })),
    bytes: layers.reduce((sum, layer) => sum + layer.bytes, 0),
  };
}
