import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readOne, readTar, thrownBy, useLayers } from '../helpers/layers.js';
import { archive, entry, header, oldSparse, pax, sparseMapBlocks } from '../helpers/raw-tar.js';

type Piece = readonly [offset: number, length: number];

const MIB = 1024 * 1024;
/** Three pieces far apart, and a hole at the end. */
const map: Piece[] = [
  [0, 5],
  [MIB, 600],
  [3 * MIB, 1],
];
const size = 4 * MIB;
const data = Buffer.concat([Buffer.alloc(5, 'a'), Buffer.alloc(600, 'b'), Buffer.alloc(1, 'c')]);

const pairs = (pieces: readonly Piece[]): [string, string][] =>
  pieces.flatMap(([offset, length]): [string, string][] => [
    ['GNU.sparse.offset', `${offset}`],
    ['GNU.sparse.numbytes', `${length}`],
  ]);

/** The same file in every way that GNU tar has had to write it. */
const forms = (pieces: readonly Piece[], realSize: number, bytes: Buffer): Record<string, Buffer> => ({
  'of old': oldSparse({ name: 'sparse' }, realSize, pieces, bytes),
  '0.0': Buffer.concat([
    pax([['GNU.sparse.size', `${realSize}`], ['GNU.sparse.numblocks', `${pieces.length}`], ...pairs(pieces)]),
    entry({ name: 'sparse' }, bytes),
  ]),
  '0.1': Buffer.concat([
    pax({ 'GNU.sparse.name': 'sparse', 'GNU.sparse.size': `${realSize}`, 'GNU.sparse.map': pieces.flat().join(',') }),
    entry({ name: 'GNUSparseFile.0/sparse' }, bytes),
  ]),
  '1.0': Buffer.concat([
    pax({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'sparse',
      'GNU.sparse.realsize': `${realSize}`,
    }),
    entry({ name: 'GNUSparseFile.0/sparse' }, Buffer.concat([sparseMapBlocks(pieces), bytes])),
  ]),
});
const names = Object.keys(forms(map, size, data));

describe.each(names)('a sparse file in the format %s', (name) => {
  const layers = useLayers();
  const form = (pieces: readonly Piece[], realSize: number, bytes: Buffer): Buffer =>
    forms(pieces, realSize, bytes)[name] ?? Buffer.alloc(0);

  it('is read with its map', () => {
    expect(readOne(archive(form(map, size, data)))).toMatchObject({
      type: 'file',
      path: 'sparse',
      sparse: { size, segments: map.map(([offset, length]) => ({ offset, length })) },
      data,
    });
  });

  it('is written with its holes, and what follows it is found', async () => {
    const { rootfs, tree } = await layers.unpack(archive(form(map, size, data), entry({ name: 'next' }, 'abc')));
    const expected = Buffer.alloc(size);
    for (const [index, [offset, length]] of map.entries()) expected.fill('abc'[index] ?? '', offset, offset + length);
    expect(readFileSync(join(rootfs, 'sparse')).equals(expected)).toBe(true);
    expect(statSync(join(rootfs, 'sparse')).blocks * 512).toBeLessThan(MIB);
    expect(tree['next']).toBe('file 644 abc');
  });

  it('may have more pieces than fit in one block', async () => {
    const many = Array.from({ length: 200 }, (_, index): Piece => [index * 8192, 3]);
    const { rootfs } = await layers.unpack(archive(form(many, 200 * 8192, Buffer.alloc(600, 'x'))));
    const content = readFileSync(join(rootfs, 'sparse'));
    expect(content).toHaveLength(200 * 8192);
    for (const [offset] of many) expect(content.toString('latin1', offset, offset + 4)).toBe('xxx\0');
  });

  it('may be one hole', async () => {
    const { rootfs } = await layers.unpack(archive(form([[size, 0]], size, Buffer.alloc(0)), entry({ name: 'next' })));
    expect(statSync(join(rootfs, 'sparse'))).toMatchObject({ size });
  });

  it.each<[string, Piece[], number]>([
    [
      'overlap',
      [
        [0, 5],
        [4, 601],
      ],
      size,
    ],
    [
      'go backwards',
      [
        [600, 300],
        [0, 306],
      ],
      size,
    ],
    ['go past the end', [[0, 606]], 605],
    ['are longer than the data', [[0, 607]], size],
    ['are shorter than the data', [[0, 605]], size],
  ])('is refused when its pieces %s', async (_what, pieces, realSize) => {
    expect((await layers.refusal(archive(form(pieces, realSize, data)))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('is refused when it is larger than a file may be', async () => {
    const tar = archive(form([[0, 606]], 2 ** 32, data));
    expect(await layers.refusal(tar, { limits: { maxFileBytes: 2 ** 31 } })).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      details: { option: 'maxFileBytes' },
    });
  });
});

describe('the map in front of the data of format 1.0', () => {
  const records = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '1000' };
  const withMap = (text: string): Buffer =>
    archive(pax(records), entry({ name: 'a' }, Buffer.concat([Buffer.from(text), Buffer.alloc(512)])));

  it.each(['x\n', '\n\n', '1\n0\n-5\n', '1\n0\n1e2\n', `${'0'.repeat(100)}\n`, '1 0 5\n', ''])(
    'is refused when it reads %j',
    (text) => {
      expect(thrownBy(() => readTar(withMap(text)))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
    },
  );

  it('is refused when the file ends in it', () => {
    const tar = archive(pax(records), entry({ name: 'a' }, sparseMapBlocks([[0, 1]]).subarray(0, 100)));
    expect(thrownBy(() => readTar(tar))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });

  it('is refused when the real size is missing', () => {
    const tar = archive(pax({ 'GNU.sparse.major': '1' }), entry({ name: 'a' }, sparseMapBlocks([])));
    expect(thrownBy(() => readTar(tar))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });

  it('may end where a block ends', () => {
    const exact: Piece[] = [[0, 4], ...Array.from({ length: 126 }, (): Piece => [4, 0])];
    const blocks = sparseMapBlocks(exact);
    expect(blocks.at(511)).toBe(0x0a);
    expect(blocks).toHaveLength(512);
    expect(
      readOne(
        archive(pax(records), entry({ name: 'a' }, Buffer.concat([blocks, Buffer.from('abcd')]))),
      ).data.toString(),
    ).toBe('abcd');
  });
});

describe('the extension blocks of the old format', () => {
  it('are refused when the archive ends in them', () => {
    const sparse = oldSparse(
      { name: 'a' },
      100_000,
      Array.from({ length: 60 }, (_, index): Piece => [index * 1000, 0]),
      '',
    );
    expect(thrownBy(() => readTar(sparse.subarray(0, 1024)))).toMatchObject({ code: 'ERR_LAYER_TRUNCATED' });
  });

  it('are not taken for entries when a file has none', () => {
    expect(readTar(archive(oldSparse({ name: 'a' }, 100, [[0, 1]], 'x'), header({ name: 'b' })))).toHaveLength(2);
  });
});
