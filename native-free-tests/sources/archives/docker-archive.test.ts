import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { machinePlatform } from '#src/image/platform.js';
import { DockerArchivePuller } from '#src/sources/archives/docker-archive.js';
import { describePuller } from '../../contracts/puller.js';
import {
  blobName,
  buildImage,
  dockerFiles,
  type Files,
  ociFiles,
  packFiles,
  sha256,
  writeDockerArchive,
} from '../../helpers/image-builder.js';
import { inflateHere } from '../../helpers/inflate-here.js';
import { AMD64, ARM64, expectEmpty, failure, labelledImage, labelsOf, useDirectory } from '../workbench.js';

const directory = useDirectory();
const image = labelledImage('a');
const [layer] = image.layers;
if (layer === undefined) throw new Error('the image has layers');
const configName = `${image.config.descriptor.digest.slice(7)}.json`;

const open = (reference?: string, platform = AMD64) =>
  new DockerArchivePuller(directory.join('a.tar'), { stagingDirectory: directory.staging, inflate: inflateHere }).open({
    platform,
    reference,
  });
const write = (files: Files) => writeFile(directory.join('a.tar'), packFiles(files));

afterEach(async () => {
  await expectEmpty(directory.staging);
});

for (const options of [{ names: 'legacy' }, { names: 'blobs' }, { names: 'blobs', storeCompressed: true }] as const) {
  describePuller(`the puller of a docker archive (${JSON.stringify(options)})`, async (images) => {
    const saved = [...images].map(([tag, each]) => ({ image: each, tags: [tag] }));
    await writeDockerArchive(directory.join('a.tar'), saved, options);
    return new DockerArchivePuller(directory.join('a.tar'), {
      stagingDirectory: directory.staging,
      inflate: inflateHere,
    });
  });
}

describe('the manifest that is written for a saved image', () => {
  it('names the layers by diff ID and stored size, always in the same bytes', async () => {
    await writeDockerArchive(directory.join('a.tar'), [{ image, tags: ['app:v1'] }]);
    const offer = await open();
    const config = image.config.descriptor;
    expect(offer.images[0]?.manifest).toBe(
      `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"${config.mediaType}","digest":"${config.digest}","size":${config.size}},"layers":[${image.layers
        .map(
          ({ diffId, tar }) =>
            `{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"${diffId}","size":${tar.length}}`,
        )
        .join(',')}]}`,
    );
    expect(offer.images[0]?.layers.map(({ digest }) => digest)).toEqual([undefined, undefined]);
  });

  it('is the same whatever the members are called and the archive is compressed with', async () => {
    const ids = new Set<string | undefined>();
    for (const names of ['legacy', 'blobs'] as const) {
      for (const compress of [(tar: Buffer) => tar, gzipSync]) {
        await writeFile(directory.join('a.tar'), compress(packFiles(dockerFiles([{ image }], { names }))));
        const offer = await open();
        ids.add(offer.images[0]?.id);
        await offer.close();
      }
    }
    expect(ids.size).toBe(1);
  });
});

describe('of several images', () => {
  const b = labelledImage('b');
  const arm = labelledImage('arm', 'linux/arm64');

  it('one is picked by tag, by position, or by the digest of its config', async () => {
    await writeDockerArchive(directory.join('a.tar'), [{ image, tags: ['app:v1'] }, { image: b }]);
    expect(await labelsOf(open('app:v1'))).toEqual(['a']);
    expect(await labelsOf(open('@1'))).toEqual(['b']);
    expect(await labelsOf(open(b.config.descriptor.digest))).toEqual(['b']);
    expect(await failure(open())).toMatchObject({
      code: 'ERR_IMAGE_AMBIGUOUS',
      details: { offered: ['docker.io/library/app:v1', '@1'] },
    });
  });

  it('those that share a name are told by their digests', async () => {
    await writeDockerArchive(directory.join('a.tar'), [
      { image, tags: ['app:v1'] },
      { image: b, tags: ['app:v1'] },
    ]);
    const error = await failure(open('app:v1'));
    expect(error).toMatchObject({ code: 'ERR_IMAGE_AMBIGUOUS', hint: expect.stringContaining(':@sha256:') });
    expect(error.message).toContain('2 images under the name docker.io/library/app:v1: @sha256:');
    const found = [];
    for (const reference of error.details['offered'] as string[]) found.push(...(await labelsOf(open(reference))));
    expect(found).toEqual(['a', 'b']);
  });

  it('one that stands there twice is one, with all its names', async () => {
    await writeDockerArchive(directory.join('a.tar'), [
      { image, tags: ['app:v1'] },
      { image, tags: ['app:latest', 'app:v1'] },
    ]);
    expect((await open()).images.map(({ names }) => names)).toEqual([
      ['docker.io/library/app:v1', 'docker.io/library/app:latest'],
    ]);
  });

  it('the one for the platform is taken', async () => {
    await writeDockerArchive(directory.join('a.tar'), [{ image }, { image: arm }]);
    expect(await labelsOf(open(undefined, ARM64))).toEqual(['arm']);
    expect((await failure(open('@0', ARM64))).code).toBe('ERR_PLATFORM_NOT_OFFERED');
  });
});

describe('old and odd archives', () => {
  it('share a layer through a link', async () => {
    const files = dockerFiles([{ image, tags: ['app:v1'] }]);
    const name = `${layer.diffId.slice(7)}/layer.tar`;
    files.set('shared/layer.tar', layer.tar);
    files.set(name, '../shared/layer.tar');
    await write(files);
    expect((await open()).images[0]?.layers[0]?.size).toBe(layer.tar.length);
  });

  it('have directories that are links', async () => {
    const files = dockerFiles([{ image, tags: ['app:v1'] }]);
    const name = layer.diffId.slice(7);
    files.set('shared/layer.tar', layer.tar);
    files.delete(`${name}/layer.tar`);
    files.set(name, 'shared');
    await write(files);
    expect((await open()).images[0]?.layers[0]?.size).toBe(layer.tar.length);
  });

  it('name one layer twice', async () => {
    const twice = buildImage([layer, layer], { platform: AMD64 });
    await writeDockerArchive(directory.join('a.tar'), [{ image: twice }]);
    expect((await open()).images[0]?.layers.map(({ diffId }) => diffId)).toEqual([layer.diffId, layer.diffId]);
  });

  it('have a config that was edited and kept its name: its image is what it says now', async () => {
    const edited = labelledImage('a', 'linux/amd64');
    const files = dockerFiles([{ image, tags: ['app:v1'] }, { image: labelledImage('b') }]);
    const text = String(image.config.bytes).replace('"label":"a"', '"label":"edited"');
    files.set(configName, Buffer.from(text));
    await write(files);
    const digest = sha256(text);
    expect(edited.config.descriptor.digest).not.toBe(digest);
    expect((await open('app:v1')).images[0]?.configDigest).toBe(digest);
    for (const reference of ['app:v1', digest, `@${digest}`])
      expect(await labelsOf(open(reference))).toEqual(['edited']);
    // Nobody has what that name says.
    expect((await failure(open(image.config.descriptor.digest))).code).toBe('ERR_SOURCE_NOT_FOUND');
  });

  it('call the config by no digest', async () => {
    const files = dockerFiles([{ image }]);
    files.set('config.json', image.config.bytes);
    files.delete(configName);
    files.set('manifest.json', Buffer.from(String(files.get('manifest.json')).replace(configName, 'config.json')));
    await write(files);
    expect((await open()).images[0]?.configDigest).toBe(image.config.descriptor.digest);
  });

  it('hold images that say of themselves no more than they must', async () => {
    const silent = buildImage([], { configFields: { os: '', architecture: null, created: null, rootfs: {} } });
    const files = dockerFiles([{ image: silent }]);
    const [entry] = JSON.parse(String(files.get('manifest.json')));
    files.set('manifest.json', Buffer.from(JSON.stringify([{ ...entry, RepoTags: [null, ''], Layers: null }])));
    await write(files);
    const offer = await open(undefined, machinePlatform());
    expect(offer.images).toMatchObject([{ platform: machinePlatform(), layers: [], names: [] }]);
  });

  it('of Docker before 1.10 are refused by name', async () => {
    await write(new Map([['repositories', Buffer.from('{}')]]));
    expect(await failure(open())).toMatchObject({
      code: 'ERR_SOURCE_UNSUPPORTED',
      message: expect.stringContaining('1.10'),
    });
  });

  it('with an OCI layout alone are refused with the way to read them', async () => {
    await write(ociFiles([{ image }]));
    expect(await failure(open())).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      hint: expect.stringContaining('oci-archive:'),
    });
  });
});

describe('damage is told', () => {
  it.each([
    ['no manifest', 'ERR_SOURCE_MALFORMED', (files: Files) => files.delete('manifest.json')],
    ['no image', 'ERR_SOURCE_MALFORMED', (files: Files) => files.set('manifest.json', Buffer.from('[]'))],
    ['nonsense', 'ERR_SOURCE_MALFORMED', (files: Files) => files.set('manifest.json', Buffer.from('{"Config":1}'))],
    ['no config', 'ERR_SOURCE_MALFORMED', (files: Files) => files.delete(configName)],
    ['no layer', 'ERR_BLOB_NOT_FOUND', (files: Files) => files.delete(`${layer.diffId.slice(7)}/layer.tar`)],
    [
      'a layer outside',
      'ERR_BLOB_NOT_FOUND',
      (files: Files) => files.set(`${layer.diffId.slice(7)}/layer.tar`, '/etc/passwd'),
    ],
    [
      'a path outside',
      'ERR_SOURCE_MALFORMED',
      (files: Files) => {
        const text = JSON.stringify([{ Config: '../../etc/passwd', RepoTags: null, Layers: [] }]);
        files.set('manifest.json', Buffer.from(text));
      },
    ],
    [
      'a huge manifest.json',
      'ERR_LIMIT_EXCEEDED',
      (files: Files) => files.set('manifest.json', Buffer.alloc(5 * 1024 * 1024, ' ')),
    ],
  ])('%s', async (_what, code, breakage) => {
    await writeDockerArchive(directory.join('a.tar'), [{ image }], { breakage: (files) => void breakage(files) });
    expect((await failure(open())).code).toBe(code);
  });

  it('layers and diff IDs that are not the same number', async () => {
    const broken = buildImage(image.layers, {
      configFields: { rootfs: { type: 'layers', diff_ids: [sha256('one')] } },
    });
    await writeDockerArchive(directory.join('a.tar'), [{ image: broken }]);
    expect((await failure(open())).message).toContain('1 diff IDs for 2 layers');
  });

  it('wherever the archive is cut', async () => {
    const tar = packFiles(dockerFiles([{ image }]));
    // What lacks nothing but its end mark is whole.
    for (let length = tar.length - 1024 - 512; length > 0; length -= 512) {
      await writeFile(directory.join('a.tar'), tar.subarray(0, length));
      expect(await failure(open()), `cut at ${length}`).toMatchObject({
        code: expect.stringMatching(/^ERR_(SOURCE_MALFORMED|BLOB_NOT_FOUND)$/),
        message: expect.stringMatching(/truncated|is missing|lacks/),
      });
    }
  });

  it('a small archive that would take gigabytes of memory', async () => {
    const padded = buildImage([], { configFields: { padding: 'x'.repeat(3 * 1024 * 1024) } });
    const files = dockerFiles([{ image: padded }]);
    const [entry] = JSON.parse(String(files.get('manifest.json')));
    files.set('manifest.json', Buffer.from(JSON.stringify(Array.from({ length: 1000 }, () => entry))));
    await write(files);
    expect((await failure(open())).code).toBe('ERR_LIMIT_EXCEEDED');
  });
});

it('a name of a blob that states its digest is held to it', async () => {
  const files = dockerFiles([{ image }], { names: 'blobs' });
  files.set(blobName(image.config.descriptor.digest), labelledImage('b').config.bytes);
  await write(files);
  expect((await failure(open())).code).toBe('ERR_DIGEST_MISMATCH');
});
