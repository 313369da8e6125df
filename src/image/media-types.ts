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
  ['application/vnd.docker.image.rootfs.foreign.diff.tar', 'layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.zstd', 'layer'],
]);

/** Undefined for a type that images are not made of. */
export function mediaKind(mediaType: string): MediaKind | undefined {
  return KINDS.get(mediaType);
}

/** The documents that a registry may be asked for, best first. */
export const ACCEPTED_MANIFESTS: readonly string[] = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST];
