import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import { filterUnhurried, mapUnhurried } from '../base/unhurried.js';
import { beginsWith, type Digest, digestHex, digestPrefix } from '../image/digest.js';
import type { ImageRecord, LayerRecord } from '../metadata/metadata-manager.js';
import { type Keeper, type KeepReason, keptBy, layerReasons, type StoreRecords } from './keepers.js';

/** What keeps an image or a layer. */
export interface Explanation {
  readonly kind: 'image' | 'layer';
  readonly id: string;
  /** Of an image. */
  readonly names: readonly string[];
  /** Disk use in bytes; of an image, its layers', other images' share included. */
  readonly bytes: number;
  /** None: the next prune takes it, unless it is excluded or the policy keeps it. */
  readonly reasons: readonly ExplainedReason[];
}

/** A reason, and for an image that holds a layer, what keeps that image. */
export type ExplainedReason = KeepReason & { readonly because?: readonly KeepReason[] };

/**
 * @param thing an image's name or id, a layer's id, or the first digits of one
 * @param now milliseconds since the epoch
 * @param findImage throws what `provisioner inspect` would for a thing that is no image
 * @throws ProvisionerError what `findImage` throws, when it is no layer either; `ERR_IMAGE_AMBIGUOUS`
 */
export async function explain(
  thing: string,
  records: StoreRecords,
  keepers: readonly Keeper[],
  now: number,
  findImage: () => Promise<ImageRecord>,
): Promise<Explanation> {
  const explainImage = async ({ id, names, bytes }: ImageRecord): Promise<Explanation> => {
    const { images } = await keptBy(keepers, records, now);
    return { kind: 'image', id, names, bytes, reasons: images.get(id) };
  };
  const layers = await layersNamed(thing, records);
  const [layer] = layers;
  if (layer === undefined) return explainImage(await findImage());
  const image = isWhole(thing, layer.id) ? undefined : await foundOrNot(findImage);
  // A name such as `cafe` could be digits too, and names come first, as everywhere.
  if (image !== undefined && !isPrefix(thing, image.id)) return explainImage(image);
  if (image !== undefined || layers.length > 1) throw ambiguous(thing);
  const kept = await keptBy(keepers, records, now);
  const reasonsOfLayers = await layerReasons(records.images, kept.layers);
  const reasons = await mapUnhurried(reasonsOfLayers.get(layer.id), (reason) =>
    reason.kind === 'image' ? { ...reason, because: kept.images.get(reason.image) } : reason,
  );
  return { kind: 'layer', id: layer.id, names: [], bytes: layer.bytes, reasons };
}

async function foundOrNot(findImage: () => Promise<ImageRecord>): Promise<ImageRecord | undefined> {
  try {
    return await findImage();
  } catch (error) {
    if (isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) return undefined;
    throw error;
  }
}

async function layersNamed(thing: string, { layers }: StoreRecords): Promise<LayerRecord[]> {
  if (digestPrefix(thing) === undefined) return [];
  return filterUnhurried(layers, (layer) => beginsWith(layer.id, thing));
}

function isPrefix(thing: string, id: Digest): boolean {
  return digestPrefix(thing) !== undefined && beginsWith(id, thing);
}

function isWhole(thing: string, id: Digest): boolean {
  return thing === id || thing === digestHex(id);
}

function ambiguous(thing: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_IMAGE_AMBIGUOUS',
    `several layers, or a layer and an image, begin with ${JSON.stringify(thing)}`,
    {
      hint: 'write more digits of the digest',
      details: { layer: thing },
    },
  );
}
