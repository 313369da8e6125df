import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  type Stats,
} from 'node:fs';
import { basename } from 'node:path';
import { ProvisionerError, systemCode } from '../base/errors.js';
import { makeDirectories } from '../files/tree/make-directories.js';
import type { StorePaths } from '../paths.js';
import { NEW_FILE_SYSTEM } from './find-store.js';
import { readFormat } from './store-format.js';
import { asUser, isWritableByOthers, octal, trustedPath, userName } from './trusted-path.js';

/** Bits of a mode that are not for the owner. */
const OTHERS = 0o077;

export interface RootOptions {
  /** It is only looked at, and stays as it is: what others could read of it they still can. Default: false. */
  readonly readOnly?: boolean;
}

/**
 * Opens the root directory of a store, making it when it is missing, and sees to it that it is this user's alone. All that works on the store later goes by
 * paths below it and trusts them, so this is where it is decided whether they may be trusted:
 *
 * - the way to the root cannot be changed by others (see `trustedPath`);
 * - the root and all that is the store's right below it belong to the effective user. Root, too, is refused on the store of somebody else, who could have
 *   put a symlink anywhere in it; git's `safe.directory` is the precedent;
 * - what is right below it is a directory or a file of its own, as it should be, and no symlink;
 * - others may not read, enter or write: what they could only read is closed to them; what they could have written is refused.
 *
 * With that nobody but this user can change what a path below the root means, so the rest of the product may open files there by path. Costs some 30 system
 * calls, well below a millisecond. Systems without user ids do without.
 * @param made is given the directories that are made, outermost first, also when it fails in the end
 * @throws ProvisionerError `ERR_PERMISSION`, `ERR_STORE_DAMAGED`, `ERR_IO`; else like Node's `fs`
 */
export function openRoot(paths: StorePaths, made: string[], { readOnly = false }: RootOptions = {}): void {
  const path = trustedPath(paths.root);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
    makeDirectories(path, made);
    // In a directory like /tmp somebody may have been quicker to make one on the way.
    trustedPath(paths.root);
  }
  if (process.geteuid === undefined) return;
  const before = closeRoot(paths, path, readOnly);
  for (const directory of paths.ownDirectories) closeEntry(directory, 'directory', before, readOnly);
  for (const file of paths.ownFiles) closeEntry(file, 'file', before, readOnly);
  // Somebody else's on purpose, who cannot get at it, and never written.
  const witness = lstatSync(paths.owners, { throwIfNoEntry: false });
  if (witness !== undefined) checkKind(paths.owners, witness, 'file');
}

/** @returns the root as it was */
function closeRoot(paths: StorePaths, path: string, readOnly: boolean): Stats {
  // Looked at before it is opened too, which somebody else's may not be.
  checkOwner(paths.root, lstatSync(path), `the store ${paths.root}`);
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    const status = fstatSync(descriptor);
    checkOwner(paths.root, status, `the store ${paths.root}`);
    if ((status.mode & OTHERS) !== 0) {
      checkContents(paths, path, status);
      if (!readOnly) fchmodSync(descriptor, withoutOthers(status));
    }
    return status;
  } finally {
    closeSync(descriptor);
  }
}

/** Before others are shut out of a directory: it must be a store's, or become one, and not be /tmp or a home directory. */
function checkContents(paths: StorePaths, path: string, status: Stats): void {
  const own = new Set(paths.own.map((entry) => basename(entry)));
  const names = readdirSync(path).filter((name) => !NEW_FILE_SYSTEM.has(name));
  const mode = octal(status);
  const foreign = names.find((name) => !own.has(name));
  // Not any file of that name makes a store.
  if (foreign !== undefined && readFormat(paths) === undefined) {
    throw new ProvisionerError(
      'ERR_PERMISSION',
      `${paths.root} is no store, has other things in it (${foreign}), and others may use it (mode ${mode})`,
      {
        hint: `a store has a directory of its own, which only its user may enter: choose one with --root, such as ${paths.root === '/' ? '' : paths.root}/provisioner; or close this one to others (\`chmod 700 ${paths.root}\`)`,
        details: { path: paths.root, mode, found: foreign },
      },
    );
  }
  if (names.length > 0 && isWritableByOthers(status)) {
    throw new ProvisionerError(
      'ERR_PERMISSION',
      `others can write to the store ${paths.root} (mode ${mode}), so what is in it may be theirs`,
      {
        hint: `look at what is in it; if all of that is the store's own, \`chmod 0700 ${paths.root}\``,
        details: { path: paths.root, mode },
      },
    );
  }
}

/** Right below the root. @param root as it was when the store was opened */
function closeEntry(path: string, kind: 'directory' | 'file', root: Stats, readOnly: boolean): void {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  checkOwner(path, status, path);
  checkKind(path, status, kind);
  if ((status.mode & OTHERS) === 0) return;
  if ((root.mode & 0o011) !== 0 && isWritableByOthers(status)) {
    const mode = octal(status);
    throw new ProvisionerError(
      'ERR_PERMISSION',
      `others can write to ${path} (mode ${mode}), so it may not be the store's own work`,
      {
        hint: `look at it; if it is as it should be, \`chmod go= ${path}\``,
        details: { path, mode },
      },
    );
  }
  if (readOnly) return;
  try {
    // Not opened for that: to close a file of SQLite's would drop the locks that this process has on it.
    chmodSync(path, withoutOthers(status));
  } catch (error) {
    // SQLite's companions go with the last process that has the records open.
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

function checkKind(path: string, status: Stats, kind: 'directory' | 'file'): void {
  if (kind === 'directory' ? status.isDirectory() : status.isFile()) return;
  const what = status.isSymbolicLink() ? 'a symlink' : status.isDirectory() ? 'a directory' : 'something else';
  throw new ProvisionerError('ERR_STORE_DAMAGED', `${path} is ${what}, where the store has a ${kind} of its own`, {
    hint: 'put it back as it was; to have a store elsewhere, move the whole of it, and leave a symlink in its place or name it with --root',
    details: { path },
  });
}

function checkOwner(path: string, { uid }: Stats, what: string): void {
  const us = process.geteuid?.();
  if (uid === us || us === undefined) return;
  const owner = userName(uid);
  throw new ProvisionerError('ERR_PERMISSION', `${what} belongs to ${owner}, and this process is ${userName(us)}`, {
    hint: `run it ${asUser(uid)}, or choose a store of your own with --root`,
    details: { path, owner: uid, user: us },
  });
}

function withoutOthers({ mode }: Stats): number {
  return mode & 0o7777 & ~OTHERS;
}
