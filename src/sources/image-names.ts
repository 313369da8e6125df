import { isProvisionerError } from '../base/errors.js';
import { normaliseReference, parseReference } from '../image/reference.js';

/** An image among several, with what its source calls it. */
export interface NamedEntry {
  /** As the source writes it: full references, and bare tags such as `v2`. */
  readonly written: readonly string[];
  /** The full references among them, normalised. */
  readonly names: readonly string[];
}

/** Sorts out what a source calls an image. What cannot be a reference still serves to choose the image. */
export function namesOf(texts: readonly (string | undefined)[]): NamedEntry {
  const written = texts.filter((text) => text !== undefined && text !== '') as string[];
  const names = written.map(fullName).filter((name) => name !== undefined);
  return { written, names: [...new Set(names)] };
}

/**
 * The entries that a person means by `reference`, by the first of these rules that finds any:
 * 1. the source writes exactly this;
 * 2. it is another spelling of a name (`app:v1` for `docker.io/library/app:v1`);
 * 3. it is a name without its tag (`app`);
 * 4. it is the tag of a name (`v1`).
 * `@N` is the N-th entry, from 0.
 */
export function matchByName<Entry extends NamedEntry>(entries: readonly Entry[], reference: string): Entry[] {
  if (/^@\d+$/.test(reference)) return entries.slice(Number(reference.slice(1))).slice(0, 1);
  const full = attempt(() => normaliseReference(reference));
  const bare = /[:@]/.test(reference.slice(reference.lastIndexOf('/') + 1)) ? undefined : full;
  const repository = bare?.slice(0, bare.lastIndexOf(':'));
  const rules: readonly ((entry: Entry) => boolean)[] = [
    (entry) => entry.written.includes(reference),
    (entry) => full !== undefined && entry.names.includes(full),
    (entry) => repository !== undefined && entry.names.some((name) => repositoryOf(name) === repository),
    (entry) => entry.names.some((name) => parseReference(name).tag === reference),
  ];
  for (const rule of rules) {
    const matches = entries.filter(rule);
    if (matches.length > 0) return matches;
  }
  return [];
}

/** What may be written to choose among entries, for an error. */
export function offeredNames(entries: readonly NamedEntry[]): string[] {
  return [...new Set(entries.flatMap((entry) => entry.written.slice(0, 1)))];
}

/** Undefined for a bare tag: `latest` alone would otherwise pass for an image called latest. */
function fullName(text: string): string | undefined {
  return /[/:]/.test(text) ? attempt(() => normaliseReference(text)) : undefined;
}

function repositoryOf(name: string): string {
  const { registry, repository } = parseReference(name);
  return `${registry}/${repository}`;
}

/** A text that is no reference is one that the source or the user means otherwise: a tag, a title. */
function attempt(parse: () => string): string | undefined {
  try {
    return parse();
  } catch (error) {
    if (isProvisionerError(error, 'ERR_BAD_REFERENCE')) return undefined;
    throw error;
  }
}
