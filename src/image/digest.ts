import { ProvisionerError } from '../base/errors.js';

declare const kind: unique symbol;

/** `sha256:` and 64 lowercase hex digits, or `sha512:` and 128. Names the bytes of a blob. */
export type Digest = string & { readonly [kind]?: 'image' | 'layer' };
/** The digest of one platform's manifest: what names an image. */
export type ImageId = string & { readonly [kind]?: 'image' };
/** What names a directory under `layers/`: a layer's diff ID, or the id of a seam. */
export type LayerId = string & { readonly [kind]?: 'layer' };
/** The digest of a layer's uncompressed tar. @see OCI image-spec, config.md, "Layer DiffID" */
export type DiffId = LayerId;

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** True for the two algorithms that the image-spec registers, in their canonical form. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** @throws ProvisionerError `ERR_BAD_DIGEST` */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new ProvisionerError('ERR_BAD_DIGEST', `not a digest: ${JSON.stringify(text)}`, {
    hint: 'a digest is sha256: and 64 lowercase hex digits',
    details: { digest: text },
  });
}

/** The algorithm as `node:crypto` names it. */
export function digestAlgorithm(digest: Digest): 'sha256' | 'sha512' {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hex digits alone, which name files and directories on disk. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/**
 * The hex digits of a digest that somebody has begun to write: `sha256:5f70bf`, `5f70bf`; three at least, and no more than a digest has.
 * @returns undefined for a text that begins no digest
 */
export function digestPrefix(text: string): string | undefined {
  const [, algorithm, hex = ''] = /^(?:(sha256|sha512):)?([0-9a-f]{3,128})$/.exec(text) ?? [];
  return hex !== '' && (algorithm !== 'sha256' || hex.length <= 64) ? hex : undefined;
}

/** Whether a digest begins with what somebody has written of one, with its algorithm or without. @param text has a `digestPrefix` */
export function beginsWith(digest: Digest, text: string): boolean {
  return digest.startsWith(text) || digestHex(digest).startsWith(text);
}
