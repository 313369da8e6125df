import { accessSync, constants, lstatSync, readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../base/errors.js';
import { StorePaths } from '../paths.js';
import { makerOf, PROBE } from '../system/locks/process-identity.js';
import { TRIED } from './one-file-system.js';
import { trustedPath } from './trusted-path.js';

export interface FindStoreOptions {
  /** Whether a store is made where there is none. */
  readonly create: boolean;
  /** Whether one may be made in a directory that has other things in it. */
  readonly allowOtherFiles: boolean;
}

/** Why nothing can be written to a store. */
export interface ReadOnlyStore {
  /** A clause. */
  readonly reason: string;
  readonly hint: string;
}

/** What a file system has in its topmost directory when it is new. */
export const NEW_FILE_SYSTEM: ReadonlySet<string> = new Set(['lost+found']);

/**
 * Looks for a store, and changes nothing. One may be made where nothing is, in a directory that is empty or a new file system, and of what is left of one that was
 * not completed.
 *
 * | at the root                    | `create`          | else                   |
 * |--------------------------------|-------------------|------------------------|
 * | a store                        | found             | found                  |
 * | one without its `format`       | `ERR_STORE_DAMAGED` | `ERR_STORE_DAMAGED`  |
 * | inside of another store        | `ERR_STORE_NOT_FOUND` | `ERR_STORE_NOT_FOUND` |
 * | nothing, or an empty directory | to be made        | `ERR_STORE_NOT_FOUND`  |
 * | a directory with other things  | to be made where `allowOtherFiles`, else `ERR_STORE_NOT_FOUND` | `ERR_STORE_NOT_FOUND` |
 * | the same, in a directory called as one of a store is | `ERR_STORE_NOT_FOUND` | `ERR_STORE_NOT_FOUND` |
 *
 * @returns why it can only be read; undefined for one that can be written, or is to be made, or whose opening will tell what is the matter with it
 * @throws ProvisionerError `ERR_STORE_NOT_FOUND`, `ERR_STORE_DAMAGED`, `ERR_PERMISSION`, `ERR_IO`, `ERR_NO_DESCRIPTORS`
 */
export function findStore(paths: StorePaths, options: FindStoreOptions): ReadOnlyStore | undefined {
  try {
    const path = trustedPath(paths.root);
    if (lstatSync(paths.format, { throwIfNoEntry: false }) !== undefined) return readOnly(paths);
    const isBegun = [paths.metadata, paths.generation, paths.lock].some(isThere);
    if (isBegun) requireNoLayers(paths);
    if (options.create) requireOutsideOfStores(paths);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
      if (options.create) return undefined;
      throw notFound(paths, `there is no store at ${paths.root}`);
    }
    // Of one that was begun and not completed, the layers and containers have been looked at.
    requireOwnPlaces(paths, options);
    checkOthers(paths, readdirSync(path), options);
    return undefined;
  } catch (error) {
    // It is no directory, or not ours to look into: opening it says so.
    if (['EACCES', 'EPERM', 'ENOTDIR', 'ELOOP'].includes(systemCode(error) ?? '')) return undefined;
    throw fileError(error, 'look for the store', paths.root);
  }
}

/** A store gets its first layer after its format: without it nobody knows how its layers say that a file is gone, and one found out anew would show removed files. */
function requireNoLayers({ root, format, layers, containers }: StorePaths): void {
  const found = [layers, containers].find(isFilled);
  if (found === undefined) return;
  throw new ProvisionerError('ERR_STORE_DAMAGED', `${format} is missing, and there is something in ${found}`, {
    hint: `put that file back from a backup; or move what is at ${root} away, and pull the images again`,
    details: { path: format, found },
  });
}

/** What is in the directories of a store is that store's: what it does not know it takes away. */
function requireOutsideOfStores(paths: StorePaths): void {
  for (let below = paths.root, at = dirname(below); at !== below; below = at, at = dirname(at)) {
    const { format, metadata, own } = new StorePaths(at);
    if (own.includes(below) && [format, metadata].every(isThere))
      throw notFound(paths, `there is no store at ${paths.root}, and none can be made inside of the store ${at}`);
  }
}

/** Whether there is more in it than what one leaves who dies while he makes a store. */
function isFilled(directory: string): boolean {
  return namesIn(directory).some((name) => name !== TRIED && makerOf(name, PROBE) === undefined);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return [];
    throw error;
  }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}

function checkOthers(paths: StorePaths, names: readonly string[], { create, allowOtherFiles }: FindStoreOptions): void {
  const own = new Set(paths.own.map((entry) => basename(entry)));
  const found = names.find((name) => !own.has(name) && !NEW_FILE_SYSTEM.has(name));
  if (create && (found === undefined || allowOtherFiles)) return;
  if (found === undefined) throw notFound(paths, `there is no store in ${paths.root}`);
  const message = `${paths.root} is no store, and has other things in it (${found})`;
  if (!create) throw notFound(paths, message, { found });
  throw new ProvisionerError('ERR_STORE_NOT_FOUND', message, {
    hint: `a store has a directory of its own: choose one with --root, such as ${placeWithin(paths)}; or have it among these things with --allow-other-files, allowOtherFiles`,
    details: { path: paths.root, found },
  });
}

/**
 * Other programs have directories of these names, too: `/etc/containers` is Podman's. A store would take what is in them for its own, and take it away because no
 * record names it, so none is made there, whatever is allowed.
 */
function requireOwnPlaces(paths: StorePaths, { create }: FindStoreOptions): void {
  const { layers, containers, staging, gc, parked, launches } = paths;
  const found = [layers, containers, staging, gc, parked, launches].find(isFilled);
  if (found === undefined) return;
  const message = `${paths.root} is no store, and there is something in ${found}`;
  if (!create) throw notFound(paths, message, { found });
  throw new ProvisionerError('ERR_STORE_NOT_FOUND', `${message}, where a store would have its own`, {
    hint: `a store has a directory of its own: choose one with --root, such as ${placeWithin(paths)}`,
    details: { path: paths.root, found },
  });
}

function placeWithin({ root }: StorePaths): string {
  return `${root === '/' ? '' : root}/provisioner`;
}

function notFound(paths: StorePaths, message: string, details: { readonly found?: string } = {}): ProvisionerError {
  return new ProvisionerError('ERR_STORE_NOT_FOUND', message, {
    hint: 'check --root and PROVISIONER_ROOT; a store is made by `pull`, `load` and `provision`',
    details: { path: paths.root, ...details },
  });
}

/** As the kernel sees it, who knows of mounts, modes, capabilities and attributes. */
function readOnly(paths: StorePaths): ReadOnlyStore | undefined {
  for (const path of [paths.root, paths.metadata]) {
    try {
      accessSync(path, constants.W_OK);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'EROFS') {
        return {
          reason: `the file system of ${paths.root} is read-only`,
          hint: 'mount it for writing (`mount -o remount,rw …`); the kernel also makes it read-only after errors of the disk, see `dmesg`',
        };
      }
      if (code === 'EACCES' || code === 'EPERM') {
        return {
          reason: `this process may read ${path}, but not write it (${code})`,
          hint: `give its owner the right to write (\`chmod u+w ${path}\`; not what is in its layers), or clear its attribute \`i\` (\`lsattr -d ${path}\`)`,
        };
      }
    }
  }
  return undefined;
}
