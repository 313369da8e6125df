import { isIP, type OnReadOpts } from 'node:net';
import * as tls from 'node:tls';
import type { Agent, buildConnector, Dispatcher } from 'undici';
import { CONNECT_TIMEOUT, MAX_HEADER_SIZE, type TlsSettings } from '../endpoint.js';
import { loadUndici, type UndiciParts } from './load-undici.js';
import { chooseProxy, type ProxyServer } from './proxies.js';
import { SocketMemory } from './socket-memory.js';
import { lookupWithin, WrongZone, type Zone, zoneOfAddress } from './zones.js';

/** What decides which connections may carry a request. */
export interface Route {
  readonly tls: TlsSettings;
  /** Where the host has to be. What goes by way of a proxy is for the proxy to look up. */
  readonly zone: Zone;
  /** A proxy's URL. Default: what the environment says. */
  readonly proxy?: string | undefined;
  /** Milliseconds. Default: `CONNECT_TIMEOUT`. */
  readonly connectTimeout?: number | undefined;
}

/** Idle connections are kept so long, in milliseconds. */
const IDLE_TIME = 4_000;

/**
 * Connections to registries, those of one route kept together: what was made with one certificate or by way of one proxy serves nobody else.
 */
export class Dispatchers {
  readonly #connections: number;
  #parts: Promise<UndiciParts> | undefined;
  readonly #agents = new Map<string, Promise<Agent>>();

  /** @param connections to one host at a time, at most */
  constructor(connections: number) {
    this.#connections = connections;
  }

  /**
   * @returns what sends requests, and the proxy that the connections go by, where there is one; requests fail with a `ProxyFailure` when it is at fault, and with
   * a `WrongZone` when the host is in another one
   * @throws ProvisionerError `ERR_REGISTRY_CONFIG` for a proxy that cannot be used
   */
  async to(
    target: URL,
    { tls: settings, zone, proxy: own, connectTimeout = CONNECT_TIMEOUT }: Route,
  ): Promise<{ readonly dispatcher: Dispatcher; readonly proxy: ProxyServer | undefined }> {
    const proxy = chooseProxy(target, own, process.env);
    const key = JSON.stringify([settings, zone, proxy, connectTimeout]);
    const agent = this.#agents.get(key) ?? this.#make({ tls: settings, zone }, proxy, connectTimeout);
    this.#agents.set(key, agent);
    return { dispatcher: await agent, proxy };
  }

  /** Breaks off what is under way, and lets go of all connections. */
  async close(): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.allSettled(agents.map(async (agent) => (await agent).destroy()));
  }

  /** Loaded with the first request. */
  #undici(): Promise<UndiciParts> {
    this.#parts ??= loadUndici();
    return this.#parts;
  }

  async #make(
    { tls: settings, zone }: Pick<Route, 'tls' | 'zone'>,
    proxy: ProxyServer | undefined,
    timeout: number,
  ): Promise<Agent> {
    const { Agent, buildConnector } = await this.#undici();
    const secure = { ...tlsOptions(settings), timeout, lookup: lookupWithin(zone) };
    const common = { connections: this.#connections, keepAliveTimeout: IDLE_TIME, maxHeaderSize: MAX_HEADER_SIZE };
    const direct = markFailures(
      within(zone, keepReason(intoMemory((onread) => buildConnector({ ...secure, onread })))),
    );
    if (proxy === undefined) return new Agent({ ...common, connect: direct });
    const { connectByProxy } = await import('./proxy-connection.js');
    // What identifies us to the host is none of the proxy's business.
    const way = { proxy, tls: tlsOptions({ ...settings, client: undefined }), timeout };
    return new Agent({ ...common, connect: connectByProxy(way, direct) });
  }
}

/** What connections were not made for, TLS included. */
const failures = new WeakSet<Error>();

/** True for what went wrong before a host could be asked for anything. */
export function failedToConnect(error: unknown): boolean {
  return error instanceof Error && failures.has(error);
}

function markFailures(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...outcome) => {
      const [error] = outcome;
      if (error !== null) failures.add(error);
      callback(...outcome);
    });
  };
}

/** An address is not looked up, so it is looked at here. */
function within(zone: Zone, connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    const { hostname } = options;
    const found = isIP(hostname) === 0 ? zone : zoneOfAddress(hostname);
    if (found === zone) connect(options, callback);
    else callback(new WrongZone(found, hostname), null);
  };
}

/** Each connection reads into memory of its own. Those that go through the tunnel of a proxy do not: Node has no way to tell them. */
function intoMemory(connectorWith: (onread: OnReadOpts) => buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    const memory = new SocketMemory();
    connectorWith(memory.onread)(options, (...outcome) => {
      const [, socket] = outcome;
      if (socket !== null) memory.serve(socket);
      callback(...outcome);
    });
  };
}

/**
 * With TLS 1.3 a server refuses our certificate, or the lack of one, when the connection stands already. Node tells of that and leaves the socket open;
 * what undici makes of it is a connection that broke. Closed with its reason, the socket passes the reason on.
 */
function keepReason(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...outcome) => {
      const [, socket] = outcome;
      socket?.once('error', (reason) => socket.destroy(reason));
      callback(...outcome);
    });
  };
}

function tlsOptions({ verify, ca, client }: TlsSettings) {
  return {
    rejectUnauthorized: verify,
    // Given ones would stand for the usual ones, so those are named too.
    ...(ca.length === 0 ? {} : { ca: [...usualAuthorities(), ...ca] }),
    ...client,
  };
}

/** Node 22.15 also tells those of `NODE_EXTRA_CA_CERTS` and of the system, where Node is told to use them. */
function usualAuthorities(): readonly string[] {
  const { getCACertificates } = tls as { getCACertificates?: (kind: 'default') => string[] };
  return getCACertificates?.('default') ?? tls.rootCertificates;
}
