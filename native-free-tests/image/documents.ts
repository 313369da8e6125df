import { parseImageConfig, parseIndex, parseManifest } from '#src/image/manifest.js';

/* Sound documents of an image, and readers of what they are when some fields are others. */

export const DIGEST = `sha256:${'a'.repeat(64)}`;
export const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: DIGEST, size: 10 };
export const LAYER = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: DIGEST, size: 20 };
export const MANIFEST = { schemaVersion: 2, config: CONFIG, layers: [LAYER] };
export const IMAGE_CONFIG = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [DIGEST] } };

export const manifest = (fields: object) => () =>
  parseManifest(JSON.stringify({ ...MANIFEST, ...fields }), 'the manifest');
export const index = (fields: object) => () =>
  parseIndex(JSON.stringify({ schemaVersion: 2, manifests: [], ...fields }), 'the index');
export const config = (fields: object) => () =>
  parseImageConfig(JSON.stringify({ ...IMAGE_CONFIG, ...fields }), 1, 'the config');
