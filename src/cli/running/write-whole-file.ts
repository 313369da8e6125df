import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import { isSameFile } from '../../base/file-identity.js';
import { behindOwnLinks, PlantedError } from '../../base/foreign-file.js';
import { absolutePath } from '../../base/working-directory.js';

/** What is written may hold what nobody else is to read, such as /etc/shadow. */
const MODE = 0o600;
const PERMISSIONS = 0o777;

/**
 * Writes a file of the user's, which is there when it is whole, or as it was before: a new one with mode 0600, another one with its mode and owner. A symlink of the user's is followed. What is no regular file,
 * such as a FIFO, is written as it is.
 * @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION` also for what somebody else has planted, `ERR_IO`, …; and whatever `content` does
 */
export async function writeWholeFile(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    const { path: place, stats } = behindOwnLinks(absolutePath(path));
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && !found.isFile()) await writeInto(path, found, content);
    else await replace(place, stats, content);
  } catch (error) {
    if (error instanceof PlantedError) throw planted(path, error);
    throw systemCode(error) === undefined ? error : fileError(error, 'write', path);
  }
}

/** @param found what is there, and no regular file */
async function writeInto(path: string, found: Stats, content: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_NOCTTY);
  try {
    if (!isSameFile(await file.stat(), found))
      throw new ProvisionerError(
        'ERR_PERMISSION',
        `cannot write ${path}: something else has taken its place meanwhile`,
        {
          details: { path },
        },
      );
    for await (const bytes of content) await file.writeFile(bytes);
  } finally {
    await file.close();
  }
}

/** @param before what is there; undefined for nothing */
async function replace(path: string, before: Stats | undefined, content: AsyncIterable<Uint8Array>): Promise<void> {
  const draft = join(dirname(path), `.${basename(path).slice(0, 200)}.${randomBytes(8).toString('hex')}`);
  try {
    const file = await open(draft, 'wx', MODE);
    try {
      for await (const bytes of content) await file.writeFile(bytes);
      if (before !== undefined) await keepOwnerAndMode(file, before);
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Only root can give a file away; for others it is theirs from now on. */
async function keepOwnerAndMode(file: FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  try {
    await file.chown(uid, gid);
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
  }
  await file.chmod(mode & PERMISSIONS);
}

function planted(path: string, { message, path: link, owner }: PlantedError): ProvisionerError {
  return new ProvisionerError('ERR_PERMISSION', `cannot write ${path}: ${message}, who would get what is written`, {
    hint: 'name a file in a directory of your own',
    details: { path: link, owner },
  });
}
