import { writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { openArchive } from '#src/sources/archives/open-archive.js';
import { buildIndex, dockerFiles, type Files, ociFiles, packFiles } from '../../helpers/image-builder.js';
import { inflateHere } from '../../helpers/inflate-here.js';
import { AMD64, ARM64, expectEmpty, failure, labelledImage, labelsOf, useDirectory } from '../workbench.js';

const directory = useDirectory();
const [a, b] = [labelledImage('a'), labelledImage('b')];
const arm = labelledImage('arm', 'linux/arm64');

const load = (files: Files, platform = AMD64) => {
  const stream = Readable.from([packFiles(files)]);
  return openArchive(
    { kind: 'stream', stream },
    { platform, stagingDirectory: directory.staging, inflate: inflateHere },
  );
};
const names = async (files: Files) => {
  const offer = await load(files);
  await offer.close();
  return offer.images.map((image) => image.names);
};

afterEach(async () => {
  await expectEmpty(directory.staging);
});

describe('loading takes all images of an archive', () => {
  it('of docker save', async () => {
    const files = dockerFiles([{ image: a, tags: ['app:v1', 'app:latest'] }, { image: b }]);
    expect(await names(files)).toEqual([['docker.io/library/app:v1', 'docker.io/library/app:latest'], []]);
    expect(await labelsOf(load(files))).toEqual(['a', 'b']);
  });

  it('of an OCI layout', async () => {
    const files = ociFiles([
      { image: a, refName: 'app:v1' },
      { image: b, refName: 'latest' },
      { image: labelledImage('c') },
    ]);
    expect(await names(files)).toEqual([['docker.io/library/app:v1'], [], []]);
    expect(await labelsOf(load(files))).toEqual(['a', 'b', 'c']);
  });

  it('of an archive that is both, by its manifests, with the names of both', async () => {
    const files = new Map([
      ...dockerFiles(
        [
          { image: a, tags: ['app:v1', 'app:latest'] },
          { image: b, tags: ['tool:v1'] },
        ],
        { names: 'blobs' },
      ),
      ...ociFiles([
        { image: a, refName: 'v1', containerdName: 'docker.io/library/app:v1' },
        { image: b, refName: 'v1' },
      ]),
    ]);
    const offer = await load(files);
    await offer.close();
    expect(offer.images.map((image) => image.id)).toEqual([a.manifest.descriptor.digest, b.manifest.descriptor.digest]);
    expect(offer.images.map((image) => image.names)).toEqual([
      ['docker.io/library/app:v1', 'docker.io/library/app:latest'],
      ['docker.io/library/tool:v1'],
    ]);
  });

  it('for the platform, from indexes and from single images', async () => {
    const index = buildIndex([a, arm]);
    const files = ociFiles([
      { image: index, refName: 'app:v1' },
      { image: b, refName: 'tool:v1' },
    ]);
    expect(await labelsOf(load(files))).toEqual(['a', 'b']);
    expect(await labelsOf(load(files, ARM64))).toEqual(['arm']);
    expect((await failure(load(dockerFiles([{ image: a }]), ARM64))).code).toBe('ERR_PLATFORM_NOT_OFFERED');
  });
});

it.each([
  [
    'docker save',
    dockerFiles([
      { image: a, tags: ['app:amd'] },
      { image: arm, tags: ['app:arm'] },
    ]),
    'docker.io/library/app:arm',
  ],
  [
    'an OCI layout',
    ociFiles([
      { image: a, refName: 'app:amd' },
      { image: arm, refName: 'app:arm' },
    ]),
    'app:arm',
  ],
])('who loads all of %s is told what is for another machine alone', async (_, files, name) => {
  const offer = await load(files);
  await offer.close();
  expect(offer.images).toHaveLength(1);
  expect(offer.failures).toMatchObject([{ code: 'ERR_PLATFORM_NOT_OFFERED', message: expect.stringContaining(name) }]);
  expect((await failure(load(files, { os: 'linux', architecture: 's390x' }))).code).toBe('ERR_PLATFORM_NOT_OFFERED');
});

describe('an archive to load', () => {
  it('may be a file, compressed or not', async () => {
    for (const bytes of [packFiles(ociFiles([{ image: a }])), gzipSync(packFiles(ociFiles([{ image: a }])))]) {
      await writeFile(directory.join('file'), bytes);
      const input = { kind: 'file', path: directory.join('file') } as const;
      expect(
        await labelsOf(
          openArchive(input, { platform: AMD64, stagingDirectory: directory.staging, inflate: inflateHere }),
        ),
      ).toEqual(['a']);
    }
  });

  it('that holds no image is refused', async () => {
    expect(await failure(load(new Map([['README', Buffer.from('hello')]])))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
    });
  });

  it('is never so broken that a spooled copy stays', async () => {
    const tar = packFiles(ociFiles([{ image: a }]));
    for (let length = 1; length < tar.length - 1024; length += 1111) {
      const stream = Readable.from([tar.subarray(0, length)]);
      await failure(
        openArchive(
          { kind: 'stream', stream },
          { platform: AMD64, stagingDirectory: directory.staging, inflate: inflateHere },
        ),
      );
      await expectEmpty(directory.staging);
    }
  });
});
