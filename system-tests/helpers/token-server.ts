import { execFileSync } from 'node:child_process';
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { temporaryDirectory } from './test-store.js';

export interface TokenServer {
  /** For `startRegistry`. */
  readonly settings: Readonly<Record<'realm' | 'service' | 'issuer' | 'rootcertbundle', string>>;
  readonly host: string;
  /** What was asked for, with the `Authorization` that came along. */
  readonly seen: { readonly url: string; readonly authorization: string | undefined }[];
  /** Names and passwords; whoever comes without gets a token too, unless `anonymous` is false. */
  readonly users: Map<string, string>;
  anonymous: boolean;
  /** Seconds from now at which the tokens given out end, and what is said of it. */
  lifetime: { readonly real: number; readonly stated?: number | undefined };
}

const open = new Set<() => Promise<void>>();

afterEach(async () => {
  for (const close of [...open]) await close();
});

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

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    const { authorization } = request.headers;
    tokens.seen.push({ url: request.url ?? '', authorization });
    const [name = '', password] = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64')
      .toString()
      .split(':');
    const known = authorization === undefined ? tokens.anonymous : tokens.users.get(name) === password;
    if (!known) {
      response
        .writeHead(401, { 'content-type': 'application/json' })
        .end('{"details":"incorrect username or password"}');
      return;
    }
    const access = url.searchParams.getAll('scope').map((scope) => {
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
    const text = `${encode({ typ: 'JWT', alg: 'ES256', x5c })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const token = `${text}.${signature.toString('base64url')}`;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token, ...(stated === undefined ? {} : { expires_in: stated }) }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `localhost:${(server.address() as AddressInfo).port}`;
  const tokens: TokenServer = {
    settings: { realm: `http://${host}/token`, service: 'service', issuer: 'issuer', rootcertbundle: certificate },
    host,
    seen: [],
    users: new Map(),
    anonymous: true,
    lifetime: { real: 300, stated: 300 },
  };
  const close = async () => {
    open.delete(close);
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  open.add(close);
  return tokens;
}
