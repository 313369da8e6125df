import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createRawServer, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { namesIn, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const image = buildImage([buildLayer([{ path: 'hello', content: 'hello' }])]);
const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `localhost:${(server.address() as AddressInfo).port}`;
}

const openStore = () => openMemoryStore({ registry: { hostsDir: temporaryDirectory(), retries: 0 } });

/** By their digests. */
const blobs = new Map([
  [image.config.descriptor.digest, image.config.bytes],
  ...image.layers.map(({ digest, blob }) => [digest, blob] as const),
]);

/** Serves the image; manifests as a test says. */
function blobsAnd(manifest: RequestListener): RequestListener {
  return (request, response) => {
    const blob = blobs.get(request.url?.split('/').at(-1) ?? '');
    if (blob === undefined) manifest(request, response);
    else response.writeHead(200, { 'content-length': blob.length }).end(blob);
  };
}

it.each([
  ['knows no HEAD', 405, {}],
  ['leaves the digest out of its answer to HEAD', 200, {}],
  [
    'states no size',
    200,
    { 'docker-content-digest': image.manifest.descriptor.digest, 'transfer-encoding': 'chunked' },
  ],
  ['states a type that says nothing', 200, { 'content-type': 'application/json; charset=utf-8' }],
] as const)('an image comes from a server that %s', async (_, status, headers) => {
  const { bytes, descriptor } = image.manifest;
  const host = await serve(
    blobsAnd((request, response) => {
      response.writeHead(request.method === 'HEAD' ? status : 200, {
        'content-type': descriptor.mediaType,
        ...headers,
      });
      response.end(request.method === 'HEAD' ? undefined : bytes);
    }),
  );
  const p = await openStore();
  expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
});

it('an image comes from a server that sends a body with its answer to HEAD', async () => {
  const { bytes, descriptor } = image.manifest;
  const sockets = new Set<Socket>();
  const server = createRawServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      const [, method, path] = /^(HEAD|GET) (\S+) HTTP/.exec(data.toString('latin1')) ?? [];
      // Who tries TLS learns that this is none.
      if (method === undefined) return socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      const body = blobs.get(path?.split('/').at(-1) ?? '') ?? bytes;
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: ${descriptor.mediaType}\r\ncontent-length: ${body.length}\r\n`);
      if (method === 'HEAD') socket.write(`docker-content-digest: ${descriptor.digest}\r\n`);
      socket.write(Buffer.concat([Buffer.from('\r\n'), body]));
      return undefined;
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const p = await openMemoryStore({ registry: { hostsDir: temporaryDirectory(), retries: 3 } });
    const { port } = server.address() as AddressInfo;
    expect((await p.images.pull(`localhost:${port}/app:v1`)).id).toBe(descriptor.digest);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});

it('the documents of an image are asked for over one connection', async () => {
  const { bytes, descriptor } = image.manifest;
  const asked: (readonly [string, number | undefined])[] = [];
  const listener = blobsAnd((request, response) => {
    response.writeHead(200, {
      'content-type': descriptor.mediaType,
      'content-length': bytes.length,
      'docker-content-digest': descriptor.digest,
    });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  });
  const host = await serve((request, response) => {
    asked.push([`${request.method} ${request.url?.split('/')[3]}`, request.socket.remotePort]);
    listener(request, response);
  });
  const p = await openStore();
  await p.images.pull(`${host}/app:v1`);
  const [head, manifest, config, layer] = asked;
  expect([head?.[0], manifest?.[0], config?.[0], layer?.[0]]).toEqual([
    'HEAD manifests',
    'GET manifests',
    'GET blobs',
    'GET blobs',
  ]);
  expect([manifest?.[1], config?.[1]]).toEqual([head?.[1], head?.[1]]);
});

it("Docker's schema 1 is refused by name, before anything that it names is fetched", async () => {
  const body = '{"schemaVersion": 1, "fsLayers": []}';
  const methods: (string | undefined)[] = [];
  const host = await serve((request, response) => {
    methods.push(request.method);
    response.writeHead(200, {
      'content-type': 'application/vnd.docker.distribution.manifest.v1+prettyjws',
      'docker-content-digest': `sha256:${'a'.repeat(64)}`,
      'content-length': body.length,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  const p = await openStore();
  await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
    message: expect.stringContaining('schema 1'),
    hint: expect.stringContaining('push the image again'),
  });
  expect(methods).toEqual(['HEAD', 'GET']);
  expect(namesIn(p, 'layers')).toEqual([]);
});

it('a registry behind TLS cannot make us send a password to a token server in the open', async () => {
  const { Authentication } = await import('#src/registry/credentials/authentication.js');
  const endpoint = {
    host: 'r.example',
    scheme: 'https',
    path: '/v2',
    resolves: true,
    pulls: true,
    headers: {},
    tls: { verify: true, ca: [] },
    credentials: { kind: 'password', username: 'me', password: 'secret' },
  } as const;
  const asked = { subject: 'the image', host: 'r.example' };
  const send = () => Promise.reject(new Error('it was sent'));
  const challenge = { values: ['Bearer realm="http://tokens.example/token"'], sentBy: 'elsewhere' } as const;
  await expect(
    new Authentication().challenged(endpoint, 'app', challenge, undefined, asked, send),
  ).rejects.toMatchObject({ code: 'ERR_REGISTRY_FAILED', message: expect.stringContaining('without TLS') });
});

it.each([
  ['a few interim answers before each that counts are passed over', 5, 'pulled'],
  ['interim answers without end are no answer', 6, 'ERR_REGISTRY_UNREACHABLE'],
])('%s', async (_, interim, outcome) => {
  const host = await serve((request, response) => {
    // The next one is sent without waiting: the real thing sends one whenever the client would give up.
    for (let count = 0; count < interim; count++) response.writeEarlyHints({ link: '</a>; rel=preload' });
    blobsAnd((_, answer) => {
      answer.writeHead(200, { 'content-type': image.manifest.descriptor.mediaType });
      answer.end(request.method === 'HEAD' ? undefined : image.manifest.bytes);
    })(request, response);
  });
  const pulled = (await openStore()).images.pull(`${host}/app:v1`);
  expect(
    await pulled.then(
      () => 'pulled',
      (error) => error.code,
    ),
  ).toBe(outcome);
});
