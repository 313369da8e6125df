import { ProvisionerError } from '../base/errors.js';
import { type Digest, isDigest } from './digest.js';

/**
 * What people call an image: `[registry/]repository[:tag][@digest]`, with the defaults of Docker filled in:
 * `app` is `docker.io/library/app:latest`.
 */
export interface Reference {
  /** Host name or address with an optional port: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** Path below the registry: `library/app`. */
  readonly repository: string;
  /** Absent when the text names none; `formatReference` then writes the default. */
  readonly tag?: string;
  readonly digest?: Digest;
}

/** The tag of a reference that has neither tag nor digest. */
export const DEFAULT_TAG = 'latest';

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_NAMESPACE = 'library';

/** Registry, slash and repository. @see OCI distribution-spec, "Pulling manifests" */
const MAX_NAME_LENGTH = 255;
export const MAX_TAG_LENGTH = 128;

const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?$/;
const REPOSITORY_PART = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/**
 * @param text as people type it
 * @returns the parts, registry and namespace filled in
 * @throws ProvisionerError `ERR_BAD_REFERENCE` that says which part is wrong
 * @see OCI distribution-spec, "Pulling manifests", for what names and tags may hold
 */
export function parseReference(text: string): Reference {
  if (text === '') throw bad(text, 'it is empty', 'write REPOSITORY[:TAG], such as app:v1');
  if (/[\s\p{Cc}]/u.test(text)) throw bad(text, 'it holds a space or a control character');
  if (text.includes('://')) throw bad(text, 'it has a scheme', 'leave the part up to :// out');
  if (isDigest(text)) throw bad(text, 'it is a digest', 'write REPOSITORY@DIGEST');
  if (/^[0-9a-f]{64}$/.test(text))
    throw bad(text, 'it would be mistaken for an image id', 'add a tag, or write sha256: before an id');

  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) {
    throw bad(text, `${JSON.stringify(digest)} is not a digest`, 'a digest is sha256: and 64 lowercase hex digits');
  }
  const nameAndTag = at < 0 ? text : text.slice(0, at);
  // A colon before the last slash belongs to the registry's port.
  const colon = nameAndTag.indexOf(':', nameAndTag.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : nameAndTag.slice(colon + 1);
  const name = splitName(colon < 0 ? nameAndTag : nameAndTag.slice(0, colon));

  checkRegistry(text, name.registry);
  checkRepository(text, name.repository);
  if (name.registry.length + 1 + name.repository.length > MAX_NAME_LENGTH) {
    throw bad(text, `its name has more than ${MAX_NAME_LENGTH} characters`);
  }
  if (tag !== undefined) checkTag(text, tag);
  return { ...name, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/**
 * The full form, which names an image in the store: equal for all spellings of one reference.
 * A digest displaces the tag, as in the names that Docker keeps: the digest alone decided what was fetched, nobody asked the
 * registry where the tag points, and a name that holds both would be a second spelling of one thing.
 */
export function formatReference(reference: Reference): string {
  const name = `${reference.registry}/${reference.repository}`;
  return reference.digest === undefined ? `${name}:${reference.tag ?? DEFAULT_TAG}` : `${name}@${reference.digest}`;
}

/** The full form of what people type. @throws ProvisionerError `ERR_BAD_REFERENCE` */
export function normaliseReference(text: string): string {
  return formatReference(parseReference(text));
}

/** Docker's rule: the first part is a registry if it has a dot, a colon or a capital, or is `localhost`. */
function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const namesHost = slash >= 0 && (/[.:A-Z]/.test(first) || first === 'localhost');
  const registry = namesHost ? first : DEFAULT_REGISTRY;
  const repository = namesHost ? name.slice(slash + 1) : name;
  if (registry !== DEFAULT_REGISTRY && registry !== `index.${DEFAULT_REGISTRY}`) return { registry, repository };
  const withNamespace = repository.includes('/') ? repository : `${DEFAULT_NAMESPACE}/${repository}`;
  return { registry: DEFAULT_REGISTRY, repository: withNamespace };
}

function checkRegistry(text: string, registry: string): void {
  // Of those that look like one some make no address: a port beyond 65535, parts of an address beyond 255.
  if (HOST.test(registry) && URL.canParse(`https://${registry}`)) return;
  throw bad(
    text,
    `${JSON.stringify(registry)} is not a registry`,
    'a registry is a host name or an address, with :PORT where needed',
  );
}

function checkRepository(text: string, repository: string): void {
  for (const part of repository.split('/')) {
    if (REPOSITORY_PART.test(part)) continue;
    if (/[A-Z]/.test(part))
      throw bad(text, 'a repository is written in lowercase', `write ${withLowercase(text, repository)}`);
    if (part === '') throw bad(text, 'a part of the repository is empty');
    throw bad(
      text,
      `${JSON.stringify(part)} cannot be part of a repository`,
      'use lowercase letters and digits, with single dots, underscores or dashes between them',
    );
  }
}

/** The text with all of the repository in lowercase, and the rest, such as a tag, as it is. */
function withLowercase(text: string, repository: string): string {
  const capitals = repository.split('/').filter((part) => /[A-Z]/.test(part));
  return capitals.reduce((written, part) => written.replace(part, part.toLowerCase()), text);
}

function checkTag(text: string, tag: string): void {
  if (tag.length > MAX_TAG_LENGTH) throw bad(text, `its tag has more than ${MAX_TAG_LENGTH} characters`);
  if (TAG.test(tag)) return;
  const problem = tag === '' ? 'its tag is empty' : `${JSON.stringify(tag)} is not a tag`;
  throw bad(
    text,
    problem,
    'a tag holds letters, digits, underscores, dots and dashes, and starts with none of the last two',
  );
}

function bad(text: string, problem: string, hint = 'write [REGISTRY/]REPOSITORY[:TAG][@DIGEST]'): ProvisionerError {
  // A URL that was pasted whole may hold a password, and no name needs hundreds of characters to be recognised.
  const safe = text.slice(0, 300).replace(/(^|\/\/)[^/@]*:[^/@]*@(?!sha\d+:)/i, '$1***@');
  return new ProvisionerError('ERR_BAD_REFERENCE', `not an image reference: ${JSON.stringify(safe)}: ${problem}`, {
    hint,
    details: { reference: safe },
  });
}
