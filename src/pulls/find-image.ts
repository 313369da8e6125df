import type { ErrorCode } from '../base/codes/code-tables.js';
import { ProvisionerError } from '../base/errors.js';
import { beginsWith, digestPrefix, type ImageId, isDigest } from '../image/digest.js';
import { formatPlatform, machinePlatform, type Platform, parsePlatform, platformFit } from '../image/platform.js';
import { formatReference, parseReference, type Reference } from '../image/reference.js';
import type { ImageRecord, MetadataManager } from '../metadata/metadata-manager.js';

/**
 * Finds a stored image by name (`app:v2`), by digest (`sha256:…`, `app@sha256:…`), or by the first hex digits of its digest, three at least.
 * @throws ProvisionerError `ERR_IMAGE_NOT_FOUND`, `ERR_IMAGE_AMBIGUOUS`, `ERR_BAD_REFERENCE`
 */
export async function findImage(metadata: MetadataManager, text: string): Promise<ImageRecord> {
  const found = isDigest(text) ? await metadata.getImage(text as ImageId) : await findNamed(metadata, text);
  const image = found ?? (await findByPrefix(metadata, text));
  if (image !== undefined) return image;
  throw notFound('ERR_IMAGE_NOT_FOUND', `no image ${JSON.stringify(text)} in this store`, text);
}

async function findNamed(metadata: MetadataManager, text: string): Promise<ImageRecord | undefined> {
  // The digits of an id are no name, but look like one to the parser, which says so.
  const prefix = digestPrefix(text);
  if (prefix !== undefined && (prefix !== text || prefix.length === 64)) return undefined;
  return findByReference(metadata, parseReference(text), undefined);
}

/**
 * The stored image that a reference means. One with a digest means the image of that digest, or one that was chosen from the index of that digest, and never
 * another, whichever image carries the reference as its name: names can be given by anybody who makes a layout or an archive.
 * @param platform that it has to fit. Default: whatever is stored will do
 */
export async function findByReference(
  metadata: MetadataManager,
  reference: Reference,
  platform: Platform | undefined,
): Promise<ImageRecord | undefined> {
  const fits = (image: ImageRecord | undefined): image is ImageRecord =>
    image !== undefined && (platform === undefined || platformFit(platform, parsePlatform(image.platform)) > 0);
  const { digest } = reference;
  if (digest !== undefined) {
    const own = await metadata.getImage(digest as ImageId);
    if (fits(own)) return own;
  }
  const named = await metadata.getImageByName(formatReference(reference));
  if (digest === undefined) return fits(named) ? named : undefined;
  // For another platform than this machine's, too: then it is the one that was got last.
  if (fits(named) && (await metadata.imagesOfIndex(digest)).includes(named.id)) return named;
  const chosen = await metadata.imageOfIndex(digest, formatPlatform(platform ?? machinePlatform()));
  return fits(chosen) ? chosen : undefined;
}

async function findByPrefix(metadata: MetadataManager, text: string): Promise<ImageRecord | undefined> {
  const prefix = digestPrefix(text);
  if (prefix === undefined) return undefined;
  // One more for each algorithm, since the digits alone may begin digests of both.
  const [id, other] = (await metadata.findImages(prefix, 4)).filter((found) => beginsWith(found, text));
  if (id === undefined) return undefined;
  if (other !== undefined) {
    throw notFound('ERR_IMAGE_AMBIGUOUS', `several images begin with ${JSON.stringify(text)}`, text);
  }
  return metadata.getImage(id);
}

function notFound(code: ErrorCode, message: string, image: string): ProvisionerError {
  const hint =
    code === 'ERR_IMAGE_AMBIGUOUS'
      ? 'write more digits of the digest'
      : '`provisioner images` lists what is here; `provisioner pull` gets an image';
  return new ProvisionerError(code, message, { hint, details: { image } });
}
