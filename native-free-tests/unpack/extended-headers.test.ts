import { describe, expect, it } from 'vitest';
import { readOne, readTar, thrownBy } from '../helpers/layers.js';
import { archive, entry, GNU, gnuLong, header, pax } from '../helpers/raw-tar.js';

const read = (...parts: Uint8Array[]) => readOne(archive(...parts));
const file = header({ name: 'a' });

describe('a pax header', () => {
  it('overrides what the header block says', () => {
    const records = { path: 'p'.repeat(300), uid: '3000000', gid: '4294967294', mtime: '1700000000' };
    expect(read(pax(records), header({ name: 'short', uid: 1, gid: 2, mtime: 3 }))).toMatchObject({
      path: 'p'.repeat(300),
      uid: 3000000,
      gid: 4294967294,
      modified: { seconds: 1700000000, nanoseconds: 0 },
    });
  });

  it('gives a link its target', () => {
    expect(read(pax({ linkpath: 't'.repeat(200) }), header({ name: 'a', type: '2', linkName: 'x' })).linkPath).toBe(
      't'.repeat(200),
    );
  });

  it('gives a file its size, also when the header block has another', () => {
    const data = Buffer.alloc(1024, 'x');
    const entries = readTar(archive(pax({ size: '700' }), header({ name: 'a', size: 0 }), data, header({ name: 'b' })));
    expect(entries.map(({ path, data }) => [path, data.length])).toEqual([
      ['a', 700],
      ['b', 0],
    ]);
  });

  it.each([
    ['1.5', 1, 500_000_000],
    ['1700000000.123456789', 1700000000, 123456789],
    ['1700000000.1234567899', 1700000000, 123456789],
    ['1.', 1, 0],
    ['-1', -1, 0],
    ['-0', 0, 0],
    ['-1.25', -2, 750_000_000],
    ['-0.000000001', -1, 999_999_999],
    ['99999999999', 99999999999, 0],
  ])('tells the time %s', (mtime, seconds, nanoseconds) => {
    expect(read(pax({ mtime }), file).modified).toEqual({ seconds, nanoseconds });
  });

  it('tells the time of access, which else is that of modification', () => {
    expect(read(pax({ atime: '5.5', mtime: '7' }), file).accessed).toEqual({ seconds: 5, nanoseconds: 500_000_000 });
    expect(read(pax({ mtime: '7' }), file).accessed).toEqual({ seconds: 7, nanoseconds: 0 });
  });

  it('may have names that are no UTF-8', () => {
    expect(read(pax({ path: '\xff\xfe', hdrcharset: 'BINARY' }), file).path).toBe('\xff\xfe');
  });

  it('may have newlines, equals signs and digits in a value', () => {
    expect(read(pax({ path: 'a\n11 path=b\n=' }), file).path).toBe('a\n11 path=b\n=');
  });

  it('has attributes of any bytes, in both ways of writing them', () => {
    const bytes = Buffer.from([0, 0x0a, 0x3d, 0xff]);
    const records = {
      'SCHILY.xattr.user.one': bytes,
      'LIBARCHIVE.xattr.user.%74wo%20': bytes.toString('base64'),
      'SCHILY.xattr.user.empty': '',
    };
    expect(read(pax(records), file).xattrs).toEqual(
      new Map([
        ['user.one', bytes],
        ['user.two ', bytes],
        ['user.empty', Buffer.alloc(0)],
      ]),
    );
  });

  it('counts with the form that needs no decoding when an attribute comes in both', () => {
    const records = {
      'LIBARCHIVE.xattr.user.a': Buffer.from('other').toString('base64'),
      'SCHILY.xattr.user.a': 'this',
    };
    expect(read(pax(records), file).xattrs).toEqual(new Map([['user.a', Buffer.from('this')]]));
  });

  it('takes a record back with an empty one', () => {
    expect(
      read(
        pax([
          ['path', 'b'],
          ['path', ''],
          ['uid', '5'],
          ['uid', ''],
        ]),
        file,
      ),
    ).toMatchObject({ path: 'a', uid: 0 });
  });

  it('lets the last of several records count', () => {
    expect(
      read(
        pax([
          ['path', 'b'],
          ['path', 'c'],
        ]),
        file,
      ).path,
    ).toBe('c');
  });

  it('may follow another one', () => {
    expect(read(pax({ path: 'b', uid: '1' }), pax({ uid: '2' }), file)).toMatchObject({ path: 'b', uid: 2 });
  });

  it('counts for one entry only', () => {
    expect(readTar(archive(pax({ path: 'b' }), file, file)).map(({ path }) => path)).toEqual(['b', 'a']);
  });

  it('may be padded with NULs', () => {
    const record = Buffer.concat([Buffer.from('10 path=b\n'), Buffer.alloc(20)]);
    expect(read(entry({ name: 'x', type: 'x' }, record), file).path).toBe('b');
  });

  it("may have Solaris' typeflag", () => {
    expect(read(pax({ path: 'b' }, 'X'), file).path).toBe('b');
  });

  it('may have records that mean nothing here', () => {
    expect(read(pax({ comment: 'x', 'VENDOR.key': '\0', ctime: '1.5' }), file).path).toBe('a');
  });

  it("has precedence over GNU's long name", () => {
    expect(read(gnuLong('L', 'long'), pax({ path: 'pax' }), file).path).toBe('pax');
  });
});

describe('a global pax header', () => {
  it('counts for all entries that follow, and makes none itself', () => {
    const entries = readTar(archive(file, pax({ uid: '7', mtime: '1.5' }, 'g'), file, file));
    expect(entries.map(({ uid, modified }) => [uid, modified.nanoseconds])).toEqual([
      [0, 0],
      [7, 500_000_000],
      [7, 500_000_000],
    ]);
  });

  it('gives way to what an entry says itself, and comes back', () => {
    const entries = readTar(archive(pax({ uid: '7', gid: '8' }, 'g'), pax({ uid: '9' }), file, file));
    expect(entries.map(({ uid, gid }) => [uid, gid])).toEqual([
      [9, 8],
      [7, 8],
    ]);
  });

  it('is taken back for one entry by an empty record', () => {
    const entries = readTar(archive(pax({ uid: '7' }, 'g'), pax({ uid: '' }), file, file));
    expect(entries.map(({ uid }) => uid)).toEqual([0, 7]);
  });

  it('is changed by a later one', () => {
    const entries = readTar(archive(pax({ uid: '7', gid: '8' }, 'g'), file, pax({ uid: '9' }, 'g'), file));
    expect(entries.map(({ uid, gid }) => [uid, gid])).toEqual([
      [7, 8],
      [9, 8],
    ]);
  });

  it('gives attributes to none: nobody means those of one file for all', () => {
    const entries = readTar(archive(pax({ 'SCHILY.xattr.user.a': 'b', uid: '7' }, 'g'), file));
    expect(entries.map(({ xattrs, uid }) => [xattrs, uid])).toEqual([[undefined, 7]]);
  });

  it('may be the only thing in an archive, and the last', () => {
    expect(readTar(archive(pax({ comment: 'x' }, 'g')))).toEqual([]);
    expect(readTar(archive(file, pax({ comment: 'x' }, 'g')))).toHaveLength(1);
  });
});

describe("GNU's long names", () => {
  it('replace name and target of the entry that follows', () => {
    const name = 'n'.repeat(500);
    const target = 't'.repeat(500);
    const link = header({ name: name.slice(0, 100), linkName: target.slice(0, 100), type: '2', magic: GNU });
    expect(read(gnuLong('K', target), gnuLong('L', name), link)).toMatchObject({ path: name, linkPath: target });
  });

  it('count for one entry only', () => {
    expect(readTar(archive(gnuLong('L', 'long'), file, file)).map(({ path }) => path)).toEqual(['long', 'a']);
  });

  it('end with a NUL or with their data', () => {
    expect(read(entry({ type: 'L', magic: GNU }, 'long\0junk'), file).path).toBe('long');
    expect(read(entry({ type: 'L', magic: GNU }, 'long'), file).path).toBe('long');
  });
});

describe('an extended header is refused', () => {
  it.each([
    ['is longer than the header', '99 path=b\n'],
    ['is shorter than its keyword', '3 path=b\n'],
    ['ends without a newline', '9 path=bX'],
    ['has a length that is no number', 'x path=b\n'],
    ['has a negative length', '-9 path=b\n'],
    ['has a length of zero', '0 path=b\n'],
    ['has a length without an end', '1'.repeat(40)],
    ['has no keyword', '6 =bc\n'],
    ['has no value', '7 path\n'],
  ])('when a record %s', (_what, body) => {
    expect(thrownBy(() => read(entry({ name: 'x', type: 'x' }, body), file))).toMatchObject({
      code: 'ERR_LAYER_MALFORMED',
    });
  });

  it.each([
    ['uid', '-1'],
    ['uid', '4294967295'],
    ['gid', '99999999999999999999'],
    ['size', '1e9'],
    ['size', '99999999999999999999'],
    ['mtime', 'now'],
    ['mtime', '1.2.3'],
    ['path', 'b\0c'],
    ['SCHILY.xattr.', ''],
    ['SCHILY.xattr.user.a\0b', ''],
    ['LIBARCHIVE.xattr.user.a%00b', 'YQ'],
    [`SCHILY.xattr.user.${'a'.repeat(255)}`, ''],
  ])('when it says %s=%s', (keyword, value) => {
    expect(thrownBy(() => read(pax({ [keyword]: value }), file))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });
});

it('an extended header that no entry follows means nothing, as to Docker, podman and umoci', () => {
  const last = pax({ path: 'b' });
  const read = [archive(last), last, archive(file, last)].map((tar) => readTar(tar).map(({ path }) => path));
  expect(read).toEqual([[], [], ['a']]);
});
