import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import type { Certificate } from './certificates.js';
import { listenOnLoopback } from './loopback-server.js';

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

/**
 * A forward proxy on loopback, as companies have them: it lays tunnels to the ports of TLS, and passes on requests in plain HTTP. Whatever the
 * host is called, it is taken to be on loopback. Closed after the test.
 * @param tls it is spoken to over TLS itself. Default: plain HTTP
 */
export async function startForwardProxy(tls?: Certificate): Promise<ForwardProxy> {
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
  server.on('connect', (incoming: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {});
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
    upstream.on('error', () => {});
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
  const { host } = await listenOnLoopback(server);
  const proxy: ForwardProxy = {
    host,
    seen: [],
    authorization: undefined,
    refusal: undefined,
  };
  return proxy;
}

function portOf(authority: string): number {
  return Number(authority.split(':').at(-1));
}
