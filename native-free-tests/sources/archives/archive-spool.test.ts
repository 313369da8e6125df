import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { PassThrough, Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ArchiveInput, openPlainArchive } from '#src/sources/archives/archive-spool.js';
import { buildTar, zstd } from '../../helpers/image-builder.js';
import { inflateHere } from '../../helpers/inflate-here.js';
import { expectEmpty, expectSame, failure, useDirectory } from '../workbench.js';

const directory = useDirectory();
const TAR = buildTar([
  { path: 'a.txt', content: 'a'.repeat(300_000) },
  { path: 'b.txt', content: 'b' },
]);

const openFile = async (content: Buffer, name = 'archive') => {
  await writeFile(directory.join(name), content);
  return await openPlainArchive(
    { kind: 'file', path: directory.join(name) },
    { stagingDirectory: directory.staging, inflate: inflateHere },
  );
};
const openStream = (stream: Readable, signal?: AbortSignal) =>
  openPlainArchive({ kind: 'stream', stream }, { stagingDirectory: directory.staging, inflate: inflateHere, signal });
const chunks = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );

describe('a plain archive', () => {
  it('is used where it lies', async () => {
    const archive = await openFile(TAR);
    expect(archive.path).toBe(directory.join('archive'));
    await archive.close();
    expectSame(await readFile(archive.path), TAR);
    await expectEmpty(directory.staging);
  });
});

describe('a compressed archive is spooled, and gone when closed', () => {
  it.each([
    ['gzip', () => gzipSync(TAR)],
    [
      'gzip in several members',
      () => Buffer.concat([gzipSync(TAR.subarray(0, 70_000)), gzipSync(TAR.subarray(70_000))]),
    ],
    ['zstd', () => zstd(TAR)],
    ['zstd behind a skippable frame', () => Buffer.concat([Buffer.from('502a4d1804000000deadbeef', 'hex'), zstd(TAR)])],
  ])('%s', async (_kind, compress) => {
    const archive = await openFile(compress());
    expect(archive.path.startsWith(directory.staging)).toBe(true);
    expectSame(await readFile(archive.path), TAR);
    expect((await stat(archive.path)).mode & 0o777).toBe(0o600);
    await archive.close();
    await archive.close();
    await expectEmpty(directory.staging);
  });

  it.each([
    ['xz', 'fd377a585a000004'],
    ['bzip2', '425a6839314159265359'],
    ['bzip2', '425a683917724538509000000000'],
    ['lz4', '04224d1864407065'],
  ])('but %s is refused by name where no program undoes it', async (name, hex) => {
    vi.stubEnv('PATH', directory.path);
    const error = await failure(openFile(Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(600, 7)])));
    expect(error).toMatchObject({
      code: 'ERR_SOURCE_UNSUPPORTED',
      message: expect.stringContaining(name),
      hint: expect.stringContaining('decompress'),
    });
    vi.unstubAllEnvs();
  });
});

describe('a stream is spooled', () => {
  it.each([
    ['in one piece', [TAR]],
    ['byte by byte at first', [...chunks(TAR.subarray(0, 600), 1), TAR.subarray(600)]],
    ['in odd pieces', chunks(TAR, 777)],
    ['compressed', chunks(gzipSync(TAR), 100)],
    ['compressed to less than a block', [gzipSync(TAR)]],
    ['compressed with zstd, byte by byte', chunks(zstd(TAR), 1)],
  ])('%s', async (_how, pieces) => {
    const archive = await openStream(Readable.from(pieces));
    expectSame(await readFile(archive.path), TAR);
    await archive.close();
    await expectEmpty(directory.staging);
  });

  it('also from a pipe with a path', async () => {
    const path = directory.join('pipe');
    execFileSync('mkfifo', [path]);
    const input: ArchiveInput = { kind: 'file', path };
    const opening = openPlainArchive(input, { stagingDirectory: directory.staging, inflate: inflateHere });
    createWriteStream(path).end(gzipSync(TAR));
    const archive = await opening;
    expectSame(await readFile(archive.path), TAR);
    await archive.close();
  });
});

describe('what fails leaves nothing', () => {
  afterEach(async () => {
    await expectEmpty(directory.staging);
  });

  it('a caller who gives up before anything comes', async () => {
    const controller = new AbortController();
    const stream = new PassThrough();
    const opening = openStream(stream, controller.signal);
    setTimeout(() => controller.abort(), 20);
    expect((await failure(opening)).code).toBe('ERR_ABORTED');
    expect(stream.destroyed).toBe(true);
  });

  it('a caller who gives up while a stream has stalled in the middle', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const stream = new PassThrough();
    stream.write(TAR.subarray(0, 100_000));
    const opening = openStream(stream, controller.signal);
    while ((await readdir(directory.staging).catch(() => [])).length === 0)
      await new Promise((done) => setTimeout(done, 5));
    controller.abort(reason);
    expect(await failure(opening)).toMatchObject({ code: 'ERR_ABORTED', cause: reason });
    expect(stream.destroyed).toBe(true);
  });

  it('a caller who gives up at any moment', async () => {
    const compressed = gzipSync(
      Buffer.concat([TAR.subarray(0, -1024), buildTar([{ path: 'more', content: Buffer.alloc(8e6) }])]),
    );
    await writeFile(directory.join('big.gz'), compressed);
    for (let delay = 0; delay < 12; delay += 1) {
      const signal = AbortSignal.timeout(delay);
      const input: ArchiveInput = { kind: 'file', path: directory.join('big.gz') };
      try {
        const archive = await openPlainArchive(input, {
          stagingDirectory: directory.staging,
          inflate: inflateHere,
          signal,
        });
        await archive.close();
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_ABORTED' });
      }
      await expectEmpty(directory.staging);
    }
  });

  it('a stream that breaks', async () => {
    const stream = new PassThrough();
    stream.write(TAR.subarray(0, 100_000));
    const opening = openStream(stream);
    setTimeout(() => stream.destroy(new Error('the pipe broke')), 20);
    expect(await failure(opening)).toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining('the pipe broke'),
    });
  });

  it('a stream that is closed without an end', async () => {
    const stream = new PassThrough();
    stream.write(TAR.subarray(0, 100_000));
    const opening = openStream(stream);
    setTimeout(() => stream.destroy(), 20);
    expect((await failure(opening)).message).toContain('truncated');
  });

  it('a stream that was closed before', async () => {
    const stream = new PassThrough();
    stream.destroy();
    await once(stream, 'close');
    expect((await failure(openStream(stream))).code).toBe('ERR_IO');
  });

  it('an empty stream', async () => {
    expect(await failure(openStream(Readable.from([])))).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('empty'),
    });
  });

  it.each([
    ['gzip', gzipSync(TAR)],
    ['zstd', zstd(TAR)],
  ])('%s cut anywhere', async (_kind, compressed) => {
    const step = Math.ceil(compressed.length / 40);
    for (let length = 8; length < compressed.length; length += step) {
      const error = await failure(openFile(compressed.subarray(0, length)));
      expect(error, `cut at ${length}`).toMatchObject({ code: 'ERR_SOURCE_MALFORMED' });
      expect(error.message, `cut at ${length}`).toContain('truncated');
      await expectEmpty(directory.staging);
    }
  });

  it('damage in compressed data', async () => {
    const compressed = gzipSync(TAR);
    compressed.fill(0xff, 40, 80);
    expect((await failure(openFile(compressed))).code).toBe('ERR_SOURCE_MALFORMED');
  });

  it('something compressed that is no archive', async () => {
    expect((await failure(openFile(gzipSync(Buffer.alloc(5000, 'text'))))).message).toContain('not a tar file');
  });

  it('something plain that is no archive', async () => {
    expect((await failure(openFile(Buffer.alloc(5000, 'text')))).message).toContain('not a tar file');
    expect((await failure(openFile(Buffer.alloc(10240)))).message).toContain('holds nothing');
    expect((await failure(openFile(Buffer.from('short')))).message).toContain('not a tar file');
  });

  it('a disk that is too full', async () => {
    await writeFile(directory.join('a.gz'), gzipSync(TAR));
    const input: ArchiveInput = { kind: 'file', path: directory.join('a.gz') };
    const options = { stagingDirectory: directory.staging, inflate: inflateHere, freeSpaceReserve: 2 ** 60 };
    expect(await failure(openPlainArchive(input, options))).toMatchObject({
      code: 'ERR_NO_SPACE',
      hint: expect.stringContaining('where it lies'),
    });
  });

  it('a staging directory that cannot be made', async () => {
    await writeFile(directory.join('file'), '');
    const input: ArchiveInput = { kind: 'stream', stream: Readable.from([TAR]) };
    const error = await failure(
      openPlainArchive(input, { stagingDirectory: directory.join('file/staging'), inflate: inflateHere }),
    );
    expect(error.code).toBe('ERR_IO');
  });

  it('a path that is missing, or no file', async () => {
    const open = (path: string) =>
      openPlainArchive({ kind: 'file', path }, { stagingDirectory: directory.staging, inflate: inflateHere });
    await mkdir(directory.join('directory'));
    expect((await failure(open(directory.join('nowhere')))).code).toBe('ERR_SOURCE_NOT_FOUND');
    expect(await failure(open(directory.join('directory')))).toMatchObject({
      code: 'ERR_BAD_SOURCE',
      hint: expect.stringContaining(`provisioner pull oci:${directory.join('directory')}`),
    });
    expect((await failure(open('/dev/zero'))).code).toBe('ERR_BAD_SOURCE');
  });
});
