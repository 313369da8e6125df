import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { sha256, zstd } from '../helpers/image-builder.js';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, GNU, gnuLong, header, oldSparse, pax } from '../helpers/raw-tar.js';
import { WHOLE_RANGE } from '../helpers/whole-range.js';

const parts = [
  header({ name: 'd/', type: '5' }),
  pax({ path: 'd/pax', mtime: '1.5' }),
  entry({ name: 'x' }, Buffer.alloc(700, 'a')),
  gnuLong('L', 'd/long'),
  entry({ name: 'x', magic: GNU }, Buffer.alloc(513, 'b')),
  oldSparse(
    { name: 'sparse' },
    10_000,
    Array.from({ length: 30 }, (_, index) => [index * 300, 20]),
    Buffer.alloc(600, 'c'),
  ),
  header({ name: 'l', linkName: 'd', type: '2' }),
];
const tar = archive(...parts);
/** Behind the data of an entry, or of an extended header, an archive may end: without padding, and without an end mark. */
const mayEnd = (cut: number): boolean => {
  let start = 0;
  for (const part of parts) {
    const size = Number.parseInt(part.toString('latin1', 124, 135), 8);
    const padding = (512 - (size % 512)) % 512;
    if (cut === start || (cut >= start + part.length - padding && cut <= start + part.length)) return true;
    start += part.length;
  }
  return cut >= start;
};

/** On both sides of every place where something else may come of it, and some in between. */
const cuts = Array.from({ length: tar.length + 1 }, (_, cut) => cut).filter(
  (cut) =>
    cut % (WHOLE_RANGE ? 16 : 97) === 0 ||
    [cut - 1, cut, cut + 1].some((near) => near % 512 === 0) ||
    mayEnd(cut) !== mayEnd(cut - 1),
);

describe('an archive that is cut off', () => {
  const layers = useLayers();

  it('is refused as truncated wherever that is, except behind the data of an entry', async () => {
    const wrong: string[] = [];
    for (const cut of cuts) {
      const code = await outcome(tar.subarray(0, cut));
      if (code !== (mayEnd(cut) ? 'unpacked' : 'ERR_LAYER_TRUNCATED')) wrong.push(`${cut}: ${code}`);
    }
    expect(wrong).toEqual([]);
  });

  it('is refused as truncated also when its stored bytes are what their digest says', async () => {
    // In the data of the first file.
    const cut = tar.subarray(0, 2148);
    expect((await layers.refusal(cut, { digest: sha256(cut) })).code).toBe('ERR_LAYER_TRUNCATED');
  });

  const outcome = async (cut: Buffer): Promise<string> => {
    try {
      await layers.unpack(cut);
      return 'unpacked';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it.each([
    ['gzip', gzipSync(tar)],
    ['zstd', zstd(tar)],
  ])('is refused as truncated when its %s data is cut off, wherever that is', async (_what, blob) => {
    for (let cut = 6; cut < blob.length; cut += 7) {
      expect((await layers.refusal(tar, { blob: blob.subarray(0, cut) })).code, `after ${cut} bytes`).toBe(
        'ERR_LAYER_TRUNCATED',
      );
    }
  });

  it('is not taken for the whole because it ends between entries: the diff ID tells', async () => {
    expect((await layers.refusal(tar, { blob: tar.subarray(0, tar.length - 1536) })).code).toBe('ERR_DIFF_ID_MISMATCH');
  });
});
