import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { atOnce } from '../helpers/at-once.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, namesIn, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const LAYER = buildLayer([{ path: 'hello', content: Buffer.alloc(100_000, 'hello').toString() }], {
  compression: 'none',
});
const image = buildImage([LAYER]);
const { bytes: manifest, descriptor } = image.manifest;
const servers: Server[] = [];
/** A window of 1.2 s. */
const REGISTRY = { stallTimeout: 300, minBytesPerSecond: 2000, retries: 5 };

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

/** A registry with the image. @param instead answers what it wants to, and says so */
async function serve(instead: (url: string, response: ServerResponse) => boolean) {
  const layerRequests: (string | undefined)[] = [];
  const listener: RequestListener = ({ url = '', method, headers }, response) => {
    const isLayer = url.endsWith(LAYER.digest);
    if (isLayer) layerRequests.push(headers.range);
    if (method === 'GET' && instead(url, response)) return;
    const body = isLayer ? LAYER.blob : url.includes('/blobs/') ? image.config.bytes : manifest;
    const type = url.includes('/manifests/') ? descriptor.mediaType : 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-length': body.length });
    response.end(method === 'HEAD' ? undefined : body);
  };
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return { host: `localhost:${(server.address() as AddressInfo).port}`, layerRequests };
}

/** A byte now and then, never so late that the connection stalls. */
function trickle(response: ServerResponse, body: Buffer): boolean {
  response.writeHead(200, { 'content-type': descriptor.mediaType, 'content-length': body.length });
  let at = 0;
  const timer = setInterval(() => response.write(body.subarray(at, ++at)), 30);
  response.on('close', () => clearInterval(timer));
  return true;
}

const openStore = (options = {}) =>
  openMemoryStore({ registry: { hostsDir: temporaryDirectory(), ...REGISTRY }, ...options });

// Until a server counts as too slow they wait.
it('what comes too slowly is given up: a manifest at once, and a layer when it has been asked for once more', async () => {
  await atOnce({
    'a layer that comes a byte now and then is asked for once more, and then given up': async () => {
      const { host, layerRequests } = await serve(
        (url, response) => url.endsWith(LAYER.digest) && trickle(response, LAYER.blob),
      );
      const p = await openStore();
      await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({
        code: 'ERR_REGISTRY_UNREACHABLE',
        message: expect.stringMatching(/it sends too slowly: \d+ bytes came in \d s, and 2000 a second are the least$/),
        hint: expect.stringContaining('registry.minBytesPerSecond'),
      });
      // A busy machine may take a connection for stalled, too.
      expect(layerRequests.filter(Boolean).length).toBeGreaterThan(0);
      expect(layerRequests.length).toBeLessThan(10);
      expect(namesIn(p, 'staging')).toEqual([]);
    },

    'so is one of which each connection brings a byte and no more': async () => {
      const { host, layerRequests } = await serve((url, response) => {
        if (!url.endsWith(LAYER.digest)) return false;
        const from = Number(/\d+/.exec(layerRequests.at(-1) ?? '0'));
        response.writeHead(from === 0 ? 200 : 206, {
          'content-length': LAYER.blob.length - from,
          ...(from === 0 ? {} : { 'content-range': `bytes ${from}-${LAYER.blob.length - 1}/${LAYER.blob.length}` }),
        });
        response.write(LAYER.blob.subarray(from, from + 1));
        return true;
      });
      const p = await openStore();
      await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({
        code: 'ERR_REGISTRY_UNREACHABLE',
        message: expect.stringContaining('too slowly'),
      });
      expect(layerRequests.length).toBeLessThan(20);
    },

    'a manifest that comes like that is given up at once': async () => {
      const { host } = await serve((url, response) => url.includes('/manifests/') && trickle(response, manifest));
      const p = await openStore();
      const started = performance.now();
      await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({
        message: expect.stringContaining('too slowly'),
      });
      expect(performance.now() - started).toBeLessThan(5000);
    },
  });
});

it('a registry may be as slow as it likes when it is allowed to, and one that does better after a while goes on', async () => {
  const { host, layerRequests } = await serve((url, response) => {
    if (!url.endsWith(LAYER.digest)) return false;
    response.writeHead(200, { 'content-length': LAYER.blob.length });
    response.write(LAYER.blob.subarray(0, 1));
    let at = 1;
    const timer = setInterval(() => {
      response.write(LAYER.blob.subarray(at, at + 10));
      at += 10;
      if (at < 300) return;
      clearInterval(timer);
      response.end(LAYER.blob.subarray(at));
    }, 30);
    return true;
  });
  const p = await openStore();
  expect(await p.images.pull(`${host}/app:v1`, { registry: { minBytesPerSecond: 0 } })).toMatchObject({
    id: descriptor.digest,
  });
  expect(layerRequests).toEqual([undefined]);
});

it('a registry that holds all threads holds up nobody who wants nothing from one', async () => {
  let begun = 0;
  const { host } = await serve((url, response) => {
    if (!url.endsWith(LAYER.digest)) return false;
    begun++;
    return trickle(response, LAYER.blob);
  });
  const p = await openStore({ workers: 1 });
  const other = await layoutOf(buildImage([buildLayer([{ path: 'other', content: 'x' }])]));
  const cancel = new AbortController();
  const slow = p.images.pull(`${host}/app:v1`, { signal: cancel.signal, registry: { minBytesPerSecond: 0 } });
  const outcome = Promise.allSettled([slow]);
  await expect.poll(() => begun, { timeout: 15_000 }).toBe(1);
  await p.images.pull(other, { name: 'other' });
  await p.provision('job', 'other');
  expect((await p.store.check()).sound).toBe(true);
  await p.store.usage();
  await p.destroy('job');
  cancel.abort();
  expect(await outcome).toMatchObject([{ reason: { code: 'ERR_ABORTED' } }]);
});
