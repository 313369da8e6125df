import { randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileError, systemCode } from '../../base/errors.js';

/**
 * Writes a file of the user's, which is there when it is whole, or as it was before. What is no regular file, such as a FIFO, is written as it is.
 * @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`, …; and whatever `content` does
 */
export async function writeWholeFile(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const place = await placeOf(path);
  const draft = join(dirname(place.path), `.${basename(place.path).slice(0, 200)}.${randomBytes(8).toString('hex')}`);
  const written = place.isReplaced ? draft : place.path;
  try {
    const file = await open(written, place.isReplaced ? 'wx' : 'w');
    try {
      for await (const bytes of content) await file.writeFile(bytes);
    } finally {
      await file.close();
    }
    if (place.isReplaced) await rename(draft, place.path);
  } catch (error) {
    if (place.isReplaced) await rm(draft, { force: true });
    throw systemCode(error) === undefined ? error : fileError(error, 'write', path);
  }
}

/** A symlink is followed: what it leads to is what is written. */
async function placeOf(path: string): Promise<{ readonly path: string; readonly isReplaced: boolean }> {
  try {
    const real = await realpath(path);
    return { path: real, isReplaced: (await stat(real)).isFile() };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return { path, isReplaced: true };
    throw fileError(error, 'write', path);
  }
}
