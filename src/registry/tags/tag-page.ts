import { MAX_TAG_LENGTH } from '../../image/reference.js';
import { type Asked, failed } from '../registry-errors.js';

/**
 * One page of a list of tags, in its order. By hand and not with the schema library, which takes seconds for a hundred thousand of them.
 * @throws ProvisionerError `ERR_REGISTRY_FAILED`
 * @see OCI distribution-spec, "Listing Tags"
 */
export function parseTagPage(bytes: Buffer, asked: Asked): readonly string[] {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw failed(asked, 'its answer is not JSON', { cause: error });
  }
  const isObject = typeof document === 'object' && document !== null && !Array.isArray(document);
  // Some registries write null for a repository without tags.
  const tags: unknown = isObject ? ((document as { tags?: unknown }).tags ?? []) : undefined;
  if (Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')) {
    // What is too long to be a tag can be asked for by nobody.
    return tags.filter((tag) => tag.length <= MAX_TAG_LENGTH);
  }
  throw failed(asked, 'its answer is no list of tags');
}
