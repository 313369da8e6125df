import { once } from 'node:events';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';
import type { buildImage } from './image-builder.js';
import { openMemoryStore, temporaryDirectory } from './memory-store.js';

type Image = ReturnType<typeof buildImage>;

export interface Asked {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
  /** How often this was asked, this time included. */
  readonly nth: number;
}

/** Answers a request as some registries do. @returns false for those that are to be answered as they should be */
export type Quirk = (asked: Asked, response: ServerResponse) => unknown;

export interface QuirkyRegistry {
  /** `localhost:PORT`. */
  readonly host: string;
  readonly asked: Asked[];
  /** `METHOD PATH`, in order; a digest is called by what it names. */
  requests(): string[];
}

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

/** A server on loopback. Closed after the test. @returns `localhost:PORT` */
export async function serveOnLoopback(listener: RequestListener): Promise<string> {
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, listener).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `localhost:${(server.address() as AddressInfo).port}`;
}

/** A registry with the image, whatever the repository and the tag, and with a quirk. */
export async function serveQuirky(image: Image, quirk: Quirk): Promise<QuirkyRegistry> {
  const { manifest, config, layers } = image;
  const blobs = new Map<string, Buffer>([
    [config.descriptor.digest, Buffer.from(config.bytes)],
    ...layers.map(({ digest, blob }) => [digest, Buffer.from(blob)] as const),
  ]);
  const asked: Asked[] = [];
  const host = await serveOnLoopback((request, response) => {
    const { method = '', url = '', headers } = request;
    const before = asked.filter((one) => one.method === method && one.path === url).length;
    const { authorization, range } = headers;
    const one = { method, path: url, authorization, range, nth: before + 1 };
    asked.push(one);
    if (quirk(one, response) !== false) return;
    const [, kind, reference = ''] = /\/(manifests|blobs)\/([^/?]+)/.exec(url) ?? [];
    if (kind === undefined) {
      response.end('{}');
    } else if (kind === 'manifests') {
      const { bytes, descriptor } = manifest;
      response.writeHead(200, {
        'content-type': descriptor.mediaType,
        'content-length': bytes.length,
        'docker-content-digest': descriptor.digest,
      });
      response.end(method === 'HEAD' ? undefined : bytes);
    } else {
      const blob = blobs.get(reference) ?? Buffer.alloc(0);
      const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
      response.writeHead(range === undefined ? 200 : 206, {
        'content-length': blob.length - from,
        ...(range === undefined ? {} : { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` }),
      });
      response.end(blob.subarray(from));
    }
  });
  const names = new Map([
    [manifest.descriptor.digest, 'manifest'],
    [config.descriptor.digest, 'config'],
    ...layers.map(({ digest }, index) => [digest, `layer ${index}`] as const),
  ]);
  const requests = () =>
    asked.map(({ method, path }) => {
      const last = path.split('/').at(-1) ?? '';
      return `${method} ${names.get(last) ?? (last === '' ? '/v2/' : last)}`;
    });
  return { host, asked, requests };
}

/** An answer of a registry that follows the specification in this at least. */
export function refuse(
  response: ServerResponse,
  status: number,
  {
    code = 'DENIED',
    message = '',
    headers = {},
  }: { code?: string; message?: string; headers?: Record<string, string> } = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}

/** A store that gives up at once. */
export const openImpatientStore = (registry = {}) =>
  openMemoryStore({ registry: { hostsDir: temporaryDirectory(), retries: 0, ...registry } });
