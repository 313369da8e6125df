import { once } from 'node:events';
import { request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import { isIP, connect as plainConnect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as secureConnect } from 'node:tls';
import type { buildConnector } from 'undici';
import { hostName } from '../endpoint.js';
import type { ProxyServer } from './proxies.js';
import { ProxyFailure } from './proxy-failure.js';

/** How a proxy is reached. */
interface Way {
  readonly proxy: ProxyServer;
  /** For TLS with the proxy itself. */
  readonly tls: ConnectionOptions;
  /** Milliseconds, until the proxy has the connection ready. */
  readonly timeout: number;
}

/**
 * Makes the connections of an undici agent by way of a proxy. To a host with TLS the proxy lays a tunnel (`CONNECT`), in which TLS is spoken
 * with the host. Requests in plain HTTP go to the proxy itself, which passes them on: many proxies lay tunnels to the ports of TLS only.
 * @param speakTls with the host, in a tunnel
 * @see RFC 9110, section 9.3.6; RFC 9112, section 3.2.2, "absolute-form"
 */
export function connectByProxy(way: Way, speakTls: buildConnector.connector): buildConnector.connector {
  return (target, callback) => {
    const tunnelled = target.protocol === 'https:';
    (tunnelled ? openTunnel(way, authorityOf(target)) : reach(way)).then(
      (socket) => {
        if (tunnelled) speakTls({ ...target, httpSocket: socket }, callback);
        else callback(null, socket);
      },
      (error: Error) => callback(error, null),
    );
  };
}

function authorityOf({ hostname, port }: buildConnector.Options): string {
  return `${isIP(hostname) === 6 ? `[${hostname}]` : hostname}:${port || '443'}`;
}

/** @throws ProxyFailure */
async function openTunnel({ proxy, tls, timeout }: Way, authority: string): Promise<Socket> {
  const { host, port, secure } = placeOf(proxy);
  const request = (secure ? secureRequest : plainRequest)({
    ...tls,
    host,
    port,
    method: 'CONNECT',
    path: authority,
    headers: {
      host: authority,
      ...(proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }),
    },
    // One that keeps connections would not let go of this one.
    agent: false,
  });
  request.end();
  return inTime({ proxy, timeout }, request, async () => {
    const [{ statusCode = 0 }, socket, head] = await once(request, 'connect');
    if (statusCode < 200 || statusCode > 299) {
      socket.on('error', () => {}).destroy();
      throw new ProxyFailure(proxy.origin, { status: statusCode });
    }
    if (head.length > 0) socket.unshift(head);
    return socket;
  });
}

/** @throws ProxyFailure */
async function reach({ proxy, tls, timeout }: Way): Promise<Socket> {
  const { host, port, secure } = placeOf(proxy);
  const socket = secure ? secureConnect({ ...tls, host, port }) : plainConnect({ host, port });
  return inTime({ proxy, timeout }, socket, async () => {
    await once(socket, secure ? 'secureConnect' : 'connect');
    return socket;
  });
}

/** @param made is destroyed when the time is over */
async function inTime<T>(
  { proxy, timeout }: Pick<Way, 'proxy' | 'timeout'>,
  made: { destroy(error: Error): unknown },
  work: () => Promise<T>,
): Promise<T> {
  const tooLate = Object.assign(new Error(`nothing came of it in ${timeout} ms`), { code: 'ETIMEDOUT' });
  const timer = setTimeout(() => made.destroy(tooLate), timeout);
  try {
    return await work();
  } catch (error) {
    throw error instanceof ProxyFailure ? error : new ProxyFailure(proxy.origin, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function placeOf({ origin }: ProxyServer) {
  const url = new URL(origin);
  const secure = url.protocol === 'https:';
  return { host: hostName(url.host), port: Number(url.port || (secure ? 443 : 80)), secure };
}
