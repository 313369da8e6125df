import { expect, it } from 'vitest';
import { ACCEPTED_MANIFESTS, isVague, mediaKind } from '#src/image/media-types.js';

it.each([
  ['application/vnd.oci.image.index.v1+json', 'index'],
  ['application/vnd.docker.distribution.manifest.list.v2+json', 'index'],
  ['application/vnd.oci.image.manifest.v1+json', 'manifest'],
  ['application/vnd.docker.distribution.manifest.v2+json', 'manifest'],
  ['application/vnd.docker.distribution.manifest.v1+json', 'schema1'],
  ['application/vnd.docker.distribution.manifest.v1+prettyjws', 'schema1'],
  ['application/vnd.oci.image.config.v1+json', 'config'],
  ['application/vnd.docker.container.image.v1+json', 'config'],
  ['application/vnd.oci.image.layer.v1.tar', 'layer'],
  ['application/vnd.oci.image.layer.v1.tar+gzip', 'layer'],
  ['application/vnd.oci.image.layer.v1.tar+zstd', 'layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar.zstd', 'layer'],
  ['application/vnd.docker.image.rootfs.diff.tar.zst', 'layer'],
  ['application/vnd.docker.container.image.rootfs.diff+x-gtar', 'layer'],
  ['application/vnd.oci.image.config.v1+json; charset=utf-8', 'config'],
  [' Application/VND.OCI.Image.Manifest.v1+JSON ;a=b;c', 'manifest'],
  ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted', undefined],
  ['application/vnd.oci.empty.v1+json', undefined],
  ['', undefined],
  ['constructor', undefined],
])('%s is of kind %s', (mediaType, kind) => {
  expect(mediaKind(mediaType)).toBe(kind);
});

it('a registry is asked for indexes and manifests only', () => {
  expect(ACCEPTED_MANIFESTS.map(mediaKind)).toEqual(['index', 'index', 'manifest', 'manifest']);
});

it.each([
  ['', true],
  ['application/octet-stream', true],
  ['Application/JSON;charset=utf-8', true],
  ['text/html', true],
  ['application/vnd.oci.image.config.v1+json', false],
  ['application/vnd.oci.empty.v1+json', false],
  ['application/vnd.cncf.helm.config.v1+json', false],
  ['application/jsonl', false],
])('that %j says nothing of what it is for is %s', (mediaType, says) => {
  expect(isVague(mediaType)).toBe(says);
});
