import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { openImpatientStore, refuse, serveOnLoopback, serveQuirky } from '../helpers/quirky-registry.js';

const content = randomBytes(300_000);
const layer = buildLayer([{ path: 'large', content }], { compression: 'none' });
const blob = Buffer.from(layer.blob);
const FOREIGN = [
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
];

/** What was asked of the place elsewhere. */
let asked: { readonly path: string; readonly headers: IncomingHttpHeaders }[];
/** The place: it has the layer, breaks off, redirects, or gives something else. */
let elsewhere = '';
beforeEach(async () => {
  asked = [];
  elsewhere = await serveOnLoopback(({ url = '', headers }, response) => {
    asked.push({ path: url, headers });
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    if (url === '/away') response.writeHead(302, { location: '/layer' }).end();
    else if (url === '/none') response.writeHead(404).end();
    else if (url === '/other') response.end(Buffer.alloc(blob.length, 'x'));
    else if (url === '/longer') response.end(Buffer.concat([blob, blob]));
    else if (url === '/breaks' && from === 0) {
      response.writeHead(200, { 'content-length': blob.length });
      response.write(blob.subarray(0, 100_000), () => response.socket?.end());
    } else {
      const range = { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` };
      response.writeHead(from === 0 ? 200 : 206, {
        'content-length': blob.length - from,
        ...(from === 0 ? {} : range),
      });
      response.end(blob.subarray(from));
    }
  });
});

const withUrls = (urls: unknown, mediaType = FOREIGN[0]) =>
  buildImage([layer], {
    manifestFields: { layers: [{ mediaType, digest: layer.digest, size: blob.length, urls }] },
  });

/** A registry that lacks the layer. @param status instead of 404 */
const serve = (urls: unknown, { mediaType = FOREIGN[0], status = 404 } = {}) =>
  serveQuirky(withUrls(urls, mediaType), ({ path, authorization }, response) => {
    if (authorization === undefined)
      return refuse(response, 401, { headers: { 'www-authenticate': 'Basic realm="x"' } });
    return path.endsWith(layer.digest) ? refuse(response, status, { code: 'BLOB_UNKNOWN' }) : false;
  });

async function pull(host: string, registry = {}): Promise<Buffer> {
  const credentials = { username: 'me', password: 'secret' };
  const p = await openImpatientStore({ credentials, ...registry });
  await p.images.pull(`${host}/app:v1`);
  return readFileSync(join((await p.provision('job', `${host}/app:v1`, { pullPolicy: 'never' })).rootfs, 'large'));
}
const failure = (host: string, registry = {}) => pull(host, registry).then(String, (error: unknown) => error);

describe('a layer that may not be pushed to registries, and that the registry does not have', () => {
  it.each(FOREIGN)('is had from where its descriptor says: %s', async (mediaType) => {
    const { host } = await serve([`http://${elsewhere}/layer`], { mediaType });
    expect((await pull(host)).equals(content)).toBe(true);
  });

  it('is asked for without any credentials, also behind a redirect', async () => {
    const { host } = await serve([`http://me:secret@${elsewhere}/away`]);
    await pull(host);
    expect(asked.map(({ path }) => path)).toEqual(['/away', '/layer']);
    for (const { headers } of asked) expect(JSON.stringify(headers)).not.toMatch(/authorization|secret|bWU6c2VjcmV0/);
  });

  it('goes on where it broke off', async () => {
    const { host } = await serve([`http://${elsewhere}/breaks`]);
    expect((await pull(host, { retries: 1 })).equals(content)).toBe(true);
    expect(asked.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=100000-']);
  });

  it.each([
    ['one that does not have it', '/none'],
    ['one that gives other bytes', '/other'],
    ['one that gives more', '/longer'],
  ])('is had from the second place after %s', async (_what, path) => {
    const other = `http://${elsewhere.replace('localhost', '127.0.0.1')}`;
    const { host } = await serve([`${other}${path}`, `http://${elsewhere}/layer`]);
    expect((await pull(host)).equals(content)).toBe(true);
  });

  it.each([
    ['it is not there either', '/none', 'ERR_BLOB_NOT_FOUND'],
    ['it is something else', '/other', 'ERR_DIGEST_MISMATCH'],
    ['it is longer', '/longer', 'ERR_SIZE_MISMATCH'],
  ])('is told when %s', async (_what, path, code) => {
    const { host } = await serve([`http://${elsewhere}${path}`]);
    expect(await failure(host)).toMatchObject({ code });
  });

  it('is not looked for in files', async () => {
    const { host } = await serve(['file:///etc/passwd']);
    expect(await failure(host)).toMatchObject({ message: expect.stringContaining('not at a URL of the web') });
  });

  it.each([[null], [[]], [['']], [['nonsense']], [undefined]])(
    'is missing when its descriptor says nothing: %j',
    async (urls) => {
      const { host } = await serve(urls);
      expect(await failure(host)).toMatchObject({
        code: expect.stringMatching(/^ERR_(BLOB_NOT_FOUND|REGISTRY_FAILED)$/),
      });
    },
  );
});

describe('what a descriptor says of other places counts for nothing', () => {
  it('when the registry has the layer', async () => {
    const { host } = await serveQuirky(withUrls([`http://${elsewhere}/layer`]), () => false);
    await pull(host);
    expect(asked).toEqual([]);
  });

  it('when the registry fails otherwise', async () => {
    const { host } = await serve([`http://${elsewhere}/layer`], { status: 500 });
    expect(await failure(host)).toMatchObject({ code: 'ERR_REGISTRY_FAILED', details: { status: 500 } });
    expect(asked).toEqual([]);
  });

  it('of a layer that any registry may have', async () => {
    const { host } = await serve([`http://${elsewhere}/layer`], {
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
    });
    expect(await failure(host)).toMatchObject({ code: 'ERR_BLOB_NOT_FOUND' });
    expect(asked).toEqual([]);
  });
});
