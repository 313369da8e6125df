import { chmodSync, lstatSync, mkdirSync, opendirSync } from 'node:fs';
import { dirname } from 'node:path';
import { ProvisionerError, systemCode } from '../base/errors.js';
import { ensureOwnDirectory } from '../base/own-files.js';

/** As a directory is that nobody has said anything of. */
export const DEFAULT_MODE = 0o755;

/** With what is there, or an empty directory. Nobody fills it meanwhile: what is put in its place would be given this mode. @throws like Node's `fs` */
export function makeVolumeDirectory(directory: string): void {
  ensureOwnDirectory(dirname(directory));
  try {
    mkdirSync(directory, DEFAULT_MODE);
    chmodSync(directory, DEFAULT_MODE);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

/**
 * Whether a volume's directory is there. What is mounted would be what a link in its place leads to, which may be anything of this machine.
 * @throws ProvisionerError `ERR_STORE_DAMAGED` where something else has its place; like Node's `fs`
 */
export function isVolumeDirectoryThere(name: string, directory: string): boolean {
  const status = lstatSync(directory, { throwIfNoEntry: false });
  if (status === undefined || status.isDirectory()) return status !== undefined;
  const what = status.isSymbolicLink() ? 'a symlink' : 'no directory';
  throw new ProvisionerError(
    'ERR_STORE_DAMAGED',
    `what has the place of the directory of the volume ${name} is ${what}: ${directory}`,
    {
      hint: 'move it away, and put the directory back that was there; see who has changed it',
      details: { volume: name, path: directory },
    },
  );
}

/** Of a directory of any size. @throws like Node's `fs` */
export function isEmptyOrMissing(directory: string): boolean {
  try {
    const opened = opendirSync(directory);
    try {
      return opened.readSync() === null;
    } finally {
      opened.closeSync();
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return true;
    throw error;
  }
}
