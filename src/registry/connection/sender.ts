import { CONNECT_TIMEOUT, type Endpoint } from '../endpoint.js';
import { type Asked, failed, transportError } from '../registry-errors.js';
import { Dispatchers } from './dispatchers.js';
import { redirectTarget, requireDistance } from './onward.js';
import { ProxyFailure } from './proxy-failure.js';
import { type Answer, sendRequest } from './send-request.js';
import { maySend, WrongZone, type Zone, zoneOfHost } from './zones.js';

/** @see RFC 9110, section 15.4; what a registry sends us on to is most often where blobs are kept */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Go on with another method. */
const SEE_OTHER = 303;
const MAX_REDIRECTS = 10;
/** Of a proxy that wants to know who we are. @see RFC 9110, section 15.5.8 */
const PROXY_AUTHENTICATION_REQUIRED = 407;
/** So often a host is asked for where it turns out to be: names may have addresses that change. */
const MAX_ZONES = 3;

/** Where a request begins. */
export interface Start {
  readonly url: URL;
  /** Whose settings count. */
  readonly endpoint: Endpoint;
  /** It is another host than the endpoint. */
  readonly away: boolean;
  /** Where the host is that sends us there; undefined when the user does. */
  readonly sentBy: Zone | undefined;
}

export interface SentRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** For whoever answers in the end. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** For the host that is asked first, and for none that it redirects to. */
  readonly own: Readonly<Record<string, string | readonly string[]>>;
  /** For that host alone, too. */
  readonly body?: string;
}

export interface SendLimits {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds without a byte. */
  readonly stallTimeout: number;
}

export interface LocatedAnswer {
  readonly answer: Answer;
  /** Where it came from. */
  readonly zone: Zone;
  /** It is from another host than the one that was asked first. */
  readonly left: boolean;
}

/**
 * Sends requests and follows redirects, to hosts that may be as near as whoever sends us there and no nearer. What is meant for the first host stays with it: once
 * somewhere else, nothing of it is sent again, since the way may lead through a host that records it.
 */
export class Sender {
  readonly #dispatchers: Dispatchers;
  /** Where hosts were found that are not elsewhere. */
  readonly #zones = new Map<string, Zone>();

  /** @param connections to one host at a time, at most */
  constructor(connections: number) {
    this.#dispatchers = new Dispatchers(connections);
  }

  /** @throws ProvisionerError as `transportError` and `redirectTarget` say */
  async send(start: Start, request: SentRequest, asked: Asked, limits: SendLimits): Promise<LocatedAnswer> {
    let { url, sentBy } = start;
    let { method } = request;
    let left = false;
    for (let redirects = 0; ; redirects++) {
      const to = { ...start, url, sentBy, away: start.away || left };
      const headers = left ? request.headers : { ...request.headers, ...request.own };
      const body = method === 'POST' ? request.body : undefined;
      const { answer, zone } = await this.#sendOnce(to, { method, headers, body }, asked, limits);
      if (!REDIRECTS.has(answer.status)) return { answer, zone, left };
      answer.body.destroy();
      if (redirects === MAX_REDIRECTS) throw failed(asked, 'it redirects in circles');
      const next = redirectTarget([answer.headers['location']].flat()[0], { url, zone }, start.endpoint, asked);
      left ||= !isSameHost(start.url, next);
      if (answer.status === SEE_OTHER && method === 'POST') method = 'GET';
      if (left && method === 'POST') throw failed(asked, `it redirects what is meant for it alone to ${next.host}`);
      url = next;
      sentBy = zone;
    }
  }

  /** How near a host is that has been asked. */
  zoneOf(host: string): Zone {
    return zoneOfHost(host) ?? this.#zones.get(host) ?? 'elsewhere';
  }

  /** Breaks off what is under way. */
  async close(): Promise<void> {
    await this.#dispatchers.close();
  }

  /** A name is taken for one elsewhere until an address of it says otherwise; the connection is made in one zone alone, so what it then means is what was allowed. */
  async #sendOnce(
    to: Start,
    request: OneRequest,
    asked: Asked,
    limits: SendLimits,
  ): Promise<Omit<LocatedAnswer, 'left'>> {
    const { url, endpoint, sentBy } = to;
    const stated = zoneOfHost(url.host);
    // What was found before saves a look, and forbids nothing: the name may have got another address since.
    const found = this.#zones.get(url.host) ?? 'elsewhere';
    let zone = stated ?? (sentBy === undefined || maySend(sentBy, found) ? found : 'elsewhere');
    for (let attempt = 1; ; attempt++) {
      requireDistance(url, zone, sentBy, endpoint, { ...asked, host: endpoint.host });
      try {
        return { answer: await this.#sendWithin(zone, to, request, limits), zone };
      } catch (error) {
        const elsewhere = error instanceof WrongZone && stated === undefined && attempt < MAX_ZONES;
        if (!elsewhere) throw transportError(asked, error, limits.signal);
        zone = error.zone;
        this.#zones.set(url.host, zone);
      }
    }
  }

  async #sendWithin(
    zone: Zone,
    { url, endpoint, away }: Start,
    request: OneRequest,
    { signal, stallTimeout }: SendLimits,
  ): Promise<Answer> {
    const { dispatcher, proxy } = await this.#dispatchers.to(url, {
      zone,
      tls: away ? { verify: endpoint.tls.verify, ca: endpoint.tls.ca } : endpoint.tls,
      // Where the host sends us on to, too: who needs a proxy for the one needs it for the others.
      proxy: endpoint.proxy,
      connectTimeout: endpoint.connectTimeout ?? Math.min(CONNECT_TIMEOUT, stallTimeout),
    });
    // In plain HTTP a proxy reads the request itself, and passes it on.
    const reader = url.protocol === 'http:' ? proxy : undefined;
    const options = {
      origin: url.origin,
      path: `${reader === undefined ? '' : url.origin}${url.pathname}${url.search}`,
      method: request.method,
      headers: {
        'user-agent': 'provisioner',
        // What is hashed and resumed are the bytes as they are stored.
        'accept-encoding': 'identity',
        ...request.headers,
        ...(reader?.authorization === undefined ? {} : { 'proxy-authorization': reader.authorization }),
      } as Record<string, string | string[]>,
      body: request.body ?? null,
      headersTimeout: stallTimeout,
      bodyTimeout: stallTimeout,
    };
    const answer = await sendRequest(dispatcher, options, signal);
    if (reader !== undefined && answer.status === PROXY_AUTHENTICATION_REQUIRED) {
      answer.body.destroy();
      throw new ProxyFailure(reader.origin, { status: answer.status });
    }
    return answer;
  }
}

type OneRequest = Pick<SentRequest, 'method' | 'headers'> & { readonly body: string | undefined };

/** With the same port, but for a host that turns us from its plain HTTP to its TLS. */
function isSameHost(first: URL, next: URL): boolean {
  if (first.origin === next.origin) return true;
  const turned = first.protocol === 'http:' && next.protocol === 'https:';
  return turned && first.hostname === next.hostname && first.port === '' && next.port === '';
}
