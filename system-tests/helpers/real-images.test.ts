import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { type RealImages, realImages } from './real-images.js';
import { describeWith } from './requirements.js';

interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string; readonly mediaType: string }[];
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function manifestOf(layout: string): Manifest {
  const index = readJson(join(layout, 'index.json')) as { manifests: { digest: string }[] };
  expect(index.manifests).toHaveLength(1);
  return blob(layout, index.manifests[0]?.digest ?? '') as Manifest;
}

function blob(layout: string, digest: string): unknown {
  return readJson(join(layout, 'blobs', digest.replace(':', '/')));
}

function diffIds(layout: string): readonly string[] {
  const config = blob(layout, manifestOf(layout).config.digest) as { rootfs: { diff_ids: string[] } };
  return config.rootfs.diff_ids;
}

describeWith(['root', 'real images'], 'the real images that other tests rely on', () => {
  let images: RealImages;
  beforeAll(async () => {
    images = await realImages();
  });

  it('are two versions of one application on one Debian, which differ in the top layer alone', () => {
    const [debian, first, second] = [images.debian, images.appV1, images.appV2].map(diffIds);
    expect(debian).toHaveLength(1);
    expect(first).toHaveLength(4);
    expect(first?.[0]).toBe(debian?.[0]);
    expect(second?.slice(0, 3)).toEqual(first?.slice(0, 3));
    expect(second?.[3]).not.toBe(first?.[3]);
  });

  it('are the same layers in gzip and in zstd', () => {
    const types = (layout: string) =>
      new Set(manifestOf(layout).layers.map(({ mediaType }) => mediaType.split('+')[1]));
    expect(types(images.mixed)).toEqual(new Set(['gzip']));
    expect(types(images.mixedZstd)).toEqual(new Set(['zstd']));
    expect(diffIds(images.mixedZstd)).toEqual(diffIds(images.mixed));
  });
});
