import { tokenServer } from '../connection/onward.js';
import type { Zone } from '../connection/zones.js';
import { basic, type Credentials, type Endpoint } from '../endpoint.js';
import { type Asked, failed, statusError, unauthorized, wantsPassword } from '../registry-errors.js';
import { readWords } from '../registry-words.js';

/** What a registry asks for, when it wants a token. */
export interface WantedToken {
  /** The URL of the server that gives it. */
  readonly realm: string;
  readonly service: string | undefined;
  /** One or several, with spaces between. */
  readonly scope: string;
  /** Where the host is that named the server. */
  readonly sentBy: Zone;
}

/** It can be cloned; it holds secrets. */
export interface AccessToken extends WantedToken {
  readonly scheme: 'bearer';
  readonly token: string;
  /** Milliseconds since the epoch, with a margin. */
  readonly expiresAt: number;
  /** To be shown instead of the identity token from now on. Default: the same one goes on. @see RFC 6749, section 6 */
  readonly refreshToken?: string | undefined;
}

interface TokenRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface TokenAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Sends one request to a token server, outside of all this. */
export type SendTokenRequest = (url: URL, request: TokenRequest, sentBy: Zone) => Promise<TokenAnswer>;

type SendToServer = (url: URL, request: TokenRequest) => Promise<TokenAnswer>;

/** What a token of a server that does not say is good for, in seconds. @see Docker token authentication, "Token Response Fields" */
const DEFAULT_LIFETIME = 60;
/** How we call ourselves to a token server. @see RFC 6749, appendix A.1 */
const CLIENT_ID = 'provisioner';
/** Answers to `POST` of servers that may know `GET` alone: the first ones of Azure and of Artifactory. @see containerd, core/remotes/docker/authorizer.go */
const PERHAPS_NO_OAUTH: ReadonlySet<number> = new Set([400, 401, 404]);

/**
 * Gets an access token from a token server: by `GET` with name and password or with nothing, by `POST` for an identity token.
 * @param newest what the identity token was replaced by, when it was
 * @throws ProvisionerError `ERR_REGISTRY_UNAUTHORIZED`, `ERR_REGISTRY_BUSY`, `ERR_REGISTRY_FAILED`, and what `send` throws
 * @see distribution: spec/auth/token.md, spec/auth/oauth.md
 */
export async function fetchToken(
  wanted: WantedToken,
  endpoint: Endpoint,
  newest: string | undefined,
  asked: Asked,
  sendFrom: SendTokenRequest,
): Promise<AccessToken> {
  const { realm, service, scope, sentBy } = wanted;
  const { credentials } = endpoint;
  const url = tokenServer(realm, sentBy, endpoint, asked);
  const send: SendToServer = (target, request) => sendFrom(target, request, sentBy);
  const server: Asked = { subject: `a token for ${asked.subject}`, host: url.host };
  const { status, headers, body } =
    credentials?.kind === 'identity-token'
      ? await showIdentity([newest ?? credentials.token, credentials.token], (token) =>
          exchange(url, wanted, token, send),
        )
      : await send(withQuery(url, wanted, credentials), byGet(basic(credentials)));
  const identified = credentials?.kind === 'identity-token';
  const words = readWords(body, secretsIn(credentials, newest));
  if (status === 401 || status === 403 || (identified && status === 400)) {
    throw unauthorized(asked, credentials !== undefined, { realm: url.host, status, words });
  }
  if (identified && status === 405) throw wantsPassword(server);
  if (status < 200 || status > 299) throw statusError(server, status, headers, words);
  const { token, lifetime, refreshToken } = parseToken(body, server);
  return {
    scheme: 'bearer',
    realm,
    service,
    scope,
    sentBy,
    token,
    // A tenth of its life, for clocks that differ and requests that take their time.
    expiresAt: Date.now() + lifetime * 900,
    ...(identified && refreshToken !== undefined ? { refreshToken } : {}),
  };
}

function secretsIn(credentials: Credentials | undefined, newest: string | undefined): readonly string[] {
  if (credentials === undefined) return [];
  const encoded = basic(credentials)?.slice('Basic '.length);
  return [credentials.kind === 'password' ? credentials.password : credentials.token, newest ?? '', encoded ?? ''];
}

/** The second one where the first is refused: another process may have been given another one, or somebody may have logged in anew. */
async function showIdentity(
  tokens: readonly [string, string],
  show: (token: string) => Promise<TokenAnswer>,
): Promise<TokenAnswer> {
  const [first, second] = tokens;
  const answer = await show(first);
  return first !== second && (answer.status === 400 || answer.status === 401) ? show(second) : answer;
}

/** Not every server knows `POST`. Those are shown the token once more, as the password of nobody. */
async function exchange(
  url: URL,
  wanted: WantedToken,
  identityToken: string,
  send: SendToServer,
): Promise<TokenAnswer> {
  const posted = await send(url, byPost(wanted, identityToken));
  if (!PERHAPS_NO_OAUTH.has(posted.status)) return posted;
  const got = await send(
    withQuery(url, wanted, undefined),
    byGet(basic({ kind: 'password', username: '', password: identityToken })),
  );
  const refused = got.status >= 400 && got.status < 500 && got.status !== 429;
  // One that knows `POST` meant what it said there.
  return refused && posted.status !== 404 ? posted : got;
}

function withQuery(url: URL, { service, scope }: WantedToken, credentials: Credentials | undefined): URL {
  const target = new URL(url);
  if (service !== undefined) target.searchParams.set('service', service);
  for (const one of scope.split(' ').filter(Boolean)) target.searchParams.append('scope', one);
  if (credentials?.kind === 'password') target.searchParams.set('account', credentials.username);
  return target;
}

function byGet(authorization: string | undefined): TokenRequest {
  return { method: 'GET', headers: authorization === undefined ? {} : { authorization } };
}

function byPost({ service, scope }: WantedToken, refreshToken: string): TokenRequest {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: CLIENT_ID, scope });
  if (service !== undefined) form.set('service', service);
  form.set('refresh_token', refreshToken);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', headers, body: form.toString() };
}

interface ParsedToken {
  readonly token: string;
  /** Seconds. */
  readonly lifetime: number;
  readonly refreshToken: string | undefined;
}

function parseToken(body: string, asked: Asked): ParsedToken {
  let answer: { token?: unknown; access_token?: unknown; expires_in?: unknown; refresh_token?: unknown };
  try {
    answer = Object(JSON.parse(body));
  } catch {
    // The parser's error would quote the answer, and with it a token.
    answer = {};
  }
  const token = answer.token || answer.access_token;
  // What a token is made of is the server's choice, as far as it can stand in a header.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw failed(asked, 'its answer holds none');
  const { expires_in: stated, refresh_token: refresh } = answer;
  return {
    token,
    lifetime: typeof stated === 'number' && stated > 0 ? stated : DEFAULT_LIFETIME,
    refreshToken: typeof refresh === 'string' && refresh !== '' ? refresh : undefined,
  };
}
