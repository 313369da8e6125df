import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { describeTree } from '../../helpers/layers.js';
import {
  archive,
  base256,
  entry,
  GNU,
  gnuLong,
  header,
  oldSparse,
  padded,
  pax,
  sparseMapBlocks,
  V7,
} from '../../helpers/raw-tar.js';
import { entryFilledWith, useRecordedLayers } from '../../helpers/tar-records.js';

const MIB = 2 ** 20;
const zeroBlock = Buffer.alloc(512);
const first = entry({ name: 'first' }, 'the first file');
const last = entry({ name: 'last' }, 'the last file');
const exact = entry({ name: 'exact' }, Buffer.alloc(1024, 'e'));

/** With all 512 bytes of a header summed as signed characters. */
function signedSum(block: Buffer): Buffer {
  let sum = 0;
  for (let at = 0; at < 512; at++) sum += at >= 148 && at < 156 ? 0x20 : block.readInt8(at);
  return withChecksum(block, `${sum.toString(8).padStart(6, '0')}\0 `);
}

function withChecksum(block: Buffer, text: string): Buffer {
  const changed = Buffer.from(block);
  changed.write(text, 148, 8, 'latin1');
  return changed;
}

function checksumOf(block: Buffer): number {
  return Number.parseInt(block.toString('latin1', 148, 154), 8);
}

const many = Array.from({ length: 100 }, (_, index) => [index * 1000, 7] as const);
const plainHeader = header({ name: 'plain', size: 3 });
const abc = padded('abc');

const ENDS: Record<string, Buffer> = {
  'nothing in it': Buffer.alloc(0),
  'nothing but its end mark': archive(),
  'nothing but one block of zeros': zeroBlock,
  'nothing but half a block of zeros': Buffer.alloc(256),
  'no end mark': Buffer.concat([first, exact, last]),
  'no end mark behind a file that fills its last block': Buffer.concat([first, exact]),
  'one block of zeros at its end': Buffer.concat([first, last, zeroBlock]),
  'a block of zeros and a half at its end': Buffer.concat([first, last, Buffer.alloc(700)]),
  'a header at its end that is cut and all zeros so far': Buffer.concat([first, Buffer.alloc(3)]),
  'an end in the middle of its padding': Buffer.concat([first, last]).subarray(0, -200),
  'an end right where its padding would begin': Buffer.concat([
    first,
    header({ name: 'a', size: 3 }),
    Buffer.from('abc'),
  ]),
  'an end in the middle of padding that is not zeros': Buffer.concat([
    first,
    entryFilledWith(0x20, { name: 'a' }, Buffer.from('abc')),
  ]).subarray(0, -200),
  'an end in the padding of an extended header': pax({ path: 'nothing' }).subarray(0, -100),
  'an end in the padding of a listing': entry({ name: 'd/', type: 'D', magic: GNU }, 'Yfile\0\0').subarray(0, -100),
  'zeros until a record of 10 KiB is full': Buffer.concat([archive(first), Buffer.alloc(10_240 - 2048)]),
  'megabytes of zeros behind its end': Buffer.concat([archive(first), Buffer.alloc(5 * MIB + 77)]),
  'megabytes of random bytes behind its end': Buffer.concat([archive(first), randomBytes(3 * MIB + 77)]),
  'zeros and random bytes in turns behind its end': Buffer.concat([
    archive(first),
    ...Array.from({ length: 8 }, (_, turn) => (turn % 2 === 0 ? Buffer.alloc(70_000) : randomBytes(65_536 + turn))),
  ]),
  'another archive behind its end': Buffer.concat([archive(first), archive(last)]),
  'an end mark that is one but for bytes in its checksum': Buffer.concat([
    first,
    withChecksum(zeroBlock, '\0\0 \0\0\0\0\0'),
    zeroBlock,
    Buffer.from('behind'),
  ]),
};

const PADDINGS: Record<string, Buffer> = {
  spaces: archive(entryFilledWith(0x20, { name: 'a' }, Buffer.from('abc')), last),
  'random bytes': archive(Buffer.concat([header({ name: 'a', size: 5 }), randomBytes(512)]), last),
  'zeros but for its last byte': archive(
    Buffer.concat([header({ name: 'a', size: 5 }), Buffer.alloc(511), Buffer.from('!')]),
    last,
  ),
  'one byte that is no zero': archive(entryFilledWith(1, { name: 'a' }, Buffer.alloc(511, 'a')), last),
  'what fills the block of an extended header': archive(
    Buffer.concat([header({ name: 'x', type: 'x', size: 13 }), Buffer.from('13 path=long\n'), Buffer.alloc(499, 'p')]),
    entry({ name: 'short' }, 'named by it'),
  ),
  'what fills the block of a long name': archive(
    Buffer.concat([header({ name: '././@LongLink', type: 'L', magic: GNU, size: 5 }), Buffer.alloc(512, 'n\0')]),
    entry({ name: 'short' }, 'named by it'),
  ),
  'what fills the block of a whiteout': archive(entryFilledWith(7, { name: '.wh.a' }, Buffer.from('data')), last),
  'what fills the block of a sparse file': archive(
    oldSparse({ name: 'a' }, 5000, [[100, 5]], Buffer.from('abcde')).fill(9, 517),
    last,
  ),
};

const HEADERS: Record<string, Buffer> = {
  'a name of 100 bytes': archive(entry({ name: 'n'.repeat(100) }, 'abc')),
  'a prefix of 155 bytes': archive(entry({ name: 'n'.repeat(100), prefix: 'p'.repeat(155) }, 'abc')),
  'a prefix and nothing for a name': archive(entry({ name: '', prefix: 'prefix/a' }, 'abc')),
  'a prefix of the format of star': archive(
    entry(
      {
        name: 'n',
        prefix: 'p'.repeat(131),
        patches: [
          [476, '77777777777\x0077777777777\0'],
          [508, 'tar\0'],
        ],
      },
      'abc',
    ),
  ),
  'times in the place of a prefix, as GNU has them': archive(
    entry({ name: 'n', magic: GNU, prefix: '14000000000\x00' }, 'abc'),
  ),
  'names that begin with dots and slashes': archive(
    entry({ name: './a' }, 'a'),
    entry({ name: '/b' }, 'b'),
    entry({ name: '././/c' }, 'c'),
    entry({ name: '//d/./e/', type: '7' }, ''),
    entry({ name: '/./f' }, 'f'),
    entry({ name: './/g' }, 'g'),
    entry({ name: '...' }, 'dots'),
    entry({ name: '.h' }, 'hidden'),
  ),
  'names that are no ASCII': archive(
    entry({ name: '\xc3\xbc/\xe4\xb8\xad' }, 'abc'),
    entry({ name: '\xff\xfe' }, 'no UTF-8'),
    pax({ path: Buffer.from('ü/naïve') }),
    entry({ name: 'u' }, 'named by pax'),
  ),
  'names of pax and long names of GNU': archive(
    pax({ path: `long/${'x'.repeat(200)}` }),
    entry({ name: 'short' }, 'abc'),
    gnuLong('L', `long/${'y'.repeat(200)}`),
    entry({ name: 'short', magic: GNU }, 'def'),
    gnuLong('K', 't'.repeat(2000)),
    gnuLong('L', `long/${'z'.repeat(200)}`),
    header({ name: 'short', type: '2', magic: GNU }),
    pax({ path: 'link', linkpath: `long/${'x'.repeat(200)}` }),
    header({ name: 'short', type: '1' }),
  ),
  'headers for all that follow': archive(
    pax({ comment: 'x'.repeat(3000), mtime: '7.25' }, 'g'),
    entry({ name: 'a' }, 'abc'),
    pax({ size: '5' }, 'g'),
    entry({ name: 'b', size: 0 }, 'five!'),
    pax({ size: '' }, 'g'),
    entry({ name: 'c' }, 'def'),
  ),
  'sizes in base 256': archive(
    entry({ name: 'a', size: 3n }, 'abc'),
    entry({ name: 'b', size: base256(700n, 12) }, Buffer.alloc(700, 'b')),
    entry({ name: 'c', size: base256(0n, 12) }),
  ),
  'sizes with spaces and without terminators': archive(
    entry({ name: 'a', size: '          3 ' }, 'abc'),
    entry({ name: 'b', size: '000000000003' }, 'abc'),
    entry({ name: 'c', size: '3\0garbage!!!' }, 'abc'),
    entry({ name: 'd', size: '3 \0' }, 'abc'),
    entry({ name: 'e', size: '\0' }),
  ),
  'a size of its extended header': archive(pax({ size: '600' }), entry({ name: 'a', size: 3 }, Buffer.alloc(600, 'a'))),
  'a checksum of signed characters': archive(
    Buffer.concat([signedSum(header({ name: '\xff\xfe', size: 3 })), abc]),
    Buffer.concat([signedSum(header({ name: '\xff\xfe2', size: 3 })), abc]),
  ),
  'checksums in other digits': archive(
    ...[
      (sum: number) => `${sum.toString(8).padStart(7, '0')}\0`,
      (sum: number) => `${sum.toString(8).padStart(6, ' ')}\0 `,
      (sum: number) => `${sum.toString(8)}\0 \0\0`,
      (sum: number) => sum.toString(8).padStart(8, '0'),
      (sum: number) => `${sum.toString(8).padStart(6, '0')} \0`,
      (sum: number) => base256(BigInt(sum), 8).toString('latin1'),
    ].flatMap((digits) => [withChecksum(plainHeader, digits(checksumOf(plainHeader))), abc]),
    entry({ name: 'usual' }, 'abc'),
  ),
  'headers of Unix version 7': archive(
    header({ name: 'd/', type: '\0', magic: V7 }),
    entry({ name: 'd/a', type: '\0', magic: V7, prefix: 'junk', major: 'junk' }, 'abc'),
    header({ name: 'd/b', linkName: 'd/a', type: '1', magic: V7 }),
  ),
  'devices and FIFOs': archive(
    header({ name: 'null', type: '3', major: 1, minor: 3 }),
    header({ name: 'disk', type: '4', major: 8, minor: 1 }),
    header({ name: 'gone', type: '3' }),
    header({ name: 'fifo', type: '6', mode: 0o600 }),
    entry({ name: 'a' }, 'abc'),
  ),
  'bytes in every field that nobody reads': archive(
    entry({ name: 'a\0junk', userName: '\xff'.repeat(32), groupName: 'g', patches: [[500, 'junk']] }, 'abc'),
    entry({ name: 'b', linkName: 'nothing', patches: [[157, randomBytes(50)]] }, 'abc'),
  ),
  'sizes of things that have no data': archive(
    ...['1', '2', '3', '4', '5', '6'].map((type) =>
      header({ name: `e${type}`, linkName: 'x', type, size: 1000, minor: 1 }),
    ),
  ),
  'a label, listings, and names of directories with data': archive(
    entry({ name: 'label', type: 'V', magic: GNU }, 'data of a label'),
    entry({ name: 'd/', type: 'D', magic: GNU }, `Yfile\0${'N'.repeat(1000)}\0\0`),
    entry({ name: 'e/', type: '0' }, 'data of a directory'),
    entry({ name: 'd/file', type: '7' }, 'contiguous'),
  ),
  'an extended header of attributes that do not deflate': archive(
    pax({ 'SCHILY.xattr.user.a': randomBytes(60_000), comment: randomBytes(300_000) }),
    entry({ name: 'a' }, 'abc'),
  ),
  'an extended header without records': archive(header({ name: 'x', type: 'x' }), entry({ name: 'a' }, 'abc')),
};

const SIZES = [0, 1, 511, 512, 513, 1024, 65_535, 65_536, 65_537, MIB - 512, MIB, MIB + 1, 3 * MIB - 1];
const everySize = archive(...SIZES.map((size) => entry({ name: `of-${size}`, mode: 0o600 }, randomBytes(size))));

const everything = archive(
  ...Object.values(HEADERS).map((tar) => tar.subarray(0, -1024)),
  oldSparse({ name: 'sparse-old' }, 100_000, many, Buffer.alloc(700, 's')),
  pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '100000' }),
  entry({ name: 'sparse-1.0' }, Buffer.concat([sparseMapBlocks(many), Buffer.alloc(700, 's')])),
  entry({ name: 'sparse-1.0' }, 'written over'),
  entry({ name: '.wh.gone' }, randomBytes(1500)),
  ...Object.values(PADDINGS).map((tar) => tar.subarray(0, -1024)),
);

describe('of a layer whose archive', () => {
  const layers = useRecordedLayers();

  it.each(Object.keys(ENDS))('has %s every byte is made again', async (what) => {
    await layers.unpackAndRebuild(ENDS[what] as Buffer);
  });

  it.each(Object.keys(PADDINGS))('is padded with %s every byte is made again', async (what) => {
    await layers.unpackAndRebuild(PADDINGS[what] as Buffer);
  });

  it.each(Object.keys(HEADERS))('has %s every byte is made again', async (what) => {
    await layers.unpackAndRebuild(HEADERS[what] as Buffer);
  });

  it('has files of sizes around those of blocks and pieces every byte is made again', async () => {
    const { rootfs } = await layers.unpackAndRebuild(everySize);
    expect(Object.keys(describeTree(rootfs))).toHaveLength(SIZES.length + 1);
  });

  it.each([1, 7, 511, 512, 513, 4096, 1_000_003])(
    'comes in pieces of %i bytes every byte is made again',
    async (size) => {
      await layers.unpackAndRebuild(everything, size);
    },
  );

  it.each(Object.keys(ENDS))('has %s and comes in pieces of 500 bytes every byte is made again', async (what) => {
    await layers.unpackAndRebuild(ENDS[what] as Buffer, 500);
  });
});
