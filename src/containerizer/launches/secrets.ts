import { chmodSync, closeSync, fstatSync, lstatSync, openSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import { ensureOwnDirectory, makeOwnDirectory } from '../../base/own-files.js';
import type { MountSpec } from '../launch-spec.js';
import type { OciRuntime } from '../runtime/oci-runtime.js';
import { holdOwnPlace } from '../runtime/own-place.js';

/** Where a program finds its secrets, as with Docker and podman. */
const TARGET = '/run/secrets';
/** Bytes of a secret: keys and passwords, not data. */
const LONGEST = 512 * 1024;
/** What holds the notes of runtimes. */
const NOTES = '/run';
const SHARED_MEMORY = '/dev/shm';
/** @see statfs(2), TMPFS_MAGIC and RAMFS_MAGIC */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];

/** Where the secrets of a launch lie while it runs: in memory, and closed to all but root. */
export const secretsOf = (runtime: Pick<OciRuntime, 'stateRoot'>, launchId: string): string =>
  join(secretsPlace(runtime), launchId);

/** Where those of all launches of a runtime do: beside its notes where these are in memory, as they are on most machines, else in shared memory. */
export function secretsPlace({ stateRoot }: Pick<OciRuntime, 'stateRoot'>): string {
  if (isInMemory(NOTES)) return `${stateRoot}.secrets`;
  return join(SHARED_MEMORY, `provisioner-${basename(dirname(stateRoot))}-${basename(stateRoot)}.secrets`);
}

/**
 * Copies secrets to where a container can have them: into no record, no layer and onto no disk. What is changed in the files afterwards does not show.
 * @param directory is made @param secrets files of this machine, absolute, by the names that the program knows them by
 * @returns the mounts that show them
 * @throws ProvisionerError `ERR_BAD_OPTION`, `ERR_MOUNT_SOURCE`, `ERR_PERMISSION`, `ERR_IO`
 */
export function placeSecrets(directory: string, secrets: Readonly<Record<string, string>>): MountSpec[] {
  const names = Object.keys(secrets);
  if (names.length === 0) return [];
  const contents = new Map(Object.entries(secrets).map(([name, file]) => [name, contentOf(name, file)]));
  ensureOwnMemory(dirname(directory));
  makeOwnDirectory(directory);
  return names.map((name) => {
    const source = join(directory, name);
    // Whoever runs in the container may read it; to the users of this machine the directory is closed.
    writeFileSync(source, contents.get(name) ?? '', { mode: 0o444 });
    chmodSync(source, 0o444);
    return { type: 'bind', source, target: `${TARGET}/${name}`, readOnly: true, exec: false };
  });
}

function contentOf(name: string, file: string): Buffer {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/.test(name)) {
    throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(name)} is no name of a secret`, {
      hint: 'a name has letters, digits, and `_`, `.` and `-` between them',
      details: { name },
    });
  }
  if (!isAbsolute(file)) {
    throw new ProvisionerError('ERR_BAD_OPTION', `the file of the secret ${name} is no absolute path`, {
      details: { name },
    });
  }
  try {
    return readSmallFile(name, file);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw fileError(error, 'read a secret', file);
    throw new ProvisionerError('ERR_MOUNT_SOURCE', `there is no file ${file} for the secret ${name}`, {
      cause: error,
      hint: 'name the file that it is in',
      details: { name, source: file },
    });
  }
}

/** Opened once, so that what is measured is what is read; a pipe or a device has no size, and is none. */
function readSmallFile(name: string, file: string): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const status = fstatSync(descriptor);
    if (status.isFile() && status.size <= LONGEST) return readFileSync(descriptor);
    throw new ProvisionerError('ERR_BAD_OPTION', `the secret ${name} is no file of at most ${LONGEST / 1024} KiB`, {
      hint: 'mount what is larger (`--volume`)',
      details: { name, source: file },
    });
  } finally {
    closeSync(descriptor);
  }
}

function isInMemory(directory: string): boolean {
  try {
    return IN_MEMORY.includes(statfsSync(directory).type);
  } catch {
    return false;
  }
}

/** In shared memory anybody may have made a directory of that name before, or a symlink. @throws ProvisionerError `ERR_PERMISSION` for that */
function ensureOwnMemory(directory: string): void {
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) ensureOwnDirectory(directory);
  const place = holdOwnPlace(directory);
  try {
    if (isInMemory(place.path)) return;
  } finally {
    place.close();
  }
  throw new ProvisionerError('ERR_BAD_OPTION', `secrets cannot be kept in ${directory}: it is not in memory`, {
    hint: 'mount a tmpfs at /run, or mount the file (`--volume`)',
    details: { directory },
  });
}
