import { describe, expect, it } from 'vitest';
import { formatPlatform, machinePlatform, parsePlatform } from '#src/image/platform.js';
import { OciLayoutPuller } from '#src/sources/oci-layout.js';
import {
  blobName,
  buildImage,
  buildIndex,
  buildLayer,
  document,
  type Image,
  type ImageIndex,
  type LayoutEntry,
  sha256,
  writeOciLayout,
} from '../helpers/image-builder.js';
import { AMD64, failure, labelledImage, labelsOf, useDirectory } from './workbench.js';

/* Documents as real images in real registries have them, whatever the specification says. */

const directory = useDirectory();
const layer = buildLayer([{ path: 'a' }]);
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

const open = async (entries: readonly LayoutEntry[], platform = AMD64, reference?: string) => {
  await writeOciLayout(directory.path, entries);
  return await new OciLayoutPuller(directory.path).open({ platform, reference });
};
const labels = (entries: readonly LayoutEntry[], reference?: string) => labelsOf(open(entries, AMD64, reference));

/** An image whose manifest has been changed. */
function changed(image: Image, edit: (manifest: Record<string, unknown>) => object): Image {
  const manifest = edit(JSON.parse(String(image.manifest.bytes)));
  return { ...image, manifest: document(image.manifest.descriptor.mediaType, manifest) };
}

/** An artifact with a config of this type and text. */
function artifact(config: object | string, mediaType: string, layers: object[] = []): Image {
  const text = document(mediaType, config);
  const manifest = document(OCI_MANIFEST, { schemaVersion: 2, config: text.descriptor, layers });
  return { ...labelledImage('artifact'), manifest, config: text, layers: [] };
}

const NO_PLATFORM = { os: '', architecture: null };
const SILENT = buildImage([layer], { configFields: NO_PLATFORM });
const ARM_V6 = { os: 'linux', architecture: 'arm', variant: 'v6' };

describe('an image is offered', () => {
  it.each<[string, Image]>([
    [
      'whose config has null and empty fields',
      buildImage([layer], { configFields: { created: null, variant: '', config: { User: null } } }),
    ],
    ['whose rootfs has no type', buildImage([layer], { configFields: { rootfs: { diff_ids: [layer.diffId] } } })],
    [
      'without layers, and null for a list of them',
      buildImage([], { configFields: { rootfs: {} }, manifestFields: { layers: null } }),
    ],
    ['whose manifest has an empty type', buildImage([layer], { manifestFields: { mediaType: '' } })],
    ['whose manifest has no schema version', buildImage([layer], { manifestFields: { schemaVersion: undefined } })],
    [
      'whose platform is written in capitals',
      buildImage([layer], { configFields: { os: 'Linux', architecture: 'AMD64' } }),
    ],
    ...['application/octet-stream', 'application/json', 'text/html', '', undefined, null].map(
      (mediaType): [string, Image] => [
        `whose config has the type ${mediaType}`,
        changed(buildImage([layer]), (manifest) => ({
          ...manifest,
          config: { ...(manifest['config'] as object), mediaType },
        })),
      ],
    ),
    ...['application/octet-stream', 'application/vnd.docker.container.image.rootfs.diff+x-gtar', null].map(
      (mediaType): [string, Image] => [
        `whose layer has the type ${mediaType}`,
        changed(buildImage([layer], { format: 'docker' }), (manifest) => ({
          ...manifest,
          layers: [{ ...(manifest['layers'] as object[])[0], mediaType }],
        })),
      ],
    ),
  ])('%s', async (_what, image) => {
    const offer = await open([{ image, refName: 'app:v1' }]);
    expect(offer.images).toMatchObject([
      { id: image.manifest.descriptor.digest, config: String(image.config.bytes), platform: AMD64 },
    ]);
  });

  it('whose config states no platform, by what the index states, in an index or in index.json', async () => {
    const image = { ...SILENT, platform: ARM_V6 };
    for (const entry of [{ image: buildIndex([image]) }, { image, withPlatform: true }]) {
      const offer = await open([entry], parsePlatform('linux/arm/v6'));
      expect(offer.images.map(({ platform }) => formatPlatform(platform))).toEqual(['linux/arm/v6']);
    }
    const error = await failure(open([{ image: buildIndex([image]) }], parsePlatform('linux/riscv64')));
    expect(error).toMatchObject({ code: 'ERR_PLATFORM_NOT_OFFERED', details: { offered: ['linux/arm/v6'] } });
  });

  it('whose platform nobody states, as one for this machine', async () => {
    const offer = await open([{ image: SILENT }], machinePlatform());
    expect(offer.images.map(({ platform }) => platform)).toEqual([machinePlatform()]);
    const error = await failure(open([{ image: SILENT }], parsePlatform('linux/mips')));
    expect(error.details['offered']).toEqual([formatPlatform(machinePlatform())]);
  });

  it('that stands as an index under the type of a manifest, and the other way round', async () => {
    const index = buildIndex([labelledImage('a')]);
    const image = labelledImage('b');
    const mislabelled: ImageIndex = {
      ...index,
      index: { ...index.index, descriptor: { ...index.index.descriptor, mediaType: OCI_MANIFEST } },
    };
    expect(await labels([{ image: mislabelled }])).toEqual(['a']);
    const { descriptor } = image.manifest;
    const turned = { ...descriptor, mediaType: index.index.descriptor.mediaType };
    const offer = await open([{ image: { ...image, manifest: { ...image.manifest, descriptor: turned } } }]);
    expect(offer.images).toMatchObject([{ id: descriptor.digest, mediaType: OCI_MANIFEST }]);
  });

  it('whose descriptor has no type, or one that says nothing', async () => {
    const image = labelledImage('a');
    for (const mediaType of ['', 'application/json', `${OCI_MANIFEST};charset=utf-8`]) {
      const descriptor = { ...image.manifest.descriptor, mediaType };
      const entry = { image: { ...image, manifest: { ...image.manifest, descriptor } } };
      for (const withPlatform of [false, true]) expect(await labels([{ ...entry, withPlatform }])).toEqual(['a']);
    }
  });
});

describe('an entry of an index does not spoil the sound one beside it', () => {
  const { descriptor } = labelledImage('other').manifest;
  const here = { os: 'linux', architecture: 'amd64' };
  const nowhere = { ...descriptor, digest: sha256('nowhere') };
  const empty = artifact({}, 'application/vnd.oci.image.config.v1+json');
  const broken = buildImage([layer], { configFields: { rootfs: { type: 'layers', diff_ids: [] } } });

  it.each<[string, object, string, RegExp]>([
    [
      'that is for half a platform that is not ours',
      { ...nowhere, platform: { architecture: 'wasm' } },
      'ERR_SOURCE_MALFORMED',
      /states no os, and is for wasm/,
    ],
    [
      'that is for half a platform, and is not there',
      { ...nowhere, platform: { os: 'linux' } },
      'ERR_BLOB_NOT_FOUND',
      /lacks the blob/,
    ],
    ['without platform that is not there', nowhere, 'ERR_BLOB_NOT_FOUND', /lacks the blob/],
    ['of unknown type', { ...nowhere, mediaType: 'application/x-future' }, 'ERR_UNSUPPORTED_MEDIA_TYPE', /x-future/],
    [
      'of no type that is too large for a document',
      { ...nowhere, mediaType: '', size: 2 ** 33 },
      'ERR_UNSUPPORTED_MEDIA_TYPE',
      /unsupported type ""/,
    ],
    ['that is too large for a manifest', { ...nowhere, size: 2 ** 33 }, 'ERR_LIMIT_EXCEEDED', /8589934592/],
    ['for our platform that is not there', { ...nowhere, platform: here }, 'ERR_BLOB_NOT_FOUND', /lacks the blob/],
    [
      'for our platform that is too large for a manifest',
      { ...nowhere, platform: here, size: 2 ** 33 },
      'ERR_LIMIT_EXCEEDED',
      /8589934592/,
    ],
    [
      'without digest',
      { ...descriptor, digest: undefined },
      'ERR_SOURCE_MALFORMED',
      /manifests\[0\]\.digest: is missing/,
    ],
    ['that is a text', 'nonsense' as unknown as object, 'ERR_SOURCE_MALFORMED', /manifests\[0\]: expected object/],
  ])('%s', async (_what, entry, code, words) => {
    const extra = [entry as Record<string, unknown>];
    expect(await labels([{ image: buildIndex([labelledImage('sound')], { extra }) }])).toEqual(['sound']);
    const error = await failure(open([{ image: buildIndex([], { extra }) }]));
    expect(error).toMatchObject({ code, message: expect.stringMatching(words) });
  });

  it.each<[string, Image, string, RegExp]>([
    ['an artifact with an empty config', empty, 'ERR_UNSUPPORTED_MEDIA_TYPE', /it has no rootfs/],
    ['a chart', artifact({}, 'application/vnd.cncf.helm.config.v1+json'), 'ERR_UNSUPPORTED_MEDIA_TYPE', /helm/],
    [
      'an artifact whose config says nothing',
      artifact('text', 'application/octet-stream'),
      'ERR_UNSUPPORTED_MEDIA_TYPE',
      /does not read as that of a container image/,
    ],
    ['a broken image', broken, 'ERR_SOURCE_MALFORMED', /0 diff IDs for 1 layers/],
    [
      'a manifest that is an index as well',
      changed(broken, (manifest) => ({ ...manifest, manifests: [] })),
      'ERR_SOURCE_MALFORMED',
      /both manifests and config/,
    ],
  ])('%s, with or without our platform stated', async (_what, odd, code, words) => {
    for (const withPlatforms of [false, true]) {
      const image = buildIndex([{ ...odd, platform: here }, labelledImage('sound')], { withPlatforms });
      for (const entry of [{ image }, { image, refName: 'app:v1' }]) expect(await labels([entry])).toEqual(['sound']);
      const error = await failure(open([{ image: buildIndex([odd], { withPlatforms }) }]));
      expect(error).toMatchObject({ code, message: expect.stringMatching(words) });
    }
    for (const withPlatform of [false, true]) {
      const entries = [{ ...odd, platform: here }, labelledImage('sound')].map((image) => ({ image, withPlatform }));
      expect(await labels(entries)).toEqual(['sound']);
      const named = { image: labelledImage('named'), refName: 'app:v1' };
      expect(await labels([...entries.slice(0, 1), named])).toEqual(['named']);
      expect((await failure(open([...entries, { image: labelledImage('b') }]))).code).toBe('ERR_IMAGE_AMBIGUOUS');
      expect(await failure(open(entries.slice(0, 1)))).toMatchObject({ code, message: expect.stringMatching(words) });
    }
  });

  it('but one that is not there is not replaced by one that fits less', async () => {
    const { descriptor: fits } = labelledImage('v7').manifest;
    const v7 = { os: 'linux', architecture: 'arm', variant: 'v7' };
    const extra = [{ ...fits, digest: sha256('nowhere'), platform: v7 } as unknown as Record<string, unknown>];
    const image = buildIndex([labelledImage('v6', 'linux/arm/v6')], { extra });
    const error = await failure(open([{ image }], parsePlatform('linux/arm/v7')));
    expect(error.code).toBe('ERR_BLOB_NOT_FOUND');
  });

  it('and is told beneath the platforms that there are, when ours is not among them', async () => {
    const image = buildIndex([broken, labelledImage('arm64', 'linux/arm64')], { withPlatforms: false });
    const error = await failure(open([{ image }]));
    expect(error).toMatchObject({
      code: 'ERR_PLATFORM_NOT_OFFERED',
      cause: { message: expect.stringContaining('0 diff IDs for 1 layers') },
    });
  });

  it('an index in it that makes no sense', async () => {
    const nested = buildIndex([]);
    const bad = { ...nested, index: document(nested.index.descriptor.mediaType, '{"manifests":1}') };
    expect(await labels([{ image: buildIndex([bad, labelledImage('sound')]) }])).toEqual(['sound']);
  });

  it('but what index.json names itself has to be there, and what has a name has to be sound', async () => {
    const missing = labelledImage('missing');
    await writeOciLayout(directory.path, [{ image: missing }, { image: labelledImage('sound') }], (files) =>
      files.delete(blobName(missing.manifest.descriptor.digest)),
    );
    const puller = new OciLayoutPuller(directory.path);
    expect((await failure(puller.open({ platform: AMD64 }))).code).toBe('ERR_BLOB_NOT_FOUND');

    const both = [
      { image: broken, refName: 'app:v1' },
      { image: labelledImage('sound'), refName: 'app:v2' },
    ];
    expect((await failure(open(both))).message).toContain('0 diff IDs');
    expect(await labels(both, 'app:v2')).toEqual(['sound']);
  });

  it('and counts where images are numbered', async () => {
    await writeOciLayout(directory.path, [{ image: labelledImage('a') }, { image: labelledImage('b') }], (files) => {
      const index = JSON.parse(String(files.get('index.json')));
      index.manifests.splice(1, 0, {});
      files.set('index.json', Buffer.from(JSON.stringify(index)));
    });
    const puller = new OciLayoutPuller(directory.path);
    expect(await labelsOf(puller.open({ platform: AMD64, reference: '@2' }))).toEqual(['b']);
    const error = await failure(puller.open({ platform: AMD64, reference: '@1' }));
    expect(error.message).toContain('manifests[1].digest: is missing');
  });
});

it('of two in one index that fit equally the first is taken, also when the index has no name', async () => {
  expect(await labels([{ image: buildIndex([labelledImage('first'), labelledImage('second')]) }])).toEqual(['first']);
});
