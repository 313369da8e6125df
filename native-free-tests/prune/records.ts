import type { ContainerRecord, ImageRecord, ImageSummary, LayerRecord } from '#src/metadata/metadata-manager.js';
import type { StoreRecords } from '#src/prune/keepers.js';
import { digestOf, layer as layerRecord } from '../contracts/metadata-records.js';

/** Records of a store, told apart by words, for what decides on them. */

export const imageId = (word: string) => digestOf(`image ${word}`);

export function imageOf(word: string, layers: readonly string[], changes: Partial<ImageSummary> = {}): ImageSummary {
  return {
    id: imageId(word),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    configDigest: digestOf(`config ${word}`),
    platform: 'linux/amd64',
    source: `oci:/images/${word}`,
    names: [`docker.io/library/${word}:latest`],
    layers: layers.map(digestOf),
    createdAt: 0,
    lastUsedAt: 0,
    useOrder: 0,
    pinned: false,
    bytes: 0,
    ...changes,
  };
}

/** The whole record, as `why` finds it. */
export function wholeImage(summary: ImageSummary): ImageRecord {
  return { ...summary, manifest: '{}', config: '{}' };
}

export function layerOf(word: string, bytes = 100): LayerRecord {
  return layerRecord(word, { bytes });
}

/** A container with a rootfs for each image. @param images word of the image, and its layers */
export function containerOf(
  id: string,
  images: Readonly<Record<string, readonly string[]>>,
  owner = 'agent',
): ContainerRecord {
  const rootfses = Object.entries(images).map(([word, layers], index) => ({
    id: `r${index}`,
    containerId: id,
    owner,
    image: imageId(word),
    backend: 'overlay',
    state: 'ready' as const,
    maker: undefined,
    mount: undefined,
    layers: layers.map(digestOf),
    complete: true,
    createdAt: 0,
  }));
  return { id, owner, createdAt: 0, rootfses };
}

/** @param changes what the store holds besides nothing; layers that images name are added, 100 bytes each */
export function storeOf(changes: Partial<StoreRecords>): StoreRecords {
  const { images = [], layers = [], containers = [], leases = [] } = changes;
  const known = new Set(layers.map(({ id }) => id));
  const needed = new Set(images.flatMap((image) => image.layers).filter((id) => !known.has(id)));
  const added = [...needed].map((id) => ({ ...layerOf('any'), id }));
  return { images, layers: [...layers, ...added], containers, leases };
}
