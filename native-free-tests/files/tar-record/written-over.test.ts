import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeTree } from '../../helpers/layers.js';
import { archive, entry, GNU, header, oldSparse, pax, sparseMapBlocks } from '../../helpers/raw-tar.js';
import { entryFilledWith, useRecordedLayers } from '../../helpers/tar-records.js';

const file = (name: string, content: string | Buffer, mode = 0o644) => entry({ name, mode }, content);
const directory = (name: string, mode = 0o755) => header({ name, type: '5', mode });
const symlink = (name: string, linkName: string) => header({ name, linkName, type: '2' });
const link = (name: string, linkName: string) => header({ name, linkName, type: '1' });
const large = (size: number) => randomBytes(size);

const WRITTEN_OVER: Record<string, Uint8Array[]> = {
  'a file twice': [file('a', 'one'), file('a', 'another')],
  'a file three times': [file('a', 'one'), file('a', 'another'), file('a', 'the third')],
  'a file by an empty one, and that by a file': [file('a', 'one'), file('a', ''), file('a', 'another')],
  'large files': [
    file('a', large(1_500_000)),
    file('b', large(700_001)),
    file('a', 'small'),
    file('b', large(300_000)),
  ],
  'a file, a directory and a file of one path': [
    file('a', 'one'),
    directory('a'),
    file('a/b', 'inner'),
    file('a', 'two'),
  ],
  'a file in a directory that comes again': [
    directory('a'),
    file('a/b', 'one'),
    file('a', 'instead'),
    directory('a'),
    file('a/b', 'two'),
  ],
  'a directory full of files, by a file': [
    directory('d'),
    ...Array.from({ length: 300 }, (_, index) => file(`d/${index % 7}/${index}`, `file ${index}`)),
    file('d', 'instead'),
  ],
  'a deep directory, by a hard link': [
    file('target', 'target'),
    file(`d/${'x/'.repeat(150)}file`, 'deep'),
    file('d/near', 'near'),
    link('d', 'target'),
  ],
  'a directory with hard links that lead out and in': [
    file('out', 'one'),
    file('d/in', 'two'),
    link('d/out', 'out'),
    link('in', 'd/in'),
    symlink('d', 'nowhere'),
  ],
  'a file by each other kind': [
    ...['symlink', 'hard link', 'fifo', 'device', 'whiteout device', 'directory'].map((name) =>
      file(name, `a ${name}`),
    ),
    file('target', 'target'),
    symlink('symlink', 'target'),
    link('hard link', 'target'),
    header({ name: 'fifo', type: '6' }),
    header({ name: 'device', type: '3', major: 1, minor: 3 }),
    header({ name: 'whiteout device', type: '3', major: 0, minor: 0 }),
    directory('directory'),
  ],
  'a file by a link to a file of another layer': [file('a', 'one'), link('a', 'usr/lib/elsewhere'), file('b', 'two')],
  'a file that has hard links, and then the links': [
    file('a', 'one'),
    link('b', 'a'),
    link('c', 'b'),
    file('a', 'two'),
    link('d', 'a'),
    file('b', 'three'),
    link('d', 'c'),
    file('c', 'four'),
  ],
  'a hard link by one to the same file': [file('a', 'one'), link('b', 'a'), link('b', 'a'), link('a', 'b')],
  'a file below a symlink that is later another': [
    directory('one'),
    directory('two'),
    symlink('l', 'one'),
    file('l/a', 'in one'),
    symlink('l', 'two'),
    file('l/a', 'in two'),
    file('one/a', 'over it'),
    directory('l'),
    file('l/a', 'in l'),
    file('two', 'instead of a directory'),
  ],
  'a file that is reached by another spelling': [file('./d//a', 'one'), file('/d/./a', 'two'), file('d/a', 'three')],
  'a directory to which a symlink leads': [
    symlink('l', 'a/b'),
    file('l/c', 'through it'),
    file('a', 'instead'),
    file('other/c', 'other'),
  ],
  'names that are no text': [
    file('\xff/\xfe', 'one'),
    file('\xff/\xfe', 'two'),
    file('\xff', 'three'),
    file('\xff', ''),
  ],
  'files that nobody may read': [
    file('a', 'one', 0),
    link('b', 'a'),
    file('a', 'two', 0),
    directory('closed', 0),
    file('closed/a', 'three', 0),
    file('closed/a', 'four', 0),
  ],
  'a file behind padding that is not zeros': [
    entryFilledWith(0x41, { name: 'a' }, Buffer.from('one')),
    entryFilledWith(0x42, { name: 'a' }, Buffer.from('two')),
    file('b', 'other'),
  ],
  'a file by what is only passed over': [
    file('.wh.a', 'data of a whiteout'),
    file('a', 'one'),
    file('.wh.a', large(100_000)),
    file('d/.wh..wh..opq', 'data of an opaque mark'),
    entry({ name: 'd/', type: 'D', magic: GNU }, 'Yfile\0\0'),
    file('a', 'two'),
  ],
};

describe('an archive is made again when it writes over', () => {
  const layers = useRecordedLayers();

  it.each(Object.keys(WRITTEN_OVER))('%s', async (what) => {
    await layers.unpackAndRebuild(archive(...(WRITTEN_OVER[what] as Uint8Array[])));
  });

  it.each(Object.keys(WRITTEN_OVER))('%s, and ends without an end mark', async (what) => {
    await layers.unpackAndRebuild(Buffer.concat(WRITTEN_OVER[what] as Uint8Array[]));
  });

  it('one path a thousand times, and the record grows with the data only', async () => {
    const parts = Array.from({ length: 1000 }, (_, index) => file('a', `content ${index}`));
    const { record } = await layers.unpackAndRebuild(archive(...parts));
    expect(statSync(record).size).toBeLessThan(1000 * 100);
  });
});

type Piece = readonly [offset: number, length: number];
const map: Piece[] = [
  [0, 5],
  [100_000, 600],
  [300_000, 0],
  ...Array.from({ length: 60 }, (_, n): Piece => [400_000 + n * 99, 3]),
];
const data = randomBytes(785);
const pairs = map.flatMap(([offset, length]): [string, string][] => [
  ['GNU.sparse.offset', `${offset}`],
  ['GNU.sparse.numbytes', `${length}`],
]);
const SPARSE: Record<string, Buffer> = {
  'GNU of old': oldSparse({ name: 'sparse' }, 500_000, map, data),
  'pax 0.0': Buffer.concat([pax([['GNU.sparse.size', '500000'], ...pairs]), file('sparse', data)]),
  'pax 0.1': Buffer.concat([
    pax({ 'GNU.sparse.name': 'sparse', 'GNU.sparse.size': '500000', 'GNU.sparse.map': map.flat().join(',') }),
    file('GNUSparseFile.0/sparse', data),
  ]),
  'pax 1.0': Buffer.concat([
    pax({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'sparse',
      'GNU.sparse.realsize': '500000',
    }),
    file('GNUSparseFile.0/sparse', Buffer.concat([sparseMapBlocks(map), data])),
  ]),
};

describe.each(Object.keys(SPARSE))('a sparse file in the format %s', (format) => {
  const layers = useRecordedLayers();
  const sparse = SPARSE[format] as Buffer;

  it('is made again, whatever size the pieces have', async () => {
    for (const size of [undefined, 1, 511, 513])
      await layers.unpackAndRebuild(archive(sparse, file('next', 'abc')), size);
  });

  it('is made again when it is written over', async () => {
    const { rootfs } = await layers.unpackAndRebuild(archive(sparse, file('sparse', 'instead'), file('next', 'abc')));
    expect(readFileSync(join(rootfs, 'sparse'), 'utf8')).toBe('instead');
  });

  it('is made again when it writes over a file, and itself', async () => {
    await layers.unpackAndRebuild(archive(file('sparse', 'before'), sparse, sparse, link('other', 'sparse'), sparse));
  });

  it('is made again when its padding is cut', async () => {
    await layers.unpackAndRebuild(sparse.subarray(0, -10));
  });

  it('is made again when it is one hole', async () => {
    const hole = oldSparse({ name: 'hole' }, 500_000, [[500_000, 0]], '');
    await layers.unpackAndRebuild(archive(hole, sparse, file('hole', 'abc'), hole));
  });
});

describe('what aufs kept for itself in an archive', () => {
  const layers = useRecordedLayers();
  const kept = [
    directory('.wh..wh.plnk'),
    entryFilledWith(0x20, { name: '.wh..wh.plnk/1.2' }, Buffer.from('shared')),
    file('.wh..wh.plnk/1.3', large(10_000)),
    file('.wh..wh.plnk/1.3', 'twice'),
    file('.wh..wh.plnk/sub/1', 'no link'),
    file('.wh..wh.orph/x', 'an orphan'),
    file('.wh..wh.aufs', 'a mark'),
    link('a', '.wh..wh.plnk/1.2'),
    link('.wh..wh.plnk/1.4', 'a'),
  ];

  it('is made again, though it is no part of the layer', async () => {
    const { rootfs } = await layers.unpackAndRebuild(archive(...kept, file('last', 'abc')));
    expect(describeTree(rootfs)).toEqual({ '.': 'directory 755', a: 'file 644 shared', last: 'file 644 abc' });
  });

  it.each([
    ['spaces for padding', entryFilledWith(0x20, { name: 'last' }, Buffer.from('abc'))],
    ['its padding cut', file('last', 'abc').subarray(0, -100)],
    ['no padding at all', file('last', 'abc').subarray(0, 515)],
    ['half a block of zeros behind it', Buffer.concat([file('last', 'abc'), Buffer.alloc(256)])],
  ])('is made again when the archive ends with a file that has %s', async (_what, end) => {
    await layers.unpackAndRebuild(Buffer.concat([...kept, end]));
  });

  it('is made again when it is the last thing of all, cut in its padding', async () => {
    await layers.unpackAndRebuild(Buffer.concat([...kept, file('.wh..wh.plnk/9', 'abc').subarray(0, -1)]));
  });
});
