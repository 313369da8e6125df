import { machinePlatform, type Platform, parsePlatform } from '../image/platform.js';
import { formatReference, parseReference } from '../image/reference.js';

/** @throws ProvisionerError `ERR_BAD_PLATFORM` */
export function wantedPlatform(text: string | undefined): Platform {
  return text === undefined ? machinePlatform() : parsePlatform(text);
}

/** A name in full. @throws ProvisionerError `ERR_BAD_REFERENCE` */
export function imageName(text: string): string {
  return formatReference(parseReference(text));
}

export function tryImageName(text: string): string | undefined {
  try {
    return imageName(text);
  } catch {
    return undefined;
  }
}
