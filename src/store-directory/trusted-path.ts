import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { ProvisionerError } from '../base/errors.js';
import { syscallError } from '../system/syscalls/syscalls.js';
import { overflowUser } from '../system/syscalls/user-namespace.js';

/** As many as the kernel follows. @see path_resolution(7) */
const LINKS_MAX = 40;
const STICKY = 0o1000;

/**
 * Where the path of a store leads, provided that nobody but root and this user can make it lead elsewhere: work on a store goes by paths, so whoever could
 * put another directory in its place would have us write and delete where he likes. That is what sshd asks of the way to a user's keys.
 *
 * - A directory on the way belongs to root or to us, and others cannot write to it, unless it is sticky like /tmp: then they cannot rename what is ours.
 * - A symlink on the way, and at its end, is followed when it belongs to root or to us: an administrator who has moved a store to a larger disk leaves one.
 * - What is missing at the end of the way is left to be made, but not through a symlink: the disk that it means may not be mounted.
 *
 * @param path absolute and normalised @returns the same without symlinks @throws ProvisionerError `ERR_PERMISSION`, `ERR_IO`; else like Node's `fs`
 */
export function trustedPath(path: string): string {
  // Where there are no user ids, there is nothing to go by.
  if (process.geteuid === undefined) return path;
  const rest = path.split('/').filter((name) => name !== '');
  let at = '/';
  let link = '';
  /** How many of the names that are left do not come from a symlink. */
  let outside = Number.POSITIVE_INFINITY;
  for (let links = 0; ; ) {
    const name = rest.shift();
    if (name === undefined) return at;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at = dirname(at);
      continue;
    }
    checkDirectory(path, at);
    const next = `${at === '/' ? '' : at}/${name}`;
    const status = lstatSync(next, { throwIfNoEntry: false });
    if (status === undefined) {
      if (rest.length >= outside)
        throw danglingLink(path, link, [next, ...rest.slice(0, rest.length - outside)].join('/'));
      return [next, ...rest].join('/');
    }
    if (!status.isSymbolicLink()) {
      at = next;
      continue;
    }
    if (!isTrusted(status.uid)) throw foreignPlace(path, `behind the symlink ${next}`, status.uid);
    if (++links > LINKS_MAX) throw syscallError('ELOOP', 'open', path);
    link = next;
    outside = Math.min(outside, rest.length);
    const target = readlinkSync(next);
    if (target.startsWith('/')) at = '/';
    rest.unshift(...target.split('/'));
  }
}

function checkDirectory(path: string, directory: string): void {
  const status = lstatSync(directory);
  if (!status.isDirectory()) throw syscallError('ENOTDIR', 'open', directory);
  if (!isTrusted(status.uid)) throw foreignPlace(path, `in ${directory}`, status.uid);
  if (!isWritableByOthers(status) || (status.mode & STICKY) !== 0) return;
  const mode = octal(status);
  throw new ProvisionerError(
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

/**
 * Whether a user other than the owner may write. A group with the owner's own number is taken for the private one that many systems give each user; but root's,
 * which programs of all sorts are started with, is none. An ACL that lets anybody write shows in the bits of the group too. @see acl(5), "Correspondence between ACL entries and file permission bits"
 */
export function isWritableByOthers({ mode, uid, gid }: Pick<Stats, 'mode' | 'uid' | 'gid'>): boolean {
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && (gid !== uid || uid === 0));
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

/**
 * In a user namespace the directories above belong to who has no id there. Who is shown so cannot be told apart, so there the owners of directories above
 * prove less.
 */
function isTrusted(owner: number): boolean {
  return owner === 0 || owner === process.geteuid?.() || owner === overflowUser();
}
