import { execFileSync } from 'node:child_process';
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { listenOnLoopback } from './loopback-server.js';
import { temporaryDirectory } from './test-store.js';

export interface TokenServer {
  /** For `startRegistry`. */
  readonly settings: Readonly<Record<'realm' | 'service' | 'issuer' | 'rootcertbundle', string>>;
  readonly host: string;
  /** What was asked for, with the `Authorization` that came along, and the form of a `POST`. */
  readonly seen: SeenTokenRequest[];
  /** Names and passwords; whoever comes without gets a token too, unless `anonymous` is false. */
  readonly users: Map<string, string>;
  anonymous: boolean;
  /** Refresh tokens that are good for an access token, by `POST`. */
  readonly identities: Set<string>;
  /** Each refresh token is good once, and the answer holds the next one. */
  rotates: boolean;
  /** What each `POST` is answered with. Default: as the specification has it. */
  postStatus: number | undefined;
  /** Seconds from now at which the tokens given out end, and what is said of it. */
  lifetime: { readonly real: number; readonly stated?: number | undefined };
}

export interface SeenTokenRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly form: URLSearchParams;
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs tokens that `docker-registry` accepts. @see distribution: spec/auth/jwt.md */
export async function startTokenServer(): Promise<TokenServer> {
  const directory = temporaryDirectory();
  const [keyFile, certificate] = [join(directory, 'token.key'), join(directory, 'token.crt')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
  const named = ['-out', certificate, '-days', '2', '-subj', '/CN=token server of a test'];
  execFileSync('openssl', ['req', '-x509', ...key, ...named], { stdio: 'pipe' });
  const privateKey = createPrivateKey(readFileSync(keyFile));
  const x5c = [new X509Certificate(readFileSync(certificate)).raw.toString('base64')];

  const refuse = (response: ServerResponse, status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const grant = (response: ServerResponse, name: string, scopes: readonly string[], refreshToken?: string) => {
    const access = scopes.map((scope) => {
      const [type, resource, actions = ''] = scope.split(':');
      return {
        type,
        name: resource,
        actions: actions.split(',').filter((action) => action === 'pull' || name === 'pusher'),
      };
    });
    const now = Math.floor(Date.now() / 1000);
    const { real, stated } = tokens.lifetime;
    const claims = {
      iss: 'issuer',
      sub: name,
      aud: 'service',
      exp: now + real,
      nbf: now - 600,
      iat: now - 600,
      jti: randomUUID(),
      access,
    };
    const unsigned = `${encode({ typ: 'JWT', alg: 'ES256', x5c })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(unsigned), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const token = `${unsigned}.${signature.toString('base64url')}`;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({
        // Each way of asking has its own name for it.
        ...(refreshToken === undefined ? { token } : { access_token: token, scope: scopes.join(' ') }),
        ...(tokens.rotates && { refresh_token: refreshToken }),
        ...(stated === undefined ? {} : { expires_in: stated }),
      }),
    );
  };
  const byPost = (form: URLSearchParams, response: ServerResponse) => {
    if (tokens.postStatus !== undefined) return refuse(response, tokens.postStatus, { error: 'no such thing here' });
    const shown = form.get('refresh_token') ?? '';
    const complete = form.get('grant_type') === 'refresh_token' && form.has('client_id') && form.has('service');
    if (!complete) return refuse(response, 400, { error: 'invalid_request' });
    if (!tokens.identities.has(shown)) return refuse(response, 400, { error: 'invalid_grant' });
    const next = tokens.rotates ? randomUUID() : shown;
    tokens.identities.delete(shown);
    tokens.identities.add(next);
    return grant(response, 'whoever logged in', form.get('scope')?.split(' ') ?? [], next);
  };
  const byGet = (url: URL, authorization: string | undefined, response: ServerResponse) => {
    const [name = '', password] = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64')
      .toString()
      .split(':');
    const known = authorization === undefined ? tokens.anonymous : tokens.users.get(name) === password;
    if (!known) return refuse(response, 401, { details: 'incorrect username or password' });
    return grant(response, name, url.searchParams.getAll('scope'));
  };
  const server = createServer(async (request, response) => {
    const { method = '', url = '' } = request;
    const { authorization } = request.headers;
    const form = new URLSearchParams(await text(request));
    tokens.seen.push({ method, url, authorization, form });
    if (method === 'POST') byPost(form, response);
    else byGet(new URL(url, 'http://localhost'), authorization, response);
  });
  const { host } = await listenOnLoopback(server);
  const tokens: TokenServer = {
    settings: { realm: `http://${host}/token`, service: 'service', issuer: 'issuer', rootcertbundle: certificate },
    host,
    seen: [],
    users: new Map(),
    anonymous: true,
    identities: new Set(),
    rotates: false,
    postStatus: undefined,
    lifetime: { real: 300, stated: 300 },
  };
  return tokens;
}
