/** What a document or blob is. `schema1` is Docker's retired manifest, known only to be refused by name. */
export type MediaKind = 'index' | 'manifest' | 'config' | 'layer' | 'schema1';

export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_LAYER_TAR = 'application/vnd.oci.image.layer.v1.tar';
export const DOCKER_INDEX = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';

/**
 * The types in use, OCI's and Docker's side by side. Layers that may not be pushed elsewhere ("nondistributable", in Docker's
 * words "foreign") are layers like any other to someone who only unpacks them. How a layer is compressed is told by its first
 * bytes, not by its type: builders are known to write the wrong one.
 * @see OCI image-spec, media-types.md; Docker image manifest v2, schema 2
 */
const KINDS: ReadonlyMap<string, MediaKind> = new Map<string, MediaKind>([
  [OCI_INDEX, 'index'],
  [DOCKER_INDEX, 'index'],

  [OCI_MANIFEST, 'manifest'],
  [DOCKER_MANIFEST, 'manifest'],
  ['application/vnd.docker.distribution.manifest.v1+json', 'schema1'],
  ['application/vnd.docker.distribution.manifest.v1+prettyjws', 'schema1'],

  [OCI_CONFIG, 'config'],
  [DOCKER_CONFIG, 'config'],

  [OCI_LAYER_TAR, 'layer'],
  ['application/vnd.oci.image.layer.v1.tar+gzip', 'layer'],
  ['application/vnd.oci.image.layer.v1.tar+zstd', 'layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar', 'layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar.zstd', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar.zst', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar+gzip', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar+zstd', 'layer'],
  ['application/vnd.docker.container.image.rootfs.diff+x-gtar', 'layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar', 'layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.zstd', 'layer'],
]);

/**
 * What servers and storage say of bytes of which they know nothing. Docker before 1.10.2 and registries behind some proxies wrote such types into manifests;
 * what has one is what it reads as.
 * @see https://github.com/distribution/distribution/issues/1621
 */
const VAGUE: ReadonlySet<string> = new Set([
  '',
  'application/octet-stream',
  'binary/octet-stream',
  'application/json',
  'text/html',
  'text/plain',
]);

/** Undefined for a type that images are not made of. */
export function mediaKind(mediaType: string): MediaKind | undefined {
  return KINDS.get(mediaType) ?? KINDS.get(bareType(mediaType));
}

/** Is it the type of a layer that registries need not have, since it may not be pushed elsewhere? Such a one is had from where its descriptor says. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaKind(mediaType) === 'layer' && /\.(?:foreign|nondistributable)\./.test(bareType(mediaType));
}

/** Does a type, or that there is none, say nothing of what it is for? */
export function isVague(mediaType: string): boolean {
  return VAGUE.has(bareType(mediaType));
}

/** Types are compared without parameters (`; charset=utf-8`), and whether their letters are capitals does not matter. @see RFC 9110, 8.3.1 */
function bareType(mediaType: string): string {
  const end = mediaType.indexOf(';');
  return (end < 0 ? mediaType : mediaType.slice(0, end)).trim().toLowerCase();
}

/** The documents that a registry may be asked for, best first. */
export const ACCEPTED_MANIFESTS: readonly string[] = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST];
