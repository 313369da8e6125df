import * as tls from 'node:tls';
import type { Agent, Dispatcher } from 'undici';
import { CONNECT_TIMEOUT, isLoopback, type TlsSettings } from './endpoint.js';

/** What decides which connections may carry a request. */
export interface Route {
  readonly tls: TlsSettings;
  /** A proxy's URL. Default: what the environment says. */
  readonly proxy?: string | undefined;
  /** Milliseconds. Default: `CONNECT_TIMEOUT`. */
  readonly connectTimeout?: number | undefined;
}

/** Idle connections are kept so long, in milliseconds. */
const IDLE_TIME = 4_000;

/**
 * Connections to registries, those of one route kept together: what was made with one certificate or by way of one proxy serves nobody else.
 * Proxies come from `http_proxy`, `https_proxy` and `no_proxy`, in capitals too; loopback is always reached directly.
 */
export class Dispatchers {
  readonly #connections: number;
  readonly #agents = new Map<string, Promise<Agent>>();

  /** @param connections to one host at a time, at most */
  constructor(connections: number) {
    this.#connections = connections;
  }

  async to(host: string, route: Route): Promise<Dispatcher> {
    const direct = isLoopback(host) && route.proxy === undefined;
    const key = JSON.stringify([direct, route]);
    const agent = this.#agents.get(key) ?? this.#make(route, direct);
    this.#agents.set(key, agent);
    return agent;
  }

  /** Breaks off what is under way, and lets go of all connections. */
  async close(): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.allSettled(agents.map(async (agent) => (await agent).destroy()));
  }

  async #make({ tls: settings, proxy, connectTimeout = CONNECT_TIMEOUT }: Route, direct: boolean): Promise<Agent> {
    // Loaded with the first request: it takes longer than all else that a command loads.
    const undici = await import('undici');
    const secure = { ...tlsOptions(settings), timeout: connectTimeout };
    const common = { connections: this.#connections, keepAliveTimeout: IDLE_TIME, connect: secure };
    if (direct) return new undici.Agent(common);
    if (proxy !== undefined)
      return new undici.ProxyAgent({ ...common, uri: proxy, requestTls: secure }) as unknown as Agent;
    return new undici.EnvHttpProxyAgent({ ...common, requestTls: secure }) as unknown as Agent;
  }
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
