import { describe, expect, it } from 'vitest';
import { readOne, readTar, thrownBy } from '../helpers/layers.js';
import { archive, base256, entry, GNU, gnuLong, header, pax, USTAR, V7 } from '../helpers/raw-tar.js';

const read = (...parts: Uint8Array[]) => readOne(archive(...parts));

describe('the header of an entry', () => {
  it('says what the entry is like', () => {
    const fields = { name: 'a', mode: 0o4751, uid: 7, gid: 8, mtime: 1234567890 };
    expect(read(entry(fields, 'abc'))).toMatchObject({
      type: 'file',
      path: 'a',
      mode: 0o4751,
      uid: 7,
      gid: 8,
      modified: { seconds: 1234567890, nanoseconds: 0 },
      xattrs: undefined,
      data: Buffer.from('abc'),
    });
  });

  it.each([
    ['0', 'file'],
    ['\0', 'file'],
    ['7', 'file'],
    ['1', 'hardlink'],
    ['2', 'symlink'],
    ['3', 'character'],
    ['4', 'block'],
    ['5', 'directory'],
    ['6', 'fifo'],
  ])('of typeflag %j is a %s', (type, expected) => {
    expect(read(header({ name: 'a', linkName: 'b', type })).type).toBe(expected);
  });

  it('has a longer name when ustar gives a prefix', () => {
    expect(read(header({ name: 'n'.repeat(100), prefix: 'p'.repeat(155) })).path).toBe(
      `${'p'.repeat(155)}/${'n'.repeat(100)}`,
    );
  });

  it('has a shorter prefix in the format of star, which keeps times behind it', () => {
    const prefix = `${'p'.repeat(131)}`;
    const times = `${'7'.repeat(11)}\0${'7'.repeat(11)}\0`;
    const star = header({
      name: 'n',
      prefix,
      patches: [
        [476, times],
        [508, 'tar\0'],
      ],
    });
    expect(read(star).path).toBe(`${prefix}/n`);
  });

  it('has no prefix in the format of GNU, whose times stand there', () => {
    expect(read(header({ name: 'n', magic: GNU, prefix: '14000000000\x00' })).path).toBe('n');
  });

  it('has neither prefix nor devices in the format of Unix version 7', () => {
    expect(read(header({ name: 'n', magic: V7, prefix: 'p', major: 'junk', minor: 'junk' })).path).toBe('n');
  });

  it('describes a directory when a version 7 name ends with a slash', () => {
    expect(
      readTar(archive(header({ name: 'd/', type: '\0', magic: V7 }), entry({ name: 'd/f' }, 'abc'))),
    ).toMatchObject([
      { type: 'directory', path: 'd/' },
      { type: 'file', path: 'd/f' },
    ]);
  });

  it('does not describe a directory when only the first hundred bytes of a longer name end with a slash', () => {
    const name = `${'d'.repeat(99)}/file`;
    const cut = name.slice(0, 100);
    expect(read(pax({ path: name }), entry({ name: cut }, 'abc'))).toMatchObject({ type: 'file', path: name });
    expect(read(gnuLong('L', name), entry({ name: cut, magic: GNU }, 'abc'))).toMatchObject({
      type: 'file',
      path: name,
    });
  });

  it('may have bytes in its name that are no UTF-8', () => {
    expect(read(header({ name: '\xff\xfe/\x80' })).path).toBe('\xff\xfe/\x80');
  });

  it('may hold the type of the file in its mode, which is left out', () => {
    expect(read(header({ name: 'a', mode: 0o100644 })).mode).toBe(0o644);
  });

  it.each([
    ['spaces before it', '   1750 '],
    ['nothing behind it', '00001750'],
    ['two terminators', '01750\0 \0'],
    ['garbage behind a NUL', '1750\0xyz'],
  ])('may have a number with %s', (_what, uid) => {
    expect(read(header({ name: 'a', uid })).uid).toBe(0o1750);
  });

  it('may leave a number empty, which is zero', () => {
    expect(read(header({ name: 'a', uid: '\0', gid: '        ', mtime: '\0' }))).toMatchObject({ uid: 0, gid: 0 });
  });

  it('may have numbers in base 256', () => {
    const entry = read(header({ name: 'a', uid: 4294967294n, gid: 3000000n, mtime: 2n ** 40n }));
    expect(entry).toMatchObject({ uid: 4294967294, gid: 3000000, modified: { seconds: 2 ** 40 } });
  });

  it('has owners below zero as the same 32 bits, as a Mac has nobody', () => {
    expect(read(header({ name: 'a', uid: -2n, gid: -2n }))).toMatchObject({ uid: 4294967294, gid: 4294967294 });
    expect(read(pax({ uid: '-2', gid: '-101' }), header({ name: 'a' }))).toMatchObject({
      uid: 4294967294,
      gid: 4294967195,
    });
  });

  it.each([-1n, -(2n ** 32n), 2n ** 32n - 1n])('has no owner %s, which is nobody to the kernel', (uid) => {
    expect(thrownBy(() => read(header({ name: 'a', uid })))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });

  it('has times that nothing can keep as the nearest that can be counted', () => {
    const never = -(2n ** 63n);
    expect(read(header({ name: 'a', mtime: never })).modified.seconds).toBe(Number.MIN_SAFE_INTEGER);
    expect(read(header({ name: 'a', mtime: 2n ** 63n - 1n })).modified.seconds).toBe(Number.MAX_SAFE_INTEGER);
    const { modified } = read(pax({ mtime: `${never}.5` }), header({ name: 'a' }));
    expect(modified.seconds).toBe(Number.MIN_SAFE_INTEGER);
  });

  it('may have a time before 1970 in base 256', () => {
    expect(read(header({ name: 'a', mtime: -1n })).modified).toEqual({ seconds: -1, nanoseconds: 0 });
    expect(read(header({ name: 'a', mtime: -12345678901n })).modified).toEqual({
      seconds: -12345678901,
      nanoseconds: 0,
    });
  });

  it('may have a size in base 256', () => {
    expect(read(entry({ name: 'a', size: 3n }, 'abc')).data.toString()).toBe('abc');
  });

  it('may have been summed up with signed characters', () => {
    const block = header({ name: '\xff\xff' });
    let sum = 0;
    for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0x20 : block.readInt8(i);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    expect(read(block).path).toBe('\xff\xff');
  });

  it('has data only for what is a file, whatever the size says', () => {
    const types = ['1', '2', '3', '4', '5', '6'];
    const headers = types.map((type) => header({ name: `e${type}`, linkName: 'x', type, size: 1000 }));
    expect(readTar(archive(...headers)).map(({ path }) => path)).toEqual(types.map((type) => `e${type}`));
  });

  it("may have the listing of GNU's incremental directories behind it, which is passed over", () => {
    const directory = entry({ name: 'd/', type: 'D', magic: GNU }, 'Yfile\0Nother\0\0');
    expect(readTar(archive(directory, entry({ name: 'd/file' }, 'abc')))).toMatchObject([
      { type: 'directory', path: 'd/' },
      { type: 'file', path: 'd/file' },
    ]);
  });

  it('may be the label of a volume, which is no entry', () => {
    expect(readTar(archive(header({ name: 'label', type: 'V', magic: GNU }), entry({ name: 'a' })))).toMatchObject([
      { path: 'a' },
    ]);
  });

  it('is refused when its type is unknown', () => {
    expect(thrownBy(() => read(header({ name: 'a', type: 'M' })))).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });
});

describe('device numbers', () => {
  it('are read as they are up to what the kernel has bits for', () => {
    expect(read(header({ name: 'a', type: '3', major: 4095, minor: 1048575 })).device).toEqual({
      major: 4095,
      minor: 1048575,
    });
  });

  it.each([
    [4096, 0],
    [0, 1048576],
    [base256(-1n, 8), 0],
    [base256(2n ** 32n, 8), 0],
  ])('beyond that are refused, since the kernel would cut them to other devices', (major, minor) => {
    expect(thrownBy(() => read(header({ name: 'a', type: '3', major, minor })))).toMatchObject({
      code: 'ERR_LAYER_MALFORMED',
    });
  });

  it('of what is no device do not matter', () => {
    expect(read(header({ name: 'a', major: 99999 })).type).toBe('file');
  });
});

describe('the end of an archive', () => {
  it('is two blocks of zeros', () => {
    expect(readTar(Buffer.concat([archive(header({ name: 'a' })), header({ name: 'b' })]))).toHaveLength(1);
  });

  it('may be missing', () => {
    expect(readTar(header({ name: 'a', magic: USTAR }))).toHaveLength(1);
    expect(readTar(Buffer.concat([header({ name: 'a' }), Buffer.alloc(512)]))).toHaveLength(1);
  });

  it('may come at once', () => {
    expect(readTar(archive())).toEqual([]);
    expect(readTar(Buffer.alloc(0))).toEqual([]);
  });
});
