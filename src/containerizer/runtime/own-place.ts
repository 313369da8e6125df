import { closeSync, constants, fstatSync, lstatSync, openSync, readdirSync, rmSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { isProvisionerError, ProvisionerError, systemCode } from '../../base/errors.js';
import type { WayFaults } from '../../base/walk-way.js';
import { trustedWay } from '../../system/syscalls/trusted-way.js';

/**
 * A directory outside of the store that is ours alone, held: whatever becomes of its path, what is listed and removed is in it. Some lie where anybody may make a directory (`/dev/shm`), and whoever could put
 * one of his there, or a symlink, would have root remove what he likes.
 */
export class OwnPlace {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** Leads to it while it is held, in this process. */
  get path(): string {
    return `/proc/self/fd/${this.#descriptor}`;
  }

  names(): string[] {
    return readdirSync(this.path);
  }

  /** An entry with all that is in it; nothing there is no error. */
  remove(name: string): void {
    rmSync(join(this.path, name), { recursive: true, force: true });
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/**
 * Holds a directory that belongs to this user, is closed to all others, and that nobody else can have put in its place.
 * @param path absolute; a symlink at its end is not followed
 * @throws ProvisionerError `ERR_PERMISSION` for one that is not ours alone, and what is no directory; like Node's `fs`, `ENOENT` among others
 */
export function holdOwnPlace(path: string): OwnPlace {
  trustedWay(path, faultsOf(path));
  const descriptor = openUnfollowed(path);
  try {
    requireOwn(path, fstatSync(descriptor));
    return new OwnPlace(descriptor);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** What is in a place of ours, such as notes of launches; nothing where it is not there, or is not ours. @throws like Node's `fs` */
export function namesInOwnPlace(path: string): string[] {
  return inOwnPlace(path, (place) => place.names()) ?? [];
}

/** Removes an entry of a place of ours; what is somebody else's is left alone. @throws like Node's `fs` */
export function removeFromOwnPlace(path: string, name: string): void {
  // Mostly it has gone with the end of its program. To look at the way there takes as long as to remove it.
  if (isThere(join(path, name))) inOwnPlace(path, (place) => place.remove(name));
}

function inOwnPlace<T>(path: string, use: (place: OwnPlace) => T): T | undefined {
  let place: OwnPlace;
  try {
    place = holdOwnPlace(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || isProvisionerError(error, 'ERR_PERMISSION')) return undefined;
    throw error;
  }
  try {
    return use(place);
  } finally {
    place.close();
  }
}

function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '');
  }
}

function openUnfollowed(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ELOOP' || code === 'ENOTDIR') throw notOurs(path, 'it is no directory');
    throw error;
  }
}

function requireOwn(path: string, { uid, mode }: Stats): void {
  if (uid !== process.geteuid?.()) throw notOurs(path, `it belongs to uid ${uid}`);
  if ((mode & 0o077) !== 0) {
    throw notOurs(path, `others may enter it (mode ${(mode & 0o7777).toString(8).padStart(4, '0')})`);
  }
}

function faultsOf(path: string): WayFaults {
  return {
    foreign: (where, owner) => notOurs(path, `it lies ${where}, which belongs to uid ${owner}`),
    writable: (directory) => notOurs(path, `it lies in ${directory}, which others can write to`),
    dangling: (link) => notOurs(path, `it lies behind the symlink ${link}, which leads nowhere`),
  };
}

function notOurs(path: string, why: string): ProvisionerError {
  return new ProvisionerError('ERR_PERMISSION', `the directory ${path} is not ours alone: ${why}`, {
    hint: 'see who made it, and remove it',
    details: { path },
  });
}
