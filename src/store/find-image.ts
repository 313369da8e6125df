import { type ErrorCode, ProvisionerError } from '../errors.js';
import { beginsWith, digestPrefix, type ImageId, isDigest } from '../image/digest.js';
import { formatReference, parseReference } from '../image/reference.js';
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
  const reference = parseReference(text);
  const named = await metadata.getImageByName(formatReference(reference));
  return named ?? (reference.digest === undefined ? undefined : metadata.getImage(reference.digest as ImageId));
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
