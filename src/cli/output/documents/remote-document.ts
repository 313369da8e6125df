import type { LoggedIn, RemoteImage, RemoteLayer } from '../../../index.js';
import { createdAt } from './image-document.js';

/** An image where it lies, in `inspect --remote`; `docs/cli.md` promises this shape, and those below. */
export interface InspectedRemoteImage {
  readonly type: 'remote-image';
  readonly source: string;
  /** Of what the source names: an index, or the manifest. */
  readonly digest: string;
  readonly id: string;
  readonly names: readonly string[];
  readonly platform: string;
  readonly platforms: readonly string[];
  readonly layers: readonly RemoteLayer[];
  readonly compressedBytes: number;
  readonly mediaType: string;
  readonly configDigest: string;
  readonly created: string | null;
  readonly notes: readonly string[];
  readonly config: unknown;
  readonly manifest: unknown;
}

export function inspectedRemoteImage(image: RemoteImage): InspectedRemoteImage {
  const { source, digest, id, names, platform, platforms, layers, compressedBytes } = image;
  const config: unknown = JSON.parse(image.config);
  return {
    type: 'remote-image',
    source,
    digest,
    id,
    names,
    platform,
    platforms,
    layers,
    compressedBytes,
    mediaType: image.mediaType,
    configDigest: image.configDigest,
    created: createdAt(config),
    notes: image.notes,
    config,
    manifest: JSON.parse(image.manifest),
  };
}

/** What `tags` lists. */
export function remoteTagDocument(repository: string, tag: string) {
  return { name: `${repository}:${tag}`, tag };
}

/** What `login` has done. */
export function loginDocument({ key, username, file, helper, verified }: LoggedIn): LoggedIn {
  return { key, username, file, helper, verified };
}

/** Who pulls are to a registry, as `login --get-login` tells. */
export function loginNameDocument(registry: string, username: string) {
  return { registry, username };
}

/** What `logout` has forgotten. */
export function logoutDocument(file: string, keys: readonly string[]) {
  return keys.map((key) => ({ key, file }));
}
