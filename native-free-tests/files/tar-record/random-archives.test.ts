import fc from 'fast-check';
import { describe, it } from 'vitest';
import { isProvisionerError } from '#src/base/errors.js';
import { archive, entry, GNU, gnuLong, header, oldSparse, pax, sparseMapBlocks } from '../../helpers/raw-tar.js';
import { entryFilledWith, useRecordedLayers } from '../../helpers/tar-records.js';
import { WHOLE_RANGE } from '../../helpers/whole-range.js';

const BLOCK = 512;
const TIMEOUT = WHOLE_RANGE ? 600_000 : 20_000;

/** So few that they meet each other all the time. */
const name = fc.constantFrom('a', 'b', 'c', 'a/b', 'a/c', 'b/a', './a//b', 'a/b/c', 'l/a', 'l/a/b', 'm/b', '\xff');
const target = fc.constantFrom('a', 'b', 'a/b', 'b/a', '.', '/a', '../a', 'l', 'nowhere');
const kept = fc.constantFrom('.wh..wh.plnk/1', '.wh..wh.plnk/2');
const hidden = fc.constantFrom('.wh.a', 'a/.wh.b', '.wh..wh.orph/x', '.wh..wh.aufs', 'b/.wh..wh..opq');
const mode = fc.constantFrom(0o644, 0o755, 0, 0o4755, 0o200);
const size = fc.oneof(fc.constantFrom(0, 1, 511, 512, 513, 1024), fc.nat(2000), fc.constantFrom(70_000, 300_001));
const filler = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ max: 255, min: 1 }) },
);

/** Bytes that do not repeat, the same for the same seed. */
const content = fc.tuple(size, fc.nat(0xffff)).map(([length, seed]) => {
  const bytes = Buffer.alloc(length);
  for (let at = 0, state = seed; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
});

const pieces = fc.array(fc.tuple(fc.nat(3000), fc.constantFrom(0, 1, 100, 512, 600)), { maxLength: 30 }).map((gaps) => {
  let end = 0;
  const map = gaps.map(([gap, length]): readonly [number, number] => {
    const offset = end + gap;
    end = offset + length;
    return [offset, length];
  });
  return { map, end, bytes: map.reduce((sum, [, length]) => sum + length, 0) };
});

const sparse = fc
  .record({ name, pieces, format: fc.constantFrom('old', '0.0', '0.1', '1.0'), tail: fc.nat(5000) })
  .map(({ name, pieces: { map, end, bytes }, format, tail }) => {
    const data = Buffer.alloc(bytes, format);
    const realSize = `${end + tail}`;
    if (format === 'old') return oldSparse({ name }, end + tail, map, data);
    if (format === '1.0') {
      const records = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': realSize };
      return Buffer.concat([pax(records), entry({ name }, Buffer.concat([sparseMapBlocks(map), data]))]);
    }
    const pairs = map.flatMap(([offset, length]): [string, string][] => [
      ['GNU.sparse.offset', `${offset}`],
      ['GNU.sparse.numbytes', `${length}`],
    ]);
    const said: [string, string][] = format === '0.0' ? pairs : [['GNU.sparse.map', map.flat().join(',')]];
    return Buffer.concat([pax([['GNU.sparse.size', realSize], ...said]), entry({ name }, data)]);
  });

const file = fc
  .record({ name: fc.oneof({ weight: 8, arbitrary: name }, kept, hidden), mode, content, filler })
  .map(({ filler, content, ...fields }) => entryFilledWith(filler, fields, content));

const part: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: file },
  { weight: 3, arbitrary: sparse },
  { weight: 2, arbitrary: fc.record({ name, mode }).map((fields) => header({ ...fields, type: '5' })) },
  {
    weight: 2,
    arbitrary: fc.record({ name, linkName: fc.oneof(name, kept) }).map((fields) => header({ ...fields, type: '1' })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ name: fc.oneof(name, fc.constantFrom('l', 'm')), linkName: target })
      .map((fields) => header({ ...fields, type: '2' })),
  },
  fc.record({ name, type: fc.constantFrom('3', '4', '6'), minor: fc.nat(1) }).map((fields) => header(fields)),
  fc.record({ name, content }).map(({ name, content }) => entry({ name: `${name}/`, type: 'D', magic: GNU }, content)),
  content.map((bytes) => entry({ name: 'label', type: 'V', magic: GNU }, bytes)),
  name.map((path) => Buffer.concat([pax({ path, comment: 'c' }), entry({ name: 'short' }, 'named by pax')])),
  name.map((path) => Buffer.concat([gnuLong('L', path), entry({ name: 'short', magic: GNU }, 'named by GNU')])),
  fc.constantFrom('mtime', 'comment').map((keyword) => pax({ [keyword]: '7' }, 'g')),
);

/** What is behind the last entry; or how much of it is missing, which is padding then. */
const end = fc.oneof(
  fc.constant((parts: Buffer[]) => archive(...parts)),
  fc.constant((parts: Buffer[]) => Buffer.concat(parts)),
  fc.nat(1600).map((zeros) => (parts: Buffer[]) => Buffer.concat([...parts, Buffer.alloc(zeros)])),
  content.map((behind) => (parts: Buffer[]) => Buffer.concat([archive(...parts), behind])),
  fc
    .record({ content, filler, cut: fc.nat(BLOCK), name: fc.oneof(name, kept) })
    .map(({ content, filler, cut, name }) => (parts: Buffer[]) => {
      const last = entryFilledWith(filler, { name }, content);
      const padding = last.length - BLOCK - content.length;
      return Buffer.concat([...parts, last.subarray(0, last.length - Math.min(cut, padding))]);
    }),
);

describe('an archive of any entries, in any order, with any padding and any end', () => {
  const layers = useRecordedLayers();

  it('is made again byte for byte if it is unpacked at all', { timeout: TIMEOUT }, async () => {
    const pieceSize = fc.oneof(fc.constant(undefined), fc.integer({ min: 1, max: 3000 }));
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 14 }), end, pieceSize, async (parts, finished, size) => {
        try {
          await layers.unpackAndRebuild(finished(parts), size);
        } catch (error) {
          if (!isProvisionerError(error, 'ERR_LAYER_MALFORMED', 'ERR_UNSAFE_PATH')) throw error;
          fc.pre(false);
        }
      }),
      { numRuns: WHOLE_RANGE ? 1000 : 80 },
    );
  });
});
