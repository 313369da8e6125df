import picomatch from 'picomatch';
import { ProvisionerError } from '../errors.js';
import { beginsWith, digestPrefix, type ImageId } from '../image/digest.js';
import { formatReference, parseReference } from '../image/reference.js';

/** What Docker's names leave out when people write them. */
const UNSPOKEN = ['docker.io/library/', 'docker.io/'] as const;

/** Tells the pattern that speaks for an image; undefined when none does. */
export type Exclusion = (image: { readonly id: ImageId; readonly names: readonly string[] }) => string | undefined;

/**
 * Reads what the caller of a prune wants kept.
 *
 * | pattern                              | stands for                                                              |
 * |--------------------------------------|-------------------------------------------------------------------------|
 * | `app:v2`, `ghcr.io/me/app@sha256:…`  | the image of that name or digest                                        |
 * | `sha256:…`, its first digits (3)     | the image of that id                                                    |
 * | with `*`, `?`, `[…]` or `{a,b}`      | images with such a name, with or without `docker.io/library/`; `*` passes `/` |
 *
 * One that fits nothing is no error: the image may come later.
 * @throws ProvisionerError `ERR_BAD_REFERENCE`
 */
export function parseExclusions(patterns: readonly string[]): Exclusion {
  const tests = patterns.map((pattern) => [pattern, parsePattern(pattern)] as const);
  return (image) => tests.find(([, matches]) => matches(image))?.[0];
}

function parsePattern(pattern: string): (image: Parameters<Exclusion>[0]) => boolean {
  const isPrefix = digestPrefix(pattern) !== undefined;
  const named = /[*?[{]/.test(pattern) ? globTest(pattern) : nameTest(pattern, isPrefix);
  return ({ id, names }) => (isPrefix && beginsWith(id, pattern)) || named({ id, names });
}

function globTest(pattern: string): (image: Parameters<Exclusion>[0]) => boolean {
  const matches = picomatch(pattern, { bash: true, dot: true, nonegate: true, noextglob: true });
  return ({ names }) => names.some((name) => spellings(name).some((spelling) => matches(spelling)));
}

/** @param mayBeDigits the pattern may mean an id, so it need not be a name */
function nameTest(pattern: string, mayBeDigits: boolean): (image: Parameters<Exclusion>[0]) => boolean {
  try {
    const reference = parseReference(pattern);
    const name = formatReference(reference);
    return ({ id, names }) => names.includes(name) || (reference.digest !== undefined && reference.digest === id);
  } catch (error) {
    if (mayBeDigits) return () => false;
    throw error instanceof ProvisionerError ? error : new ProvisionerError('ERR_BAD_REFERENCE', String(error));
  }
}

function spellings(name: string): string[] {
  return [name, ...UNSPOKEN.flatMap((start) => (name.startsWith(start) ? [name.slice(start.length)] : []))];
}
