import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decompress } from '#src/system/compression/decompress.js';
import { inflateGzip } from '#src/system/compression/inflate-gzip.js';
import { takeFreely } from '#src/system/compression/window-memory.js';
import { describeGzip } from '../contracts/gzip.js';
import { buildTar, sha256, zstd } from '../helpers/image-builder.js';
import { useLayers } from '../helpers/layers.js';
import { failureOf, inflated, text } from '../helpers/pieces.js';

const context = { signal: new AbortController().signal, hasSpareProcessor: () => true, takeMemory: takeFreely };

const tar = buildTar([{ path: 'text', content: text }, { path: 'd/' }, { path: 'd/file', content: 'abc' }]);

const inflate = (stored: Buffer, size = 1 << 20): Promise<Buffer> =>
  inflated(stored, size, (pieces) => decompress(pieces, context));
const failure = (stored: Buffer): Promise<unknown> => failureOf(inflate(stored));

describeGzip('zlib', (pieces) =>
  inflateGzip(pieces, { chunkSize: 1 << 19, highWaterMark: 1 << 20, hasSpareProcessor: () => true }, null),
);

describe('a gzip layer', () => {
  const layers = useLayers();

  it('may be padded with zeros, which count for its digest', async () => {
    for (const padding of [1, 512, 5 * 1024 * 1024]) {
      const blob = Buffer.concat([gzipSync(tar), Buffer.alloc(padding)]);
      expect((await layers.unpack(tar, { blob, digest: sha256(blob) })).tree['d/file']).toBe('file 644 abc');
    }
  });

  it('is recognised by its bytes, whatever the media type said', async () => {
    for (const blob of [tar, gzipSync(tar), zstd(tar)]) expect((await layers.unpack(tar, { blob })).entries).toBe(3);
  });
});

describe('a layer in another compression', () => {
  it.each([
    ['lz4', '04224d186440a7'],
    ['compress', '1f9d90'],
  ])('such as %s is refused by name', async (name, hex) => {
    expect(await failure(Buffer.from(hex, 'hex'))).toMatchObject({
      code: 'ERR_UNSUPPORTED_MEDIA_TYPE',
      message: expect.stringContaining(name),
    });
  });
});

describe('a plain layer', () => {
  const layers = useLayers();

  it('is not taken for something else because of the name it begins with', async () => {
    for (const path of ['BZhang', 'BZh9', 'PK', '7z']) {
      expect((await layers.unpack(buildTar([{ path }]))).tree[path]).toBe('file 644');
    }
  });
});

describe('reading the stored layer', () => {
  it.each([
    ['plain', tar],
    ['gzip', gzipSync(tar)],
    ['zstd', zstd(tar)],
  ])('may fail while it is inflated (%s), and that error is the one that is told', async (_what, blob) => {
    const failing = async function* (): AsyncGenerator<Buffer> {
      yield blob.subarray(0, blob.length >> 1);
      throw new Error('the connection broke');
    };
    const reading = (async () => {
      for await (const _ of decompress(failing(), context)) {
        // Only the end matters.
      }
    })();
    await expect(reading).rejects.toThrow('the connection broke');
  });

  it.each([
    ['plain', tar, Buffer.alloc(65536)],
    ['gzip', gzipSync(tar), Buffer.alloc(65536)],
    ['zstd', zstd(tar), zstd(tar)],
  ])('ends when its reader has had enough (%s)', async (_what, blob, more) => {
    let closed = false;
    const endless = async function* (): AsyncGenerator<Buffer> {
      try {
        yield blob;
        for (;;) yield more;
      } finally {
        closed = true;
      }
    };
    for await (const _ of decompress(endless(), context)) break;
    expect(closed).toBe(true);
  });
});
