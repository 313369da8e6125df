import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { RootfsView } from '#src/containerizer/bundle/rootfs/rootfs-view.js';
import { archiveTree, type TreeArchiveOptions } from '#src/containerizer/files/archives/archive-tree.js';
import { extractTree } from '#src/containerizer/files/archives/extract-tree.js';
import { LeftOutList } from '#src/containerizer/files/archives/left-out-list.js';
import { sharedCopy } from '#src/containerizer/files/archives/shared-copy.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';
import type { Xattrs } from '#src/system/syscalls/tree-calls.js';
import type { TarEntry } from '#src/system/tar/tar-entry.js';
import { TarReader } from '#src/system/tar/tar-reader.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';
import { type RawEntry, rawTar } from './raw-archive.js';

const calls = new NativeFreeTreeCalls();
const OWN = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

let place: string;
let root: string;
const at = (path: string) => join(root, path);

beforeEach(() => {
  place = temporaryDirectory();
  root = join(place, 'root');
  mkdirSync(root);
  mkdirSync(join(place, 'outside'));
  writeFileSync(join(place, 'outside/secret'), 'secret');
});

async function collected(pieces: AsyncIterable<Buffer>): Promise<Buffer[]> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

async function archive(
  path: string,
  as: string,
  options: Partial<TreeArchiveOptions> = {},
  system: NativeFreeTreeCalls = calls,
): Promise<Buffer> {
  const view = new RootfsView(calls, root);
  const held = view.hold(path, { follow: false });
  try {
    const shown = (entry: string) => entry;
    return Buffer.concat(await collected(archiveTree(system, held, { as, shown, ...options })));
  } finally {
    held.directory.close();
    view.close();
  }
}

function entriesOf(tar: Buffer): (Pick<TarEntry, 'type' | 'path' | 'linkPath'> & { readonly data: string })[] {
  const entries: (Pick<TarEntry, 'type' | 'path' | 'linkPath'> & { data: string })[] = [];
  const reader = new TarReader({
    entry: ({ type, path, linkPath }) => void entries.push({ type, path, linkPath, data: '' }),
    data: (chunk, start, end) => {
      const last = entries.at(-1);
      if (last !== undefined) last.data += chunk.toString('latin1', start, end);
    },
    endEntry: () => undefined,
  });
  reader.push(tar);
  reader.end();
  return entries;
}

async function extract(tar: Iterable<Buffer> | Buffer, path = '/'): Promise<unknown> {
  const view = new RootfsView(calls, root);
  const held = view.hold(path);
  async function* pieces() {
    yield* Buffer.isBuffer(tar) ? [tar] : tar;
  }
  try {
    const options = { owner: OWN, shown: (entry: string) => entry, leftOut: new LeftOutList() };
    return await extractTree(calls, held.directory, pieces(), options);
  } finally {
    held.directory.close();
    view.close();
  }
}

/** As `cp` does: the archive is unpacked while it is made. */
async function copy(from: string, to: string, options: Partial<TreeArchiveOptions>, system: NativeFreeTreeCalls) {
  const view = new RootfsView(system, root);
  const [source, target] = [view.hold(from), view.hold(to)];
  const both = { shown: (entry: string) => entry, leftOut: new LeftOutList(), copy: sharedCopy() };
  try {
    const pieces = archiveTree(system, source, { as: 'copied', ...both, ...options });
    return await extractTree(system, target.directory, pieces, { owner: OWN, ...both });
  } finally {
    for (const { directory } of [source, target]) directory.close();
    view.close();
  }
}

/** Has holes at every other byte, as far as anybody is told. */
class HoledCalls extends NativeFreeTreeCalls {
  override fileStatus(descriptor: number) {
    return Object.create(super.fileStatus(descriptor), { disk: { value: 0 } });
  }
  override nextData(_descriptor: number, position: number, size: number) {
    const start = position + (position % 2);
    return start < size ? { start, end: start + 1 } : undefined;
  }
}

/** Each file has these attributes, and what is set is noted. */
class AttributedCalls extends NativeFreeTreeCalls {
  readonly set = new Map<string, string>();

  override fileXattrs(): Xattrs {
    const values = new Map([
      ['user.k=ey', 'val'],
      ['user.line\nbreak', 'b'],
      ['user.100%', 'c'],
    ]);
    return {
      list: () => [...values.keys()],
      get: (name) => Buffer.from(values.get(name) ?? ''),
      set: (name, value) => void this.set.set(name, Buffer.from(value).toString()),
      remove: () => undefined,
    };
  }
}

const refusal = (tar: Buffer, path?: string) =>
  extract(tar, path).then(
    () => 'none',
    (error) => `${error.code} ${error.message}`,
  );
/** All names below a directory, drafts too. */
const names = (directory: string) => readdirSync(directory, { recursive: true }).map(String).sort();

describe('an archive of a tree', () => {
  it('has each directory sorted, links as they are, and a second name of a file as a hard link', async () => {
    mkdirSync(at('d/b'), { recursive: true });
    writeFileSync(at('d/c'), 'content');
    linkSync(at('d/c'), at('d/z'));
    symlinkSync(join(place, 'outside/secret'), at('d/a'));
    expect(entriesOf(await archive('/d', 'top'))).toEqual([
      { type: 'directory', path: 'top/', linkPath: '', data: '' },
      { type: 'symlink', path: 'top/a', linkPath: join(place, 'outside/secret'), data: '' },
      { type: 'directory', path: 'top/b/', linkPath: '', data: '' },
      { type: 'file', path: 'top/c', linkPath: '', data: 'content' },
      { type: 'hardlink', path: 'top/z', linkPath: 'top/c', data: '' },
    ]);
    expect((await archive('/d', 'top')).equals(await archive('/d', 'top'))).toBe(true);
  });

  it('has of FIFOs and sockets what there is to tell, and opens neither', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    writeFileSync(at('file'), 'x');
    expect(entriesOf(await archive('/', '')).map(({ type, path }) => [type, path])).toEqual([
      ['file', 'file'],
      ['fifo', 'pipe'],
    ]);
  });

  it('keeps names to the byte, long ones and links of that kind too', async () => {
    const long = 'n'.repeat(200);
    mkdirSync(at(long));
    writeFileSync(at(`${long}/${long}`), '1');
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x41])]), '2');
    symlinkSync('ü'.repeat(90), at('link'));
    const entries = entriesOf(await archive('/', ''));
    expect(entries.map(({ path }) => path)).toEqual(['link', `${long}/`, `${long}/${long}`, '\xffA']);
    expect(Buffer.from(entries[0]?.linkPath ?? '', 'latin1').toString()).toBe('ü'.repeat(90));
  });

  it('leaves nothing out for its name, and not what was left of a copy that was killed either', async () => {
    const name = '.provisioner-0123456789abcdef';
    mkdirSync(at(name));
    writeFileSync(at(`${name}/x`), '');
    expect(entriesOf(await archive('/', '')).map(({ path }) => path)).toEqual([`${name}/`, `${name}/x`]);
  });

  it('remembers a file of several names by its directory, however deep that is, and no longer than until the last name', async () => {
    const deep = Array.from({ length: 12 }, () => 'd'.repeat(250)).join('/');
    mkdirSync(at(deep), { recursive: true });
    const [files, namesMax] = [300, 2 ** 17];
    for (let file = 0; file < files; file++) {
      writeFileSync(at(`${deep}/${file}`), '');
      linkSync(at(`${deep}/${file}`), at(`${deep}/${file}-again`));
    }
    expect(files * deep.length).toBeGreaterThan(4 * namesMax);
    const links = entriesOf(await archive('/', '', { namesMax })).filter(({ type }) => type === 'hardlink');
    expect(links.length).toBe(files);
    expect(links[0]).toMatchObject({ path: `${deep}/0-again`, linkPath: `${deep}/0` });
  });

  it.each([
    ['names in its directories', (file: number) => writeFileSync(at(`d/${file}`), '')],
    [
      'files of several names',
      (file: number) => {
        mkdirSync(at(`d/${file % 10}/${file}`), { recursive: true });
        writeFileSync(at(`d/${file % 10}/${file}/x`), '');
        linkSync(at(`d/${file % 10}/${file}/x`), join(place, `outside/${file}`));
      },
    ],
  ])('is refused for more %s than there is memory for', async (_, make) => {
    mkdirSync(at('d'));
    for (let file = 0; file < 200; file++) make(file);
    await expect(archive('/', '', { namesMax: 20_000 })).rejects.toMatchObject({
      code: 'ERR_FILE_TYPE',
      message: expect.stringContaining('20000 bytes'),
    });
    expect(entriesOf(await archive('/', '', { namesMax: 100_000 })).length).toBeGreaterThan(200);
  });

  it('is refused for a file with more holes than it has room for, rather than that it fills them', async () => {
    writeFileSync(at('file'), 'a.b.c.d');
    await expect(archive('/file', 'file', { stretchesMax: 3 }, new HoledCalls())).rejects.toMatchObject({
      code: 'ERR_FILE_TYPE',
      message: expect.stringContaining('more than 3 stretches'),
    });
    expect((await archive('/file', 'file', { stretchesMax: 4 }, new HoledCalls())).includes('abcd')).toBe(true);
  });

  it('leaves out attributes that it would give another name, and tells of it', async () => {
    writeFileSync(at('file'), '');
    const leftOut = new LeftOutList();
    const tar = (await archive('/', '', { leftOut }, new AttributedCalls())).toString();
    expect([tar.includes('user.100%=c'), tar.includes('user.k'), tar.includes('user.line')]).toEqual([
      true,
      false,
      false,
    ]);
    expect(leftOut.first).toEqual([{ path: 'file', what: 'attribute' }]);
  });

  it('is refused when a file becomes shorter while it is read', async () => {
    writeFileSync(at('file'), Buffer.alloc(2 ** 20, 'x'));
    const view = new RootfsView(calls, root);
    const held = view.hold('/');
    const pieces = archiveTree(calls, held, { as: '', shown: (entry) => entry });
    await pieces.next();
    truncateSync(at('file'), 10);
    await expect(collected(pieces)).rejects.toMatchObject({ code: 'ERR_FILE_CHANGED' });
    held.directory.close();
    view.close();
  });

  it('does not follow a directory that becomes a symlink, and leaves out what is gone', async () => {
    mkdirSync(at('a'));
    writeFileSync(at('a/file'), Buffer.alloc(2 ** 20));
    mkdirSync(at('b'));
    writeFileSync(at('c'), '');
    const view = new RootfsView(calls, root);
    const held = view.hold('/');
    const pieces = archiveTree(calls, held, { as: '', shown: (entry) => entry });
    const first = await pieces.next();
    renameSync(at('b'), at('moved'));
    symlinkSync(join(place, 'outside'), at('b'));
    renameSync(at('c'), at('gone'));
    const rest = await collected(pieces);
    held.directory.close();
    view.close();
    const entries = entriesOf(Buffer.concat([first.value as Buffer, ...rest]));
    expect(entries.map(({ type, path }) => [type, path])).toEqual([
      ['directory', 'a/'],
      ['file', 'a/file'],
      ['symlink', 'b'],
    ]);
  });
});

describe('a copy of a tree', () => {
  it('keeps all holes of a file, however many there are, and what comes before and behind it', async () => {
    mkdirSync(at('from'));
    for (const [name, content] of [
      ['a', '1'],
      ['file', '1.2.3.4.5.6.7.8.9.'],
      ['z', '1.2'],
    ] as const)
      writeFileSync(at(`from/${name}`), content);
    mkdirSync(at('to'));
    expect(await copy('/from', '/to', { stretchesMax: 2 }, new HoledCalls())).toMatchObject({ entries: 4, bytes: 12 });
    const copied = (name: string) => readFileSync(at(`to/copied/${name}`), 'latin1');
    expect([copied('a'), copied('file'), copied('z')]).toEqual([
      '1',
      '1\x002\x003\x004\x005\x006\x007\x008\x009\x00',
      '1\x002',
    ]);
    expect(names(at('to'))).toEqual(['copied', 'copied/a', 'copied/file', 'copied/z']);
  });

  it('keeps attributes of any name', async () => {
    writeFileSync(at('file'), '');
    mkdirSync(at('to'));
    const system = new AttributedCalls();
    expect(await copy('/file', '/to', {}, system)).toMatchObject({ entries: 1, leftOut: [] });
    expect([...system.set]).toEqual([
      ['user.100%', 'c'],
      ['user.k=ey', 'val'],
      ['user.line\nbreak', 'b'],
    ]);
  });

  it('ends when it goes into itself, and has what is called like its own drafts', async () => {
    mkdirSync(at('d/.provisioner-0123456789abcdef'), { recursive: true });
    writeFileSync(at('d/file'), 'x');
    expect(await copy('/d', '/d', {}, calls)).toMatchObject({ entries: 3 });
    expect(names(at('d/copied'))).toEqual(['.provisioner-0123456789abcdef', 'file']);
  });
});

describe('an archive that is unpacked', () => {
  it('becomes the same tree', async () => {
    mkdirSync(at('from/d'), { recursive: true });
    writeFileSync(at('from/d/file'), 'content', { mode: 0o640 });
    linkSync(at('from/d/file'), at('from/same'));
    symlinkSync('/nowhere', at('from/link'));
    mkdirSync(at('to'));
    const tar = await archive('/from', 'from');
    expect(await extract(tar, '/to')).toMatchObject({ entries: 5, bytes: 7 });
    expect(names(at('to'))).toEqual(['from', 'from/d', 'from/d/file', 'from/link', 'from/same']);
    expect(readlinkSync(at('to/from/link'))).toBe('/nowhere');
    expect(lstatSync(at('to/from/same')).ino).toBe(lstatSync(at('to/from/d/file')).ino);
    expect(lstatSync(at('to/from/d/file')).mode & 0o7777).toBe(0o640);
    // Byte by byte, in pieces of any size.
    mkdirSync(at('slow'));
    await extract(
      Array.from({ length: tar.length }, (_, index) => tar.subarray(index, index + 1)),
      '/slow',
    );
    expect(names(at('slow'))).toEqual(names(at('to')));
  });

  it('leaves directories that are there as they are, and replaces files in them', async () => {
    mkdirSync(at('d'), { mode: 0o711 });
    writeFileSync(at('d/file'), 'old');
    writeFileSync(at('d/other'), 'stays');
    const before = lstatSync(at('d/file')).ino;
    await extract(
      rawTar([
        { path: 'd/', mode: 0o777 },
        { path: 'd/file', content: 'new' },
      ]),
    );
    expect([readFileSync(at('d/file'), 'utf8'), readFileSync(at('d/other'), 'utf8')]).toEqual(['new', 'stays']);
    expect(lstatSync(at('d')).mode & 0o777).toBe(0o711);
    expect(lstatSync(at('d/file')).ino).not.toBe(before);
  });

  it.each<[string, RawEntry[], string]>([
    ['".." in a name', [{ path: 'a/../../outside/x', content: 'x' }], 'leads out with ".."'],
    [
      'a way over a symlink of its own',
      [
        { path: 'l', link: '../outside' },
        { path: 'l/secret', content: 'x' },
      ],
      'over a symlink',
    ],
    ['a way over a symlink that was there', [{ path: 'there/secret', content: 'x' }], 'over a symlink'],
    ['a directory where a symlink was', [{ path: 'there/' }], 'something else is there'],
    ['a hard link over a symlink', [{ path: 'x', hardLink: 'there/secret' }], 'without a symlink'],
    ['a hard link that leads out', [{ path: 'x', hardLink: '../outside/secret' }], 'leads out with ".."'],
    ['a file where a directory is', [{ path: 'kept', content: 'x' }], 'and one is there'],
  ])('is refused for %s, and leaves nothing', async (_, entries, why) => {
    symlinkSync(join(place, 'outside'), at('there'));
    mkdirSync(at('kept'));
    expect(await refusal(rawTar([{ path: 'first', content: '1' }, ...entries]))).toMatch(
      new RegExp(`^ERR_ARCHIVE_REFUSED .*${why}`),
    );
    expect(readdirSync(root).sort()).toEqual(['kept', 'there']);
    expect(names(join(place, 'outside'))).toEqual(['secret']);
    expect(readFileSync(join(place, 'outside/secret'), 'utf8')).toBe('secret');
  });

  it('means by an absolute name the same as by a relative one', async () => {
    await extract(rawTar([{ path: '/etc/x', content: 'inside' }]));
    expect(readFileSync(at('etc/x'), 'utf8')).toBe('inside');
  });

  it('may replace a symlink by a file, and writes nothing where it led', async () => {
    symlinkSync(join(place, 'outside/secret'), at('link'));
    await extract(rawTar([{ path: 'link', content: 'mine' }]));
    expect([lstatSync(at('link')).isFile(), readFileSync(join(place, 'outside/secret'), 'utf8')]).toEqual([
      true,
      'secret',
    ]);
  });

  it.each([
    ['it is cut in a file', (tar: Buffer) => tar.subarray(0, tar.length - 2048)],
    ['a header is damaged', (tar: Buffer) => tar.fill(7, 100, 120)],
    ['there is nothing in it', () => Buffer.alloc(0)],
    ['it is something else', () => Buffer.from('#!/bin/sh\n'.repeat(200))],
  ])('leaves no half file when %s', async (_, damage) => {
    const tar = rawTar([
      { path: 'd/one', content: '1' },
      { path: 'd/big', content: 'x'.repeat(5000) },
    ]);
    expect(await refusal(damage(tar))).toMatch(/^ERR_ARCHIVE_REFUSED /);
    expect(names(root)).toEqual([]);
  });

  it('keeps what it replaces until the new file is whole', async () => {
    mkdirSync(at('d'));
    writeFileSync(at('d/big'), 'old');
    const tar = rawTar([{ path: 'd/big', content: 'x'.repeat(5000) }]);
    expect(await refusal(tar.subarray(0, 2048))).toMatch(/^ERR_ARCHIVE_REFUSED /);
    expect([names(root), readFileSync(at('d/big'), 'utf8')]).toEqual([['d', 'd/big'], 'old']);
  });

  it('is given up when its caller gives up, although nothing more comes', async () => {
    const view = new RootfsView(calls, root);
    const abort = new AbortController();
    async function* halting() {
      yield rawTar([{ path: 'd/one', content: '1' }]).subarray(0, 1024);
      setImmediate(() => abort.abort());
      await new Promise(() => undefined);
    }
    const held = view.hold('/');
    const options = { owner: OWN, shown: (entry: string) => entry, leftOut: new LeftOutList(), signal: abort.signal };
    const given = extractTree(calls, held.directory, halting(), options);
    await expect(given).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(names(root)).toEqual([]);
    held.directory.close();
    view.close();
  });

  it('keeps the holes of a sparse file', async () => {
    execFileSync('sh', ['-c', 'truncate -s 64M big && printf end >> big && tar -cSf sparse.tar big'], { cwd: place });
    await extract(readFileSync(join(place, 'sparse.tar')));
    const { size, blocks } = lstatSync(at('big'));
    expect([size, blocks * 512 < 2 ** 20, existsSync(at('big'))]).toEqual([64 * 2 ** 20 + 3, true, true]);
  });
});
