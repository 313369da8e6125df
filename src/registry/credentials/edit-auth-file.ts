import { randomUUID } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileError, isProvisionerError, ProvisionerError, systemCode } from '../../base/errors.js';
import { foldKeys } from '../../base/fold-keys.js';
import { behindOwnLinks, NotRegularError, PlantedError, readForeignText } from '../../base/foreign-file.js';
import { ensureOwnDirectory, makeOwnFile } from '../../base/own-files.js';
import { absolutePath } from '../../base/working-directory.js';
import { badSetting } from '../registry-errors.js';
import type { AuthDocument } from './auth-entries.js';
import { AUTH_FILE_KEYS, parseAuthFile } from './auth-file.js';
import { withAuthFileLock } from './auth-file-lock.js';

/** So often it is begun anew when somebody who knows no lock has written the file meanwhile. */
const ATTEMPTS = 10;

/**
 * Changes an auth file, whole or not at all: the new one is written beside it, and takes its place by a rename. Its owner stays, nobody else may read it, and a symlink to it stays one. What
 * others write into it at the same time is not lost: those of us wait for each other, and when podman or Docker has written it, the change is made to what they wrote.
 * @param path made with its directory where it is missing
 * @param edit is given the whole document, `{}` of a file that is missing or empty; undefined leaves the file alone. It may be called more than once
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG` for a file that is damaged, or is none; `ERR_PERMISSION`, `ERR_NO_SPACE`, `ERR_READ_ONLY`, `ERR_IO`. The file is as it was
 */
export async function editAuthFile(
  path: string,
  signal: AbortSignal | undefined,
  edit: (document: AuthDocument) => AuthDocument | undefined,
): Promise<void> {
  try {
    const target = followLinks(absolutePath(path));
    ensureOwnDirectory(dirname(target));
    await withAuthFileLock(target, signal, async () => {
      for (let attempt = 1; ; attempt++) {
        const before = requireFile(target);
        const changed = edit(await readDocument(target));
        if (changed === undefined || replace(target, before, changed)) return;
        if (attempt === ATTEMPTS)
          throw badSetting(`${target} is written again and again by somebody else`, 'try again later', { path });
      }
    });
  } catch (error) {
    throw writeError(error, path);
  }
}

/** The document as it stands; `{}` of a file that is missing or empty. @throws as `editAuthFile` */
export async function readAuthDocument(path: string): Promise<AuthDocument> {
  try {
    const target = followLinks(absolutePath(path));
    requireFile(target);
    return await readDocument(target);
  } catch (error) {
    throw writeError(error, path);
  }
}

async function readDocument(path: string): Promise<AuthDocument> {
  let text: string;
  try {
    text = await readForeignText(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return {};
    throw error;
  }
  if (text.trim() === '') return {};
  parseAuthFile(text, path);
  return foldKeys(JSON.parse(text) as AuthDocument, AUTH_FILE_KEYS);
}

/** What is planted is no place for what nobody else is to read: whoever put it there would get it. */
function followLinks(path: string): string {
  try {
    return behindOwnLinks(path).path;
  } catch (error) {
    if (error instanceof PlantedError)
      throw badSetting(
        `${error.message}, who would get the credentials`,
        'name a file in a directory of your own, with --authfile or REGISTRY_AUTH_FILE',
        { path: error.path, owner: error.owner },
      );
    if (systemCode(error) !== 'ELOOP') throw error;
    throw badSetting(`${path} is a symbolic link that leads in circles`, 'remove it', { path });
  }
}

/** A device or a pipe would be replaced. @returns undefined where nothing is */
function requireFile(path: string): BigIntStats | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  if (stats === undefined || stats.isFile()) return stats;
  throw badSetting(
    `${path} is ${stats.isDirectory() ? 'a directory' : 'no regular file'}, where credentials cannot be written`,
    'name a file with --authfile or REGISTRY_AUTH_FILE',
    { path },
  );
}

/** @returns false when it is no longer what was read: nothing has changed then */
function replace(target: string, before: BigIntStats | undefined, document: AuthDocument): boolean {
  const draft = join(dirname(target), `.${basename(target)}.${randomUUID()}`);
  try {
    const descriptor = makeOwnFile(draft, 'wx');
    try {
      keepOwner(descriptor, before);
      // As podman and Docker lay it out.
      writeFileSync(descriptor, `${JSON.stringify(document, undefined, '\t')}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    if (!isUnchanged(before, statSync(target, { throwIfNoEntry: false, bigint: true }))) return false;
    renameSync(draft, target);
    return true;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Only root can give a file away; for others it is theirs from now on, as with Docker. */
function keepOwner(descriptor: number, before: BigIntStats | undefined): void {
  if (before === undefined) return;
  try {
    fchownSync(descriptor, Number(before.uid), Number(before.gid));
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
  }
}

function isUnchanged(before: BigIntStats | undefined, now: BigIntStats | undefined): boolean {
  if (before === undefined || now === undefined) return before === now;
  return (['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const).every((field) => before[field] === now[field]);
}

function writeError(error: unknown, path: string): ProvisionerError {
  if (isProvisionerError(error)) return error;
  if (error instanceof NotRegularError)
    return badSetting(`the auth file ${path}: ${error.message}`, 'name another one with --authfile', { path });
  const { code, message, details } = fileError(error, 'write the auth file', path);
  const hint =
    code === 'ERR_NO_SPACE'
      ? 'free some space, and log in again; what was in the file is still there'
      : 'check who owns it and its directory, or name another file with --authfile or REGISTRY_AUTH_FILE';
  return new ProvisionerError(code, message, { cause: error, hint, details });
}
