import { ProvisionerError } from '../base/errors.js';
import { machinePlatform, type Platform, parsePlatform } from '../image/platform.js';
import { normaliseReference, parseReference } from '../image/reference.js';

/** @throws ProvisionerError `ERR_BAD_PLATFORM` */
export function wantedPlatform(text: string | undefined): Platform {
  return text === undefined ? machinePlatform() : parsePlatform(text);
}

/**
 * A name to give to an image, in full. One with a digest says what the image is, and that is nothing to be given.
 * @throws ProvisionerError `ERR_BAD_REFERENCE`
 */
export function nameToGive(text: string): string {
  const { digest } = parseReference(text);
  if (digest === undefined) return normaliseReference(text);
  throw new ProvisionerError('ERR_BAD_REFERENCE', `a name with a digest cannot be given: ${JSON.stringify(text)}`, {
    hint: 'leave @ and the digest out; an image can be written NAME@DIGEST with its own digest in any case',
    details: { reference: text },
  });
}

export function tryImageName(text: string): string | undefined {
  try {
    return normaliseReference(text);
  } catch {
    return undefined;
  }
}
