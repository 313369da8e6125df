import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { atOnce } from '../helpers/at-once.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { openImpatientStore, serveQuirky } from '../helpers/quirky-registry.js';

const layer = buildLayer([{ path: 'hello', content: 'hello '.repeat(20_000) }], { compression: 'none' });
const image = buildImage([layer]);
const zippedLayer = buildLayer([{ path: 'hello', content: 'hello '.repeat(20_000) }]);
const zipped = buildImage([zippedLayer]);
const { bytes, descriptor } = image.manifest;

const PASSING = [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530];

// Between two tries each waits.
it(`a layer and a manifest that are answered once with ${PASSING.join(', ')} are asked for once more`, async () => {
  const answered = (status: number) => async () => {
    const { host } = await serveQuirky(image, ({ path, nth, method }, response) =>
      method === 'GET' && /manifests|blobs/.test(path) && nth === 1 ? response.writeHead(status).end() : false,
    );
    const p = await openImpatientStore({ retries: 1 });
    expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
  };
  await atOnce(Object.fromEntries(PASSING.map((status) => [`${status}`, answered(status)])));
});

describe('headers of an answer', () => {
  const withHeaders = (size: number) =>
    serveQuirky(image, ({ path, method }, response) => {
      if (!path.includes('/manifests/')) return false;
      response.writeHead(200, {
        'content-type': descriptor.mediaType,
        'docker-content-digest': descriptor.digest,
        'content-security-policy': 'x'.repeat(size),
      });
      return response.end(method === 'HEAD' ? undefined : bytes);
    });

  it.each([20_000, 100_000])('may have %i bytes', async (size) => {
    const { host } = await withHeaders(size);
    const p = await openImpatientStore();
    expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
  });

  it('are called too large when they are, once', async () => {
    const { host, asked } = await withHeaders(200_000);
    const p = await openImpatientStore({ retries: 5 });
    await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: expect.stringContaining('more than 128 KiB of headers'),
    });
    expect(asked).toHaveLength(1);
  });
});

describe('a coding that nobody has asked for', () => {
  it.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
  ])('is undone for manifests and configs: %s', async (coding, encode) => {
    const { host } = await serveQuirky(image, ({ path, method }, response) => {
      if (method === 'HEAD') return response.writeHead(405).end();
      const plain = path.includes('/manifests/') ? bytes : path.endsWith(layer.digest) ? undefined : image.config.bytes;
      if (plain === undefined) return false;
      const encoded = encode(plain);
      response.writeHead(200, {
        'content-type': descriptor.mediaType,
        'content-encoding': coding,
        'content-length': encoded.length,
      });
      return response.end(encoded);
    });
    const p = await openImpatientStore();
    expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
  });

  it.each([
    ['with a length', true],
    ['in chunks', false],
  ])('is undone for a layer, %s', async (_, stated) => {
    const { host } = await serveQuirky(image, ({ path }, response) => {
      if (!path.endsWith(layer.digest)) return false;
      const encoded = gzipSync(layer.blob);
      response.writeHead(200, { 'content-encoding': 'gzip', ...(stated ? { 'content-length': encoded.length } : {}) });
      return response.end(encoded);
    });
    const p = await openImpatientStore();
    expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
  });

  it.each([
    ['with a length', true],
    ['in chunks', false],
  ])('is left alone where it is the layer’s own, and the bytes are right as they come, %s', async (_, stated) => {
    const { digest, blob } = zippedLayer;
    const { host } = await serveQuirky(zipped, ({ path }, response) => {
      if (!path.endsWith(digest)) return false;
      response.writeHead(200, { 'content-encoding': 'gzip', ...(stated ? { 'content-length': blob.length } : {}) });
      return response.end(blob);
    });
    const p = await openImpatientStore();
    expect((await p.images.pull(`${host}/app:v1`)).id).toBe(zipped.manifest.descriptor.digest);
  });

  it('does not make a small answer a large one', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const { host } = await serveQuirky(image, ({ path, method }, response) =>
      method === 'GET' && path.includes('/manifests/')
        ? response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': bomb.length }).end(bomb)
        : false,
    );
    const p = await openImpatientStore();
    await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({ code: 'ERR_DIGEST_MISMATCH' });
  });
});

it('chunks count where an answer states a length as well', async () => {
  const answers = new Map<string, Uint8Array>([
    [layer.digest, layer.blob],
    [image.config.descriptor.digest, image.config.bytes],
  ]);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      const [, method, path = ''] = /^(HEAD|GET) (\S+) HTTP/.exec(data.toString('latin1')) ?? [];
      if (method === undefined) return socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      const body = answers.get(path.split('/').at(-1) ?? '') ?? bytes;
      socket.write(
        `HTTP/1.1 200 OK\r\ncontent-type: ${descriptor.mediaType}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      if (method === 'HEAD') return undefined;
      socket.write(`${body.length.toString(16)}\r\n`);
      socket.write(body);
      return socket.write('\r\n0\r\n\r\n');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const p = await openImpatientStore({ retries: 5 });
    const { port } = server.address() as AddressInfo;
    expect((await p.images.pull(`localhost:${port}/app:v1`)).id).toBe(descriptor.digest);
  } finally {
    server.close();
  }
});
