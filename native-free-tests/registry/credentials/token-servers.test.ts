import type { RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../helpers/image-builder.js';
import { openImpatientStore, serveOnLoopback, serveQuirky } from '../../helpers/quirky-registry.js';

const image = buildImage([buildLayer([{ path: 'hello', content: 'hello' }])]);
const { digest } = image.manifest.descriptor;
const credentials = { username: 'me', password: 's3cret-word' };
const BASIC = `Basic ${Buffer.from('me:s3cret-word').toString('base64')}`;

interface Seen {
  readonly host: string | undefined;
  readonly path: string | undefined;
  readonly authorization: string | undefined;
}

/** A registry that wants a token. @param expected what it takes @param beside another way that it offers */
async function registryWith(realm: string, expected = 'Bearer abc', beside = '') {
  return serveQuirky(image, ({ authorization }, response) =>
    authorization === expected
      ? false
      : response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="r"${beside}` }).end(),
  );
}

/** A server that keeps what it was shown. */
async function server(listener: RequestListener) {
  const seen: Seen[] = [];
  const host = await serveOnLoopback((request, response) => {
    const { headers, url } = request;
    seen.push({ host: headers.host, path: url?.split('?')[0], authorization: headers.authorization });
    listener(request, response);
  });
  return { host, seen };
}

const pull = async (host: string, registry: object = { credentials }) => {
  const p = await openImpatientStore(registry);
  return p.images.pull(`${host}/team/app:v1`);
};

describe('a token', () => {
  it.each(['a:b', 'abc', '!"#$%&\'()*,;<>?@[]^`{|}~', 'eyJ.a-b_c.d=='])('may be %s', async (token) => {
    const tokens = await server((_, response) => response.end(JSON.stringify({ token })));
    const { host } = await registryWith(`http://${tokens.host}/token`, `Bearer ${token}`);
    expect((await pull(host)).id).toBe(digest);
  });

  it.each(['a b', 'a\r\nX-Evil: 1', 'ä', '', 5])('cannot be %j', async (token) => {
    const tokens = await server((_, response) => response.end(JSON.stringify({ token })));
    const { host } = await registryWith(`http://${tokens.host}/token`);
    await expect(pull(host)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: expect.stringContaining('its answer holds none'),
    });
  });

  it('may come with status 201, and compressed', async () => {
    const tokens = await server((_, response) =>
      response.writeHead(201, { 'content-encoding': 'gzip' }).end(gzipSync('{"access_token":"abc"}')),
    );
    const { host } = await registryWith(`http://${tokens.host}/token`);
    expect((await pull(host)).id).toBe(digest);
  });
});

describe('a token server that redirects', () => {
  it.each([301, 302, 303, 307, 308])(
    'with %i is followed, and shown the password there when it is the same',
    async (status) => {
      const tokens = await server(({ url }, response) =>
        url?.startsWith('/token')
          ? response.writeHead(status, { location: '/elsewhere' }).end()
          : response.end('{"token":"abc"}'),
      );
      const { host } = await registryWith(`http://${tokens.host}/token`);
      expect((await pull(host)).id).toBe(digest);
      expect(tokens.seen.map(({ path, authorization }) => [path, authorization])).toEqual([
        ['/token', BASIC],
        ['/elsewhere', BASIC],
      ]);
    },
  );

  it('to another host shows that one no password, nor does it see one when it is sent back', async () => {
    const other = await server((_, response) =>
      response.writeHead(307, { location: `http://${tokens.host}/back` }).end(),
    );
    const tokens = await server(({ url }, response) =>
      url?.startsWith('/token')
        ? response.writeHead(307, { location: `http://${other.host}/there` }).end()
        : response.end('{"token":"abc"}'),
    );
    const { host } = await registryWith(`http://${tokens.host}/token`);
    expect((await pull(host)).id).toBe(digest);
    expect(other.seen.map(({ authorization }) => authorization)).toEqual([undefined]);
    expect(tokens.seen.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/token', BASIC],
      ['/back', undefined],
    ]);
  });

  it('to another host is sent no identity token', async () => {
    const { writeFileSync } = await import('node:fs');
    const { join } = await import('node:path');
    const { temporaryDirectory } = await import('../../helpers/memory-store.js');
    const other = await server((_, response) => response.end('{"access_token":"abc"}'));
    const tokens = await server((_, response) =>
      response.writeHead(307, { location: `http://${other.host}/there` }).end(),
    );
    const { host } = await registryWith(`http://${tokens.host}/token`);
    const authFile = join(temporaryDirectory(), 'auth.json');
    writeFileSync(authFile, JSON.stringify({ auths: { [host]: { identitytoken: 'idt0ken' } } }));
    await expect(pull(host, { authFile })).rejects.toMatchObject({ code: 'ERR_REGISTRY_FAILED' });
    expect(other.seen).toEqual([]);
  });

  it('in circles is not followed for ever', async () => {
    const tokens = await server((_, response) => response.writeHead(307, { location: '/token' }).end());
    const { host } = await registryWith(`http://${tokens.host}/token`);
    await expect(pull(host)).rejects.toMatchObject({ message: expect.stringContaining('in circles') });
    expect(tokens.seen).toHaveLength(11);
  });
});

describe('a password that is offered beside a token', () => {
  it.each<[string, RequestListener]>([
    ['answers 503', (_, response) => response.writeHead(503).end()],
    ['gives none', (_, response) => response.end('{}')],
    ['answers with a page', (_, response) => response.end('<html>')],
    ['breaks off', (_, response) => response.destroy()],
  ])('is shown when the token server %s', async (_, listener) => {
    const tokens = await server(listener);
    const { host } = await registryWith(`http://${tokens.host}/token`, BASIC, ', Basic realm="r"');
    expect((await pull(host)).id).toBe(digest);
  });

  it('is shown when nobody listens there', async () => {
    const { host } = await registryWith('http://127.0.0.1:1/token', BASIC, ', Basic realm="r"');
    expect((await pull(host)).id).toBe(digest);
  });

  it('is not when the token server refuses, nor when there is no password', async () => {
    const refusing = await server((_, response) => response.writeHead(401).end());
    const refused = await registryWith(`http://${refusing.host}/token`, BASIC, ', Basic realm="r"');
    await expect(pull(refused.host)).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' });
    const broken = await server((_, response) => response.writeHead(503).end());
    const anonymous = await registryWith(`http://${broken.host}/token`, BASIC, ', Basic realm="r"');
    await expect(pull(anonymous.host, {})).rejects.toMatchObject({ details: { status: 503 } });
  });
});
