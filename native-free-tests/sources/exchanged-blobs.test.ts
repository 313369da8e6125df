import { execFileSync } from 'node:child_process';
import { rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OciLayoutPuller } from '#src/sources/oci-layout.js';
import type { FileLocation } from '#src/sources/puller.js';
import { readStoredFile } from '#src/unpack/stored-file.js';
import { writeOciLayout } from '../helpers/image-builder.js';
import { AMD64, failure, labelledImage, useDirectory } from './workbench.js';

const directory = useDirectory();

/** The blob of a layer that was looked at, as a worker would read it later. */
async function lookedAt(): Promise<{ readonly location: FileLocation; readonly read: () => Promise<Buffer> }> {
  const layout = directory.join('layout');
  await writeOciLayout(layout, [{ image: labelledImage('a') }]);
  const offer = await new OciLayoutPuller(layout).open({ platform: AMD64 });
  const location = offer.images[0]?.layers[0]?.location as FileLocation;
  const read = async () => {
    const pieces: Buffer[] = [];
    for await (const piece of readStoredFile(location, new AbortController().signal)) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  };
  return { location, read };
}

describe('a blob of a layout that is exchanged after it was looked at', () => {
  it('is refused when it has become a named pipe, at once', async () => {
    const { location, read } = await lookedAt();
    await rm(location.path);
    execFileSync('mkfifo', [location.path]);
    expect(await failure(read())).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('named pipe'),
      hint: expect.any(String),
    });
  });

  it('is refused when it has become a link that leads out of the layout, or lies behind one', async () => {
    const { location, read } = await lookedAt();
    const outside = directory.join('outside');
    await rename(location.path, outside);
    await symlink(outside, location.path);
    expect(await failure(read())).toMatchObject({
      code: 'ERR_SOURCE_MALFORMED',
      message: expect.stringContaining('leads out'),
    });
    await rm(location.path);
    await rename(outside, location.path);
    const blobs = join(directory.join('layout'), 'blobs');
    await rename(blobs, directory.join('blobs'));
    await symlink(directory.join('blobs'), blobs);
    expect((await failure(read())).code).toBe('ERR_SOURCE_MALFORMED');
  });

  it('is read when it has become a link that stays inside', async () => {
    const { location, read } = await lookedAt();
    const before = await read();
    await rename(location.path, directory.join('layout/shared'));
    await symlink('../../shared', location.path);
    expect((await read()).equals(before)).toBe(true);
  });

  it('is refused when it has become shorter', async () => {
    const { location, read } = await lookedAt();
    await writeFile(location.path, 'short');
    expect((await failure(read())).code).toBe('ERR_LAYER_TRUNCATED');
  });
});
