import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { isProvisionerError, LoadIncompleteError } from '#src/index.js';
import { buildImage, buildLayer, dockerFiles, type Files, ociFiles, packFiles } from '../helpers/image-builder.js';
import { namesIn, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const [a, b, c] = ['a', 'b', 'c'].map((name) => buildImage([buildLayer([{ path: name, content: name.repeat(2000) }])]));
if (a === undefined || b === undefined || c === undefined) throw new Error('there are three');
const images = [
  { name: 'docker.io/library/a:v1', image: a },
  { name: 'docker.io/library/b:v1', image: b },
  { name: 'docker.io/library/c:v1', image: c },
] as const;

const docker = (): Files => dockerFiles(images.map(({ name, image }) => ({ image, tags: [name] })));
const oci = (): Files => ociFiles(images.map(({ name, image }) => ({ image, refName: name })));
const layerOf = (image: typeof a) => image.layers[0] as NonNullable<(typeof a.layers)[0]>;
const changed = (bytes: Buffer | string | undefined): Buffer => {
  const copy = Buffer.from(bytes as Buffer);
  copy[520] = 1 ^ (copy[520] ?? 0);
  return copy;
};
const blob = (digest: string) => `blobs/sha256/${digest.slice(7)}`;
const legacy = `${layerOf(b).diffId.slice(7)}/layer.tar`;
const stored = blob(layerOf(b).digest);

describe('one image of an archive that cannot be stored', () => {
  it.each<[string, () => Files, string]>([
    [
      'since a layer has other bytes',
      () => docker().set(legacy, changed(docker().get(legacy))),
      'ERR_DIFF_ID_MISMATCH',
    ],
    ['since a layer is missing', () => without(docker(), legacy), 'ERR_BLOB_NOT_FOUND'],
    [
      'since its config is missing',
      () => without(docker(), `${b.config.descriptor.digest.slice(7)}.json`),
      'ERR_SOURCE_MALFORMED',
    ],
    ['since a blob is missing', () => without(oci(), stored), 'ERR_BLOB_NOT_FOUND'],
    ['since its manifest is missing', () => without(oci(), blob(b.manifest.descriptor.digest)), 'ERR_BLOB_NOT_FOUND'],
    [
      'since its manifest is nonsense',
      () => oci().set(blob(b.manifest.descriptor.digest), Buffer.alloc(b.manifest.bytes.length, '{')),
      'ERR_DIGEST_MISMATCH',
    ],
  ])('%s keeps none of the others from it, and is told', async (_why, files, code) => {
    const p = await openMemoryStore();
    const archive = join(temporaryDirectory(), 'several.tar');
    writeFileSync(archive, packFiles(files()));
    const failed: unknown[] = [];
    p.events.on('pullFailed', ({ error }) => failed.push(error));
    for (const input of [archive, Readable.from([packFiles(files())])]) {
      const error = await p.images.load(input).catch((reason: unknown) => reason);
      if (!(error instanceof LoadIncompleteError)) throw error;
      expect(isProvisionerError(error, 'ERR_LOAD_INCOMPLETE')).toBe(true);
      expect(error.message).toContain('1 of 3 images');
      expect(error.stored.map(({ namesGiven }) => namesGiven)).toEqual([[images[0].name], [images[2].name]]);
      expect(error.failures).toMatchObject([{ code, details: { image: images[1].name } }]);
      expect(error.failures[0]?.message).toContain(images[1].name);
      expect(error.details).toMatchObject({
        stored: error.stored.map(({ id }) => id),
        failed: [error.failures[0]?.message],
      });
    }
    expect((await p.images.list()).flatMap(({ names }) => names).sort()).toEqual([images[0].name, images[2].name]);
    expect([namesIn(p, 'layers').length, namesIn(p, 'staging')]).toEqual([2, []]);
  });

  it('is thrown itself when it is the only one', async () => {
    const p = await openMemoryStore();
    const files = without(dockerFiles([{ image: b, tags: ['b:v1'] }]), legacy);
    await expect(p.images.load(Readable.from([packFiles(files)]))).rejects.toMatchObject({
      code: 'ERR_BLOB_NOT_FOUND',
    });
  });

  it('is one of several that are all told', async () => {
    const p = await openMemoryStore();
    const files = [a, b, c].reduce((all, image) => without(all, blob(layerOf(image).digest)), oci());
    const error = await p.images.load(Readable.from([packFiles(files)])).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_LOAD_INCOMPLETE', stored: [], failures: [{}, {}, {}] });
  });

  it('does not keep a caller who gives up', async () => {
    const p = await openMemoryStore();
    const archive = join(temporaryDirectory(), 'several.tar');
    writeFileSync(archive, packFiles(docker()));
    const controller = new AbortController();
    p.events.on('pullFinished', () => controller.abort());
    await expect(p.images.load(archive, { signal: controller.signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});

describe.each([
  ['docker save', (name: string) => dockerFiles([a, b].map((image) => ({ image, tags: [name] })))],
  ['an OCI layout', (name: string) => ociFiles([a, b].map((image) => ({ image, refName: name })))],
])('two images under one name in an archive of %s', (_kind, files) => {
  it('are stored, and the name is given to neither', async () => {
    const p = await openMemoryStore();
    const warnings: string[] = [];
    p.events.on('warning', ({ code, message }) => warnings.push(`${code} ${message}`));
    const loaded = await p.images.load(Readable.from([packFiles(files('app:v1'))]));
    expect(loaded.map(({ namesGiven }) => namesGiven)).toEqual([[], []]);
    expect(warnings).toEqual([expect.stringMatching(/^NAME_NOT_GIVEN .*docker.io\/library\/app:v1/)]);
    for (const { id } of loaded) expect(warnings[0]).toContain(id);
  });
});

function without(files: Files, name: string): Files {
  if (!files.delete(name)) throw new Error(`there is no ${name}`);
  return files;
}
