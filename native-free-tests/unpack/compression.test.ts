import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decompress } from '#src/unpack/decompress.js';
import { inflateGzip } from '#src/unpack/inflate-gzip.js';
import { describeGzip } from '../contracts/gzip.js';
import { buildTar, sha256, zstd } from '../helpers/image-builder.js';
import { useLayers } from '../helpers/layers.js';
import { failureOf, inflated, text } from '../helpers/pieces.js';

const tar = buildTar([{ path: 'text', content: text }, { path: 'd/' }, { path: 'd/file', content: 'abc' }]);
const PIECE_SIZES = [1, 13, 4096, 1 << 20];
const SKIPPABLE = ['502a4d1803000000ffffff', '5f2a4d1800000000'].map((hex) => Buffer.from(hex, 'hex'));
const hasZstd = spawnSync('zstd', ['--version']).status === 0;

const inflate = (stored: Buffer, size = 1 << 20): Promise<Buffer> =>
  inflated(stored, size, (pieces) => decompress(pieces, () => true));
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

describe('a zstd layer', () => {
  it.each(PIECE_SIZES)('is inflated from pieces of %i bytes', async (size) => {
    expect((await inflate(zstd(tar), size)).equals(tar)).toBe(true);
  });

  it('may have several frames, and frames to be skipped in front, between and behind', async () => {
    const [skipped = Buffer.alloc(0), empty = Buffer.alloc(0)] = SKIPPABLE;
    const blob = Buffer.concat([
      skipped,
      zstd(tar.subarray(0, 777)),
      skipped,
      empty,
      zstd(Buffer.alloc(0)),
      zstd(tar.subarray(777)),
      skipped,
    ]);
    for (const size of PIECE_SIZES) expect((await inflate(blob, size)).equals(tar)).toBe(true);
  });

  it('may be a frame of a few bytes', async () => {
    for (const bytes of [Buffer.alloc(1024), Buffer.from('a'), Buffer.from('ab')])
      expect(await inflate(zstd(bytes))).toEqual(bytes);
  });

  it('may hold nothing', async () => {
    expect(await inflate(zstd(Buffer.alloc(0)))).toHaveLength(0);
    expect(await inflate(SKIPPABLE[0] ?? Buffer.alloc(0))).toHaveLength(0);
  });

  it('is refused when it ends early, wherever that is', async () => {
    const blob = zstd(tar);
    for (const length of [6, 8, 9, 11, 1000, blob.length >> 1, blob.length - 1]) {
      expect(await failure(blob.subarray(0, length)), `after ${length} bytes`).toMatchObject({
        code: 'ERR_LAYER_TRUNCATED',
      });
    }
    expect(await failure(Buffer.from('502a4d1803000000ffff', 'hex'))).toMatchObject({ code: 'ERR_LAYER_TRUNCATED' });
  });

  it('is refused when something else follows it', async () => {
    expect(await failure(Buffer.concat([zstd(tar), Buffer.from('something')]))).toMatchObject({
      code: 'ERR_LAYER_MALFORMED',
    });
  });

  it('is refused when it wants a dictionary', async () => {
    expect(await failure(Buffer.from('28b52ffd2101000301000000', 'hex'))).toMatchObject({
      code: 'ERR_LAYER_MALFORMED',
    });
  });

  it('is refused when a block has a type that does not exist', async () => {
    const blob = zstd(Buffer.from('abc'));
    blob.writeUInt8((blob.readUInt8(9) & 0xf9) | 6, 9);
    expect(await failure(Buffer.concat([blob, Buffer.alloc(100)]))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });

  it.skipIf(!hasZstd).each([
    ['as zstd writes it', []],
    ['with checksums', ['--check']],
    ['at the highest level', ['-19']],
    ['with a window of 128 MiB', ['--long=27']],
    ['in one segment', ['--stream-size', String(tar.length)]],
  ])(`%s is inflated${hasZstd ? '' : ' (skipped: there is no zstd command)'}`, async (_what, options) => {
    const { stdout } = spawnSync('zstd', ['-q', '-c', ...options], { input: tar, maxBuffer: 1 << 26 });
    expect((await inflate(Buffer.concat([stdout, stdout]), 4096)).equals(Buffer.concat([tar, tar]))).toBe(true);
  });
});

describe('a layer in another compression', () => {
  it.each([
    ['bzip2', '425a6839314159265359'],
    ['xz', 'fd377a585a000004e6d6b446'],
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
      for await (const _ of decompress(failing(), () => true)) {
        // Only the end matters.
      }
    })();
    await expect(reading).rejects.toThrow('the connection broke');
  });

  it.each([
    ['plain', tar],
    ['gzip', gzipSync(tar)],
    ['zstd', zstd(tar)],
  ])('ends when its reader has had enough (%s)', async (_what, blob) => {
    let closed = false;
    const endless = async function* (): AsyncGenerator<Buffer> {
      try {
        yield blob;
        for (;;) yield Buffer.alloc(65536);
      } finally {
        closed = true;
      }
    };
    for await (const _ of decompress(endless(), () => true)) break;
    expect(closed).toBe(true);
  });
});
