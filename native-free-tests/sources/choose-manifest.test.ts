import { describe, expect, it } from 'vitest';
import { formatPlatform, parsePlatform } from '#src/image/platform.js';
import { OciLayoutPuller } from '#src/sources/oci-layout.js';
import {
  blobName,
  buildImage,
  buildIndex,
  buildLayer,
  document,
  type ImageIndex,
  type LayoutEntry,
  sha256,
  writeOciLayout,
} from '../helpers/image-builder.js';
import { AMD64, failure, labelledImage, labelsOf, useDirectory } from './workbench.js';

const directory = useDirectory();

const choose = async (entries: readonly LayoutEntry[], platform = 'linux/amd64', reference?: string) => {
  await writeOciLayout(directory.path, entries);
  return await labelsOf(new OciLayoutPuller(directory.path).open({ platform: parsePlatform(platform), reference }));
};

const ARTIFACT = document('application/vnd.oci.image.manifest.v1+json', {
  schemaVersion: 2,
  config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256('{}'), size: 2 },
  layers: [],
});

describe('of an index, the image for the platform is taken', () => {
  const index = buildIndex([
    labelledImage('amd64', 'linux/amd64'),
    labelledImage('arm64', 'linux/arm64'),
    labelledImage('arm-v6', 'linux/arm/v6'),
    labelledImage('arm-v7', 'linux/arm/v7'),
    labelledImage('windows', 'windows/amd64'),
  ]);

  it.each([
    ['linux/amd64', 'amd64'],
    ['linux/amd64/v3', 'amd64'],
    ['linux/arm64', 'arm64'],
    ['linux/arm/v7', 'arm-v7'],
    ['linux/arm/v6', 'arm-v6'],
    ['windows/amd64', 'windows'],
  ])('%s takes %s', async (platform, label) => {
    expect(await choose([{ image: index, refName: 'v1' }], platform)).toEqual([label]);
  });

  it('and one that is not there is told with all that are', async () => {
    const error = await failure(choose([{ image: index }], 'linux/s390x'));
    expect(error.code).toBe('ERR_PLATFORM_NOT_OFFERED');
    expect(error.details['offered']).toEqual([
      'linux/amd64',
      'linux/arm64',
      'linux/arm/v6',
      'linux/arm/v7',
      'windows/amd64',
    ]);
    expect(error.details['wanted']).toBe('linux/s390x');
  });

  it('also by the digest of the image inside', async () => {
    const [, arm64] = index.members;
    if (arm64?.kind !== 'image') throw new Error('the second member is an image');
    const { digest } = arm64.manifest.descriptor;
    expect(await choose([{ image: index, refName: 'v1' }], 'linux/arm64', digest)).toEqual(['arm64']);
  });

  it('also when index.json itself lists the platforms', async () => {
    const entries = index.members.map((image) => ({ image, withPlatform: true }));
    expect(await choose(entries, 'linux/arm/v7')).toEqual(['arm-v7']);
    expect(
      await choose(
        entries.map((entry) => ({ ...entry, refName: 'app:v1' })),
        'linux/arm64',
        'app:v1',
      ),
    ).toEqual(['arm64']);
  });
});

it('of two that fit equally the first is taken', async () => {
  const index = buildIndex([labelledImage('first'), labelledImage('second')]);
  expect(await choose([{ image: index, refName: 'v1' }])).toEqual(['first']);
});

it('two nameless images for the platform are two images', async () => {
  const entries = [{ image: labelledImage('first') }, { image: labelledImage('second') }];
  expect((await failure(choose(entries))).code).toBe('ERR_IMAGE_AMBIGUOUS');
});

it('an entry without a platform is decided by its config', async () => {
  const members = [labelledImage('arm64', 'linux/arm64'), labelledImage('amd64')];
  expect(await choose([{ image: buildIndex(members, { withPlatforms: false }) }])).toEqual(['amd64']);
});

it('a variant that the config leaves out is the one that the index states', async () => {
  const image = buildImage([buildLayer([{ path: 'a' }])], {
    platform: { os: 'linux', architecture: 'arm', variant: 'v6' },
    configFields: { variant: undefined },
  });
  await writeOciLayout(directory.path, [{ image: buildIndex([image]) }]);
  const offer = await new OciLayoutPuller(directory.path).open({ platform: parsePlatform('linux/arm/v6') });
  expect(offer.images.map(({ platform }) => formatPlatform(platform))).toEqual(['linux/arm/v6']);
});

describe('what is no image is passed over', () => {
  it('an attestation, by its platform or by its annotation', async () => {
    const { descriptor } = labelledImage('attestation').manifest;
    const extra = [
      { ...descriptor, platform: { os: 'unknown', architecture: 'unknown' } },
      { ...descriptor, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } },
    ];
    expect(await choose([{ image: buildIndex([labelledImage('a')], { extra }) }])).toEqual(['a']);
    const error = await failure(choose([{ image: buildIndex([], { extra }) }]));
    expect(error).toMatchObject({
      code: 'ERR_PLATFORM_NOT_OFFERED',
      message: expect.stringContaining('names no platform'),
    });
  });

  it('an entry of unknown type, unless it is all there is', async () => {
    const extra = [{ mediaType: 'application/x-future', digest: sha256('x'), size: 1 }];
    expect(await choose([{ image: buildIndex([labelledImage('a')], { extra }) }])).toEqual(['a']);
    const error = await failure(choose([{ image: buildIndex([], { extra }) }]));
    expect(error).toMatchObject({ code: 'ERR_UNSUPPORTED_MEDIA_TYPE', message: expect.stringContaining('x-future') });
  });

  it("a manifest of Docker's schema 1, unless it is all there is", async () => {
    const extra = [{ mediaType: 'application/vnd.docker.distribution.manifest.v1+json', digest: sha256('x'), size: 1 }];
    const error = await failure(choose([{ image: buildIndex([], { extra }) }]));
    expect(error).toMatchObject({ code: 'ERR_UNSUPPORTED_MEDIA_TYPE', message: expect.stringContaining('schema 1') });
  });

  it('an artifact beside the images, unless it is all there is', async () => {
    const artifact = { ...labelledImage('x'), manifest: ARTIFACT };
    const both = buildIndex([artifact, labelledImage('a')], { withPlatforms: false });
    expect(await choose([{ image: both }])).toEqual(['a']);
    expect((await failure(choose([{ image: artifact }]))).code).toBe('ERR_UNSUPPORTED_MEDIA_TYPE');
  });
});

describe('indexes inside indexes', () => {
  const nest = (inner: ImageIndex, levels: number): ImageIndex =>
    levels === 0 ? inner : nest(buildIndex([inner]), levels - 1);

  it('are walked', async () => {
    expect(await choose([{ image: nest(buildIndex([labelledImage('deep')]), 7) }])).toEqual(['deep']);
  });

  it('are not walked without end', async () => {
    const error = await failure(choose([{ image: nest(buildIndex([labelledImage('deep')]), 8) }]));
    expect(error.code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('that repeat one another many times over are read once each', async () => {
    const repeat = (inner: ImageIndex): ImageIndex => buildIndex(Array.from({ length: 200 }, () => inner));
    const bomb = repeat(repeat(repeat(repeat(repeat(buildIndex([labelledImage('once')]))))));
    await writeOciLayout(directory.path, [], (files) => {
      const add = (index: ImageIndex): void => {
        files.set(blobName(index.index.descriptor.digest), index.index.bytes);
        const [first] = index.members;
        if (first?.kind === 'index') add(first);
        if (first?.kind !== 'image') return;
        for (const part of [first.manifest, first.config]) files.set(blobName(part.descriptor.digest), part.bytes);
        for (const layer of first.layers) files.set(blobName(layer.digest), layer.blob);
      };
      add(bomb);
      files.set('index.json', Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [bomb.index.descriptor] })));
    });
    const start = performance.now();
    expect(await labelsOf(new OciLayoutPuller(directory.path).open({ platform: AMD64 }))).toEqual(['once']);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it("in Docker's manifest lists work as well", async () => {
    const index = buildIndex([labelledImage('a')], { format: 'docker' });
    expect(await choose([{ image: index }])).toEqual(['a']);
  });
});

it('two images under one name are told by their digests', async () => {
  const images = [labelledImage('first'), labelledImage('second')];
  const error = await failure(choose(images.map((image) => ({ image, refName: 'app:v1' }))));
  expect(error).toMatchObject({
    code: 'ERR_IMAGE_AMBIGUOUS',
    message: expect.stringContaining('2 images under the name docker.io/library/app:v1'),
    hint: expect.stringContaining(':@sha256:'),
    details: { offered: images.map((image) => `@${image.manifest.descriptor.digest}`) },
  });
});

it('one image that is written twice under one name is one', async () => {
  const image = labelledImage('first');
  expect(
    await choose([
      { image, refName: 'app:v1' },
      { image, refName: 'app:v1' },
    ]),
  ).toEqual(['first']);
});
