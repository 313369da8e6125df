import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { formatPlatform, machinePlatform } from '#src/image/platform.js';
import {
  blobName,
  buildImage,
  buildIndex,
  buildLayer,
  type ImageIndex,
  ociFiles,
  writeOciLayout,
} from '../helpers/image-builder.js';
import { openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const HERE = formatPlatform(machinePlatform());
const layer = buildLayer([{ path: 'hello', content: 'hello' }]);
const base = buildImage([layer]);

/** Nobody but the index says which platform it is for, and hardly anything has a type. */
const odd = buildImage([layer], {
  platform: machinePlatform(),
  config: { Cmd: 'hello', User: null, Labels: { a: null } },
  configFields: { os: null, architecture: '', created: null, rootfs: { diff_ids: [layer.diffId] } },
  manifestFields: {
    mediaType: '',
    layers: [{ mediaType: null, digest: layer.digest, size: layer.blob.length }],
  },
});
const index = buildIndex([odd], {
  extra: [{ ...base.manifest.descriptor, platform: { architecture: 'wasm' } }, { nonsense: true }],
});
const NOTES = [
  'the manifest states no type of 1 of its layers',
  `the config states no os and architecture: the image was taken for one of ${HERE}`,
  'the config does not state of what kind its rootfs is',
  'Cmd in the config is one text in place of a list',
];

it('an image with odd documents is pulled, provisioned and found in order, and its notes tell what was put up with', async () => {
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image: index }]);
  const p = await openMemoryStore();
  const { id } = await p.images.pull(`oci:${layout}`, { name: 'app:v1' });
  expect(await p.images.get('app:v1')).toMatchObject({ id, platform: HERE, notes: NOTES });
  const { rootfs, runtime } = await p.provision('job', 'app:v1');
  expect(readFileSync(join(rootfs, 'hello'), 'utf8')).toBe('hello');
  expect(runtime).toMatchObject({ cmd: ['hello'], user: '', labels: { a: '' } });
  expect((await p.store.check()).findings).toEqual([]);
});

it('an image without layers, and without a list of them, is found in order', async () => {
  const layout = join(temporaryDirectory(), 'layout');
  const image = buildImage([], { platform: machinePlatform(), configFields: { rootfs: { type: 'layers' } } });
  await writeOciLayout(layout, [{ image }]);
  const p = await openMemoryStore();
  await p.images.pull(`oci:${layout}`, { name: 'app:v1' });
  expect((await p.images.get('app:v1')).notes).toEqual([]);
  expect((await p.store.check()).findings).toEqual([]);
});

it.each([
  ['a manifest', 'application/vnd.oci.image.manifest.v1+json'],
  ['nothing in particular', 'text/plain; charset=utf-8'],
  ['something unknown', 'application/vnd.example'],
])('an index comes from a registry that calls it %s', async (_what, type) => {
  const host = await serve(index, type);
  const p = await openMemoryStore({ registry: { hostsDir: temporaryDirectory(), retries: 0 } });
  const pulled = await p.images.pull(`${host}/app:v1`);
  expect(pulled).toMatchObject({ id: odd.manifest.descriptor.digest, platform: HERE });
  expect(pulled.mediaType).toBe(odd.manifest.descriptor.mediaType);
});

/** A registry with one tag, and the type that it states of what that points to. */
async function serve(image: ImageIndex, type: string): Promise<string> {
  const files = ociFiles([{ image }]);
  const top = image.index.descriptor.digest;
  const server = createServer(({ url = '', method }, response) => {
    const [, , , , reference = ''] = url.split('/');
    const digest = reference === 'v1' ? top : reference;
    const bytes = files.get(blobName(digest));
    if (bytes === undefined) return response.writeHead(404).end();
    response.writeHead(200, {
      'content-type': digest === top ? type : 'application/octet-stream',
      'content-length': bytes.length,
      'docker-content-digest': digest,
    });
    return response.end(method === 'HEAD' ? undefined : bytes);
  }).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, 'listening');
  return `localhost:${(server.address() as AddressInfo).port}`;
}
