import { closeSync, constants, fchmodSync, fstatSync, openSync } from 'node:fs';
import { ProvisionerError, systemCode } from '../../base/errors.js';

/**
 * Opens one of the store's own files, and nothing that stands in its place: no symlink is followed, a FIFO does not keep us waiting, and what was
 * opened is a regular file of this user. Systems without such flags or users do without.
 * @param flags as for open(2)
 * @returns the descriptor, for the caller to close
 * @throws ProvisionerError `ERR_STORE_DAMAGED` for what is no file, `ERR_PERMISSION` for one of somebody else; else like Node's `fs`
 */
export function openOwnFile(path: string, flags: number): number {
  const descriptor = openUnfollowed(path, flags);
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) throw notAFile(path, 'no regular file');
    const us = process.geteuid?.();
    if (us !== undefined && status.uid !== us) {
      throw new ProvisionerError('ERR_PERMISSION', `${path} belongs to uid ${status.uid}, and not to uid ${us}`, {
        hint: 'find out who put it into the store, and remove it or choose another store with --root',
        details: { path, owner: status.uid, user: us },
      });
    }
    // The umask may have taken what other processes need to open it.
    if ((flags & constants.O_CREAT) !== 0 && (status.mode & 0o600) !== 0o600) fchmodSync(descriptor, 0o600);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function openUnfollowed(path: string, flags: number): number {
  try {
    return openSync(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ELOOP') throw notAFile(path, 'a symlink');
    // A FIFO that nobody reads, or a socket.
    if (code === 'ENXIO') throw notAFile(path, 'no regular file');
    throw error;
  }
}

function notAFile(path: string, what: string): ProvisionerError {
  return new ProvisionerError('ERR_STORE_DAMAGED', `${path} is ${what}, where the store has a file of its own`, {
    hint: 'find out who put it there, and move it away',
    details: { path },
  });
}
