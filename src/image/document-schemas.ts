import * as v from 'valibot';
import { objectOf, recordOf } from '../base/check-document.js';
import { type Digest, isDigest } from './digest.js';

/*
 * What the documents of an image must have. Digests and sizes are held to the letter. All that may be left out may also be null or empty: programs written in
 * Go write it so, and read it as if it were not there.
 */

const digest = v.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'is not a digest');
const someText = v.pipe(v.string(), v.nonEmpty('is empty'));
/** Null or absent is empty, as in Go. */
const text = v.nullish(v.string(), '');
const maybeText = v.nullish(v.string());
const texts = recordOf(text);
const listOf = <Item extends v.GenericSchema>(item: Item) => v.nullish(v.array(item), []);

/** @see OCI image-spec, descriptor.md */
export const descriptorSchema = objectOf({
  mediaType: text,
  digest,
  size: v.pipe(v.number(), v.safeInteger('is not a whole number'), v.minValue(0, 'is negative')),
  annotations: v.nullish(texts),
  /** Where else it may be had. */
  urls: v.nullish(v.array(text)),
  platform: v.nullish(objectOf({ os: maybeText, architecture: maybeText, variant: maybeText })),
});
export type Descriptor = v.InferOutput<typeof descriptorSchema>;

/** A number that a Go program forgot to set is 0. */
const schemaVersion = v.nullish(v.picklist([0, 2]), 2);

/** Its entries are held against `descriptorSchema` one by one. @see OCI image-spec, image-index.md */
export const indexSchema = objectOf({ schemaVersion, mediaType: text, manifests: listOf(v.unknown()) });

/** @see OCI image-spec, manifest.md */
export const manifestSchema = objectOf({
  schemaVersion,
  mediaType: text,
  config: descriptorSchema,
  layers: listOf(descriptorSchema),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

const command = v.nullish(v.union([v.string(), v.array(maybeText)]));

/** @see OCI image-spec, config.md */
export const imageConfigSchema = objectOf({
  os: maybeText,
  architecture: maybeText,
  variant: maybeText,
  created: maybeText,
  config: v.nullish(
    objectOf({
      Env: v.nullish(v.array(maybeText)),
      Entrypoint: command,
      Cmd: command,
      User: maybeText,
      WorkingDir: maybeText,
      Labels: v.nullish(recordOf(maybeText)),
      StopSignal: maybeText,
      Volumes: v.nullish(recordOf(v.unknown())),
      Healthcheck: v.optional(v.unknown()),
    }),
  ),
  rootfs: objectOf({ type: v.nullish(v.picklist(['layers', ''])), diff_ids: listOf(digest) }),
});

/** One element of the `manifest.json` of `docker save`. */
export const dockerSaveSchema = v.array(
  objectOf({ Config: someText, RepoTags: listOf(text), Layers: listOf(someText) }),
);
export type DockerSaveEntry = v.InferOutput<typeof dockerSaveSchema>[number];
