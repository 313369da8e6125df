import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { inflatedArchive } from '#src/containerizer/files/archives/inflated-archive.js';
import { givenPieces } from '#src/containerizer/files/given-pieces.js';

const given = (source: AsyncIterable<unknown>, texts = true) => buffer(givenPieces(source, 'the archive', { texts }));

describe('what a caller hands over in pieces', () => {
  it('may be texts and bytes where both mean something', async () => {
    expect((await given(Readable.from(['ä', Buffer.from('b')]))).toString()).toBe('äb');
    await expect(given(Readable.from(['text']), false)).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: 'the archive that was given has a piece that is a string: there must be bytes',
    });
  });

  it('tells what it failed with, also when it has failed before it was read', async () => {
    const stream = new Readable({ read: () => undefined });
    const pieces = givenPieces(stream, 'the archive', { texts: false });
    stream.destroy(Object.assign(new Error('EIO: broken'), { code: 'EIO' }));
    await new Promise((resolve) => stream.once('close', resolve));
    await expect(buffer(pieces)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: 'the archive that was given cannot be read: EIO: broken',
    });
  });

  it('is let go when the reader has had enough', async () => {
    const stream = Readable.from([Buffer.from('a'), Buffer.from('b')]);
    for await (const _ of givenPieces(stream, 'the archive', { texts: false })) break;
    expect(stream.destroyed).toBe(true);
  });
});

describe('an archive that comes', () => {
  async function inflated(bytes: Buffer): Promise<Buffer> {
    const pieces: Buffer[] = [];
    const archive = inflatedArchive(Readable.from([bytes.subarray(0, 1), bytes.subarray(1)]));
    // Each is good until the next one is asked for.
    for await (const piece of archive) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  }

  it('is inflated when its first bytes say so, and else left as it is', async () => {
    const plain = Buffer.alloc(3_000_000, 'plain');
    expect((await inflated(gzipSync(plain))).equals(plain)).toBe(true);
    expect((await inflated(plain)).equals(plain)).toBe(true);
  });

  it('is refused with what to do when it is compressed otherwise', async () => {
    await expect(inflated(Buffer.from('\x1f\x9d compressed', 'latin1'))).rejects.toMatchObject({
      code: 'ERR_ARCHIVE_REFUSED',
      message: 'the archive is refused: it is compressed with compress, which cannot be undone here',
      hint: expect.stringContaining('gzip -dc FILE |'),
    });
  });
});
