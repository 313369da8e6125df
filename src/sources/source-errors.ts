import { ProvisionerError } from '../base/errors.js';
import { formatPlatform, type Platform } from '../image/platform.js';

/** The complaints that several kinds of source share. `label` names the source: `the layout /images/app`. */

/** A list in a message ends here; the details of the error have all that fit in a log line. */
const NAMES_IN_MESSAGE = 10;
const NAMES_IN_DETAILS = 1000;

export function malformedSource(
  label: string,
  problem: string,
  options: { readonly cause?: unknown; readonly hint?: string } = {},
): ProvisionerError {
  return new ProvisionerError('ERR_SOURCE_MALFORMED', `${label} is malformed: ${problem}`, options);
}

export function truncatedSource(label: string, problem: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_SOURCE_MALFORMED', `${label} is truncated: ${problem}`, {
    cause,
    hint: 'it was not copied whole, or is still being written; make or copy it again',
  });
}

export function sourceNotFound(label: string, path: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_SOURCE_NOT_FOUND', `${label} does not exist`, {
    cause,
    hint: 'check the path; in a source it ends at the first colon',
    details: { path },
  });
}

/** The source is fine but does not hold the image asked for. */
export function imageNotOffered(label: string, reference: string, offered: readonly string[]): ProvisionerError {
  const has = offered.length === 0 ? 'it names no image' : `it has ${list(offered)}`;
  return new ProvisionerError('ERR_SOURCE_NOT_FOUND', `no image ${printable(reference)} in ${label}: ${has}`, {
    details: { reference, offered: offered.slice(0, NAMES_IN_DETAILS) },
  });
}

/** @param images digest to what the source calls it. Those that it calls the same are told by their digests. */
export function severalImages(label: string, images: ReadonlyMap<string, string>): ProvisionerError {
  const names = [...images.values()];
  const isShared = (name: string) => names.indexOf(name) !== names.lastIndexOf(name);
  const offered = [...images].map(([digest, name]) => (isShared(name) ? `@${digest}` : name));
  const [first = ''] = names;
  const what =
    names.length > 1 && names.every((name) => name === first)
      ? `${names.length} images under the name ${printable(first)}`
      : 'several images';
  const shown = offered.some((name) => name.startsWith('@sha'))
    ? ', such as :@sha256:… for one that shares its name'
    : '';
  return new ProvisionerError('ERR_IMAGE_AMBIGUOUS', `${label} holds ${what}: ${list(offered)}`, {
    hint: `choose one by writing :REF after the path${shown}`,
    details: { offered: offered.slice(0, NAMES_IN_DETAILS) },
  });
}

/** @param cause why something else there was passed over, which may be the one that is meant */
export function platformNotOffered(
  label: string,
  wanted: Platform,
  offered: readonly Platform[],
  cause?: unknown,
): ProvisionerError {
  const names = [...new Set(offered.map(formatPlatform))];
  const has = names.length === 0 ? 'it names no platform' : `it has ${list(names)}`;
  return new ProvisionerError(
    'ERR_PLATFORM_NOT_OFFERED',
    `no image for ${formatPlatform(wanted)} in ${label}: ${has}`,
    {
      cause,
      ...(names.length === 0 ? {} : { hint: 'choose one of them with --platform' }),
      details: { wanted: formatPlatform(wanted), offered: names.slice(0, NAMES_IN_DETAILS) },
    },
  );
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_IN_MESSAGE).map(printable).join(', ');
  return names.length > NAMES_IN_MESSAGE ? `${shown} and ${names.length - NAMES_IN_MESSAGE} more` : shown;
}

/** Names come from the source: one with odd characters is quoted, so that it cannot play tricks on a terminal. */
export function printable(name: string): string {
  return /^[\w./:@+-]{1,300}$/.test(name) ? name : JSON.stringify(name.slice(0, 300));
}
