import { describe, expect, it } from 'vitest';
import type { TakeMemory } from '#src/system/compression/window-memory.js';
import { buildTar, zstd } from '../helpers/image-builder.js';
import { failureOf, inflated, text } from '../helpers/pieces.js';
import {
  ENDLESS,
  endlessCopies,
  hasZstdCommand,
  REAL_FRAME,
  realText,
  SKIPPABLE,
  zstdCommand,
  zstdRuns,
} from '../helpers/zstd-samples.js';

/** Inflates all of it. @throws what the layer is refused with */
export type InflateZstd = (
  pieces: AsyncGenerator<Buffer>,
  takeMemory?: TakeMemory,
) => AsyncGenerator<Buffer, void, undefined>;

const tar = buildTar([{ path: 'text', content: text }, { path: 'd/' }, { path: 'd/file', content: 'abc' }]);
const PIECE_SIZES = [1, 13, 4096, 1 << 20];
const [skipped = Buffer.alloc(0), emptySkipped = Buffer.alloc(0)] = SKIPPABLE;
const MIB = 2 ** 20;

/**
 * What every way to inflate zstd promises: the same layers are taken, and the same are refused.
 * @param inflateHastily as the other, with so little patience that what goes round is told in a second: sound data on a busy machine may need more
 */
export function describeZstd(kind: string, inflateAll: InflateZstd, inflateHastily = inflateAll): void {
  const inflate = (stored: Buffer, size = 1 << 20): Promise<Buffer> => inflated(stored, size, inflateAll);
  const failure = (stored: Buffer, size?: number): Promise<unknown> => failureOf(inflate(stored, size));

  describe(`zstd data, by ${kind}`, () => {
    it.each(PIECE_SIZES)('is inflated from pieces of %i bytes', async (size) => {
      expect((await inflate(zstd(tar), size)).equals(tar)).toBe(true);
      expect((await inflate(REAL_FRAME, size)).equals(realText)).toBe(true);
    });

    it('may be cut in two anywhere', async () => {
      const blob = Buffer.concat([skipped, REAL_FRAME, emptySkipped, REAL_FRAME, skipped]);
      for (let at = 1; at < blob.length; at++) {
        const pieces = async function* (): AsyncGenerator<Buffer> {
          yield Buffer.from(blob.subarray(0, at));
          yield Buffer.from(blob.subarray(at));
        };
        const found: Buffer[] = [];
        for await (const piece of inflateAll(pieces())) found.push(Buffer.from(piece));
        expect(Buffer.concat(found).equals(Buffer.concat([realText, realText])), `cut at ${at}`).toBe(true);
      }
    });

    it('may have several frames, and frames to be skipped in front, between and behind', async () => {
      const blob = Buffer.concat([
        skipped,
        zstd(tar.subarray(0, 777)),
        skipped,
        emptySkipped,
        zstd(Buffer.alloc(0)),
        REAL_FRAME,
        zstd(tar.subarray(777)),
        skipped,
      ]);
      const whole = Buffer.concat([tar.subarray(0, 777), realText, tar.subarray(777)]);
      for (const size of PIECE_SIZES) expect((await inflate(blob, size)).equals(whole)).toBe(true);
    });

    it('may have a frame for each of many files', async () => {
      const frames = Array.from({ length: 3000 }, (_, index) => zstd(Buffer.from(`${index},`)));
      expect((await inflate(Buffer.concat(frames))).toString()).toBe(
        Array.from({ length: 3000 }, (_, index) => `${index},`).join(''),
      );
    });

    it('may be frames that inflate to exactly one piece, or to a byte more or less', async () => {
      for (const size of [2 ** 19 - 1, 2 ** 19, 2 ** 19 + 1, 2 ** 20]) {
        const bytes = Buffer.alloc(size, 7);
        const twice = Buffer.concat([zstd(bytes), zstd(bytes)]);
        expect((await inflate(twice)).equals(Buffer.concat([bytes, bytes])), `frames of ${size}`).toBe(true);
      }
    });

    it('may be a frame of a few bytes, or hold nothing', async () => {
      for (const bytes of [Buffer.alloc(1024), Buffer.from('a'), Buffer.from('ab'), Buffer.alloc(0)])
        expect(await inflate(zstd(bytes))).toEqual(bytes);
      expect(await inflate(skipped)).toHaveLength(0);
    });

    it('is refused when it ends early, wherever that is', async () => {
      for (const blob of [zstd(tar), REAL_FRAME]) {
        const lengths = [4, 6, 8, 9, 11, 100, blob.length >> 1, blob.length - 4, blob.length - 1];
        for (const length of lengths.filter((at) => at < blob.length)) {
          expect(await failure(blob.subarray(0, length)), `after ${length} bytes`).toMatchObject({
            code: 'ERR_LAYER_TRUNCATED',
          });
        }
      }
      expect(await failure(skipped.subarray(0, -1))).toMatchObject({ code: 'ERR_LAYER_TRUNCATED' });
    });

    it('is refused when something else follows it', async () => {
      for (const other of ['something', 'PK\x03\x04', '\0\0\0\0']) {
        expect(await failure(Buffer.concat([REAL_FRAME, Buffer.from(other)])), other).toMatchObject({
          code: 'ERR_LAYER_MALFORMED',
        });
      }
    });

    it('is refused when its checksum is wrong, or its size', async () => {
      const wrongSum = Buffer.from(REAL_FRAME);
      wrongSum.writeUInt8(wrongSum.readUInt8(wrongSum.length - 1) ^ 1, wrongSum.length - 1);
      const larger = zstd(Buffer.alloc(1000));
      larger.writeUInt32LE(1001, 5);
      const smaller = zstd(text);
      smaller.writeUInt32LE(text.length - 1, 5);
      for (const blob of [wrongSum, larger, smaller]) {
        for (const size of [1, 1 << 20])
          expect(await failure(blob, size)).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
      }
    });

    it('is refused when it wants a dictionary, or uses a bit that is reserved', async () => {
      for (const hex of ['28b52ffd2101000301000000', '28b52ffd2800010000'])
        expect(await failure(Buffer.from(hex, 'hex'))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
    });

    it('is refused when a block has a kind that does not exist, or is too large', async () => {
      const blob = zstd(Buffer.from('abc'));
      blob.writeUInt8((blob.readUInt8(9) & 0xf9) | 6, 9);
      for (const wrong of [
        Buffer.concat([blob, Buffer.alloc(100)]),
        zstdRuns(10 << 3, 128 * 1024 + 1, 2),
        zstdRuns(0, 1025, 2),
      ])
        expect(await failure(wrong)).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
      expect(await inflate(zstdRuns(0, 1024, 2))).toHaveLength(2048);
    });

    it('is refused when its window is larger than the reference decoder takes', async () => {
      for (const blob of [
        zstdRuns(18 << 3, 1000, 1),
        zstdRuns((17 << 3) | 1, 1000, 1),
        Buffer.from('28b52ffda000000080010000', 'hex'),
      ])
        expect(await failure(blob)).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
    });

    it('has its large windows one after the other, and gives back what it took', async () => {
      const log: string[] = [];
      const takeMemory: TakeMemory = async (bytes) => {
        log.push(`take ${bytes / MIB}`);
        return () => log.push('give');
      };
      const blob = Buffer.concat([zstdRuns(17 << 3, 1000, 3), REAL_FRAME, zstdRuns(14 << 3, 1000, 3)]);
      let length = 0;
      for await (const piece of inflateAll(
        (async function* () {
          yield blob;
        })(),
        takeMemory,
      ))
        length += piece.length;
      expect(length).toBe(6000 + realText.length);
      expect(log).toEqual(['take 128', 'give', 'take 16', 'give']);
    });

    it('gives its memory back when its reader has had enough', async () => {
      let held = 0;
      const takeMemory: TakeMemory = async () => {
        held++;
        return () => held--;
      };
      const endless = async function* (): AsyncGenerator<Buffer> {
        for (;;) yield zstdRuns(14 << 3, 128 * 1024, 40);
      };
      for await (const _ of inflateAll(endless(), takeMemory)) break;
      expect(held).toBe(0);
    });

    it('is refused when it makes a decoder go round', async () => {
      for (const blob of [ENDLESS, Buffer.concat([REAL_FRAME, ENDLESS]), endlessCopies()])
        expect(await failureOf(inflated(blob, 1 << 20, inflateHastily))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
    });

    it.skipIf(!hasZstdCommand).each([
      ['as zstd writes it', []],
      ['with checksums', ['--check']],
      ['without', ['--no-check']],
      ['fast', ['--fast=5']],
      ['at the highest level', ['-19']],
      ['with a window of 128 MiB', ['--long=27']],
      ['in one segment', ['--stream-size', String(tar.length)]],
    ])(`%s is inflated${hasZstdCommand ? '' : ' (skipped: there is no zstd command)'}`, async (_what, options) => {
      const blob = zstdCommand(tar, ...options);
      expect((await inflate(Buffer.concat([blob, blob]), 4096)).equals(Buffer.concat([tar, tar]))).toBe(true);
    });

    it('tells the error of the reading, when that is what fails', async () => {
      const failing = async function* (): AsyncGenerator<Buffer> {
        const blob = zstd(tar);
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
          for (;;) yield zstd(tar);
        } finally {
          closed = true;
        }
      };
      for await (const _ of inflateAll(endless())) break;
      expect(closed).toBe(true);
    });
  });
}
