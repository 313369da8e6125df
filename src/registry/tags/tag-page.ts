import * as v from 'valibot';
import { checkDocument, describeFault, objectOf } from '../../base/check-document.js';
import { type Asked, failed } from '../registry-errors.js';

/** Some registries write `null` for a repository without tags. */
const pageSchema = objectOf({ tags: v.nullish(v.array(v.string())) });

/** One page of a list of tags, in its order. @throws ProvisionerError `ERR_REGISTRY_FAILED` @see OCI distribution-spec, "Listing Tags" */
export function parseTagPage(bytes: Buffer, asked: Asked): readonly string[] {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw failed(asked, 'its answer is not JSON', { cause: error });
  }
  const checked = checkDocument(pageSchema, document);
  if (checked.sound) return checked.value.tags ?? [];
  throw failed(asked, `its answer is no list of tags: ${describeFault(checked.faults[0])}`);
}
