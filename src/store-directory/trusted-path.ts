import type { Stats } from 'node:fs';
import { ProvisionerError } from '../base/errors.js';
import { isWritableByOthers, type WayFaults } from '../base/walk-way.js';
import { trustedWay } from '../system/syscalls/trusted-way.js';
import { overflowUser } from '../system/syscalls/user-namespace.js';

export { isWritableByOthers };

/**
 * Where the path of a store leads, provided that nobody but root and this user can make it lead elsewhere: work on a store goes by paths, so whoever could
 * put another directory in its place would have us write and delete where he likes. That is what sshd asks of the way to a user's keys.
 *
 * @param path absolute and normalised @returns the same without symlinks @throws ProvisionerError `ERR_PERMISSION`, `ERR_IO`; else like Node's `fs`
 */
export function trustedPath(path: string): string {
  const faults: WayFaults = {
    foreign: (where, owner) => foreignPlace(path, where, owner),
    writable: (directory, status) => writableDirectory(path, directory, status),
    dangling: (link, missing) => danglingLink(path, link, missing),
  };
  return trustedWay(path, faults);
}

function writableDirectory(path: string, directory: string, status: Stats): ProvisionerError {
  const mode = octal(status);
  return new ProvisionerError(
    'ERR_PERMISSION',
    `the store ${path} lies in ${directory}, which others can write to (mode ${mode}): they could put another store in its place`,
    {
      hint: `\`chmod go-w ${directory}\`, or \`chmod +t ${directory}\` if others are to go on writing there; or choose another store with --root`,
      details: { path: directory, mode },
    },
  );
}

function foreignPlace(path: string, where: string, owner: number): ProvisionerError {
  const whose = userName(owner);
  return new ProvisionerError(
    'ERR_PERMISSION',
    `the store ${path} lies ${where}, which belongs to ${whose}: that user could put another store in its place`,
    {
      hint: `run it ${asUser(owner)}, or choose a store whose path only root and you can change, with --root`,
      details: { path, owner, user: process.geteuid?.() ?? null },
    },
  );
}

function danglingLink(path: string, link: string, missing: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_IO',
    `the store ${path} lies behind the symlink ${link}, but ${missing} is not there`,
    {
      hint: `is its disk mounted? if it is to be a new store, make the directory first: \`mkdir -p -m 0700 ${missing}\``,
      details: { path, link, missing },
    },
  );
}

export function octal({ mode }: Pick<Stats, 'mode'>): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

/** A user as a person may know him. */
export function userName(uid: number): string {
  if (uid === overflowUser()) return 'a user who has no id in this user namespace';
  return uid === 0 ? 'root' : `uid ${uid}`;
}

/** How a command is run with a user's rights, as the end of `run it`. */
export function asUser(uid: number): string {
  if (uid === overflowUser()) return 'outside of this user namespace';
  return uid === 0 ? 'as root' : `as that user (\`sudo -u '#${uid}' provisioner …\`)`;
}
