import { throwIfAborted } from '../base/errors.js';
import { Dispatchers } from './connection/dispatchers.js';
import { redirectTarget, requireDistance } from './connection/onward.js';
import { Pace, type Patience } from './connection/pace.js';
import { ProxyFailure } from './connection/proxy-failure.js';
import type { ResponseBody } from './connection/response-body.js';
import { type Answer, sendRequest } from './connection/send-request.js';
import { maySend, WrongZone, type Zone, zoneOfHost } from './connection/zones.js';
import type { SendTokenRequest } from './credentials/access-tokens.js';
import { Authentication, type Authorization } from './credentials/authentication.js';
import { CONNECT_TIMEOUT, type Endpoint } from './endpoint.js';
import { type Asked, failed, speaksNoTls, statusError, transportError } from './registry-errors.js';

export interface RegistryRequest extends Patience {
  readonly method: 'GET' | 'HEAD';
  /** Below the repository: `manifests/v1`. */
  readonly path: string;
  /** For messages: `the manifest app:v1`. */
  readonly subject: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** What counts as an answer; any other status is thrown. Default: 200. */
  readonly statuses?: readonly number[];
  readonly signal?: AbortSignal | undefined;
}

/** @see RFC 9110, section 15.4; what a registry sends us on to is most often where blobs are kept */
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 10;
/** Of a proxy that wants to know who we are. @see RFC 9110, section 15.5.8 */
const PROXY_AUTHENTICATION_REQUIRED = 407;
/** Times that a host may ask who we are, in one request: once for the kind of proof, once for a token that has expired meanwhile. */
const MAX_CHALLENGES = 2;
/** Bytes of an answer that is an error, or a token. */
const SMALL_BODY = 256 * 1024;
/** So often a host is asked for where it turns out to be: names may have addresses that change. */
const MAX_ZONES = 3;

interface Target {
  readonly url: URL;
  /** Whose settings count. */
  readonly endpoint: Endpoint;
  /** It is another host than the endpoint. */
  readonly away: boolean;
  /** Where the host is that sends us there; undefined when the user does. */
  readonly sentBy: Zone | undefined;
}

interface SentRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
}

type SendLimits = Pick<RegistryRequest, 'signal' | 'stallTimeout'>;

interface LocatedAnswer {
  readonly answer: Answer;
  /** Where it came from. */
  readonly zone: Zone;
}

/**
 * Speaks to registries: proves who we are when asked, follows redirects, and says in our words what went wrong. It neither tries again nor
 * turns to another host; those who call it know what can be repeated.
 *
 * Credentials, a host's own headers and client certificates go to that host alone, never where it redirects to; its authorities and its proxy
 * serve on the way there too. Nobody sends us nearer than he is himself: a host elsewhere neither to this machine's loopback nor to its link, unless the user has named what is there.
 */
export class RegistryClient {
  readonly #dispatchers: Dispatchers;
  readonly #authentication = new Authentication();
  /** Hosts that were tried with TLS first, and what they turned out to speak. */
  readonly #schemes = new Map<string, 'https' | 'http'>();
  /** Where hosts were found that are not elsewhere. */
  readonly #zones = new Map<string, Zone>();

  /** @param connections to one host at a time, at most */
  constructor(connections: number) {
    this.#dispatchers = new Dispatchers(connections);
  }

  /**
   * @throws ProvisionerError `ERR_REGISTRY_UNREACHABLE`, `ERR_REGISTRY_TLS`, `ERR_REGISTRY_UNAUTHORIZED`, `ERR_REGISTRY_DENIED`, `ERR_REGISTRY_BUSY`,
   * `ERR_REGISTRY_FAILED` (with the status in its details), `ERR_ABORTED`
   */
  async request(endpoint: Endpoint, repository: string, request: RegistryRequest): Promise<Answer> {
    throwIfAborted(request.signal);
    const known = this.#settled(endpoint);
    if (known.scheme !== 'either') return this.#authenticated(known, repository, request);
    try {
      const answer = await this.#authenticated({ ...known, scheme: 'https' }, repository, request);
      this.#schemes.set(endpoint.host, 'https');
      return answer;
    } catch (error) {
      if (!speaksNoTls((error as Error).cause)) throw error;
    }
    const answer = await this.#authenticated({ ...known, scheme: 'http' }, repository, request);
    this.#schemes.set(endpoint.host, 'http');
    return answer;
  }

  /** The endpoint and what this client has learnt about it, for another thread. */
  learnt(
    endpoint: Endpoint,
    repository: string,
  ): { readonly endpoint: Endpoint; readonly authorization: Authorization | undefined } {
    return {
      endpoint: this.#settled(endpoint),
      authorization: this.#authentication.known(endpoint, repository),
    };
  }

  /** Takes over what another thread has learnt. */
  adopt(endpoint: Endpoint, repository: string, authorization: Authorization): void {
    this.#authentication.adopt(endpoint, repository, authorization);
  }

  /** Breaks off what is under way. */
  async close(): Promise<void> {
    await this.#dispatchers.close();
  }

  #settled(endpoint: Endpoint): Endpoint {
    const scheme = endpoint.scheme === 'either' ? this.#schemes.get(endpoint.host) : undefined;
    return scheme === undefined ? endpoint : { ...endpoint, scheme };
  }

  async #authenticated(endpoint: Endpoint, repository: string, request: RegistryRequest): Promise<Answer> {
    const asked: Asked = { subject: request.subject, host: endpoint.host };
    const send = this.#tokenRequest(endpoint, asked, request);
    for (let challenges = 0; ; challenges++) {
      const authorization = await this.#authentication.header(endpoint, repository, asked, send);
      const { answer, zone, away } = await this.#redirected(endpoint, repository, authorization, asked, request);
      // Somebody else has no say in who is shown our credentials.
      if (answer.status !== 401 || away || challenges === MAX_CHALLENGES) {
        if ((request.statuses ?? [200]).includes(answer.status)) return answer;
        const body = await readSmall(answer.body, request).catch(() => '');
        throwIfAborted(request.signal);
        throw statusError(asked, answer.status, answer.headers, body);
      }
      answer.body.destroy();
      const challenge = { values: [answer.headers['www-authenticate'] ?? []].flat(), sentBy: zone };
      await this.#authentication.challenged(endpoint, repository, challenge, authorization, asked, send);
    }
  }

  async #redirected(
    endpoint: Endpoint,
    repository: string,
    authorization: string | undefined,
    asked: Asked,
    request: RegistryRequest,
  ): Promise<LocatedAnswer & { readonly away: boolean }> {
    const { scheme, host, path, namespace } = endpoint;
    let url = new URL(`${scheme}://${host}${path}/${repository}/${request.path}`);
    if (namespace !== undefined) url.searchParams.set('ns', namespace);
    const own = { ...endpoint.headers, ...(authorization === undefined ? {} : { authorization }) };
    const { origin } = url;
    // Once somewhere else, nothing comes back: the way may lead through a host that records it.
    let away = false;
    let sentBy: Zone | undefined;
    for (let redirects = 0; ; redirects++) {
      const { answer, zone } = await this.#send({ url, endpoint, away, sentBy }, asked, request, {
        method: request.method,
        headers: { ...request.headers, ...(away ? {} : own) },
      });
      if (!REDIRECTS.has(answer.status)) return { answer, zone, away };
      answer.body.destroy();
      if (redirects === MAX_REDIRECTS) throw failed(asked, 'it redirects in circles');
      url = redirectTarget([answer.headers['location']].flat()[0], { url, zone }, endpoint, asked);
      sentBy = zone;
      away ||= url.origin !== origin;
    }
  }

  /** A name is taken for one elsewhere until an address of it says otherwise; the connection is made in one zone alone, so what it then means is what was allowed. */
  async #send(to: Target, asked: Asked, limits: SendLimits, request: SentRequest): Promise<LocatedAnswer> {
    const { url, endpoint, sentBy } = to;
    const stated = zoneOfHost(url.host);
    // What was found before saves a look, and forbids nothing: the name may have got another address since.
    const found = this.#zones.get(url.host) ?? 'elsewhere';
    let zone = stated ?? (sentBy === undefined || maySend(sentBy, found) ? found : 'elsewhere');
    for (let attempt = 1; ; attempt++) {
      requireDistance(url, zone, sentBy, endpoint, { ...asked, host: endpoint.host });
      try {
        return { answer: await this.#sendWithin(zone, to, limits, request), zone };
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
    { url, endpoint, away }: Target,
    { signal, stallTimeout }: SendLimits,
    request: SentRequest,
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

  #tokenRequest(endpoint: Endpoint, asked: Asked, request: RegistryRequest): SendTokenRequest {
    return async (url, { method, headers, body }, sentBy) => {
      const server = { subject: `a token for ${asked.subject}`, host: url.host };
      const away = url.host !== endpoint.host;
      const sent = { method, headers, ...(body === undefined ? {} : { body }) };
      const { answer } = await this.#send({ url, endpoint, away, sentBy }, server, request, sent);
      try {
        return { status: answer.status, headers: answer.headers, body: await readSmall(answer.body, request) };
      } catch (error) {
        throw transportError(server, error, request.signal);
      }
    };
  }
}

async function readSmall(body: ResponseBody, patience: Patience): Promise<string> {
  return (await body.start(SMALL_BODY, new Pace(patience))).toString('utf8');
}
