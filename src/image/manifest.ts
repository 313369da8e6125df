import * as v from 'valibot';
import { checkDocument, describeFault, objectOf } from '../base/check-document.js';
import { isProvisionerError, ProvisionerError } from '../base/errors.js';
import { foldKeys } from '../base/fold-keys.js';
import type { Digest } from './digest.js';
import { checkDocumentValues, checkLayerCount } from './document-limits.js';
import type { Descriptor, DockerSaveEntry, Manifest } from './document-schemas.js';
import * as schemas from './document-schemas.js';
import type { ImageConfig } from './image-config.js';
import { isVague, mediaKind, OCI_CONFIG } from './media-types.js';

export type { Descriptor, DockerSaveEntry, Manifest } from './document-schemas.js';

/*
 * The JSON documents of an image, checked before anything believes them. Only pullers import this file, so that commands
 * which read no source never load the schema library.
 */

/**
 * Bytes in one document. The distribution spec lets registries refuse manifests above 4 MiB, so larger ones do not travel;
 * configs and indexes get the same limit, because parsing more than this at once would hold the event loop for too long.
 */
export const DOCUMENT_LIMIT = 4 * 1024 * 1024;

const NOT_AN_IMAGE = 'artifacts such as charts, signatures and attestations cannot be provisioned';

/** An index, and what it names, in its order: undefined for an entry that makes no sense, which is no reason to refuse those beside it. */
export interface Index {
  readonly manifests: readonly (Descriptor | undefined)[];
  /** What is wrong with the first of these. */
  readonly fault: ProvisionerError | undefined;
}

/** What a text is: no descriptor and no server is believed about that, since one that says the wrong thing would have it read wrongly. */
export type ParsedDocument =
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly index: Index };

/**
 * @param expected what it is when its text does not tell
 * @throws ProvisionerError as `parseManifest` and `parseIndex` do, and `ERR_UNSUPPORTED_MEDIA_TYPE` for what says that it is something else
 */
export function parseManifestOrIndex(text: string, expected: 'index' | 'manifest', subject: string): ParsedDocument {
  const document = parseJson(text, subject);
  const found = kindOf(document, subject);
  const kind = found ?? expected;
  const type = found === undefined && isObject(document) ? document['mediaType'] : undefined;
  if (typeof type === 'string' && mediaKind(type) === undefined && !isVague(type))
    throw unsupported(`${subject} is of the unsupported type ${quote(type)}`, type);
  if (kind === 'index') return { kind, index: indexOf(document, subject) };
  return { kind: 'manifest', manifest: manifestOf(document, subject) };
}

/**
 * @param subject names the document in an error: `the manifest sha256:…`
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED`, or `ERR_UNSUPPORTED_MEDIA_TYPE` for a manifest of
 * something that is not an image, of Docker's schema 1, or with a layer of unknown type
 */
export function parseManifest(text: string, subject: string): Manifest {
  const document = parseJson(text, subject);
  if (kindOf(document, subject) === 'index') throw malformed(subject, 'it is an index, not a manifest');
  return manifestOf(document, subject);
}

/** @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED` */
export function parseIndex(text: string, subject: string): Index {
  const document = parseJson(text, subject);
  if (kindOf(document, subject) === 'manifest') throw malformed(subject, 'it is a manifest, not an index');
  return indexOf(document, subject);
}

function manifestOf(document: unknown, subject: string): Manifest {
  refuseSchema1(document, subject);
  if (isObject(document) && Array.isArray(document['layers'])) checkLayerCount(document['layers'].length, subject);
  const manifest = check(schemas.manifestSchema, document, subject);
  checkOwnKind(manifest.mediaType, 'manifest', subject);
  const { mediaType } = manifest.config;
  // A layer's type too: some registries gave it to all that they stored.
  if (!['config', 'layer'].includes(mediaKind(mediaType) ?? '') && !isVague(mediaType)) {
    const problem = `its config is of type ${quote(mediaType)}`;
    throw unsupported(`${subject} is no container image: ${problem}`, mediaType, NOT_AN_IMAGE);
  }
  for (const [position, { mediaType: type }] of manifest.layers.entries()) {
    if (mediaKind(type) === 'layer' || isVague(type)) continue;
    const message = `layer ${position} of ${subject} has the unsupported type ${quote(type)}`;
    const isLayer = /^application\/vnd\.(oci|docker)\.image\./.test(type);
    throw unsupported(
      message,
      type,
      type.endsWith('+encrypted') ? 'decrypt the image first' : isLayer ? undefined : NOT_AN_IMAGE,
    );
  }
  return manifest;
}

function indexOf(document: unknown, subject: string): Index {
  const { mediaType, manifests } = check(schemas.indexSchema, document, subject);
  checkOwnKind(mediaType, 'index', subject);
  let fault: ProvisionerError | undefined;
  const entries = manifests.map((entry, position) => {
    const checked = checkDocument(schemas.descriptorSchema, entry);
    if (checked.sound) return checked.value;
    const problem = describeFault({ ...checked.faults[0], path: ['manifests', position, ...checked.faults[0].path] });
    fault ??= malformed(subject, problem);
    return undefined;
  });
  return { manifests: entries, fault };
}

/**
 * @param layerCount layers of the manifest that names this config: it must have one diff ID for each
 * @param mediaType what the manifest calls it
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED`, or `ERR_UNSUPPORTED_MEDIA_TYPE` for what is no image's config at all
 */
export function parseImageConfig(
  text: string,
  layerCount: number,
  subject: string,
  mediaType = OCI_CONFIG,
): ImageConfig & { diffIds: Digest[] } {
  try {
    return imageConfigOf(parseJson(text, subject), layerCount, subject);
  } catch (error) {
    if (mediaKind(mediaType) === 'config' || !isProvisionerError(error, 'ERR_SOURCE_MALFORMED')) throw error;
    const message = `${subject}, of type ${quote(mediaType)}, does not read as that of a container image`;
    throw unsupported(message, mediaType, NOT_AN_IMAGE, error);
  }
}

function imageConfigOf(document: unknown, layerCount: number, subject: string): ImageConfig & { diffIds: Digest[] } {
  // Old tools gave artifacts the type of an image's config, and `{}` for one.
  if (isObject(document) && (document['rootfs'] ?? null) === null)
    throw unsupported(`${subject} is not that of a container image: it has no rootfs`, OCI_CONFIG, NOT_AN_IMAGE);
  const config = check(schemas.imageConfigSchema, document, subject);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== layerCount) {
    const counts = `${diffIds.length} diff IDs for ${layerCount} layers`;
    throw malformed(subject, `rootfs.diff_ids: ${counts}`, { diffIds: diffIds.length, layers: layerCount });
  }
  return { ...config, diffIds };
}

/** @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED` */
export function parseDockerSave(text: string, subject: string): DockerSaveEntry[] {
  const entries = check(schemas.dockerSaveSchema, parseJson(text, subject), subject);
  for (const { Layers } of entries) checkLayerCount(Layers?.length ?? 0, subject);
  return entries;
}

/** @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_SOURCE_UNSUPPORTED` for a version that this program does not know */
export function checkLayoutVersion(text: string, subject: string): void {
  const { imageLayoutVersion } = check(objectOf({ imageLayoutVersion: v.string() }), parseJson(text, subject), subject);
  if (/^1\.0\.\d+$/.test(imageLayoutVersion)) return;
  throw new ProvisionerError(
    'ERR_SOURCE_UNSUPPORTED',
    `${subject} states version ${quote(imageLayoutVersion)}, not 1.0`,
    {
      hint: 'write the image again with a tool that makes OCI layouts of version 1.0',
      details: { version: imageLayoutVersion },
    },
  );
}

/** Longer than the limit? Said before parsing, and by readers before reading. */
export function checkDocumentSize(size: number, subject: string): void {
  if (size <= DOCUMENT_LIMIT) return;
  throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `${subject} has ${size} bytes; the limit is ${DOCUMENT_LIMIT}`, {
    details: { size, limit: DOCUMENT_LIMIT },
  });
}

/** What decides of which kind a document is, whatever the case of the letters. */
const DOCUMENT_KEYS = [
  'schemaVersion',
  'mediaType',
  'config',
  'layers',
  'manifests',
  'fsLayers',
  'rootfs',
  'artifactType',
  'subject',
];

function parseJson(text: string, subject: string): unknown {
  checkDocumentSize(Buffer.byteLength(text), subject);
  checkDocumentValues(text, subject);
  try {
    const document: unknown = JSON.parse(text);
    // Before anything is looked at, so that no other case of a key gets past what is looked at here.
    return isObject(document) ? foldKeys(document, DOCUMENT_KEYS) : document;
  } catch (error) {
    // The parser's own message quotes the text, which may not be what it seems (a link to some other file): it stays in `cause`.
    throw malformed(subject, 'it is not JSON', {}, error);
  }
}

function check<Schema extends v.GenericSchema>(
  schema: Schema,
  document: unknown,
  subject: string,
): v.InferOutput<Schema> {
  const checked = checkDocument(schema, document);
  if (checked.sound) return checked.value;
  const faults = checked.faults.slice(0, 3).map((fault) => describeFault(fault));
  const more = checked.faults.length - faults.length;
  throw malformed(subject, faults.join('; ') + (more > 0 ? `; and ${more} more` : ''), { faults });
}

function refuseSchema1(document: unknown, subject: string): void {
  if (!isObject(document) || document['schemaVersion'] !== 1) return;
  throw unsupported(`${subject} is of Docker's schema 1`, 'schema1', 'push the image again with a current tool');
}

/**
 * What a document is by its parts, and by what it calls itself where it has none. One text that reads both as an index and as a manifest would have one digest and
 * two meanings, and could pass a check as the one and be used as the other.
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED` for one that is both
 * @see CVE-2021-41190
 */
function kindOf(document: unknown, subject: string): 'index' | 'manifest' | undefined {
  if (!isObject(document)) return undefined;
  const [part] = ['config', 'layers'].filter((key) => (document[key] ?? null) !== null);
  const hasManifests = (document['manifests'] ?? null) !== null;
  if (hasManifests && part !== undefined) throw malformed(subject, `it has both manifests and ${part}`);
  if (hasManifests) return 'index';
  if (part !== undefined) return 'manifest';
  const own = typeof document['mediaType'] === 'string' ? mediaKind(document['mediaType']) : undefined;
  return own === 'index' || own === 'manifest' ? own : undefined;
}

function checkOwnKind(mediaType: string, kind: 'index' | 'manifest', subject: string): void {
  if (isVague(mediaType) || mediaKind(mediaType) === kind) return;
  throw malformed(
    subject,
    `mediaType: ${quote(mediaType)} is not the type of ${kind === 'index' ? 'an index' : 'a manifest'}`,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(
  subject: string,
  problem: string,
  details: Readonly<Record<string, number | readonly string[]>> = {},
  cause?: unknown,
): ProvisionerError {
  return new ProvisionerError('ERR_SOURCE_MALFORMED', `${subject} is malformed: ${problem}`, { cause, details });
}

function unsupported(message: string, mediaType: string, hint?: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_UNSUPPORTED_MEDIA_TYPE', message, {
    cause,
    ...(hint === undefined ? {} : { hint }),
    details: { mediaType },
  });
}

/** Text from a source, safe to print: no control characters, no novel. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
