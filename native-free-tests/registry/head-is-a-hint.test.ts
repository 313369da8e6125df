import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { openImpatientStore, refuse, serveOnLoopback, serveQuirky } from '../helpers/quirky-registry.js';

const image = buildImage([buildLayer([{ path: 'hello', content: 'hello' }])]);
const { bytes, descriptor } = image.manifest;

it.each([400, 401, 403, 404, 405, 429, 500, 501, 503])(
  'an image comes from a registry that answers HEAD with %i, and GET as it should',
  async (status) => {
    const { host, requests } = await serveQuirky(image, ({ method }, response) =>
      method === 'HEAD' ? refuse(response, status) : false,
    );
    const p = await openImpatientStore();
    expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
    expect(requests()).toEqual(['HEAD v1', 'GET v1', 'GET config', 'GET layer 0']);
  },
);

it.each([0, 7, 10_000_000])('a length of %i in the answer to HEAD counts for nothing', async (length) => {
  const { host, requests } = await serveQuirky(image, ({ method }, response) => {
    if (method !== 'HEAD') return false;
    response.writeHead(200, {
      'content-type': descriptor.mediaType,
      'docker-content-digest': descriptor.digest,
      'content-length': length,
    });
    return response.end();
  });
  const p = await openImpatientStore();
  expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
  expect(requests()).toEqual(['HEAD v1', 'GET manifest', 'GET config', 'GET layer 0']);
});

it('a manifest is followed to a storage that has signed it for GET alone', async () => {
  const storage = await serveOnLoopback(({ method }, response) => {
    if (method === 'GET') response.writeHead(200, { 'content-type': 'binary/octet-stream' }).end(bytes);
    else response.writeHead(403, { 'content-type': 'application/xml' }).end();
  });
  const { host } = await serveQuirky(image, ({ path }, response) => {
    if (!path.includes('/manifests/')) return false;
    return response.writeHead(307, { location: `http://${storage}/manifest?X-Signature=s3cret` }).end();
  });
  const p = await openImpatientStore();
  expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
});

it.each([
  [404, 'ERR_SOURCE_NOT_FOUND', 'NAME_UNKNOWN', 'repository name not known to registry'],
  [403, 'ERR_REGISTRY_DENIED', 'DENIED', 'the project is locked'],
  [401, 'ERR_REGISTRY_UNAUTHORIZED', 'UNAUTHORIZED', 'who are you'],
  [429, 'ERR_REGISTRY_BUSY', 'TOOMANYREQUESTS', 'you have reached your pull rate limit'],
  [503, 'ERR_REGISTRY_FAILED', 'UNAVAILABLE', 'maintenance until noon'],
])(
  'GET brings the reason of a refusal with %i, in the words of the registry',
  async (status, code, specCode, message) => {
    const { host } = await serveQuirky(image, ({ method }, response) =>
      method === 'HEAD' ? response.writeHead(status).end() : refuse(response, status, { code: specCode, message }),
    );
    const p = await openImpatientStore();
    await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`status ${status} (${specCode}), "${message}"`),
    });
  },
);

it('a manifest without an end is not read to its end', async () => {
  const { host } = await serveQuirky(image, ({ method, path }, response) => {
    if (method === 'HEAD' || !path.includes('/manifests/')) return false;
    response.writeHead(200, { 'content-type': descriptor.mediaType });
    const timer = setInterval(() => response.write('x'.repeat(100_000)), 1);
    return response.on('close', () => clearInterval(timer));
  });
  const p = await openImpatientStore();
  await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
});

it.each([
  ['says that it is what it is not', 'application/vnd.docker.distribution.manifest.v1+prettyjws', descriptor.digest],
  ['names another digest', descriptor.mediaType, `sha256:${'1'.repeat(64)}`],
])('GET has the last word where HEAD %s', async (_, type, digest) => {
  const { host } = await serveQuirky(image, ({ method, path }, response) => {
    if (path.endsWith('1'.repeat(64))) return refuse(response, 404);
    if (method !== 'HEAD') return false;
    return response.writeHead(200, { 'content-type': type, 'docker-content-digest': digest }).end();
  });
  const p = await openImpatientStore();
  expect((await p.images.pull(`${host}/app:v1`)).id).toBe(descriptor.digest);
});
