import type { Digest } from '../image/digest.js';
import type { ImageConfig } from '../image/image-config.js';
import { type Manifest, parseImageConfig } from '../image/manifest.js';
import type { BlobAccess } from './blob-access.js';

/** Reads the config that a manifest names. @throws what `BlobAccess.readDocument` and `parseImageConfig` throw */
export async function readConfig(
  blobs: BlobAccess,
  { config: { mediaType, ...rest }, layers }: Manifest,
): Promise<{ readonly text: string; readonly config: ImageConfig & { diffIds: Digest[] } }> {
  const text = await blobs.readDocument({ mediaType, ...rest }, 'the config');
  return { text, config: parseImageConfig(text, layers.length, `the config ${rest.digest}`, mediaType) };
}
