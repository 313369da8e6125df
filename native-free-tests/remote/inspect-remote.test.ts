import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parsePlatform } from '#src/image/platform.js';
import { inspectRemote } from '#src/index.js';
import { buildImage, buildIndex, buildLayer, writeDockerArchive, writeOciArchive } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';
import { serveQuirky } from '../helpers/quirky-registry.js';

const layers = [buildLayer([{ path: 'a', content: 'a' }]), buildLayer([{ path: 'b', content: 'bb' }])];
const platforms = ['linux/amd64', 'linux/arm64', 'linux/arm/v7'];
const [amd64, arm64, armV7] = platforms.map((text) =>
  buildImage([...layers, layers[0] as (typeof layers)[number]], {
    platform: parsePlatform(text),
    config: { Env: [`P=${text}`], Labels: { a: 'b' } },
  }),
) as [Image, Image, Image];
type Image = ReturnType<typeof buildImage>;
const index = buildIndex([amd64, arm64, armV7]);
const registry = () => ({ hostsDir: temporaryDirectory(), retries: 0 });

describe('an image where it lies', () => {
  it('is told of with what a pull would store, and what it is chosen from', async () => {
    const source = await layoutOf(index);
    const found = await inspectRemote(source, { platform: 'linux/arm64' });
    expect(found).toEqual({
      source,
      digest: index.index.descriptor.digest,
      index: index.index.bytes.toString(),
      platforms,
      id: arm64.manifest.descriptor.digest,
      platform: 'linux/arm64',
      names: [],
      mediaType: arm64.manifest.descriptor.mediaType,
      manifest: arm64.manifest.bytes.toString(),
      configDigest: arm64.config.descriptor.digest,
      config: arm64.config.bytes.toString(),
      layers: arm64.layers.map(({ digest, diffId, blob }) => ({
        digest,
        diffId,
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        bytes: blob.length,
      })),
      // The layer that is there twice is fetched once.
      compressedBytes: layers.reduce((sum, { blob }) => sum + blob.length, 0),
      notes: [],
    });
    const p = await openMemoryStore();
    const pulled = await p.images.pull(source, { platform: 'linux/arm64' });
    expect([pulled.id, pulled.source]).toEqual([found.id, found.source]);
  });

  it('that is named itself is chosen from nothing', async () => {
    const found = await inspectRemote(await layoutOf(arm64), { platform: 'linux/arm64' });
    const { digest } = arm64.manifest.descriptor;
    expect(found).toMatchObject({ digest, id: digest, index: null, platforms: ['linux/arm64'] });
  });

  it('in a registry costs its documents, and no layer', async () => {
    const { host, requests } = await serveQuirky(amd64, () => false);
    const found = await inspectRemote(`${host}/team/app`, { platform: 'linux/amd64', registry: registry() });
    const { digest } = amd64.manifest.descriptor;
    const name = `${host}/team/app:latest`;
    expect(found).toMatchObject({ source: `docker://${name}`, digest, id: digest, names: [name], index: null });
    expect(requests()).toEqual(['HEAD latest', 'GET manifest', 'GET config']);
  });

  it.each([
    ['docker-archive', 'as it is'],
    ['docker-archive', 'compressed'],
    ['oci-archive', 'compressed'],
  ] as const)('may be in a file, of which nothing is left: %s, %s', async (transport, how) => {
    const plain = join(temporaryDirectory(), 'app.tar');
    if (transport === 'oci-archive') await writeOciArchive(plain, [{ image: amd64, refName: 'app:v1' }]);
    else await writeDockerArchive(plain, [{ image: amd64, tags: ['app:v1'] }]);
    const path = how === 'compressed' ? `${plain}.gz` : plain;
    if (path !== plain) writeFileSync(path, gzipSync(readFileSync(plain)));
    const [temporary, before] = [temporaryDirectory(), process.env['TMPDIR']];
    process.env['TMPDIR'] = temporary;
    onTestFinished(() => {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    });
    const found = await inspectRemote(`${transport}:${path}`, { platform: 'linux/amd64' });
    expect(found).toMatchObject({ platform: 'linux/amd64', names: ['docker.io/library/app:v1'] });
    expect(found.layers.map(({ diffId }) => diffId)).toEqual(amd64.layers.map(({ diffId }) => diffId));
    expect(readdirSync(temporary)).toEqual([]);
  });

  it('for a platform that there is none for is an error with those there are', async () => {
    await expect(inspectRemote(await layoutOf(index), { platform: 'linux/s390x' })).rejects.toMatchObject({
      code: 'ERR_PLATFORM_NOT_OFFERED',
      details: { offered: platforms },
    });
  });

  it('is held against its digest', async () => {
    const { host } = await serveQuirky(amd64, ({ path }, response) =>
      path.includes('/blobs/') ? response.end(Buffer.alloc(amd64.config.bytes.length, ' ')) : false,
    );
    await expect(inspectRemote(`${host}/app`, { registry: registry(), platform: 'linux/amd64' })).rejects.toMatchObject(
      {
        code: 'ERR_DIGEST_MISMATCH',
      },
    );
  });

  it('that is none is refused as a pull refuses it', async () => {
    const chart = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: { ...amd64.config.descriptor, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
        layers: [],
      }),
    );
    const { host } = await serveQuirky(amd64, ({ path }, response) =>
      path.includes('/manifests/') ? response.end(chart) : false,
    );
    const p = await openMemoryStore();
    const refusals = await Promise.all(
      [
        inspectRemote(`${host}/chart`, { registry: registry() }),
        p.images.pull(`${host}/chart`, { registry: registry() }),
      ].map((asked) => asked.then(String, ({ code, message, hint }) => ({ code, message, hint }))),
    );
    expect(refusals[0]).toMatchObject({ code: 'ERR_UNSUPPORTED_MEDIA_TYPE' });
    expect(refusals[0]).toEqual(refusals[1]);
  });

  it('tells what is odd about it', async () => {
    const odd = buildImage(layers, { config: { Cmd: 'hello' } });
    const { notes } = await inspectRemote(await layoutOf(odd), { platform: 'linux/amd64' });
    expect(notes).toEqual(['Cmd in the config is one text in place of a list']);
  });
});

it.each([
  ['a source that is none', 'https://r.example/app', {}, 'ERR_BAD_SOURCE'],
  ['a file that is not there', 'docker-archive:/nonexistent/x.tar', {}, 'ERR_SOURCE_NOT_FOUND'],
  ['a platform that is none', 'app', { platform: 'a/b/c/d' }, 'ERR_BAD_PLATFORM'],
  ['an option that there is not', 'app', { platfrom: 'x' }, 'ERR_BAD_OPTION'],
  ['an auth file that is not there', 'oci:/x', { registry: { authFile: '/nonexistent' } }, 'ERR_REGISTRY_CONFIG'],
])('%s is told before anything is looked at', async (_, source, options, code) => {
  await expect(inspectRemote(source, options as object)).rejects.toMatchObject({ code });
});
