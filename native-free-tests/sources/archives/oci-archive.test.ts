import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { OciArchivePuller } from '#src/sources/archives/oci-archive.js';
import { describePuller } from '../../contracts/puller.js';
import {
  blobName,
  dockerFiles,
  type Files,
  ociFiles,
  packFiles,
  writeOciArchive,
  writeOciLayout,
  zstd,
} from '../../helpers/image-builder.js';
import { inflateHere } from '../../helpers/inflate-here.js';
import { AMD64, expectEmpty, failure, labelledImage, labelsOf, useDirectory } from '../workbench.js';

const directory = useDirectory();
const image = labelledImage('a');
const entries = [{ image, refName: 'app:v1' }];
const [layer] = image.layers;
if (layer === undefined) throw new Error('the image has layers');

const open = (signal?: AbortSignal) =>
  new OciArchivePuller(directory.join('a.tar'), { stagingDirectory: directory.staging, inflate: inflateHere }).open({
    platform: AMD64,
    signal,
  });

afterEach(async () => {
  await expectEmpty(directory.staging);
});

describePuller('the puller of an OCI archive', async (images) => {
  await writeOciArchive(
    directory.join('a.tar'),
    [...images].map(([refName, each]) => ({ image: each, refName })),
  );
  return new OciArchivePuller(directory.join('a.tar'), { stagingDirectory: directory.staging, inflate: inflateHere });
});

describe('an OCI archive is read', () => {
  it.each([
    ['plain', (tar: Buffer) => tar],
    ['gzip', (tar: Buffer) => gzipSync(tar)],
    ['zstd', (tar: Buffer) => zstd(tar)],
  ])('%s, with names that begin with a dot', async (_kind, compress) => {
    await writeFile(directory.join('a.tar'), compress(packFiles(ociFiles(entries), { prefix: './' })));
    expect(await labelsOf(open())).toEqual(['a']);
  });

  it('as the tar command writes it from a directory', async () => {
    await writeOciLayout(directory.join('layout'), entries);
    execFileSync('tar', ['-C', directory.join('layout'), '-cf', directory.join('a.tar'), '.']);
    expect(await labelsOf(open())).toEqual(['a']);
  });
});

describe('damage is told', () => {
  it.each([
    ['ERR_BLOB_NOT_FOUND', (files: Files) => files.delete(blobName(layer.digest))],
    ['ERR_BLOB_NOT_FOUND', (files: Files) => files.delete(blobName(image.config.descriptor.digest))],
    ['ERR_SIZE_MISMATCH', (files: Files) => files.set(blobName(layer.digest), Buffer.from('short'))],
    [
      'ERR_DIGEST_MISMATCH',
      (files: Files) =>
        files.set(blobName(image.config.descriptor.digest), Buffer.alloc(image.config.bytes.length, ' ')),
    ],
    ['ERR_SOURCE_MALFORMED', (files: Files) => files.delete('index.json')],
    ['ERR_SOURCE_MALFORMED', (files: Files) => files.delete('oci-layout')],
    ['ERR_BLOB_NOT_FOUND', (files: Files) => files.set(blobName(layer.digest), '../../../../etc/passwd')],
  ])('with %s', async (code, breakage) => {
    await writeOciArchive(directory.join('a.tar'), entries, breakage);
    expect((await failure(open())).code).toBe(code);
  });

  it('wherever the archive is cut, and when it is compressed too', async () => {
    const tar = packFiles(ociFiles(entries));
    // What lacks nothing but its end mark is whole.
    for (let length = tar.length - 1024 - 512; length > 0; length -= 512) {
      const cut = tar.subarray(0, length);
      for (const archive of [cut, gzipSync(cut)]) {
        await writeFile(directory.join('a.tar'), archive);
        expect(await failure(open()), `cut at ${length}`).toMatchObject({
          code: expect.stringMatching(/^ERR_(SOURCE_MALFORMED|BLOB_NOT_FOUND)$/),
          message: expect.stringMatching(/truncated|is missing|lacks/),
        });
      }
      await expectEmpty(directory.staging);
    }
  });

  it('of an archive of docker save, with the way to read it', async () => {
    await writeFile(directory.join('a.tar'), packFiles(dockerFiles([{ image }])));
    expect(await failure(open())).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      hint: expect.stringContaining('docker-archive:'),
    });
  });
});

it('a spooled archive stays until the offer is closed', async () => {
  await writeFile(directory.join('a.tar'), gzipSync(packFiles(ociFiles(entries))));
  const offer = await open();
  expect(offer.images[0]?.layers[0]?.location).toMatchObject({ path: expect.stringContaining(directory.staging) });
  await offer.close();
  await expectEmpty(directory.staging);
});
