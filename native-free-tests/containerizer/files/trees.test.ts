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
import { archiveTree } from '#src/containerizer/files/archives/archive-tree.js';
import { extractTree } from '#src/containerizer/files/archives/extract-tree.js';
import { LeftOutList } from '#src/containerizer/files/archives/left-out-list.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';
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

async function archive(path: string, as: string): Promise<Buffer> {
  const view = new RootfsView(calls, root);
  const held = view.hold(path, { follow: false });
  try {
    return Buffer.concat(await collected(archiveTree(calls, held, { as, shown: (entry) => entry })));
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
