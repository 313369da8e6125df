import { execFileSync } from 'node:child_process';
import { link, mkdir, truncate, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ArchiveIndex } from '#src/sources/archives/archive-index.js';
import { readTarMembers } from '#src/sources/archives/tar-members.js';
import { readLocation } from '#src/sources/blob-access.js';
import type { FileLocation } from '#src/sources/puller.js';
import { readStoredFile } from '#src/unpack/stored-file.js';
import { buildTar, type Entry } from '../../helpers/image-builder.js';
import { archive, entry, header, oldSparse, pax, sparseMapBlocks } from '../../helpers/raw-tar.js';
import { failure, useDirectory } from '../workbench.js';

const directory = useDirectory();

const read = async (content: Buffer | readonly Entry[], signal?: AbortSignal): Promise<ArchiveIndex> => {
  const bytes = Buffer.isBuffer(content) ? content : buildTar(content as readonly Entry[]);
  await writeFile(directory.join('a.tar'), bytes);
  return await ArchiveIndex.read(directory.join('a.tar'), 'the archive', signal);
};

const MEMBERS: readonly Entry[] = [
  { path: 'a.txt', content: 'a'.repeat(1200) },
  { path: 'b.txt', content: 'b' },
  { path: 'dir/' },
  { path: 'c.txt', content: 'c'.repeat(500) },
];

/** Whether a member of these, with the headers that belong to it, ends there. */
function betweenMembers(whole: Buffer, length: number): boolean {
  const ends = MEMBERS.map((_, at) => buildTar(MEMBERS.slice(0, at + 1), { endBlocks: 0 }).length);
  return length < whole.length && ends.includes(length);
}

it('links that lead on and on to ever longer paths are refused, and not followed for minutes', async () => {
  const long = Array.from({ length: 1500 }, () => 'a').join('/');
  const entries: Entry[] = [];
  let name = '';
  for (let depth = 0; depth < 10; depth++) {
    name = `${name}/L`.replace(/^\//, '');
    entries.push({ path: name, type: 'symlink', target: long });
  }
  for (let file = 0; file < 100; file++) entries.push({ path: `${name}/${file}`, content: 'x' });
  const started = performance.now();
  expect(await failure(read(entries))).toMatchObject({ code: 'ERR_SOURCE_MALFORMED', message: /too long/ });
  expect(performance.now() - started).toBeLessThan(2000);
});

describe('the index of an archive', () => {
  it('says where the bytes of each file lie', async () => {
    const tar = buildTar([
      { path: 'a.txt', content: 'first' },
      { path: 'dir/' },
      { path: 'dir/b.txt', content: 'x'.repeat(1000) },
      { path: 'empty' },
      { path: 'c.txt', content: 'last' },
    ]);
    const index = await read(tar);
    const content = (name: string) => {
      const location = index.find(name);
      return location && tar.toString('utf8', location.offset, location.offset + location.size);
    };
    expect(['a.txt', 'dir/b.txt', 'empty', 'c.txt', 'nothing'].map(content)).toEqual([
      'first',
      'x'.repeat(1000),
      '',
      'last',
      undefined,
    ]);
  });

  it.each(['./a/b', 'a//b', '/a/b', 'a/./b'])('knows %s as a/b', async (path) => {
    const index = await read([{ path, content: 'x' }]);
    expect(index.has('a/b')).toBe(true);
    expect(index.find('./a/b')?.size).toBe(1);
  });

  it('keeps the last of two members with one name', async () => {
    const index = await read([
      { path: 'a', content: 'old' },
      { path: './a', content: 'newer' },
    ]);
    expect(index.find('a')?.size).toBe(5);
  });

  it('knows long names and names beyond ASCII', async () => {
    const long = `${'directory/'.repeat(40)}file`;
    const index = await read([
      { path: long, content: '1' },
      { path: 'ünïcode', content: '22' },
    ]);
    expect([index.find(long)?.size, index.find('ünïcode')?.size]).toEqual([1, 2]);
  });

  it.each(['gnu', 'pax', 'ustar'])('reads what tar --format=%s writes', async (format) => {
    const directoryName = 'n'.repeat(80);
    // Old headers have room for 100 characters of a link.
    const name = `${directoryName}/${'m'.repeat(format === 'ustar' ? 19 : 90)}`;
    const second = `${directoryName}/${'o'.repeat(90)}`;
    await mkdir(directory.join(directoryName));
    await writeFile(directory.join(name), 'content');
    await writeFile(directory.join(second), 'second');
    await link(directory.join(name), directory.join('hard'));
    const create = ['-C', directory.path, `--format=${format}`, '-cf', directory.join('t.tar')];
    execFileSync('tar', [...create, name, second, 'hard']);
    const index = await ArchiveIndex.read(directory.join('t.tar'), 'the archive');
    expect([name, second, 'hard'].map((wanted) => index.find(wanted)?.size)).toEqual([7, 6, 7]);
  });

  it('takes names from the extended header alone when there is one', async () => {
    const tar = buildTar([
      { path: 'real', content: 'x' },
      { path: 'short', type: 'hardlink', target: 'wrong', pax: { path: 'long', linkpath: 'real' } },
    ]);
    // An old prefix, such as some programs leave beside the extended header.
    const header = tar.subarray(2048, 2560);
    header.write('prefix', 345);
    fixChecksum(header);
    const index = await read(tar);
    expect([index.has('long'), index.has('prefix/long'), index.find('long')?.size]).toEqual([true, false, 1]);
  });

  it('reads sizes that an extended header states', async () => {
    const index = await read([
      { path: 'a', content: '12345', pax: { size: '5' } },
      { path: 'b', content: 'x' },
    ]);
    expect(index.find('b')?.size).toBe(1);
  });
});

it('a member of a kind that nobody knows is passed over', async () => {
  const tar = buildTar([
    { path: 'odd', content: 'x'.repeat(700) },
    { path: 'b', content: 'x' },
  ]);
  tar.write('N', 156);
  fixChecksum(tar);
  const index = await read(tar);
  expect([index.has('odd'), index.find('b')?.size]).toEqual([false, 1]);
});

describe('an archive whose writer was not closed', () => {
  it('has what was written whole, without an end mark', async () => {
    const whole = buildTar(MEMBERS);
    const cuts = Array.from({ length: whole.length / 512 }, (_, at) => at * 512).filter((at) =>
      betweenMembers(whole, at),
    );
    expect(cuts).toHaveLength(MEMBERS.length);
    for (const [at, cut] of cuts.entries()) {
      const index = await read(whole.subarray(0, cut));
      const written = MEMBERS.map(({ path }) => index.has(path.replace(/\/$/, '')));
      expect(written).toEqual(MEMBERS.map((_, of) => of <= at));
    }
  });

  it.each([512, 1024])('may have %i bytes of its end mark', async (length) => {
    const whole = buildTar(MEMBERS);
    expect((await read(whole.subarray(0, whole.length - 1024 + length))).find('c.txt')?.size).toBe(500);
  });

  it('may lack the padding of the last member', async () => {
    const whole = buildTar([{ path: 'a.txt', content: 'a'.repeat(1200) }]);
    expect((await read(whole.subarray(0, 512 + 1200))).find('a.txt')?.size).toBe(1200);
  });
});

describe('links in an archive', () => {
  it('lead to the file, hard ones from the top and symbolic ones from where they are', async () => {
    const index = await read([
      { path: 'one/layer.tar', content: 'layer' },
      { path: 'two/layer.tar', type: 'symlink', target: '../one/layer.tar' },
      { path: 'three/layer.tar', type: 'hardlink', target: 'one/layer.tar' },
      { path: 'four/layer.tar', type: 'symlink', target: '../two/./layer.tar' },
    ]);
    const offsets = ['one', 'two', 'three', 'four'].map((name) => index.find(`${name}/layer.tar`)?.offset);
    expect(offsets).toEqual([512, 512, 512, 512]);
  });

  it('to nothing are nothing', async () => {
    expect((await read([{ path: 'a', type: 'symlink', target: 'b' }])).find('a')).toBeUndefined();
  });

  it.each(['../../etc/passwd', '/etc/passwd', '/../x/../etc/passwd'])(
    'that would lead out stay inside, as in a chroot: a symlink to %s',
    async (target) => {
      const link = { path: 'dir/a', type: 'symlink', target } as const;
      expect((await read([link])).find('dir/a')).toBeUndefined();
      expect((await read([link, { path: 'etc/passwd', content: 'inside' }])).find('dir/a')?.size).toBe(6);
    },
  );

  it('that are hard and lead out are refused', async () => {
    const index = await read([{ path: 'dir/a', type: 'hardlink', target: '../etc/passwd' }]);
    expect(await failure(() => index.find('dir/a'))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('leads out'),
    });
  });

  it('may stand in the place of directories, one through the other, and be written through', async () => {
    const index = await read([
      { path: 'real/', type: 'directory' },
      { path: 'real/layer.tar', content: 'layer' },
      { path: 'whole', type: 'symlink', target: 'real' },
      { path: 'deep/er', type: 'symlink', target: '../whole/.' },
      { path: 'whole/written', content: 'through' },
      { path: 'hard', type: 'hardlink', target: 'deep/er/written' },
      { path: 'deep/file', type: 'symlink', target: '/deep/er/layer.tar' },
    ]);
    const size = (name: string) => index.find(name)?.size;
    expect(['whole/layer.tar', 'deep/er/layer.tar', 'deep/file', './deep//er/./layer.tar'].map(size)).toEqual([
      5, 5, 5, 5,
    ]);
    expect(['real/written', 'whole/written', 'hard'].map(size)).toEqual([7, 7, 7]);
    expect([index.has('whole/layer.tar'), index.has('whole'), index.has('real/none')]).toEqual([true, true, false]);
  });

  it('that are replaced lead to where the later one does', async () => {
    const index = await read([
      { path: 'one/a', content: '1' },
      { path: 'two/a', content: '22' },
      { path: 'link', type: 'symlink', target: 'one' },
      { path: './link', type: 'symlink', target: 'two' },
    ]);
    expect(index.find('link/a')?.size).toBe(2);
  });

  it('cannot take much time, however many there are and wherever they lead', async () => {
    const long = 'x/../'.repeat(180);
    const links = Array.from(
      { length: 15 },
      (_, at): Entry => ({
        path: `l${at}`,
        type: 'symlink',
        target: `${long}${at === 0 ? 'd' : `l${at - 1}`}`,
        pax: {},
      }),
    );
    const members = Array.from({ length: 20_000 }, (_, at): Entry => ({ path: `l14/${at}` }));
    const start = process.cpuUsage();
    expect(await failure(read([...links, ...members]))).toMatchObject({ code: 'ERR_SOURCE_MALFORMED' });
    const short = Array.from(
      { length: 15 },
      (_, at): Entry => ({
        path: `s${at}`,
        type: 'symlink',
        target: `${'x/../'.repeat(40)}${at === 0 ? 'd' : `s${at - 1}`}`,
      }),
    );
    const below = Array.from({ length: 20_000 }, (_, at): Entry => ({ path: `s14/${at}` }));
    expect(await failure(read([...short, ...below]))).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED' });
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(10);
  });

  it('that lead round in circles are refused', async () => {
    const index = await read([
      { path: 'a', type: 'symlink', target: 'b' },
      { path: 'b', type: 'hardlink', target: 'a' },
    ]);
    expect((await failure(() => index.find('a'))).message).toContain('circles');
  });

  it('to a directory are no file', async () => {
    const index = await read([{ path: 'dir/' }, { path: 'a', type: 'symlink', target: 'dir' }]);
    expect((await failure(() => index.find('a'))).message).toContain('not a file');
  });
});

describe('what cannot be indexed is refused', () => {
  it.each(['../a', 'a/../b', 'a/..', '/../a'])('a member called %s', async (path) => {
    expect(await failure(read([{ path }]))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('leads out'),
    });
  });

  it('and a caller who asks for such a name', async () => {
    const index = await read([{ path: 'a' }]);
    expect((await failure(() => index.find('../a'))).code).toBe('ERR_SOURCE_MALFORMED');
  });

  it('an archive cut anywhere inside of a member', async () => {
    const whole = buildTar(MEMBERS);
    for (let length = whole.length - 1024 - 512; length > 0; length -= 512) {
      if (betweenMembers(whole, length)) continue;
      expect(await failure(read(whole.subarray(0, length))), `cut at ${length}`).toMatchObject({
        code: 'ERR_SOURCE_MALFORMED',
        message: expect.stringContaining('truncated'),
        hint: expect.stringContaining('again'),
      });
    }
  });

  it('an archive cut inside of an extended header', async () => {
    const whole = buildTar([{ path: `${'long/'.repeat(400)}b.txt`, content: 'b' }]);
    for (const length of [512, 1024, 2048])
      expect((await failure(read(whole.subarray(0, length)))).message, `cut at ${length}`).toContain('truncated');
  });

  it('an archive cut in the middle of a block', async () => {
    const whole = buildTar([{ path: 'a.txt', content: 'a'.repeat(1200) }]);
    for (const length of [1, 511, 513, 1000, 1711]) {
      expect((await failure(read(whole.subarray(0, length)))).message, `cut at ${length}`).toMatch(
        /truncated|malformed/,
      );
    }
  });

  it('an empty file', async () => {
    expect(await failure(read(Buffer.alloc(0)))).toMatchObject({ code: 'ERR_SOURCE_MALFORMED' });
  });

  it('a file that is something else', async () => {
    expect((await failure(read(Buffer.alloc(2048, 'text ')))).message).toContain('not a tar file');
  });

  it('a header with a changed bit', async () => {
    const tar = buildTar([{ path: 'a' }, { path: 'b' }]);
    tar[512] = (tar[512] ?? 0) ^ 1;
    expect((await failure(read(tar))).message).toContain('byte 512');
  });

  it('a member behind a single block of zeros, which other programs would not see', async () => {
    const tar = Buffer.concat([buildTar([{ path: 'a' }], { endBlocks: 1 }), buildTar([{ path: 'hidden' }])]);
    expect((await failure(read(tar))).message).toContain('block of zeros');
  });

  it('a size that no file can have', async () => {
    for (const size of ['9007199254740993', '1e300', '0.5', '4e9']) {
      const tar = buildTar([{ path: 'a', content: '12345', pax: { size } }]);
      expect((await failure(read(tar))).code, size).toBe('ERR_SOURCE_MALFORMED');
    }
  });

  it('a number that is out of range', async () => {
    const tar = buildTar([{ path: 'a' }]);
    tar.fill(0xff, 124, 136);
    tar[124] = 0x80;
    fixChecksum(tar);
    expect((await failure(read(tar))).code).toBe('ERR_SOURCE_MALFORMED');
  });

  it('an archive that somebody makes shorter while it is read', async () => {
    const tar = buildTar([{ path: 'a', content: 'x'.repeat(600) }, { path: 'b' }]);
    const cut = async (position: number, length: number) => tar.subarray(position, Math.min(position + length, 1024));
    const members = readTarMembers(cut, tar.length, 'the archive');
    const all = (async () => {
      for await (const { name } of members) expect(name).toBe('a');
    })();
    expect(await failure(all)).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('ends at byte'),
    });
  });

  it.each([
    ['volume labels', 'V'],
    ['extended headers', 'x'],
    ['global headers', 'g'],
  ])('more %s than any archive has', async (_, type) => {
    const [header = Buffer.alloc(0)] = [buildTar([{ path: 'a' }], { endBlocks: 0 })];
    header.write(type, 156);
    fixChecksum(header);
    const endless = async () => header;
    const members = readTarMembers(endless, Number.MAX_SAFE_INTEGER, 'the archive');
    expect((await failure(members.next())).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('a sparse map that stands for all members, each of which would pay for it', async () => {
    const map = Array.from({ length: 200_000 }, () => 0).join(',');
    const global = pax({ 'GNU.sparse.size': '0', 'GNU.sparse.map': map }, 'g');
    const tar = archive(global, ...Array.from({ length: 2_000 }, (_, index) => entry({ name: `f${index}` })));
    const start = process.cpuUsage();
    expect((await read(tar)).has('f1999')).toBe(true);
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(2);
  });

  it('an extended header of two megabytes', async () => {
    const error = await failure(read([{ path: 'a', pax: { comment: 'x'.repeat(2 * 1024 * 1024) } }]));
    expect(error.code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('a name of a thousand characters and more', async () => {
    expect((await failure(read([{ path: 'a'.repeat(1025) }]))).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('more members than any archive of images has', async () => {
    const [header] = [buildTar([{ path: 'a' }], { endBlocks: 0 })];
    const tar = Buffer.concat([
      ...Array.from({ length: 100_001 }, () => header ?? Buffer.alloc(0)),
      Buffer.alloc(1024),
    ]);
    expect((await failure(read(tar))).code).toBe('ERR_LIMIT_EXCEEDED');
  });
});

it('the top itself may be a member, however it is called', async () => {
  for (const path of ['./', '/', '.', '']) {
    const index = await read(archive(header({ name: path, type: '5' }), entry({ name: './a' }, 'x')));
    expect([index.find('a')?.size, index.has('a')]).toEqual([1, true]);
  }
});

describe('a sparse member', () => {
  const size = 3 * 1024 * 1024;
  const pieces = [
    [0, 5],
    [1024 * 1024, 600],
    [size - 1, 1],
  ] as const;
  const data = Buffer.concat([Buffer.alloc(5, 'a'), Buffer.alloc(600, 'b'), Buffer.alloc(1, 'c')]);
  const whole = Buffer.alloc(size);
  whole
    .fill('a', 0, 5)
    .fill('b', 1024 * 1024, 1024 * 1024 + 600)
    .fill('c', size - 1);
  const attributes = { 'GNU.sparse.name': 'a', 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' };
  const written = { name: 'GNUSparseFile.0/a' };
  const forms: Record<string, Buffer> = {
    'of old': oldSparse({ name: 'a' }, size, pieces, data),
    '0.1': Buffer.concat([
      pax({ 'GNU.sparse.name': 'a', 'GNU.sparse.size': `${size}`, 'GNU.sparse.map': pieces.flat().join(',') }),
      entry(written, data),
    ]),
    '1.0': Buffer.concat([
      pax({ ...attributes, 'GNU.sparse.realsize': `${size}` }),
      entry(written, Buffer.concat([sparseMapBlocks(pieces), data])),
    ]),
  };

  it.each(Object.keys(forms))(
    'is read with its holes, as a layer and as a document, in the format %s',
    async (form) => {
      const index = await read(archive(forms[form] as Buffer, entry({ name: 'b' }, 'x')));
      expect(index.find('b')).toMatchObject({ size: 1 });
      const location = index.find('a');
      if (location === undefined) throw new Error('it is not there');
      expect(location.size).toBe(size);
      const stored: Buffer[] = [];
      for await (const piece of readStoredFile(location, new AbortController().signal)) stored.push(Buffer.from(piece));
      expect(Buffer.concat(stored).equals(whole)).toBe(true);
      expect((await readLocation(location, 'a')).equals(whole)).toBe(true);
    },
  );

  it('may be one hole, or empty', async () => {
    for (const length of [0, 70_000]) {
      const index = await read(archive(oldSparse({ name: 'a' }, length, [], Buffer.alloc(0))));
      const location = index.find('a');
      expect(location && (await readLocation(location, 'a')).equals(Buffer.alloc(length))).toBe(true);
    }
  });

  it('counts as large as it is, with its holes', async () => {
    const index = await read(archive(oldSparse({ name: 'a' }, 2 ** 32, [], Buffer.alloc(0))));
    expect(index.find('a')?.size).toBe(2 ** 32);
  });

  it('whose data is cut off meanwhile is told', async () => {
    const index = await read(archive(forms['of old'] as Buffer));
    const location = index.find('a');
    await truncate(directory.join('a.tar'), 600);
    await expect(readLocation(location as FileLocation, 'a')).rejects.toMatchObject({ code: 'ERR_SOURCE_MALFORMED' });
    const all = async () => {
      for await (const _ of readStoredFile(location as FileLocation, new AbortController().signal));
    };
    await expect(all()).rejects.toMatchObject({ code: 'ERR_LAYER_TRUNCATED' });
  });

  it.each([
    [
      'overlapping',
      [
        [0, 10],
        [5, 10],
      ],
      20,
    ],
    [
      'out of order',
      [
        [512, 10],
        [0, 10],
      ],
      20,
    ],
    ['beyond the end', [[size, 20]], 20],
    ['of another length than the data', [[0, 30]], 20],
  ] as const)('with pieces that are %s is refused', async (_what, map, length) => {
    const tar = archive(oldSparse({ name: 'a' }, size, map as never, Buffer.alloc(length)));
    expect((await failure(read(tar))).code).toBe('ERR_SOURCE_MALFORMED');
  });
});

it('a caller who gives up is heard between headers', async () => {
  expect((await failure(read([{ path: 'a' }], AbortSignal.abort()))).code).toBe('ERR_ABORTED');
});

it('bodies are not read: an archive of a terabyte is indexed at once', async () => {
  const size = 2 ** 40;
  const head = buildTar([{ path: 'huge', pax: { size: String(size) } }], { endBlocks: 0 });
  await writeFile(directory.join('a.tar'), head);
  await truncate(directory.join('a.tar'), head.length + size + 1024);
  const index = await ArchiveIndex.read(directory.join('a.tar'), 'the archive');
  expect(index.find('huge')).toMatchObject({ offset: head.length, size });
});

function fixChecksum(block: Buffer): void {
  block.fill(' ', 148, 156);
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}
