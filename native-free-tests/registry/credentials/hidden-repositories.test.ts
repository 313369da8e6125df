import { describe, expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../helpers/image-builder.js';
import { openImpatientStore, type Quirk, refuse, serveOnLoopback, serveQuirky } from '../../helpers/quirky-registry.js';

const image = buildImage([buildLayer([{ path: 'hello', content: 'hello' }])]);
const { digest } = image.manifest.descriptor;
const credentials = { username: 'me', password: 's3cret-word' };
const BASIC = `Basic ${Buffer.from('me:s3cret-word').toString('base64')}`;

/** Anybody may read; what only some may see is not there for the others, and the root alone asks who we are. */
const conceals =
  (status: number, challenge: string | undefined, expected = BASIC): Quirk =>
  ({ path, authorization }, response) => {
    if (authorization === expected) return false;
    if (path === '/v2/') {
      return challenge === undefined ? false : response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
    return refuse(response, status, { code: 'NAME_UNKNOWN' });
  };

describe('a registry that hides what only some may see', () => {
  it.each([401, 403, 404])('with %i is asked at its root how to show who we are, once', async (status) => {
    const { host, requests } = await serveQuirky(image, conceals(status, 'Basic realm="r"'));
    const p = await openImpatientStore({ credentials });
    expect((await p.images.pull(`${host}/team/app:v1`)).id).toBe(digest);
    expect(requests().slice(0, 4)).toEqual(['HEAD v1', 'GET /v2/', 'HEAD v1', 'GET manifest']);
    expect(requests().filter((request) => request === 'GET /v2/')).toHaveLength(1);
  });

  it('is shown a token, where that is what its root asks for', async () => {
    const scopes: string[] = [];
    const tokens = await serveOnLoopback(({ url = '' }, response) => {
      scopes.push(new URL(url, 'http://x').searchParams.get('scope') ?? '');
      response.end('{"token":"abc"}');
    });
    const challenge = `Bearer realm="http://${tokens}/token",service="r"`;
    const { host } = await serveQuirky(image, conceals(404, challenge, 'Bearer abc'));
    const p = await openImpatientStore({ credentials });
    expect((await p.images.pull(`${host}/team/app:v1`)).id).toBe(digest);
    expect(scopes).toEqual(['repository:team/app:pull']);
  });

  it('is not asked for what nobody could show', async () => {
    const { host, requests } = await serveQuirky(image, conceals(404, 'Basic realm="r"'));
    const p = await openImpatientStore();
    await expect(p.images.pull(`${host}/team/app:v1`)).rejects.toMatchObject({ code: 'ERR_SOURCE_NOT_FOUND' });
    expect(requests()).toEqual(['HEAD v1', 'GET v1']);
  });

  it('is believed where its root asks for nothing', async () => {
    const { host, requests } = await serveQuirky(image, conceals(404, undefined));
    const p = await openImpatientStore({ credentials });
    await expect(p.images.pull(`${host}/team/app:v1`)).rejects.toMatchObject({ code: 'ERR_SOURCE_NOT_FOUND' });
    expect(requests()).toEqual(['HEAD v1', 'GET /v2/', 'GET v1']);
  });

  it('gets to see nothing by way of another host', async () => {
    const seen: (string | undefined)[] = [];
    const elsewhere = await serveOnLoopback(({ headers }, response) => {
      seen.push(headers.authorization);
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    });
    const { host } = await serveQuirky(image, ({ path }, response) =>
      path === '/v2/' ? response.writeHead(307, { location: `http://${elsewhere}/v2/` }).end() : refuse(response, 404),
    );
    const p = await openImpatientStore({ credentials });
    await expect(p.images.pull(`${host}/team/app:v1`)).rejects.toMatchObject({ code: 'ERR_SOURCE_NOT_FOUND' });
    expect(new Set(seen)).toEqual(new Set([undefined]));
  });
});

it('who asks who we are, and not how to tell it, is called that', async () => {
  const { host } = await serveQuirky(image, ({ path }, response) =>
    path === '/v2/' ? false : refuse(response, 401, { code: 'UNAUTHORIZED', message: 'log in first' }),
  );
  const p = await openImpatientStore({ credentials });
  await expect(p.images.pull(`${host}/team/app:v1`)).rejects.toMatchObject({
    code: 'ERR_REGISTRY_UNAUTHORIZED',
    message: expect.stringMatching(/"log in first".*has no WWW-Authenticate, so the credentials were not shown/),
  });
});

it('credentials are tried once when they are wrong, and stand in no message, whatever the registry says', async () => {
  const { host, asked } = await serveQuirky(image, ({ authorization }, response) =>
    refuse(response, 401, {
      message: `wrong credentials ${authorization} for me:s3cret-word`,
      headers: { 'www-authenticate': 'Basic realm="r"' },
    }),
  );
  const p = await openImpatientStore({ credentials });
  const error = await p.images.pull(`${host}/team/app:v1`).catch((reason) => reason);
  expect(error).toMatchObject({ code: 'ERR_REGISTRY_UNAUTHORIZED' });
  expect(JSON.stringify([error.message, error.details, error.hint])).not.toMatch(/s3cret|bWU6/);
  expect(asked.filter(({ authorization }) => authorization !== undefined)).toHaveLength(1);
});
