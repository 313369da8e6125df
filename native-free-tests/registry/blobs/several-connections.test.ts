import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { atOnce } from '../../helpers/at-once.js';
import { buildImage, buildLayer } from '../../helpers/image-builder.js';
import { type Asked, openImpatientStore, refuse, serveQuirky } from '../../helpers/quirky-registry.js';

const content = randomBytes(1_800_000);
const layer = buildLayer([{ path: 'large', content }], { compression: 'none' });
const image = buildImage([layer]);
const blob = Buffer.from(layer.blob);
/** What a connection brings, in bytes, each so many milliseconds: a megabyte in a second. */
const PIECE = 20_000;
const TURN = 20;

/** Sends at the pace of a slow network, up to a place where the connection breaks. */
function sendSlowly(response: ServerResponse, bytes: Buffer, breaksAt = Number.POSITIVE_INFINITY): void {
  let at = 0;
  const timer = setInterval(() => {
    response.write(bytes.subarray(at, at + PIECE));
    at += PIECE;
    if (at >= breaksAt) response.destroy();
    if (at >= bytes.length) response.end();
  }, TURN);
  response.on('close', () => clearInterval(timer));
}

interface Range {
  readonly first: number;
  readonly last: number;
}

function partOf({ range }: Asked): Range | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
  return first === undefined || last === undefined ? undefined : { first: Number(first), last: Number(last) };
}

function sendPart(response: ServerResponse, { first, last }: Range, breaksAt?: number): void {
  const bytes = blob.subarray(first, last + 1);
  response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${blob.length}`, 'content-length': bytes.length });
  sendSlowly(response, bytes, breaksAt);
}

/** A registry on a slow network. @param answerPart how it answers a request for a part. Default: as it should */
async function serveSlowly(answerPart: (response: ServerResponse, range: Range, nth: number) => unknown = sendPart) {
  let [now, most, parts] = [0, 0, 0];
  const registry = await serveQuirky(image, (asked, response) => {
    if (!asked.path.endsWith(layer.digest)) return false;
    most = Math.max(most, ++now);
    response.on('close', () => now--);
    const part = partOf(asked);
    if (part !== undefined) return answerPart(response, part, ++parts) ?? true;
    const from = Number(/^bytes=(\d+)-$/.exec(asked.range ?? '')?.[1] ?? 0);
    const range = from === 0 ? {} : { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` };
    response.writeHead(from === 0 ? 200 : 206, { 'content-length': blob.length - from, ...range });
    sendSlowly(response, blob.subarray(from));
    return true;
  });
  const ranges = () => registry.asked.filter(({ path }) => path.endsWith(layer.digest)).map(({ range }) => range);
  return { host: registry.host, ranges, most: () => most };
}

async function pullsRight(host: string, options: object = {}): Promise<void> {
  const p = await openImpatientStore(options);
  await p.images.pull(`${host}/app:v1`);
  const { rootfs } = await p.provision('job', `${host}/app:v1`, { pullPolicy: 'never' });
  expect(readFileSync(join(rootfs, 'large')).equals(content)).toBe(true);
}

const isPart = (range: string | undefined) => /^bytes=\d+-\d+$/.test(range ?? '');

describe('a layer that comes slowly', () => {
  const ANSWERS: Record<string, (response: ServerResponse, range: Range) => unknown> = {
    'all of it': (response) => {
      response.writeHead(200, { 'content-length': blob.length });
      sendSlowly(response, blob);
    },
    'another part': (response) =>
      response.writeHead(206, { 'content-range': `bytes 0-9/${blob.length}` }).end(blob.subarray(0, 10)),
    '416': (response) => response.writeHead(416).end(),
    '429': (response) => refuse(response, 429, { code: 'TOOMANYREQUESTS' }),
    'a connection that breaks': (response) => response.destroy(),
    'nothing at all': () => undefined,
  };
  const goesOn = (answer: (response: ServerResponse, range: Range) => unknown) => async () => {
    const { host, ranges } = await serveSlowly(answer);
    await pullsRight(host);
    const all = ranges();
    // The one that it had brought all of it: nothing was begun anew.
    expect(all.filter((range) => !isPart(range))).toEqual([undefined]);
    expect(all.length).toBeLessThanOrEqual(6);
  };

  // Each takes the seconds that its megabytes take at that pace.
  it('is fetched over several connections, unless a host is to have one, and is right in the end whatever becomes of them', async () => {
    await atOnce({
      'is fetched over several connections, in parts that are asked for once each': async () => {
        const { host, ranges, most } = await serveSlowly();
        await pullsRight(host);
        const [whole, ...parts] = ranges();
        expect(whole).toBeUndefined();
        expect(parts.length).toBeGreaterThan(3);
        expect(parts.every(isPart)).toBe(true);
        expect(new Set(parts).size).toBe(parts.length);
        expect(most()).toBeGreaterThan(3);
      },

      'is fetched over one where a host is to have no more': async () => {
        const { host, ranges } = await serveSlowly();
        await pullsRight(host, { connectionsPerHost: 1 });
        expect(ranges()).toEqual([undefined]);
      },

      'goes on with the byte that is missing where a part breaks off': async () => {
        const { host, ranges } = await serveSlowly((response, range, nth) =>
          sendPart(response, range, nth === 2 ? 100_000 : undefined),
        );
        await pullsRight(host);
        const [, rest] = ranges().filter((range) => !isPart(range));
        expect(rest).toMatch(/^bytes=\d+-$/);
        expect(Number(rest?.slice('bytes='.length, -1))).toBeGreaterThan(300_000);
      },

      'is read once more over one connection where parts turn out to be wrong that were said to be right': async () => {
        const { host, ranges } = await serveSlowly((response, { first, last }) => {
          response.writeHead(206, {
            'content-range': `bytes ${first}-${last}/${blob.length}`,
            'content-length': last - first + 1,
          });
          // What is far away from what was asked for.
          sendSlowly(response, blob.subarray(0, last - first + 1));
        });
        await pullsRight(host);
        expect(ranges().filter((range) => !isPart(range))).toEqual([undefined, undefined]);
      },
    });
  });

  it('goes on over the connection that it has, whatever else is the answer to a request for a part', async () => {
    await atOnce(Object.fromEntries(Object.entries(ANSWERS).map(([what, answer]) => [what, goesOn(answer)])));
  });

  it('is given up at once, with all of its connections, when its pull is', async () => {
    const { host, ranges, most } = await serveSlowly();
    const p = await openImpatientStore();
    const cancel = new AbortController();
    const pull = p.images.pull(`${host}/app:v1`, { signal: cancel.signal });
    pull.catch(() => {});
    await expect.poll(() => ranges().filter(isPart).length, { timeout: 5000, interval: 10 }).toBeGreaterThan(2);
    const before = performance.now();
    cancel.abort();
    await expect(pull).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(performance.now() - before).toBeLessThan(2000);
    expect(most()).toBeGreaterThan(2);
  });
});
