import { constants, crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { buildTar } from '../helpers/image-builder.js';
import { failureOf, inflated, text } from '../helpers/pieces.js';

/** Inflates all of it. @throws what the layer is refused with */
export type InflateAll = (pieces: AsyncGenerator<Buffer>) => AsyncGenerator<Buffer, void, undefined>;

const tar = buildTar([{ path: 'text', content: text }, { path: 'd/' }, { path: 'd/file', content: 'abc' }]);
const PIECE_SIZES = [1, 13, 4096, 1 << 20];

/** A member with every field that a gzip header can have. @see RFC 1952, 2.3 */
function richMember(bytes: Buffer): Buffer {
  const head = Buffer.from([0x1f, 0x8b, 8, 0x1f, 0, 0, 0, 0, 0, 255]);
  const extra = Buffer.concat([Buffer.from([4, 0]), Buffer.from('abcd')]);
  const fields = Buffer.concat([head, extra, Buffer.from('name.tar\0a comment\0')]);
  const withoutFlag = gzipSync(bytes);
  const headerCrc = Buffer.alloc(2);
  headerCrc.writeUInt16LE(crc32(fields) & 0xffff);
  return Buffer.concat([fields, headerCrc, deflateRawSync(bytes), withoutFlag.subarray(-8)]);
}

/** What every way to inflate gzip promises: the same layers are taken, and the same are refused. */
export function describeGzip(kind: string, inflateAll: InflateAll): void {
  const inflate = (stored: Buffer, size = 1 << 20): Promise<Buffer> => inflated(stored, size, inflateAll);
  const failure = (stored: Buffer, size?: number): Promise<unknown> => failureOf(inflate(stored, size));

  describe(`gzip data, by ${kind}`, () => {
    it.each(PIECE_SIZES)('is inflated from pieces of %i bytes', async (size) => {
      expect((await inflate(gzipSync(tar), size)).equals(tar)).toBe(true);
    });

    it('is inflated whatever it consists of: nothing that can be deflated, long runs, stored blocks', async () => {
      const noise = Buffer.from(Array.from({ length: 70_000 }, (_, index) => Math.imul(index, 0x9e3779b1) >>> 24));
      for (const bytes of [noise, Buffer.alloc(3 << 20), Buffer.concat([noise, Buffer.alloc(1 << 20), text])]) {
        for (const level of [0, 1, 9]) {
          const stored = gzipSync(bytes, { level });
          for (const size of [999, 1 << 20]) expect((await inflate(stored, size)).equals(bytes)).toBe(true);
        }
      }
    });

    it('may have several members, which end anywhere', async () => {
      const members = [0, 1, 511, 512, 5000, tar.length].map((start, index, starts) =>
        gzipSync(tar.subarray(start, starts[index + 1])),
      );
      for (const size of PIECE_SIZES) expect((await inflate(Buffer.concat(members), size)).equals(tar)).toBe(true);
    });

    it('may have a member for each of many files', async () => {
      const members = Array.from({ length: 3000 }, (_, index) => gzipSync(Buffer.from(`${index},`), { level: 1 }));
      expect((await inflate(Buffer.concat(members))).toString()).toBe(
        Array.from({ length: 3000 }, (_, index) => `${index},`).join(''),
      );
    });

    it('may have all the fields of a header, which may be cut anywhere', async () => {
      const members = Buffer.concat([richMember(text), richMember(tar)]);
      for (const size of [1, 7, 11, 1 << 20]) {
        expect((await inflate(members, size)).equals(Buffer.concat([text, tar])), `pieces of ${size}`).toBe(true);
      }
    });

    it('may be padded with zeros, which are read as well', async () => {
      for (const padding of [1, 512, 5 * 1024 * 1024]) {
        expect((await inflate(Buffer.concat([gzipSync(tar), Buffer.alloc(padding)]))).equals(tar)).toBe(true);
      }
    });

    it('may hold nothing', async () => {
      expect(await inflate(gzipSync(Buffer.alloc(0)))).toHaveLength(0);
    });

    it('is refused when it is damaged', async () => {
      const blob = gzipSync(tar);
      blob.fill(0xff, 5000, 5100);
      expect(await failure(blob)).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
    });

    it('is refused when its checksum or its length is wrong', async () => {
      for (const at of [8, 4]) {
        const blob = gzipSync(tar);
        blob.writeUInt32LE(1, blob.length - at);
        for (const size of [1, 1 << 20])
          expect(await failure(blob, size)).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
      }
    });

    it('is refused when something else follows it', async () => {
      for (const other of ['something', 'something longer than a header']) {
        expect(await failure(Buffer.concat([gzipSync(tar), Buffer.from(other)]))).toMatchObject({
          code: 'ERR_LAYER_MALFORMED',
        });
      }
    });

    it('is refused when it ends early, wherever that is', async () => {
      const blob = gzipSync(tar, { level: 1, strategy: constants.Z_RLE });
      for (const length of [2, 3, 9, 10, 11, 1000, blob.length >> 1, blob.length - 8, blob.length - 1]) {
        expect(await failure(blob.subarray(0, length)), `after ${length} bytes`).toMatchObject({
          code: 'ERR_LAYER_TRUNCATED',
        });
      }
    });

    it('tells the error of the reading, when that is what fails', async () => {
      const failing = async function* (): AsyncGenerator<Buffer> {
        const blob = gzipSync(tar);
        yield blob.subarray(0, blob.length >> 1);
        throw new Error('the connection broke');
      };
      const reading = (async () => {
        for await (const _ of inflateAll(failing())) {
          // Only the end matters.
        }
      })();
      await expect(reading).rejects.toThrow('the connection broke');
    });

    it('is not read on when its reader has had enough', async () => {
      let closed = false;
      const endless = async function* (): AsyncGenerator<Buffer> {
        try {
          yield gzipSync(tar);
          for (;;) yield Buffer.alloc(65536);
        } finally {
          closed = true;
        }
      };
      for await (const _ of inflateAll(endless())) break;
      expect(closed).toBe(true);
    });
  });
}
