import * as v from 'valibot';
import { checkDocument, describeFault, objectOf, recordOf } from '../base/check-document.js';
import { ProvisionerError } from '../base/errors.js';
import { type Digest, isDigest } from './digest.js';
import { checkDocumentValues, checkLayerCount } from './document-limits.js';
import type { ImageConfig } from './image-config.js';
import { mediaKind } from './media-types.js';

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

const digest = v.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'is not a digest');
const someText = v.pipe(v.string(), v.nonEmpty('is empty'));
const texts = recordOf(v.string());

const platformSchema = objectOf({
  os: v.string(),
  architecture: v.string(),
  variant: v.optional(v.string()),
});

/** @see OCI image-spec, descriptor.md */
const descriptorSchema = objectOf({
  mediaType: someText,
  digest,
  size: v.pipe(v.number(), v.safeInteger('is not a whole number'), v.minValue(0, 'is negative')),
  annotations: v.nullish(texts),
  platform: v.nullish(platformSchema),
});
export type Descriptor = v.InferOutput<typeof descriptorSchema>;

/** Programs written in Go write an empty list as null. */
const listOf = <Item extends v.GenericSchema>(item: Item) => v.nullish(v.array(item), []);

/** @see OCI image-spec, image-index.md */
const indexSchema = objectOf({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.string()),
  manifests: listOf(descriptorSchema),
});
export type Index = v.InferOutput<typeof indexSchema>;

/** @see OCI image-spec, manifest.md */
const manifestSchema = objectOf({
  schemaVersion: v.literal(2),
  mediaType: v.optional(v.string()),
  config: descriptorSchema,
  layers: listOf(descriptorSchema),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

const stringList = v.nullish(v.array(v.string()));

/** @see OCI image-spec, config.md */
export const imageConfigSchema = objectOf({
  os: someText,
  architecture: someText,
  variant: v.optional(v.string()),
  created: v.optional(v.string()),
  config: v.nullish(
    objectOf({
      Env: stringList,
      Entrypoint: stringList,
      Cmd: stringList,
      User: v.optional(v.string()),
      WorkingDir: v.optional(v.string()),
      Labels: v.nullish(texts),
      StopSignal: v.optional(v.string()),
    }),
  ),
  rootfs: objectOf({ type: v.literal('layers'), diff_ids: listOf(digest) }),
});

/** One element of the `manifest.json` of `docker save`. */
const dockerSaveSchema = v.array(
  objectOf({ Config: someText, RepoTags: listOf(v.string()), Layers: listOf(someText) }),
);
export type DockerSaveEntry = v.InferOutput<typeof dockerSaveSchema>[number];

/**
 * @param subject names the document in an error: `the manifest sha256:…`
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED`, or `ERR_UNSUPPORTED_MEDIA_TYPE` for a manifest of
 * something that is not an image, of Docker's schema 1, or with a layer of unknown type
 */
export function parseManifest(text: string, subject: string): Manifest {
  const document = parseJson(text, subject);
  refuseSchema1(document, subject);
  refuseChimera(document, subject, 'config', 'layers');
  if (isObject(document) && Array.isArray(document['layers'])) checkLayerCount(document['layers'].length, subject);
  const manifest = check(manifestSchema, document, subject);
  checkOwnKind(manifest.mediaType, 'manifest', subject);
  if (mediaKind(manifest.config.mediaType) !== 'config') {
    const type = manifest.config.mediaType;
    throw unsupported(`${subject} is no container image: its config is of type ${quote(type)}`, type, NOT_AN_IMAGE);
  }
  for (const [position, layer] of manifest.layers.entries()) {
    const type = layer.mediaType;
    if (mediaKind(type) === 'layer') continue;
    const hint = type.endsWith('+encrypted') ? 'decrypt the image first' : undefined;
    throw unsupported(`layer ${position} of ${subject} has the unsupported type ${quote(type)}`, type, hint);
  }
  return manifest;
}

/** @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED` */
export function parseIndex(text: string, subject: string): Index {
  const document = parseJson(text, subject);
  refuseChimera(document, subject, 'manifests');
  const index = check(indexSchema, document, subject);
  checkOwnKind(index.mediaType, 'index', subject);
  return index;
}

/**
 * @param layerCount layers of the manifest that names this config: it must have one diff ID for each
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED`
 */
export function parseImageConfig(
  text: string,
  layerCount: number,
  subject: string,
): ImageConfig & { diffIds: Digest[] } {
  const config = check(imageConfigSchema, parseJson(text, subject), subject);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== layerCount) {
    const counts = `${diffIds.length} diff IDs for ${layerCount} layers`;
    throw malformed(subject, `rootfs.diff_ids: ${counts}`, { diffIds: diffIds.length, layers: layerCount });
  }
  return { ...config, diffIds };
}

/** @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED` */
export function parseDockerSave(text: string, subject: string): DockerSaveEntry[] {
  const entries = check(dockerSaveSchema, parseJson(text, subject), subject);
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

function parseJson(text: string, subject: string): unknown {
  checkDocumentSize(Buffer.byteLength(text), subject);
  checkDocumentValues(text, subject);
  try {
    return JSON.parse(text);
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
 * One text that reads both as an index and as a manifest would have one digest and two meanings, and could pass a check as
 * the one and be used as the other.
 * @see CVE-2021-41190
 */
function refuseChimera(
  document: unknown,
  subject: string,
  ...expected: readonly ('manifests' | 'config' | 'layers')[]
): void {
  if (!isObject(document)) return;
  const others = (['manifests', 'config', 'layers'] as const).filter((key) => !expected.includes(key));
  const found = others.find((key) => document[key] !== undefined);
  if (found !== undefined) throw malformed(subject, `it has both ${expected[0]} and ${found}`);
}

function checkOwnKind(mediaType: string | undefined, kind: 'index' | 'manifest', subject: string): void {
  if (mediaType === undefined || mediaKind(mediaType) === kind) return;
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

function unsupported(message: string, mediaType: string, hint?: string): ProvisionerError {
  return new ProvisionerError('ERR_UNSUPPORTED_MEDIA_TYPE', message, {
    ...(hint === undefined ? {} : { hint }),
    details: { mediaType },
  });
}

/** Text from a source, safe to print: no control characters, no novel. */
function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
