import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { afterEach } from 'vitest';
import type { Certificate } from './certificates.js';

export interface ForwardProxy {
  /** `localhost:PORT`. */
  readonly host: string;
  /** In order: `CONNECT registry.example:443`, or `GET http://registry.example/v2/…`. */
  readonly seen: string[];
  /** Who may come in, as it stands in `Proxy-Authorization`. Default: everybody. */
  authorization: string | undefined;
  /** What a request is answered with instead of being passed on. Default: nothing is. */
  refusal: ((seen: string) => number | 'silence' | undefined) | undefined;
}

const open = new Set<() => Promise<void>>();

afterEach(async () => {
  for (const close of [...open]) await close();
});

/**
 * A forward proxy on loopback, as companies have them: it lays tunnels to the ports of TLS, and passes on requests in plain HTTP. Whatever the
 * host is called, it is taken to be on loopback. Closed after the test.
 * @param tls it is spoken to over TLS itself. Default: plain HTTP
 */
export async function startForwardProxy(tls?: Certificate): Promise<ForwardProxy> {
  const sockets = new Set<Duplex>();
  const keep = (socket: Duplex) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  };
  const judge = (seen: string, { headers }: IncomingMessage): number | 'silence' | undefined => {
    proxy.seen.push(seen);
    const { authorization } = proxy;
    if (authorization !== undefined && headers['proxy-authorization'] !== authorization) return 407;
    return proxy.refusal?.(seen);
  };
  const server: Server =
    tls === undefined
      ? createServer()
      : createSecureServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) });
  server.on('connection', keep);
  server.on('connect', (incoming: IncomingMessage, socket: Duplex) => {
    keep(socket);
    const verdict = judge(`CONNECT ${incoming.url}`, incoming);
    if (verdict === 'silence') return;
    if (verdict !== undefined) {
      socket.end(`HTTP/1.1 ${verdict} No\r\nProxy-Authenticate: Basic realm="proxy"\r\n\r\n`);
      return;
    }
    const upstream: Socket = connect(portOf(incoming.url ?? ''), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    keep(upstream);
    upstream.on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  server.on('request', (incoming, response) => {
    const verdict = judge(`${incoming.method} ${incoming.url}`, incoming);
    if (verdict === 'silence') return;
    if (verdict !== undefined) {
      response.writeHead(verdict, { 'proxy-authenticate': 'Basic realm="proxy"' }).end('no');
      return;
    }
    const url = new URL(incoming.url ?? '');
    const { 'proxy-authorization': _, ...headers } = incoming.headers;
    const upstream = request(
      {
        host: '127.0.0.1',
        port: Number(url.port || 80),
        method: incoming.method,
        path: `${url.pathname}${url.search}`,
        headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        // One that breaks off breaks off for the client too.
        pipeline(answer, response, () => {});
      },
    );
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    incoming.pipe(upstream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: ForwardProxy = {
    host: `localhost:${(server.address() as AddressInfo).port}`,
    seen: [],
    authorization: undefined,
    refusal: undefined,
  };
  const close = async () => {
    open.delete(close);
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  open.add(close);
  return proxy;
}

function portOf(authority: string): number {
  return Number(authority.split(':').at(-1));
}
