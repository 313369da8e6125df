import { createHash } from 'node:crypto';
import { parseChallenges } from './challenge.js';
import { type Credentials, type Endpoint, isLoopback } from './endpoint.js';
import { type Asked, failed, statusError, unauthorized } from './registry-errors.js';

/** What a host wants to see with a request, once that is known. All of it can be cloned; it holds a secret. */
export type Authorization =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: string;
      readonly service: string | undefined;
      readonly scope: string;
      readonly token: string;
      /** Milliseconds since the epoch, with a margin. */
      readonly expiresAt: number;
    };

/** Sends one request to a token server, outside of all this. */
export type SendTokenRequest = (
  url: URL,
  request: {
    readonly method: 'GET' | 'POST';
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
  },
) => Promise<{
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}>;

/** What a token of a server that does not say is good for, in seconds. @see Docker token authentication, "Token Response Fields" */
const DEFAULT_LIFETIME = 60;
/** How we call ourselves to a token server. @see RFC 6749, appendix A.1 */
const CLIENT_ID = 'provisioner';

/**
 * Proves to registries who we are. Nothing is sent before a host asks for it; what it asked for is remembered for each repository, so that later
 * requests bring it along, and a token is fetched anew shortly before it expires.
 *
 *   401, `Basic`   → name and password with each request
 *   401, `Bearer`  → a token from the server that the challenge names, got with our credentials, or with none for whoever comes
 *
 * @see Docker token authentication (distribution: spec/auth/token.md, spec/auth/oauth.md); RFC 7617
 */
export class Authentication {
  readonly #known = new Map<string, Authorization>();

  /** The `Authorization` to send, as far as the host has asked for one. */
  async header(
    endpoint: Endpoint,
    repository: string,
    asked: Asked,
    send: SendTokenRequest,
  ): Promise<string | undefined> {
    const { credentials } = endpoint;
    if (credentials?.kind === 'bearer') return `Bearer ${credentials.token}`;
    const key = keyOf(endpoint, repository);
    const known = this.#known.get(key);
    if (known === undefined) return undefined;
    if (known.scheme === 'basic') return basic(credentials);
    if (known.expiresAt > Date.now()) return `Bearer ${known.token}`;
    const fresh = await fetchToken(known, endpoint, asked, send);
    this.#known.set(key, fresh);
    return `Bearer ${fresh.token}`;
  }

  /**
   * Takes note of what a host wants to see.
   * @param challenges the values of its `WWW-Authenticate`
   * @param sent what it has just refused
   * @throws ProvisionerError `ERR_REGISTRY_UNAUTHORIZED` when there is nothing else that could be sent
   */
  async challenged(
    endpoint: Endpoint,
    repository: string,
    challenges: readonly string[],
    sent: string | undefined,
    asked: Asked,
    send: SendTokenRequest,
  ): Promise<void> {
    const key = keyOf(endpoint, repository);
    const offered = parseChallenges(challenges);
    const bearer = offered.find(({ scheme, parameters }) => scheme === 'bearer' && parameters['realm'] !== undefined);
    if (bearer !== undefined && endpoint.credentials?.kind !== 'bearer') {
      const { realm = '', service, scope } = bearer.parameters;
      const wanted = { realm, service, scope: scope || `repository:${repository}:pull` };
      const fresh = await fetchToken(wanted, endpoint, asked, send);
      this.#known.set(key, fresh);
      return;
    }
    const refused = sent !== undefined;
    const canBasic = offered.some(({ scheme }) => scheme === 'basic') && basic(endpoint.credentials) !== undefined;
    if (refused || !canBasic) {
      this.#known.delete(key);
      throw unauthorized(asked, refused);
    }
    this.#known.set(key, { scheme: 'basic' });
  }

  /** What is known of a host, for another thread. */
  known(endpoint: Endpoint, repository: string): Authorization | undefined {
    return this.#known.get(keyOf(endpoint, repository));
  }

  /** Takes over what another thread knew. */
  adopt(endpoint: Endpoint, repository: string, authorization: Authorization): void {
    const key = keyOf(endpoint, repository);
    const own = this.#known.get(key);
    const newer =
      own?.scheme !== 'bearer' || authorization.scheme !== 'bearer' || own.expiresAt < authorization.expiresAt;
    if (newer) this.#known.set(key, authorization);
  }
}

/** Two callers with different credentials never share a token. */
function keyOf({ host, credentials }: Endpoint, repository: string): string {
  const who = createHash('sha256')
    .update(JSON.stringify(credentials ?? null))
    .digest('hex');
  return `${host} ${repository} ${who}`;
}

function basic(credentials: Credentials | undefined): string | undefined {
  if (credentials?.kind !== 'password') return undefined;
  const { username, password } = credentials;
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

interface WantedToken {
  readonly realm: string;
  readonly service: string | undefined;
  readonly scope: string;
}

async function fetchToken(
  { realm, service, scope }: WantedToken,
  endpoint: Endpoint,
  asked: Asked,
  send: SendTokenRequest,
): Promise<Authorization & { scheme: 'bearer' }> {
  const url = tokenServer(realm, endpoint, asked);
  const { credentials } = endpoint;
  const { status, headers, body } =
    credentials?.kind === 'identity-token'
      ? await send(url, exchange(credentials.token, service, scope))
      : await send(withQuery(url, service, scope, credentials), { method: 'GET', headers: basicHeader(credentials) });
  const server: Asked = { subject: `a token for ${asked.subject}`, host: url.host };
  if (status === 401 || status === 403) throw unauthorized(asked, credentials !== undefined, url.host);
  if (status !== 200) throw statusError(server, status, headers, body);
  const { token, lifetime } = parseToken(body, server);
  // A tenth of its life, for clocks that differ and requests that take their time.
  return { scheme: 'bearer', realm, service, scope, token, expiresAt: Date.now() + lifetime * 900 };
}

/** A registry that is reached over TLS must not make us send a password in the open. */
function tokenServer(realm: string, endpoint: Endpoint, asked: Asked): URL {
  let url: URL;
  try {
    url = new URL(realm);
  } catch (error) {
    throw failed(asked, 'it names a token server that is no URL', { cause: error });
  }
  const open = endpoint.scheme === 'http' || !endpoint.tls.verify || isLoopback(url.host);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && open)) return url;
  throw failed(asked, `it names a token server that would have to be asked without TLS: ${url.host}`, {
    hint: 'the registry is set up wrongly; tell its operator',
  });
}

function withQuery(url: URL, service: string | undefined, scope: string, credentials: Credentials | undefined): URL {
  const target = new URL(url);
  if (service !== undefined) target.searchParams.set('service', service);
  for (const one of scope.split(' ').filter(Boolean)) target.searchParams.append('scope', one);
  if (credentials?.kind === 'password') target.searchParams.set('account', credentials.username);
  return target;
}

function basicHeader(credentials: Credentials | undefined): Readonly<Record<string, string>> {
  const authorization = basic(credentials);
  return authorization === undefined ? {} : { authorization };
}

function exchange(refreshToken: string, service: string | undefined, scope: string) {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: CLIENT_ID, scope });
  if (service !== undefined) form.set('service', service);
  form.set('refresh_token', refreshToken);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST' as const, headers, body: form.toString() };
}

/** @returns the lifetime in seconds */
function parseToken(body: string, asked: Asked): { readonly token: string; readonly lifetime: number } {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown };
  try {
    answer = Object(JSON.parse(body));
  } catch {
    // The parser's error would quote the answer, and with it a token.
    answer = {};
  }
  const token = answer.token || answer.access_token;
  // What else it holds could not stand in a header. @see RFC 6750, section 2.1
  if (typeof token !== 'string' || !/^[A-Za-z0-9\-._~+/]+=*$/.test(token)) throw failed(asked, 'its answer holds none');
  const { expires_in: stated } = answer;
  return { token, lifetime: typeof stated === 'number' && stated > 0 ? stated : DEFAULT_LIFETIME };
}
