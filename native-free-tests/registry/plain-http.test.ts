import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { openImpatientStore, type Quirk, refuse, serveQuirky } from '../helpers/quirky-registry.js';

const image = buildImage([buildLayer([{ path: 'hello', content: 'hello' }])]);
const { digest } = image.manifest.descriptor;
const servers: Server[] = [];
const sockets = new Set<Socket>();

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  for (const server of servers.splice(0)) server.close();
});

/** A server of plain HTTP. @param atTls what it does to who says hello in TLS @returns its address, and how often that happened */
async function serve(atTls: (socket: Socket) => unknown, quirk: Quirk = () => false) {
  const registry = await serveQuirky(image, quirk);
  const counts = { hellos: 0 };
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.once('data', (first) => {
      if (first[0] === 0x16) {
        counts.hellos++;
        return atTls(socket);
      }
      const there = connect(Number(registry.host.split(':')[1]), '127.0.0.1').on('error', () => {});
      sockets.add(there);
      there.write(first);
      return socket.pipe(there).pipe(socket);
    });
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, counts };
}

describe('plain HTTP is spoken on loopback with a server that', () => {
  it.each<[string, (socket: Socket) => unknown]>([
    ['closes the connection', (socket) => socket.end()],
    ['resets the connection', (socket) => socket.resetAndDestroy()],
    ['says that it understands nothing', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['says nothing', () => {}],
  ])('%s when it is spoken to in TLS', async (_, atTls) => {
    const { host, counts } = await serve(atTls);
    const p = await openImpatientStore({ retries: 5 });
    const started = performance.now();
    expect((await p.images.pull(`${host}/app:v1`)).id).toBe(digest);
    expect(performance.now() - started).toBeLessThan(6000);
    expect(counts.hellos).toBe(1);
  });
});

it('a refusal in plain HTTP tells as well that no TLS is spoken', async () => {
  const { host, counts } = await serve(
    (socket) => socket.end(),
    (_, response) => refuse(response, 404),
  );
  const p = await openImpatientStore();
  await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({ code: 'ERR_SOURCE_NOT_FOUND' });
  expect(counts.hellos).toBe(1);
});

it('a server of TLS that is only out of order is not taken for one of plain HTTP', async () => {
  const { host, counts } = await serve(
    (socket) => socket.resetAndDestroy(),
    (_, response) => response.writeHead(400).end('Client sent an HTTP request to an HTTPS server.'),
  );
  const p = await openImpatientStore();
  for (const times of [1, 2]) {
    await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' });
    expect(counts.hellos).toBe(times);
  }
});

it('with TLS verified, and elsewhere, nothing but TLS is spoken', async () => {
  const { RegistryClient } = await import('#src/registry/registry-client.js');
  const seen: Buffer[] = [];
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.on('data', (data) => {
      seen.push(data);
      socket.end();
    });
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const endpoint = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    scheme: 'https',
    path: '/v2',
    resolves: true,
    pulls: true,
    headers: {},
    tls: { verify: true, ca: [] },
  } as const;
  const client = new RegistryClient(1);
  const request = {
    method: 'HEAD',
    path: 'manifests/v1',
    subject: 'it',
    stallTimeout: 1000,
    minBytesPerSecond: 0,
  } as const;
  await expect(client.request(endpoint, 'app', request)).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' });
  await client.close();
  expect(seen.map((data) => data[0])).toEqual([0x16]);
});
