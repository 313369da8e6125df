import { createHash } from 'node:crypto';
import { isProvisionerError } from '../../base/errors.js';
import type { Zone } from '../connection/zones.js';
import { basic, type Credentials, type Endpoint } from '../endpoint.js';
import { type Asked, unauthorized, wantsPassword } from '../registry-errors.js';
import type { RegistryWords } from '../registry-words.js';
import { type AccessToken, fetchToken, type SendTokenRequest, type WantedToken } from './access-tokens.js';
import { parseChallenges } from './challenge.js';

/** What a host wants to see with a request, once that is known. All of it can be cloned; it holds a secret. */
export type Authorization = { readonly scheme: 'basic' } | AccessToken;

/** How a host asks who we are. */
export interface ReceivedChallenge {
  /** Of its `WWW-Authenticate`. */
  readonly values: readonly string[];
  /** Where it was when it sent them. */
  readonly sentBy: Zone;
  /** What it says beside. */
  readonly words?: RegistryWords;
}

/**
 * Proves to registries who we are. Nothing is sent before a host asks for it; what it asked for is remembered for each repository, so that later
 * requests bring it along, and a token is fetched anew shortly before it expires.
 *
 *   401, `Basic`   → name and password with each request
 *   401, `Bearer`  → a token from the server that the challenge names, got with our credentials, or with none for whoever comes
 *
 * An identity token is exchanged by `POST`, as OAuth has it. A server that answers with another one in its place is shown that one from then on, by
 * all who share this; what a file or a helper holds stays as it is.
 *
 * @see Docker token authentication (distribution: spec/auth/token.md, spec/auth/oauth.md); RFC 7617
 */
export class Authentication {
  readonly #known = new Map<string, Authorization>();
  /** What identity tokens were replaced by, at which server. */
  readonly #refreshTokens = new Map<string, string>();

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
    const { token } = await this.#fetch(known, endpoint, repository, asked, send);
    return `Bearer ${token}`;
  }

  /**
   * Takes note of what a host wants to see.
   * @param sent what it has just refused
   * @throws ProvisionerError `ERR_REGISTRY_UNAUTHORIZED` when there is nothing else that could be sent
   */
  async challenged(
    endpoint: Endpoint,
    repository: string,
    challenge: ReceivedChallenge,
    sent: string | undefined,
    asked: Asked,
    send: SendTokenRequest,
  ): Promise<void> {
    const key = keyOf(endpoint, repository);
    const offered = parseChallenges(challenge.values);
    const bearer = offered.find(({ scheme, parameters }) => scheme === 'bearer' && parameters['realm'] !== undefined);
    const isBasic = offered.some(({ scheme }) => scheme === 'basic');
    const canBeBasic = isBasic && basic(endpoint.credentials) !== undefined && !sent?.startsWith('Basic ');
    if (bearer !== undefined && endpoint.credentials?.kind !== 'bearer') {
      const { realm = '', service, scope } = bearer.parameters;
      // A token for no repository says who somebody is, and no more.
      const pulling = repository === '' ? '' : `repository:${repository}:pull`;
      const wanted = { realm, service, scope: scope || pulling, sentBy: challenge.sentBy };
      try {
        await this.#fetch(wanted, endpoint, repository, asked, send);
        return;
      } catch (error) {
        // One that refuses means it. One that is out of order keeps nobody from what is offered beside it.
        if (!canBeBasic || !isOutOfOrder(error)) throw error;
      }
      this.#known.set(key, { scheme: 'basic' });
      return;
    }
    const refused = sent !== undefined;
    if (refused || !canBeBasic) {
      this.#known.delete(key);
      if (isBasic && endpoint.credentials?.kind === 'identity-token') throw wantsPassword(asked);
      throw unauthorized(asked, refused, { words: challenge.words ?? {} });
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
    if (!newer) return;
    this.#known.set(key, authorization);
    if (authorization.scheme === 'bearer') this.#keepRefreshToken(endpoint, authorization);
  }

  async #fetch(wanted: WantedToken, endpoint: Endpoint, repository: string, asked: Asked, send: SendTokenRequest) {
    const newest = this.#refreshTokens.get(serverKeyOf(endpoint, wanted));
    const fresh = await fetchToken(wanted, endpoint, newest, asked, send);
    this.#keepRefreshToken(endpoint, fresh);
    this.#known.set(keyOf(endpoint, repository), fresh);
    return fresh;
  }

  #keepRefreshToken(endpoint: Endpoint, { refreshToken, ...token }: AccessToken): void {
    if (refreshToken !== undefined) this.#refreshTokens.set(serverKeyOf(endpoint, token), refreshToken);
  }
}

function isOutOfOrder(error: unknown): boolean {
  return isProvisionerError(error, 'ERR_REGISTRY_UNREACHABLE', 'ERR_REGISTRY_TLS', 'ERR_REGISTRY_FAILED');
}

/** Two callers with different credentials never share a token. */
function keyOf({ host, credentials }: Endpoint, repository: string): string {
  return `${host} ${repository} ${identify(credentials)}`;
}

/** A refresh token is for the server that gave it, and nobody else may see it. */
function serverKeyOf({ credentials }: Endpoint, { realm, service }: WantedToken): string {
  return JSON.stringify([realm, service, identify(credentials)]);
}

function identify(credentials: Credentials | undefined): string {
  return createHash('sha256')
    .update(JSON.stringify(credentials ?? null))
    .digest('hex');
}
