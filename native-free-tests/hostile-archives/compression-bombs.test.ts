import { readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { zstd } from '../helpers/image-builder.js';
import { processorSeconds, useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';
import { zstdRuns } from '../helpers/zstd-samples.js';

const MIB = 2 ** 20;
const limits = { maxUnpackedBytes: 64 * MIB };
const GIGABYTES = 4;
const zeros = Buffer.alloc(16 * MIB);
const repeat = (piece: Buffer): Buffer => Buffer.concat(Array.from({ length: (GIGABYTES * 1024) / 16 }, () => piece));

const ONE_MIB_WINDOW = 10 << 3;

describe('a few bytes that inflate to gigabytes', () => {
  const layers = useLayers();
  const start = Buffer.concat([header({ name: 'bomb', size: 60 * MIB })]);

  it.each<[string, Buffer]>([
    ['gzip, as one file', repeat(gzipSync(zeros))],
    ['gzip, behind the end of the archive', Buffer.concat([gzipSync(archive()), repeat(gzipSync(zeros))])],
    ['gzip, in the data of a file', Buffer.concat([gzipSync(start), repeat(gzipSync(zeros))])],
    ['zstd, as frames', repeat(zstd(zeros))],
    ['zstd, as one frame of run-length blocks', zstdRuns(ONE_MIB_WINDOW, 128 * 1024, 250_000)],
    ['zstd, as frames behind the end of the archive', Buffer.concat([zstd(archive()), repeat(zstd(zeros))])],
  ])('end with the limit of data (%s)', async (_what, blob) => {
    const before = process.memoryUsage().rss;
    const started = processorSeconds();
    expect(await layers.refusal(Buffer.alloc(0), { blob, limits })).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      details: { limit: 64 * MIB, option: 'maxUnpackedBytes' },
    });
    expect(processorSeconds() - started).toBeLessThan(5);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
  });

  it('end with the limit of data before the file is written, when its header tells', async () => {
    const blob = Buffer.concat([gzipSync(header({ name: 'bomb', size: 2 ** 32 })), repeat(gzipSync(zeros))]);
    expect((await layers.refusal(Buffer.alloc(0), { blob, limits })).code).toBe('ERR_LIMIT_EXCEEDED');
    const [directory = ''] = readdirSync(layers.path).filter((name) => /^\d+$/.test(name));
    expect(readdirSync(`${layers.path}/${directory}/rootfs`)).toEqual([]);
  });

  it('end with an error when they wait in blocks that are larger than zstd allows', async () => {
    expect(
      (await layers.refusal(Buffer.alloc(0), { blob: zstdRuns(ONE_MIB_WINDOW, 2 ** 20, 1000), limits })).code,
    ).toBe('ERR_LAYER_MALFORMED');
  });
});

describe('zstd data that asks for memory or time instead of space', () => {
  const layers = useLayers();

  it('is refused when its window is larger than the reference decoder takes', async () => {
    for (const descriptor of [18 << 3, (17 << 3) | 1, 31 << 3]) {
      expect((await layers.refusal(Buffer.alloc(0), { blob: zstdRuns(descriptor, 1000, 1), limits })).code).toBe(
        'ERR_LIMIT_EXCEEDED',
      );
    }
    // One segment of the size it says: 2 GiB, then 2^63 bytes.
    for (const hex of ['28b52ffda000000080010000', '28b52ffde0ffffffffffffff7f010000']) {
      expect((await layers.refusal(Buffer.alloc(0), { blob: Buffer.from(hex, 'hex'), limits })).code).toBe(
        'ERR_LIMIT_EXCEEDED',
      );
    }
  });

  it('is refused, or inflated, in seconds when a large window holds blocks of one byte', async () => {
    const blob = zstdRuns(17 << 3, 1, 10_000);
    const started = processorSeconds();
    const { code } = await layers.refusal(Buffer.alloc(0), { blob, limits });
    expect(['ERR_LIMIT_EXCEEDED', 'ERR_DIFF_ID_MISMATCH', 'ERR_LAYER_TRUNCATED']).toContain(code);
    expect(processorSeconds() - started).toBeLessThan(30);
  }, 60_000);

  it('is refused when a frame says that it is small and is not', async () => {
    const lying = zstd(Buffer.alloc(1000));
    lying.writeUInt32LE(10, 5);
    expect(
      (await layers.refusal(Buffer.alloc(0), { blob: Buffer.concat([lying, Buffer.alloc(10)]), limits })).code,
    ).toMatch(/ERR_LAYER_MALFORMED|ERR_DIFF_ID_MISMATCH/);
  });

  it('is inflated when it is ten thousand empty frames', async () => {
    const empty = Buffer.from('28b52ffd2000010000', 'hex');
    const tar = archive(entry({ name: 'a' }));
    const blob = Buffer.concat([...Array.from({ length: 10_000 }, () => empty), zstd(tar)]);
    expect((await layers.unpack(tar, { blob })).entries).toBe(1);
  });
});
