import { execFileSync } from 'node:child_process';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { OciLayoutPuller } from '#src/sources/oci-layout.js';
import { describePuller } from '../contracts/puller.js';
import {
  blobName,
  buildImage,
  buildLayer,
  type Files,
  ociFiles,
  sha256,
  writeOciLayout,
} from '../helpers/image-builder.js';
import { AMD64, failure, labelledImage, labelsOf, useDirectory } from './workbench.js';

const directory = useDirectory();

describePuller('the puller of an OCI layout', async (images) => {
  await writeOciLayout(
    directory.path,
    [...images].map(([refName, image]) => ({ image, refName })),
  );
  return new OciLayoutPuller(directory.path);
});

const open = (reference?: string) => new OciLayoutPuller(directory.path).open({ platform: AMD64, reference });

describe('a layout names its images', () => {
  it('by a bare tag, which is no name', async () => {
    await writeOciLayout(directory.path, [{ image: labelledImage('a'), refName: 'latest' }]);
    expect((await open('latest')).images[0]?.names).toEqual([]);
  });

  it("by containerd's name beside a tag", async () => {
    await writeOciLayout(directory.path, [
      { image: labelledImage('a'), refName: 'v1', containerdName: 'docker.io/library/app:v1' },
      { image: labelledImage('b'), refName: 'v1', containerdName: 'docker.io/library/tool:v1' },
    ]);
    expect((await open('app:v1')).images[0]?.names).toEqual(['docker.io/library/app:v1']);
    expect(await labelsOf(open('docker.io/library/tool:v1'))).toEqual(['b']);
    expect((await failure(open('v1'))).code).toBe('ERR_IMAGE_AMBIGUOUS');
  });

  it('by digest, with or without the at sign, and by position', async () => {
    const [a, b] = [labelledImage('a'), labelledImage('b')];
    await writeOciLayout(directory.path, [{ image: a }, { image: b }]);
    const { digest } = b.manifest.descriptor;
    for (const reference of [digest, `@${digest}`, '@1']) expect(await labelsOf(open(reference))).toEqual(['b']);
    expect((await failure(open(sha256('nothing')))).code).toBe('ERR_SOURCE_NOT_FOUND');
  });

  it('twice, and one image with two names is no choice to make', async () => {
    const image = labelledImage('a');
    await writeOciLayout(directory.path, [
      { image, refName: 'app:v1' },
      { image, refName: 'app:latest' },
    ]);
    expect((await open()).images[0]?.names).toEqual(['docker.io/library/app:v1', 'docker.io/library/app:latest']);
    expect((await open('app:v1')).images[0]?.names).toEqual(['docker.io/library/app:v1']);
  });

  it("in Docker's media types, kept as they are", async () => {
    const image = buildImage([buildLayer([{ path: 'a' }])], { format: 'docker' });
    await writeOciLayout(directory.path, [{ image }]);
    expect((await open()).images[0]?.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json');
  });
});

describe('a layout that is not there or no layout', () => {
  it('is not found', async () => {
    expect(await failure(new OciLayoutPuller(directory.join('nowhere')).open({ platform: AMD64 }))).toMatchObject({
      code: 'ERR_SOURCE_NOT_FOUND',
      message: expect.stringContaining('nowhere'),
    });
  });

  it('is a file', async () => {
    await writeFile(directory.join('file'), '');
    const error = await failure(new OciLayoutPuller(directory.join('file')).open({ platform: AMD64 }));
    expect(error).toMatchObject({ code: 'ERR_BAD_SOURCE', hint: expect.stringContaining('oci-archive:') });
    expect((await failure(new OciLayoutPuller(directory.join('file/x')).open({ platform: AMD64 }))).code).toBe(
      'ERR_SOURCE_NOT_FOUND',
    );
  });

  it('is an empty directory', async () => {
    expect(await failure(open())).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('oci-layout'),
    });
  });

  it('has no index', async () => {
    await writeOciLayout(directory.path, [], (files) => files.delete('index.json'));
    expect(await failure(open())).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('index.json'),
    });
  });

  it('has an empty index', async () => {
    await writeOciLayout(directory.path, []);
    expect((await failure(open())).code).toBe('ERR_PLATFORM_NOT_OFFERED');
  });

  it('is of an unknown version', async () => {
    await writeOciLayout(directory.path, [], (files) =>
      files.set('oci-layout', Buffer.from('{"imageLayoutVersion":"9.0.0"}')),
    );
    expect(await failure(open())).toMatchObject({
      code: 'ERR_SOURCE_UNSUPPORTED',
      message: expect.stringContaining('9.0.0'),
    });
  });
});

describe('damage', () => {
  const image = labelledImage('a');
  const [, layer] = image.layers;
  if (layer === undefined) throw new Error('the image has two layers');
  const manifest = image.manifest.descriptor.digest;
  const config = image.config.descriptor.digest;
  const cut = (bytes: Buffer): Buffer => bytes.subarray(0, -1);
  const flip = (bytes: Buffer): Buffer => Buffer.concat([cut(bytes), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]);
  const change = (digest: string, edit: (bytes: Buffer) => Buffer) => (files: Files) => {
    files.set(blobName(digest), edit(files.get(blobName(digest)) as Buffer));
  };

  it.each([
    ['a missing manifest', 'ERR_BLOB_NOT_FOUND', manifest, (files: Files) => files.delete(blobName(manifest))],
    ['a missing config', 'ERR_BLOB_NOT_FOUND', config, (files: Files) => files.delete(blobName(config))],
    ['a missing layer', 'ERR_BLOB_NOT_FOUND', layer.digest, (files: Files) => files.delete(blobName(layer.digest))],
    ['a short manifest', 'ERR_SIZE_MISMATCH', manifest, change(manifest, cut)],
    ['a short config', 'ERR_SIZE_MISMATCH', config, change(config, cut)],
    ['a short layer', 'ERR_SIZE_MISMATCH', layer.digest, change(layer.digest, cut)],
    ['a long config', 'ERR_SIZE_MISMATCH', config, change(config, (bytes) => Buffer.concat([bytes, Buffer.from(' ')]))],
    ['an empty manifest', 'ERR_SIZE_MISMATCH', manifest, change(manifest, () => Buffer.alloc(0))],
    ['a changed bit in the manifest', 'ERR_DIGEST_MISMATCH', manifest, change(manifest, flip)],
    ['a changed bit in the config', 'ERR_DIGEST_MISMATCH', config, change(config, flip)],
  ])('%s is told with %s and the digest', async (_what, code, digest, breakage) => {
    await writeOciLayout(directory.path, [{ image }], breakage);
    expect(await failure(open())).toMatchObject({ code, message: expect.stringContaining(digest) });
  });

  it('in the bytes of a layer is left to who reads it: they are not touched here', async () => {
    await writeOciLayout(directory.path, [{ image }], change(layer.digest, flip));
    expect((await open()).images).toHaveLength(1);
  });

  it('a manifest that says it is larger than manifests may be is not read', async () => {
    await writeOciLayout(directory.path, [{ image }], (files) => {
      const index = JSON.parse(String(files.get('index.json')));
      index.manifests[0].size = 5 * 1024 * 1024;
      files.set('index.json', Buffer.from(JSON.stringify(index)));
      files.delete(blobName(manifest));
    });
    expect((await failure(open())).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('an index.json of 5 MiB is not read', async () => {
    await writeOciLayout(directory.path, [{ image }], (files) =>
      files.set('index.json', Buffer.alloc(5 * 1024 * 1024, ' ')),
    );
    expect((await failure(open())).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('a digest that is a path reaches no file', async () => {
    await writeFile(directory.join('outside'), image.manifest.bytes);
    await mkdir(directory.join('layout'));
    await writeOciLayout(directory.join('layout'), [{ image }], (files) => {
      const index = JSON.parse(String(files.get('index.json')));
      index.manifests[0].digest = 'sha256:../../../outside';
      files.set('index.json', Buffer.from(JSON.stringify(index)));
    });
    const error = await failure(new OciLayoutPuller(directory.join('layout')).open({ platform: AMD64 }));
    expect(error).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('manifests[0].digest'),
    });
  });

  it('bytes that are not UTF-8 are refused, since the text could not be written back', async () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    const broken = {
      ...image,
      manifest: { bytes, descriptor: { ...image.manifest.descriptor, digest: sha256(bytes), size: bytes.length } },
    };
    await writeOciLayout(directory.path, [{ image: broken }]);
    expect(await failure(open())).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('UTF-8'),
    });
  });
});

describe('links in a layout', () => {
  const image = labelledImage('a');
  const name = blobName(image.manifest.descriptor.digest);

  it('that stay inside are followed', async () => {
    await writeOciLayout(directory.path, [{ image }]);
    await rename(directory.join(name), directory.join('elsewhere'));
    await symlink('../../elsewhere', directory.join(name));
    expect((await open()).images).toHaveLength(1);
  });

  it('that lead outside are refused, for blobs and for the index', async () => {
    const layout = directory.join('layout');
    for (const inside of [name, 'index.json', 'oci-layout']) {
      await rm(layout, { recursive: true, force: true });
      await writeOciLayout(layout, [{ image }]);
      await rename(`${layout}/${inside}`, directory.join('outside'));
      await symlink(directory.join('outside'), `${layout}/${inside}`);
      const error = await failure(new OciLayoutPuller(layout).open({ platform: AMD64 }));
      expect(error).toMatchObject({ code: 'ERR_SOURCE_MALFORMED', message: expect.stringContaining('leads out') });
    }
  });

  it('that lead to each other are refused', async () => {
    await writeOciLayout(directory.path, [{ image }]);
    await rm(directory.join(name));
    await symlink(directory.join(name), directory.join(name));
    expect((await failure(open())).code).toBe('ERR_IO');
  });

  it('the layout itself may be reached through one', async () => {
    await writeOciLayout(directory.join('real'), [{ image }]);
    await symlink('real', directory.join('link'));
    expect((await new OciLayoutPuller(directory.join('link')).open({ platform: AMD64 })).images).toHaveLength(1);
  });

  it('a directory or a pipe for a blob is refused, and no one waits for a writer', async () => {
    await writeOciLayout(directory.path, [{ image }]);
    await rm(directory.join(name));
    await mkdir(directory.join(name));
    expect(await failure(open())).toMatchObject({ message: expect.stringContaining('not a regular file') });
    await rm(directory.join(name), { recursive: true });
    execFileSync('mkfifo', [directory.join(name)]);
    expect(await failure(open())).toMatchObject({ message: expect.stringContaining('not a regular file') });
  });
});

it('the builder of these tests makes the same bytes each time', () => {
  const digest = () => sha256(Buffer.concat([...ociFiles([{ image: labelledImage('a') }]).values()] as Buffer[]));
  expect(digest()).toBe(digest());
});
