import type { ImageDetails, ImageSummary, PulledAgain, PulledImage } from '../../../index.js';

/** An image in `--json`; `docs/cli.md` promises this shape. */
export interface ImageDocument {
  readonly id: string;
  readonly names: readonly string[];
  readonly platform: string;
  readonly layers: readonly string[];
  /** Disk use in bytes. */
  readonly bytes: number;
  readonly source: string;
  /** Kept by every prune. */
  readonly pinned: boolean;
  readonly pulled: string;
  readonly lastUsed: string;
}

/** An image in `inspect`: with its documents as its maker wrote them. */
export interface InspectedImage extends ImageDocument {
  readonly type: 'image';
  readonly mediaType: string;
  readonly configDigest: string;
  /** Of `layers`, in their order. */
  readonly layerDetails: readonly LayerDocument[];
  /** When the image says it was built; null when it does not. */
  readonly created: string | null;
  /** What is odd about its documents and was put up with: a sentence for each, mostly none. */
  readonly notes: readonly string[];
  readonly config: unknown;
  readonly manifest: unknown;
}

/** A layer in `inspect`. */
export interface LayerDocument {
  readonly id: string;
  /** Disk use in bytes, the tar record included. */
  readonly bytes: number;
  readonly entries: number;
  /** Its archive can be made again, byte for byte. */
  readonly exportable: boolean;
  /** Why not; null when it can. */
  readonly notExportable: string | null;
  /** The reason as a word: `kept` when it can. */
  readonly tar: string;
  readonly tarBytes: number;
}

/** An image that was pulled; with `--force` also what was got again. */
export interface PulledDocument extends ImageDocument {
  readonly renewed?: readonly string[];
  /** Containers that keep the layers of before. */
  readonly parkedFor?: readonly string[];
}

export function pulledDocument(image: PulledImage | PulledAgain): PulledDocument {
  if (!('renewed' in image)) return imageDocument(image);
  const { layers: renewed, parkedFor } = image.renewed;
  return { ...imageDocument(image), renewed, parkedFor };
}

export function imageDocument(image: ImageSummary): ImageDocument {
  return {
    id: image.id,
    names: image.names,
    platform: image.platform,
    layers: image.layers,
    bytes: image.bytes,
    source: image.source,
    pinned: image.pinned,
    pulled: timestamp(image.createdAt),
    lastUsed: timestamp(image.lastUsedAt),
  };
}

export function inspectedImage(image: ImageDetails): InspectedImage {
  const config: unknown = JSON.parse(image.config);
  return {
    type: 'image',
    ...imageDocument(image),
    mediaType: image.mediaType,
    configDigest: image.configDigest,
    layerDetails: image.layerDetails.map((layer) => ({ ...layer, notExportable: layer.notExportable ?? null })),
    created: createdAt(config),
    notes: image.notes,
    config,
    manifest: JSON.parse(image.manifest),
  };
}

/** When an image says that it was built; null when it does not. */
export function createdAt(config: unknown): string | null {
  const { created } = config as { created?: unknown };
  return typeof created === 'string' ? created : null;
}

/** @param milliseconds since the epoch */
export function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
