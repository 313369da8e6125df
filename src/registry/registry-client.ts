import { isProvisionerError, type ProvisionerError, throwIfAborted } from '../base/errors.js';
import { codingsOf, undoCodings } from './connection/content-coding.js';
import { failedToConnect } from './connection/dispatchers.js';
import { namedPlace } from './connection/onward.js';
import { Pace, type Patience } from './connection/pace.js';
import type { Answer } from './connection/send-request.js';
import { type LocatedAnswer, Sender } from './connection/sender.js';
import type { SendTokenRequest } from './credentials/access-tokens.js';
import { Authentication, type Authorization, type ReceivedChallenge } from './credentials/authentication.js';
import { parseChallenges } from './credentials/challenge.js';
import { CONNECT_TIMEOUT, type Endpoint } from './endpoint.js';
import {
  type Asked,
  speaksNoTls,
  statusError,
  transportCode,
  transportError,
  unauthorized,
} from './registry-errors.js';
import { type RegistryWords, readWords } from './registry-words.js';

export interface RegistryRequest extends Patience {
  readonly method: 'GET' | 'HEAD';
  /** Below the repository: `manifests/v1`; below the API where there is none. */
  readonly path: string;
  /** For messages: `the manifest app:v1`. */
  readonly subject: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** What counts as an answer; any other status is thrown. Default: 200. */
  readonly statuses?: readonly number[];
  readonly signal?: AbortSignal | undefined;
  /** Hosts whose root has been asked how to show who we are. Default: it is not asked. */
  readonly rootsAsked?: Set<string>;
}

/** Answers to who shows nothing that hide what is there. */
const HIDING: ReadonlySet<number> = new Set([401, 403, 404]);
/** Times that a host may ask who we are, in one request: once for the kind of proof, once for a token that has expired meanwhile. */
const MAX_CHALLENGES = 2;
/** Bytes of an answer that is an error, or a token. */
const SMALL_BODY = 256 * 1024;
/** Milliseconds that are waited for TLS with a host that may speak none: some say nothing at all to what they do not understand. */
const TLS_PATIENCE = 2_000;
/** How servers of TLS answer to plain HTTP, those that do. */
const WANTS_TLS = 400;
/** The codes of what has taken too long. */
const SLOW: ReadonlySet<string> = new Set(['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT']);
/** Who knows no TLS, or has none on that port, ends a connection like that. Certificates that are not trusted are none of these. */
const NO_TLS_HERE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
]);

/**
 * Speaks to registries: proves who we are when asked, follows redirects, and says in our words what went wrong. It neither tries again nor
 * turns to another host; those who call it know what can be repeated.
 *
 * Credentials, a host's own headers and client certificates go to that host alone, never where it redirects to; its authorities and its proxy
 * serve on the way there too. Nobody sends us nearer than he is himself: a host elsewhere neither to this machine's loopback nor to its link, unless the user has named what is there.
 */
export class RegistryClient {
  readonly #sender: Sender;
  readonly #authentication = new Authentication();
  /** Hosts that were tried with TLS first, and what they turned out to speak. */
  readonly #schemes = new Map<string, 'https' | 'http'>();

  /** @param connections to one host at a time, at most */
  constructor(connections: number) {
    this.#sender = new Sender(connections);
  }

  /**
   * @param repository empty for the API as a whole
   * @throws ProvisionerError `ERR_REGISTRY_UNREACHABLE`, `ERR_REGISTRY_TLS`, `ERR_REGISTRY_UNAUTHORIZED`, `ERR_REGISTRY_DENIED`, `ERR_REGISTRY_BUSY`,
   * `ERR_REGISTRY_FAILED` (with the status in its details), `ERR_ABORTED`
   */
  async request(endpoint: Endpoint, repository: string, request: RegistryRequest): Promise<Answer> {
    throwIfAborted(request.signal);
    const known = this.#settled(endpoint);
    if (known.scheme !== 'either') return this.#authenticated(known, repository, request);
    const { connectTimeout = CONNECT_TIMEOUT } = known;
    const hasty = { ...known, connectTimeout: Math.min(connectTimeout, TLS_PATIENCE) };
    let refused: unknown;
    try {
      return await this.#inScheme('https', hasty, repository, request);
    } catch (error) {
      refused = error;
      if (!mayBePlain(error)) throw error;
    }
    const { cause } = refused as Error;
    const slow = SLOW.has(transportCode(cause));
    try {
      return await this.#inScheme('http', slow ? hasty : known, repository, request);
    } catch (error) {
      const none = failedToConnect((error as Error).cause) || isAnswer(error, WANTS_TLS);
      if (speaksNoTls(cause) || !none) throw error;
    }
    // Neither is there, or TLS after all. A host that is only slow to speak TLS is given its time.
    if (slow) return this.#inScheme('https', known, repository, request);
    throw refused;
  }

  /**
   * Asks for what a manifest says lies elsewhere. As where a host redirects to, nothing of ours is sent along: no credentials, headers or client certificate.
   * @param endpoint the host whose word that is @throws ProvisionerError as `request`
   */
  async requestElsewhere(endpoint: Endpoint, place: string, request: Omit<RegistryRequest, 'path'>): Promise<Answer> {
    throwIfAborted(request.signal);
    const known = this.#settled(endpoint);
    const zone = this.#sender.zoneOf(known.host);
    const asked: Asked = { subject: request.subject, host: known.host };
    const url = namedPlace(place, { plain: known.scheme === 'http', zone }, known, asked);
    const there: Asked = { subject: request.subject, host: url.host };
    const sent = { method: request.method, headers: request.headers ?? {}, own: {} };
    const { answer } = await this.#sender.send(
      { url, endpoint: known, away: true, sentBy: zone },
      sent,
      there,
      request,
    );
    if ((request.statuses ?? [200]).includes(answer.status)) return answer;
    throw statusError(there, answer.status, answer.headers, await wordsOf(answer, [], request));
  }

  /** What a host answers, be it a refusal, tells what it speaks. */
  async #inScheme(
    scheme: 'https' | 'http',
    endpoint: Endpoint,
    repository: string,
    request: RegistryRequest,
  ): Promise<Answer> {
    try {
      const answer = await this.#authenticated({ ...endpoint, scheme }, repository, request);
      this.#schemes.set(endpoint.host, scheme);
      return answer;
    } catch (error) {
      if (isAnswer(error) && !isAnswer(error, WANTS_TLS)) this.#schemes.set(endpoint.host, scheme);
      throw error;
    }
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
    await this.#sender.close();
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
      const path = repository === '' ? request.path : `${repository}/${request.path}`;
      const located = await this.#ask(endpoint, path, authorization, asked, request);
      const { answer, left } = located;
      if ((request.statuses ?? [200]).includes(answer.status)) return answer;
      let challenge = challenges < MAX_CHALLENGES ? challengeIn(located) : undefined;
      let words: RegistryWords = {};
      if (challenge !== undefined && authorization === undefined) answer.body.destroy();
      else words = await wordsOf(answer, secretsOf(endpoint, authorization), request);
      throwIfAborted(request.signal);
      if (authorization === undefined && !left && HIDING.has(answer.status))
        challenge ??= await this.#challengeAtRoot(endpoint, asked, request);
      if (challenge === undefined) throw refusal(located, endpoint, authorization, asked, words);
      await this.#authentication.challenged(endpoint, repository, { ...challenge, words }, authorization, asked, send);
    }
  }

  /**
   * Some registries let anybody read, and answer those who show nothing as if what they may not read were not there. How to show who we are is then told at the root of the API alone.
   * @returns undefined where that tells nothing, or has been asked already
   */
  async #challengeAtRoot(endpoint: Endpoint, asked: Asked, request: RegistryRequest): Promise<Challenge | undefined> {
    const { rootsAsked } = request;
    const { host, credentials } = endpoint;
    if (credentials === undefined || rootsAsked === undefined || rootsAsked.has(host)) return undefined;
    rootsAsked.add(host);
    try {
      const located = await this.#ask(endpoint, '', undefined, asked, { ...request, method: 'GET', headers: {} });
      located.answer.body.destroy();
      return challengeIn(located);
    } catch (error) {
      throwIfAborted(request.signal);
      // What the registry has answered before is what counts then.
      if (isProvisionerError(error)) return undefined;
      throw error;
    }
  }

  /** @param path below that of the API */
  #ask(
    endpoint: Endpoint,
    path: string,
    authorization: string | undefined,
    asked: Asked,
    request: Pick<RegistryRequest, 'method' | 'headers' | 'signal' | 'stallTimeout'>,
  ): Promise<LocatedAnswer> {
    const { scheme, host, path: api, namespace } = endpoint;
    const url = new URL(`${scheme}://${host}${api}/${path}`);
    if (namespace !== undefined) url.searchParams.set('ns', namespace);
    const own = { ...endpoint.headers, ...(authorization === undefined ? {} : { authorization }) };
    const sent = { method: request.method, headers: request.headers ?? {}, own };
    return this.#sender.send({ url, endpoint, away: false, sentBy: undefined }, sent, asked, request);
  }

  #tokenRequest(endpoint: Endpoint, asked: Asked, request: RegistryRequest): SendTokenRequest {
    return async (url, { method, headers: own, body }, sentBy) => {
      const server = { subject: `a token for ${asked.subject}`, host: url.host };
      const away = url.host !== endpoint.host;
      const sent = { method, headers: {}, own, ...(body === undefined ? {} : { body }) };
      const { answer } = await this.#sender.send({ url, endpoint, away, sentBy }, sent, server, request);
      try {
        return { status: answer.status, headers: answer.headers, body: await readSmall(answer, request) };
      } catch (error) {
        throw transportError(server, error, request.signal);
      }
    };
  }
}

/** Whether a host that was spoken to in TLS may know none, or has none on that port. */
function mayBePlain(error: unknown): boolean {
  const { cause } = error as Error;
  return speaksNoTls(cause) || (failedToConnect(cause) && NO_TLS_HERE.has(transportCode(cause)));
}

/** It has come so far that the host has answered something. @param status just this. Default: whatever it is */
function isAnswer(error: unknown, status?: number): boolean {
  if (!isProvisionerError(error)) return false;
  if (status !== undefined) return error.details['status'] === status;
  return error.details['status'] !== undefined || error.code === 'ERR_REGISTRY_UNAUTHORIZED';
}

type Challenge = Omit<ReceivedChallenge, 'words'>;

/** Undefined where we are not asked who we are, or are by a host to which the registry has sent us on: that one has no say in who is shown our credentials. */
function challengeIn({ answer: { status, headers }, zone, left }: LocatedAnswer): Challenge | undefined {
  const values = [headers['www-authenticate'] ?? []].flat();
  if (status !== 401 || left || parseChallenges(values).length === 0) return undefined;
  return { values, sentBy: zone };
}

function refusal(
  { answer: { status, headers }, left }: LocatedAnswer,
  { credentials }: Endpoint,
  authorization: string | undefined,
  asked: Asked,
  words: RegistryWords,
): ProvisionerError {
  if (status !== 401 || left || credentials === undefined) return statusError(asked, status, headers, words);
  const tried = authorization !== undefined;
  return unauthorized(asked, tried, { words, mute: !tried });
}

/** All that a host may repeat of what it was shown. */
function secretsOf({ credentials, headers }: Endpoint, authorization: string | undefined): readonly string[] {
  const own = credentials?.kind === 'password' ? credentials.password : credentials?.token;
  const shown = [authorization ?? [], ...Object.values(headers)].flat();
  // With the name of a scheme before it, or without.
  return [own ?? [], shown, shown.map((value) => value.split(' ').at(-1) ?? '')].flat();
}

async function wordsOf(answer: Answer, secrets: readonly string[], patience: Patience): Promise<RegistryWords> {
  return readWords(await readSmall(answer, patience).catch(() => ''), secrets);
}

async function readSmall(answer: Answer, patience: Patience): Promise<string> {
  const bytes = await answer.body.start(SMALL_BODY, new Pace(patience));
  return ((await undoCodings(bytes, codingsOf(answer), SMALL_BODY)) ?? bytes).toString('utf8');
}
