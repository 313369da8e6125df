import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { type Asked, openImpatientStore, serveQuirky } from '../helpers/quirky-registry.js';

const content = randomBytes(400_000);
const layer = buildLayer([{ path: 'large', content }], { compression: 'none' });
const image = buildImage([layer]);
const blob = Buffer.from(layer.blob);
const HALF = 200_000;

type Answer = (response: ServerResponse, asked: Asked, from: number) => unknown;

/** Sends what it has, and lets go. */
function breakOff(response: ServerResponse, piece: Buffer): void {
  response.writeHead(200, { 'content-length': blob.length });
  response.write(piece, () => response.socket?.end());
}

/** A registry whose first connection for the layer breaks in the middle. @param rest how it answers a request for a part */
async function breaksOnce(rest: Answer, whole?: Answer) {
  return serveQuirky(image, (asked, response) => {
    if (!asked.path.endsWith(layer.digest)) return false;
    const from = /^bytes=(\d+)-$/.exec(asked.range ?? '')?.[1];
    if (from !== undefined) return rest(response, asked, Number(from));
    if (asked.nth === 1) return breakOff(response, blob.subarray(0, HALF));
    if (whole === undefined) return false;
    return whole(response, asked, 0) ?? true;
  });
}

async function pullsRight(host: string): Promise<void> {
  const p = await openImpatientStore();
  await p.images.pull(`${host}/app:v1`);
  const { rootfs } = await p.provision('job', `${host}/app:v1`, { pullPolicy: 'never' });
  expect(readFileSync(join(rootfs, 'large')).equals(content)).toBe(true);
}

const withStatus =
  (status: number, headers: Record<string, string> = {}, body: Buffer | undefined = undefined): Answer =>
  (response) =>
    response.writeHead(status, headers).end(body);

describe('a layer that breaks off is read once more from its start', () => {
  it.each<[string, Answer]>([
    ['416', withStatus(416)],
    ['400', withStatus(400)],
    ['403', withStatus(403)],
    ['404', withStatus(404)],
    ['501', withStatus(501)],
    ['206 without a range', withStatus(206, {}, blob.subarray(HALF))],
    ['206 from elsewhere', withStatus(206, { 'content-range': `bytes 5-9/${blob.length}` }, blob.subarray(5, 10))],
    [
      '200 with the rest alone',
      (response, _, from) => response.writeHead(200, { 'content-length': blob.length - from }).end(blob.subarray(from)),
    ],
    [
      '206 of another size',
      (response, _, from) =>
        response.writeHead(206, { 'content-range': `bytes ${from}-999999/1000000` }).end(blob.subarray(from)),
    ],
  ])('where the server answers %s to the question for the rest', async (_, rest) => {
    const { host, asked } = await breaksOnce(rest);
    await pullsRight(host);
    const ranges = asked.filter(({ path }) => path.endsWith(layer.digest)).map(({ range }) => range);
    expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/), undefined]);
  });

  it.each([200, 203])('where the server answers with all of it and %i', async (status) => {
    const { host, asked } = await breaksOnce(withStatus(status, {}, blob));
    await pullsRight(host);
    expect(asked.filter(({ path }) => path.endsWith(layer.digest))).toHaveLength(2);
  });

  it('and not again when that breaks off, too', async () => {
    const { host, asked } = await breaksOnce(withStatus(416), (response) =>
      breakOff(response, blob.subarray(0, HALF + 50_000)),
    );
    const p = await openImpatientStore();
    await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_FAILED',
      message: expect.stringContaining('in the middle'),
    });
    expect(asked.filter(({ path }) => path.endsWith(layer.digest))).toHaveLength(4);
  });
});

it('a layer whose rest the server can give after all goes on with that', async () => {
  const { host, asked } = await breaksOnce((response, one, from) =>
    one.nth === 2
      ? response.writeHead(500).end()
      : response.writeHead(206, { 'content-range': `bytes ${from}-${blob.length - 1}/*` }).end(blob.subarray(from)),
  );
  const p = await openImpatientStore({ retries: 2 });
  await p.images.pull(`${host}/app:v1`);
  const ranges = asked.filter(({ path }) => path.endsWith(layer.digest)).map(({ range }) => range);
  expect(ranges[2]).toBe(ranges[1]);
  expect(ranges).toHaveLength(3);
});

it('all of a layer is taken from who answers as if a part had been asked for', async () => {
  const { host } = await serveQuirky(image, ({ path }, response) =>
    path.endsWith(layer.digest)
      ? response.writeHead(206, { 'content-range': `bytes 0-${blob.length - 1}/${blob.length}` }).end(blob)
      : false,
  );
  await pullsRight(host);
});

it('a part is not taken for all of it', async () => {
  const { host } = await serveQuirky(image, ({ path }, response) =>
    path.endsWith(layer.digest)
      ? response.writeHead(206, { 'content-range': `bytes 0-9/${blob.length}` }).end(blob.subarray(0, 10))
      : false,
  );
  const p = await openImpatientStore();
  await expect(p.images.pull(`${host}/app:v1`)).rejects.toMatchObject({ message: expect.stringContaining('a part') });
});
