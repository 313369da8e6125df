import type { ImageRecord } from '../../index.js';

/** An image in `--json`; `docs/cli.md` promises this shape. */
export interface ImageDocument {
  readonly id: string;
  readonly names: readonly string[];
  readonly platform: string;
  readonly layers: readonly string[];
  /** Disk use in bytes. */
  readonly bytes: number;
  readonly source: string;
  /** When the image says it was built; null when it does not. */
  readonly created: string | null;
  readonly pulled: string;
  readonly lastUsed: string;
}

/** An image in `inspect`: with its documents as its maker wrote them. */
export interface InspectedImage extends ImageDocument {
  readonly mediaType: string;
  readonly configDigest: string;
  readonly config: unknown;
  readonly manifest: unknown;
}

export function imageDocument(image: ImageRecord): ImageDocument {
  return describe(image, JSON.parse(image.config));
}

export function inspectedImage(image: ImageRecord): InspectedImage {
  const config: unknown = JSON.parse(image.config);
  return {
    ...describe(image, config),
    mediaType: image.mediaType,
    configDigest: image.configDigest,
    config,
    manifest: JSON.parse(image.manifest),
  };
}

function describe(image: ImageRecord, config: unknown): ImageDocument {
  const { created } = config as { created?: unknown };
  return {
    id: image.id,
    names: image.names,
    platform: image.platform,
    layers: image.layers,
    bytes: image.bytes,
    source: image.source,
    created: typeof created === 'string' ? created : null,
    pulled: timestamp(image.createdAt),
    lastUsed: timestamp(image.lastUsedAt),
  };
}

/** @param milliseconds since the epoch */
export function timestamp(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
