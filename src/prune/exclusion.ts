import picomatch from 'picomatch';
import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import { beginsWith, type Digest, digestPrefix, type ImageId, isDigest } from '../image/digest.js';
import { formatReference, parseReference } from '../image/reference.js';

/** What Docker's names leave out when people write them. */
const UNSPOKEN = ['docker.io/library/', 'docker.io/'] as const;

/** Tells the pattern that speaks for an image; undefined when none does. */
export type Exclusion = (image: { readonly id: ImageId; readonly names: readonly string[] }) => string | undefined;

/** The images that were chosen from an index before, by the digest of the index. */
export type IndexImages = ReadonlyMap<Digest, readonly ImageId[]>;

/** The digests in patterns such as `app@sha256:…`, which may be those of indexes. */
export function excludedDigests(patterns: readonly string[]): Digest[] {
  const digests = patterns.map((pattern) => pattern.slice(pattern.lastIndexOf('@') + 1));
  return [...new Set(digests.filter(isDigest))];
}

/**
 * Reads what the caller of a prune wants kept.
 *
 * | pattern                              | stands for                                                              |
 * |--------------------------------------|-------------------------------------------------------------------------|
 * | `app:v2`, `ghcr.io/me/app@sha256:…`  | the image of that name; with a digest that of this digest, or those chosen from the index of it, whatever their names |
 * | `sha256:…`, its first digits (3)     | the image of that id                                                    |
 * | with `*`, `?`, `[…]` or `{a,b}`      | images with such a name, with or without `docker.io/library/`; `*` passes `/` |
 *
 * One that fits nothing is no error: the image may come later.
 * @param indexes of the `excludedDigests`. Default: none of them is that of an index
 * @throws ProvisionerError `ERR_BAD_REFERENCE`
 */
export function parseExclusions(patterns: readonly string[], indexes: IndexImages = new Map()): Exclusion {
  const tests = patterns.map((pattern) => [pattern, parsePattern(pattern, indexes)] as const);
  return (image) => tests.find(([, matches]) => matches(image))?.[0];
}

function parsePattern(pattern: string, indexes: IndexImages): (image: Parameters<Exclusion>[0]) => boolean {
  const isPrefix = digestPrefix(pattern) !== undefined;
  const named = /[*?[{]/.test(pattern) ? globTest(pattern) : nameTest(pattern, isPrefix, indexes);
  return ({ id, names }) => (isPrefix && beginsWith(id, pattern)) || named({ id, names });
}

function globTest(pattern: string): (image: Parameters<Exclusion>[0]) => boolean {
  const matches = globOf(pattern);
  return ({ names }) => names.some((name) => spellings(name).some((spelling) => matches(spelling)));
}

/** @throws ProvisionerError `ERR_BAD_REFERENCE` for a bracket that is never closed: it would fit nothing, and so keep nothing */
function globOf(pattern: string): (name: string) => boolean {
  try {
    return picomatch(pattern, { bash: true, dot: true, nonegate: true, noextglob: true, strictBrackets: true });
  } catch (error) {
    throw new ProvisionerError('ERR_BAD_REFERENCE', `not a pattern: ${JSON.stringify(pattern)}`, {
      cause: error,
      hint: 'close its brackets and braces, or leave them out',
      details: { reference: pattern },
    });
  }
}

/** @param mayBeDigits the pattern may mean an id, so it need not be a name */
function nameTest(
  pattern: string,
  mayBeDigits: boolean,
  indexes: IndexImages,
): (image: Parameters<Exclusion>[0]) => boolean {
  try {
    const reference = parseReference(pattern);
    const name = formatReference(reference);
    const { digest } = reference;
    if (digest === undefined) return ({ names }) => names.includes(name);
    const chosen = new Set(indexes.get(digest));
    return ({ id }) => id === digest || chosen.has(id);
  } catch (error) {
    if (mayBeDigits) return () => false;
    throw isProvisionerError(error) ? error : new ProvisionerError('ERR_BAD_REFERENCE', String(error));
  }
}

function spellings(name: string): string[] {
  return [name, ...UNSPOKEN.flatMap((start) => (name.startsWith(start) ? [name.slice(start.length)] : []))];
}
